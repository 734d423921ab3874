//! Owns the promise that all levels agree with the scalar one within the stated bound, and all forms of a kernel to the bit.

use proptest::prelude::*;
use proximadb_kernels::{FACTOR_WORDS, Kernel, Kernels, Level, PLANES, PlanesQuery, encode_f16, kernels_at};

const DIM_MAX: usize = 1100;

fn levels() -> impl Iterator<Item = &'static Kernels> {
    Level::ALL.into_iter().filter_map(kernels_at)
}

fn scalar() -> &'static Kernels {
    kernels_at(Level::Scalar).expect("every processor runs plain Rust")
}

/// Components of ordinary, huge and tiny magnitude, and zeros of both signs.
fn component(magnitude: i32) -> impl Strategy<Value = f32> {
    let scale = 10.0_f32.powi(magnitude);
    prop_oneof![8 => (-1.0_f32..1.0).prop_map(move |x| x * scale), 1 => Just(0.0), 1 => Just(-0.0), 1 => Just(scale)]
}

/// Two vectors of one length and of magnitudes that keep sums of squares finite or let them vanish.
fn pair() -> impl Strategy<Value = (Vec<f32>, Vec<f32>)> {
    (0..=DIM_MAX, -42..=17, -42..=17).prop_flat_map(|(dim, a, b)| (vec_of(component(a), dim), vec_of(component(b), dim)))
}

fn vec_of<S: Strategy>(of: S, len: usize) -> impl Strategy<Value = Vec<S::Value>> {
    proptest::collection::vec(of, len..=len)
}

/// A query and rows of one length that share some of its components, so that few or none differ.
fn query_and_rows() -> impl Strategy<Value = (Vec<f32>, Vec<f32>)> {
    (0..=DIM_MAX, 0..=9_usize).prop_flat_map(|(dim, rows)| (vec_of(component(0), dim), vec_of(component(0), dim * rows)))
}

fn allowed(terms: impl Iterator<Item = f32>, dim: usize) -> f32 {
    let n = dim as f32;
    (n + 4.0) * f32::EPSILON * terms.map(f32::abs).sum::<f32>() + n * f32::MIN_POSITIVE
}

fn check_pair(name: &str, kernel: fn(&Kernels) -> &Kernel<f32, f32, f32>, a: &[f32], b: &[f32], term: fn(f32, f32) -> f32) {
    let oracle = kernel(scalar()).row(a, b);
    let exact = a.iter().zip(b).map(|(&a, &b)| f64::from(term(a, b))).sum::<f64>();
    let bound = allowed(a.iter().zip(b).map(|(&a, &b)| term(a, b)), a.len());
    assert!((f64::from(oracle) - exact).abs() <= f64::from(bound), "{name}: scalar {oracle} is not {exact} within {bound}");
    for level in levels() {
        let score = kernel(level).row(a, b);
        assert!((score - oracle).abs() <= bound, "{name} at {:?}: {score} is not {oracle} within {bound}", level.level());
    }
}

