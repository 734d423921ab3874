//! Owns the measurement of every kernel at every level this processor has: one criterion iteration is one query against all rows
//! of a set, so a time divided by the throughput's elements is the time of one vector.
//!
//! `l2` is a set of half a mebibyte, `ram` one of 256 MiB read on from where the last iteration stopped; `gather` asks for rows at
//! random places of the latter. Data come from a fixed seed.

use std::hint::black_box;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use proximadb_kernels::{FACTOR_WORDS, Kernel, Kernels, Level, PLANES, PlanesQuery, kernels_at, prefetch};

const DIMS: [usize; 2] = [384, 768];
/// Those of which four and two rows of signs fit into a register, and longer ones.
const SIGN_DIMS: [usize; 4] = [128, 256, 384, 768];
const L2_BYTES: usize = 512 << 10;
const RAM_BYTES: usize = 256 << 20;
/// Rows start on cache lines, as those of an index do; off them, every load of AVX-512 straddles two lines.
const ALIGN_BYTES: usize = 64;
/// Neighbours of one graph node.
const LIST: usize = 32;
const LISTS: usize = 64;

/// Marsaglia's xorshift64*, so that the bench needs no crate for its data.
struct Seeded(u64);

impl Seeded {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn take<T>(&mut self, len: usize, from: impl Fn(u64) -> T) -> Vec<T> {
        (0..len).map(|_| from(self.next())).collect()
    }
}

fn component(bits: u64) -> f32 {
    (bits >> 40) as f32 / (1 << 23) as f32 - 1.0
}

/// What every kernel but reads from memory costs at least: all words of a row, and nothing done with them but an or, which the compiler
/// vectorizes.
fn reading(c: &mut Criterion) {
    let words = Seeded(3).take(RAM_BYTES / size_of::<u64>(), |bits| bits);
    for dim in DIMS {
        let width = dim * size_of::<f32>() / size_of::<u64>();
        let rows = L2_BYTES / (width * size_of::<u64>());
        for (place, total) in [("l2", rows), ("ram", words.len() / width)] {
            let mut blocks = words[..total * width].chunks_exact(rows * width).cycle();
            group(c, &format!("read/{dim}/{place}/block"), rows).bench_function(BenchmarkId::from_parameter("Machine"), |b| {
                b.iter(|| {
                    let block = blocks.next().unwrap_or_default();
                    let lanes =
                        block.as_chunks::<32>().0.iter().fold([0; 32], |seen, words| std::array::from_fn(|at| seen[at] | words[at]));
                    black_box(lanes)
                });
            });
        }
    }
}

type Group<'a> = BenchmarkGroup<'a, WallTime>;

fn group<'a>(c: &'a mut Criterion, name: &str, rows: usize) -> Group<'a> {
    let mut group = c.benchmark_group(name);
    group
        .throughput(Throughput::Elements(rows as u64))
        .sampling_mode(SamplingMode::Flat)
        .sample_size(20)
        .warm_up_time(std::time::Duration::from_millis(200))
        .measurement_time(std::time::Duration::from_millis(600));
    group
}

/// The three forms of one kernel at all levels; `width` is the length of a row in its own components.
fn measure<Q: 'static, T: 'static, S: Default + Copy + 'static>(
    c: &mut Criterion,
    name: &str,
    (dim, width): (usize, usize),
    (query, data): (&[Q], &[T]),
    pick: fn(&Kernels) -> &Kernel<Q, T, S>,
) {
    let data = &data[data.as_ptr().align_offset(ALIGN_BYTES)..];
    let levels: Vec<&Kernels> = Level::ALL.into_iter().filter_map(kernels_at).collect();
    let rows = L2_BYTES / (width * size_of::<T>());
    let total = data.len() / width;
    let mut out = vec![S::default(); rows.max(LIST)];

    for (place, form) in [("l2", "row"), ("l2", "block"), ("ram", "block")] {
        let mut group = group(c, &format!("{name}/{dim}/{place}/{form}"), rows);
        for &k in &levels {
            let kernel = pick(k);
            let mut at = 0;
            group.bench_function(BenchmarkId::from_parameter(format!("{:?}", k.level())), |b| {
                b.iter(|| {
                    let block = &data[at * width..(at + rows) * width];
                    match form {
                        "row" => block.chunks_exact(width).zip(&mut out).for_each(|(row, out)| *out = kernel.row(black_box(query), row)),
                        _ => kernel.block(black_box(query), block, &mut out[..rows]),
                    }
                    black_box(&out);
                    if place == "ram" {
                        at = if at + 2 * rows <= total { at + rows } else { 0 };
                    }
                });
            });
        }
    }

    let lists = Seeded(41).take(LISTS * LIST * 64, |bits| (bits % total as u64) as u32);
    let mut group = group(c, &format!("{name}/{dim}/ram/gather"), LISTS * LIST);
    for &k in &levels {
        let mut turns = lists.chunks_exact(LISTS * LIST).cycle();
        group.bench_function(BenchmarkId::from_parameter(format!("{:?}", k.level())), |b| {
            b.iter(|| {
                for ids in turns.next().into_iter().flat_map(|turn| turn.chunks_exact(LIST)) {
                    pick(k).gather(black_box(query), data, width, ids, &mut out[..LIST]);
                    black_box(&out);
                }
            });
        });
    }
}

