//! Owns the f32 and i8 kernels in Advanced SIMD. Refuses to know when they may run.
//!
//! A tail shorter than a register is copied into one of zeros, which add nothing in any of the distances.

use std::arch::aarch64::*;

use crate::drive::forms;
use crate::norm::similarity;
use crate::term::{DOT, L1, L2_SQUARED};

forms!(#[target_feature(enable = "neon")] row, block, gather [const M], (f32, f32) -> f32, by 1: sums::<M>, sums::<M>);
forms!(#[target_feature(enable = "neon")]
    cosine, cosine_block, cosine_gather, (f32, f32) -> f32, by 1: cosines, cosines);
forms!(#[target_feature(enable = "neon")]
    dot_i8, dot_i8_block, dot_i8_gather, (i8, i8) -> i32, by 1: dots_i8, dots_i8);

#[inline]
#[target_feature(enable = "neon")]
fn sums<const M: u8>(query: &[f32], [row]: [&[f32]; 1]) -> [f32; 1] {
    let (queries, query_rest) = query.as_chunks::<16>();
    let (rows, row_rest) = row.as_chunks::<16>();
    let mut sums = [vdupq_n_f32(0.0); 4];
    for (q, v) in queries.iter().zip(rows) {
        add_terms::<M>(&mut sums, q, v);
    }
    if !query_rest.is_empty() {
        add_terms::<M>(&mut sums, &padded(query_rest), &padded(row_rest));
    }
    [total(sums)]
}

#[target_feature(enable = "neon")]
pub(crate) fn dot_and_norm(query: &[f32], row: &[f32]) -> (f32, f32) {
    let [dot] = sums::<DOT>(query, [row]);
    let [norm_squared] = sums::<DOT>(row, [row]);
    (dot, norm_squared)
}

#[inline]
#[target_feature(enable = "neon")]
fn cosines(query: &[f32], [row]: [&[f32]; 1]) -> [f32; 1] {
    let (dot, norm_squared) = dot_and_norm(query, row);
    [similarity(query, row, dot, norm_squared)]
}

#[inline]
#[target_feature(enable = "neon")]
fn add_terms<const M: u8>(sums: &mut [float32x4_t; 4], q: &[f32; 16], v: &[f32; 16]) {
    for (part, sum) in sums.iter_mut().enumerate() {
        // SAFETY: the last of the four parts ends at the sixteenth component, where both arrays do.
        let (q, v) = unsafe { (vld1q_f32(q.as_ptr().add(4 * part)), vld1q_f32(v.as_ptr().add(4 * part))) };
        *sum = add_term::<M>(*sum, q, v);
    }
}

#[inline]
#[target_feature(enable = "neon")]
fn add_term<const M: u8>(sum: float32x4_t, q: float32x4_t, v: float32x4_t) -> float32x4_t {
    match M {
        DOT => vfmaq_f32(sum, q, v),
        L2_SQUARED => {
            let gap = vsubq_f32(q, v);
            vfmaq_f32(sum, gap, gap)
        }
        L1 => vaddq_f32(sum, vabdq_f32(q, v)),
        _ => {
            let differs = vmvnq_u32(vceqq_f32(q, v));
            let one = vreinterpretq_u32_f32(vdupq_n_f32(1.0));
            vaddq_f32(sum, vreinterpretq_f32_u32(vandq_u32(differs, one)))
        }
    }
}

#[inline]
#[target_feature(enable = "neon")]
fn total([a, b, c, d]: [float32x4_t; 4]) -> f32 {
    vaddvq_f32(vaddq_f32(vaddq_f32(a, b), vaddq_f32(c, d)))
}

/// Products of i8 fit i16, and their pairs are added to i32 without loss.
#[inline]
#[target_feature(enable = "neon")]
fn dots_i8(query: &[i8], [row]: [&[i8]; 1]) -> [i32; 1] {
    let (queries, query_rest) = query.as_chunks::<16>();
    let (rows, row_rest) = row.as_chunks::<16>();
    let mut sums = [vdupq_n_s32(0); 2];
    for (q, v) in queries.iter().zip(rows) {
        add_products(&mut sums, q, v);
    }
    if !query_rest.is_empty() {
        add_products(&mut sums, &padded(query_rest), &padded(row_rest));
    }
    [vaddvq_s32(vaddq_s32(sums[0], sums[1]))]
}

#[inline]
#[target_feature(enable = "neon")]
fn add_products(sums: &mut [int32x4_t; 2], q: &[i8; 16], v: &[i8; 16]) {
    // SAFETY: both arrays are as long as what is loaded.
    let (q, v) = unsafe { (vld1q_s8(q.as_ptr()), vld1q_s8(v.as_ptr())) };
    sums[0] = vpadalq_s16(sums[0], vmull_s8(vget_low_s8(q), vget_low_s8(v)));
    sums[1] = vpadalq_s16(sums[1], vmull_high_s8(q, v));
}

#[inline]
fn padded<T: Copy + Default>(rest: &[T]) -> [T; 16] {
    let mut full = [T::default(); 16];
    full[..rest.len()].copy_from_slice(rest);
    full
}