fn check_forms<Q, T: Copy, S: Copy + Default + PartialEq + std::fmt::Debug>(
    name: &str,
    level: Level,
    kernel: &Kernel<Q, T, S>,
    query: &[Q],
    block: &[T],
) {
    let dim = query.len();
    let count = block.len().checked_div(dim).unwrap_or(3);
    let single: Vec<S> = (0..count).map(|i| kernel.row(query, &block[i * dim..(i + 1) * dim])).collect();
    let mut scores = vec![S::default(); count];
    kernel.block(query, block, &mut scores);
    assert_eq!(scores, single, "{name} block at {level:?}");

    let ids: Vec<u32> = (0..count as u32).rev().chain(0..count as u32).collect();
    let expected: Vec<S> = ids.iter().map(|&id| single[id as usize]).collect();
    let mut scores = vec![S::default(); ids.len()];
    kernel.gather(query, block, dim, &ids, &mut scores);
    assert_eq!(scores, expected, "{name} gather at {level:?}");

    // The same rows, each with a copy of its neighbour's first component behind it.
    let padded: Vec<T> = block.chunks(dim.max(1)).flat_map(|row| row.iter().copied().chain([block[0]])).collect();
    kernel.gather(query, &padded, dim + 1, if dim == 0 { &[] } else { &ids }, if dim == 0 { &mut [] } else { &mut scores });
    assert_eq!(scores, expected, "{name} strided gather at {level:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn sums_agree_with_the_scalar_ones_within_the_bound((a, b) in pair()) {
        check_pair("dot", |k| &k.dot, &a, &b, |a, b| a * b);
        check_pair("l2_squared", |k| &k.l2_squared, &a, &b, |a, b| (a - b) * (a - b));
        check_pair("l1", |k| &k.l1, &a, &b, |a, b| (a - b).abs());
    }

    #[test]
    fn cosine_agrees_with_f64_at_any_magnitude((query, row) in pair(), scale in -20..=20) {
        let mut query = query;
        let row: Vec<f32> = row.iter().map(|x| x * 10.0_f32.powi(scale)).collect();
        prop_assume!(proximadb_kernels::normalize(&mut query));
        let dot: f64 = query.iter().zip(&row).map(|(&q, &v)| f64::from(q) * f64::from(v)).sum();
        let norm = row.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>().sqrt();
        let exact = if norm == 0.0 { 0.0 } else { dot / norm };
        // By Cauchy-Schwarz the absolute terms of a dot of two unit vectors sum to one at most.
        let bound = (query.len() as f64 + 8.0) * f64::from(f32::EPSILON);
        for level in levels() {
            let score = level.cosine.row(&query, &row);
            prop_assert!((f64::from(score) - exact).abs() <= bound, "{:?}: {score} is not {exact}", level.level());
        }
    }

    #[test]
    fn hamming_counts_the_same_at_every_level((query, rows) in query_and_rows()) {
        for row in rows.chunks_exact(query.len().max(1)) {
            let count = query.iter().zip(row).filter(|(a, b)| a != b).count();
            for level in levels() {
                prop_assert_eq!(level.hamming.row(&query, row), count as f32);
            }
        }
    }

    #[test]
    fn all_forms_agree_to_the_bit((query, block) in query_and_rows()) {
        let mut half = vec![0; block.len()];
        encode_f16(&block, &mut half);
        let codes = |values: &[f32]| values.iter().map(|x| (x * 128.0) as i8).collect::<Vec<i8>>();
        let words = |values: &[f32]| values.iter().map(|x| u64::from(x.to_bits()).wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect::<Vec<u64>>();
        for k in levels() {
            let level = k.level();
            for (name, kernel) in [("dot", &k.dot), ("l2", &k.l2_squared), ("l1", &k.l1), ("hamming", &k.hamming), ("cosine", &k.cosine)] {
                check_forms(name, level, kernel, &query, &block);
            }
            check_forms("dot_i8", level, &k.dot_i8, &codes(&query), &codes(&block));
            check_forms("dot_f16", level, &k.dot_f16, &query, &half);
            check_forms("hamming_bits", level, &k.hamming_bits, &words(&query), &words(&block));
        }
    }

    #[test]
    fn dot_and_norm_are_two_dots_to_the_bit((query, row) in pair()) {
        for k in levels() {
            let (dot, norm) = k.dot_and_norm(&query, &row);
            prop_assert_eq!((dot.to_bits(), norm.to_bits()), (k.dot.row(&query, &row).to_bits(), k.dot.row(&row, &row).to_bits()));
        }
    }

    #[test]
    fn integer_scores_are_equal_at_every_level(
        (a, b) in (0..=DIM_MAX).prop_flat_map(|n| (vec_of(any::<i8>(), n), vec_of(any::<i8>(), n))),
        (c, d) in (0..=DIM_MAX).prop_flat_map(|n| (vec_of(any::<u64>(), n), vec_of(any::<u64>(), n))),
    ) {
        let dot: i32 = a.iter().zip(&b).map(|(&a, &b)| i32::from(a) * i32::from(b)).sum();
        let bits: u32 = c.iter().zip(&d).map(|(c, d)| (c ^ d).count_ones()).sum();
        for k in levels() {
            prop_assert_eq!(k.dot_i8.row(&a, &b), dot);
            prop_assert_eq!(k.hamming_bits.row(&c, &d), bits);
        }
    }

    #[test]
    fn estimates_are_equal_at_every_level(
        (planes, bits, factors, terms) in (prop_oneof![0..=5_usize, 0..=70_usize], 1..=21_usize).prop_flat_map(|(n, rows)| (
            vec_of(any::<u64>(), PLANES * n), vec_of(any::<u64>(), rows * n), vec_of(component(0), 4 * rows), vec_of(component(0), 5),
        )),
    ) {
        let words = planes.len() / PLANES;
        let stride = words + FACTOR_WORDS + 1;
        let of_row = |at: usize| (&bits[at * words..][..words], &factors[4 * at..][..4]);
        let count = factors.len() / 4;
        let rows: Vec<u64> = (0..count).flat_map(|at| {
            let (bits, factors) = of_row(at);
            let word = |pair: &[f32]| u64::from(pair[0].to_bits()) | u64::from(pair[1].to_bits()) << 32;
            [bits.to_vec(), vec![word(&factors[..2]), word(&factors[2..]), 7]].concat()
        }).collect();
        let query = PlanesQuery { planes: &planes, constant: terms[0], norm: terms[1], gain: terms[2], offset: terms[3], lift: terms[4] };
        let component = |at: usize| {
            let bit = |plane: usize| (planes[plane * words + at / 64] >> (at % 64) & 1) as i32;
            bit(0) + 2 * bit(1) + 4 * bit(2) - 8 * bit(3)
        };
        let expected: Vec<u32> = (0..count).rev().map(|at| {
            let (bits, factors) = of_row(at);
            let sum = (0..64 * words).filter(|at| bits[at / 64] >> (at % 64) & 1 == 1).map(component).sum::<i32>() as f32;
            let near = query.constant + query.norm * factors[1];
            (near - factors[2] * (query.gain * sum + query.offset) - query.lift * factors[3]).to_bits()
        }).collect();
        let ids: Vec<u32> = (0..count as u32).rev().collect();
        for k in levels() {
            let mut keys = vec![7.0; ids.len()];
            k.estimates.gather(&query, &rows, stride, &ids, &mut keys);
            let keys: Vec<u32> = keys.into_iter().map(f32::to_bits).collect();
            prop_assert_eq!(&keys, &expected, "{:?}", k.level());
        }
    }

    #[test]
    fn half_precision_dot_agrees_within_the_bound(
        (query, row) in (0..=DIM_MAX, -7..=4).prop_flat_map(|(n, magnitude)| (vec_of(component(0), n), vec_of(component(magnitude), n))),
    ) {
        let (mut codes, mut values) = (vec![0; row.len()], vec![0.0; row.len()]);
        encode_f16(&row, &mut codes);
        proximadb_kernels::decode_f16(&codes, &mut values);
        let bound = allowed(query.iter().zip(&values).map(|(q, v)| q * v), query.len());
        let oracle = scalar().dot.row(&query, &values);
        for k in levels() {
            let score = k.dot_f16.row(&query, &codes);
            prop_assert!((score - oracle).abs() <= bound, "{:?}: {score} is not {oracle}", k.level());
        }
    }
}

#[test]
fn every_length_up_to_three_registers_is_summed_to_its_end() {
    for dim in 0..=200 {
        let (ones, codes) = (vec![1.0; dim], vec![1_i8; dim]);
        for k in levels() {
            assert_eq!(k.dot.row(&ones, &ones), dim as f32);
            assert_eq!(k.l2_squared.row(&ones, &vec![3.0; dim]), 4.0 * dim as f32);
            assert_eq!(k.l1.row(&ones, &vec![3.0; dim]), 2.0 * dim as f32);
            assert_eq!(k.hamming.row(&ones, &vec![0.0; dim]), dim as f32);
            assert_eq!(k.dot_f16.row(&ones, &vec![0x3c00; dim]), dim as f32);
            assert_eq!(k.dot_i8.row(&codes, &codes), dim as i32);
            assert_eq!(k.hamming_bits.row(&vec![0; dim], &vec![u64::MAX; dim]), 64 * dim as u32);
        }
    }
}

#[test]
fn the_longest_i8_rows_of_the_lowest_code_do_not_wrap() {
    let codes = vec![i8::MIN; 131_071];
    for k in levels() {
        assert_eq!(k.dot_i8.row(&codes, &codes), 131_071 * 16_384, "{:?}", k.level());
    }
}

#[test]
fn hamming_takes_zeros_as_equal_and_not_a_number_as_different() {
    let (mut a, mut b) = (vec![0.0; 37], vec![-0.0; 37]);
    (a[3], b[3]) = (f32::NAN, f32::NAN);
    (a[36], b[36]) = (1.0, f32::NAN);
    for k in levels() {
        assert_eq!(k.hamming.row(&a, &b), 2.0, "{:?}", k.level());
    }
}