fn distances(c: &mut Criterion) {
    let mut seeded = Seeded(7);
    let floats = seeded.take(RAM_BYTES / size_of::<f32>(), component);
    let query = seeded.take(768, component);
    for dim in DIMS {
        let (shape, data) = ((dim, dim), (&query[..dim], &floats[..]));
        measure(c, "dot", shape, data, |k| &k.dot);
        measure(c, "l2_squared", shape, data, |k| &k.l2_squared);
        measure(c, "l1", shape, data, |k| &k.l1);
        measure(c, "hamming", shape, data, |k| &k.hamming);
        measure(c, "cosine", shape, data, |k| &k.cosine);
    }
    drop(floats);
}

fn codes(c: &mut Criterion) {
    let mut seeded = Seeded(11);
    let halves = seeded.take(RAM_BYTES / size_of::<u16>(), |bits| (bits >> 48) as u16 & 0xbbff);
    let query = seeded.take(768, component);
    for dim in DIMS {
        measure(c, "dot_f16", (dim, dim), (&query[..dim], &halves), |k| &k.dot_f16);
    }
    drop(halves);
    let bytes = seeded.take(RAM_BYTES, |bits| (bits >> 56) as i8);
    let query = seeded.take(768, |bits| (bits >> 56) as i8);
    for dim in DIMS {
        measure(c, "dot_i8", (dim, dim), (&query[..dim], &bytes), |k| &k.dot_i8);
    }
    drop(bytes);
    let words = seeded.take(RAM_BYTES / size_of::<u64>(), |bits| bits);
    for dim in DIMS {
        measure(c, "hamming_bits", (dim, dim / 64), (&words[..dim / 64], &words), |k| &k.hamming_bits);
    }
    SIGN_DIMS.iter().for_each(|&dim| signs(c, dim, &words));
}

/// Rows of bits under a query of four bits a component, as a walk compares them: by id, on lines of their own, asked for before.
fn signs(c: &mut Criterion, dim: usize, data: &[u64]) {
    let words = dim / 64;
    let stride = (words + FACTOR_WORDS).next_multiple_of(8);
    let planes = Seeded(43).take(PLANES * words, |bits| bits);
    let query = PlanesQuery { planes: &planes, constant: 0.0, norm: 0.5, gain: 0.1, offset: 0.2, lift: 0.0 };
    for (place, total) in [("l2", L2_BYTES / (8 * stride)), ("ram", data.len() / stride)] {
        let lists = Seeded(41).take(LISTS * LIST * 64, |bits| (bits % total as u64) as u32);
        let mut group = group(c, &format!("estimates/{dim}/{place}/gather"), LISTS * LIST);
        for k in Level::ALL.into_iter().filter_map(kernels_at) {
            let mut turns = lists.chunks_exact(LISTS * LIST).cycle();
            let mut keys = [0.0; LIST];
            group.bench_function(BenchmarkId::from_parameter(format!("{:?}", k.level())), |b| {
                b.iter(|| {
                    for ids in turns.next().into_iter().flat_map(|turn| turn.chunks_exact(LIST)) {
                        ids.iter().for_each(|&id| prefetch(&data[id as usize * stride..][..words + FACTOR_WORDS]));
                        k.estimates.gather(black_box(&query), data, stride, ids, &mut keys);
                        black_box(&keys);
                    }
                });
            });
        }
    }
}

criterion_group!(benches, reading, distances, codes);
criterion_main!(benches);
