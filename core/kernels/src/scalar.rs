//! Owns every kernel in plain Rust: the fallback, and the oracle of the other levels. Refuses to know instruction sets.
//!
//! Sums run in sixteen lanes, which any compiler turns into whatever vector registers the target's baseline has.

use crate::drive::forms;
use crate::half;
use crate::kernel::Kernel;
use crate::level::{Kernels, Level};
use crate::norm::similarity;
use crate::planes::{PlanesKernel, estimates};
use crate::term::{DOT, HAMMING, L1, L2_SQUARED};

const LANES: usize = 16;

// SAFETY: every function is plain Rust that all processors run.
pub(crate) static KERNELS: Kernels = unsafe {
    Kernels {
        level: Level::Scalar,
        dot: Kernel::new(row::<DOT>, block::<DOT>, gather::<DOT>),
        l2_squared: Kernel::new(row::<L2_SQUARED>, block::<L2_SQUARED>, gather::<L2_SQUARED>),
        l1: Kernel::new(row::<L1>, block::<L1>, gather::<L1>),
        hamming: Kernel::new(row::<HAMMING>, block::<HAMMING>, gather::<HAMMING>),
        cosine: Kernel::new(cosine, cosine_block, cosine_gather),
        dot_i8: Kernel::new(dot_i8, dot_i8_block, dot_i8_gather),
        dot_f16: Kernel::new(dot_f16, dot_f16_block, dot_f16_gather),
        hamming_bits: Kernel::new(hamming_bits, hamming_bits_block, hamming_bits_gather),
        estimates: PlanesKernel::new(estimates),
        dot_and_norm,
    }
};

forms!(row, block, gather [const M], (f32, f32) -> f32, by 1: sums::<M>, sums::<M>);
forms!(cosine, cosine_block, cosine_gather, (f32, f32) -> f32, by 1: cosines, cosines);
forms!(dot_i8, dot_i8_block, dot_i8_gather, (i8, i8) -> i32, by 1: dots_i8, dots_i8);
forms!(dot_f16, dot_f16_block, dot_f16_gather, (f32, u16) -> f32, by 1: dots_f16, dots_f16);
forms!(hamming_bits, hamming_bits_block, hamming_bits_gather, (u64, u64) -> u32, by 1: differing_bits, differing_bits);

pub(crate) fn dot_and_norm(query: &[f32], row: &[f32]) -> (f32, f32) {
    (sum_of(query, row, |q, v| q * v), sum_of(row, row, |q, v| q * v))
}

#[inline]
fn sums<const M: u8>(query: &[f32], [row]: [&[f32]; 1]) -> [f32; 1] {
    [sum_of(query, row, |q, v| match M {
        DOT => q * v,
        L2_SQUARED => (q - v) * (q - v),
        L1 => (q - v).abs(),
        _ => f32::from(u8::from(q != v)),
    })]
}

#[inline]
fn cosines(query: &[f32], [row]: [&[f32]; 1]) -> [f32; 1] {
    let (dot, norm_squared) = dot_and_norm(query, row);
    [similarity(query, row, dot, norm_squared)]
}

#[inline]
fn dots_i8(query: &[i8], [row]: [&[i8]; 1]) -> [i32; 1] {
    [query.iter().zip(row).map(|(&q, &v)| i32::from(q) * i32::from(v)).fold(0, i32::wrapping_add)]
}

#[inline]
fn dots_f16(query: &[f32], [row]: [&[u16]; 1]) -> [f32; 1] {
    [sum_of(query, row, |q, v| q * half::decode(v))]
}

#[inline]
fn differing_bits(query: &[u64], [row]: [&[u64]; 1]) -> [u32; 1] {
    [query.iter().zip(row).map(|(q, v)| (q ^ v).count_ones()).sum()]
}

#[inline]
fn sum_of<T: Copy>(query: &[f32], row: &[T], term: impl Fn(f32, T) -> f32) -> f32 {
    let (queries, query_rest) = query.as_chunks::<LANES>();
    let (rows, row_rest) = row.as_chunks::<LANES>();
    let mut lanes = [0.0_f32; LANES];
    for (q, v) in queries.iter().zip(rows) {
        for lane in 0..LANES {
            lanes[lane] += term(q[lane], v[lane]);
        }
    }
    for ((lane, &q), &v) in lanes.iter_mut().zip(query_rest).zip(row_rest) {
        *lane += term(q, v);
    }
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            lanes[lane] += lanes[lane + width];
        }
        width /= 2;
    }
    lanes[0]
}
