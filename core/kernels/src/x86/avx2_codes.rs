//! Owns the kernels on compact codes (i8, f16, bits) in AVX2, F16C and POPCNT. Refuses to know when they may run.
//!
//! A tail shorter than a register is copied into one of zeros, which add nothing.

use std::arch::x86_64::*;

use super::avx2_float::total;
use crate::drive::forms;
use crate::planes::PlanesQuery;

forms!(#[target_feature(enable = "avx2")]
    dot_i8, dot_i8_block, dot_i8_gather, (i8, i8) -> i32, by 1: dots_i8, dots_i8);
forms!(#[target_feature(enable = "avx2,fma,f16c")]
    dot_f16, dot_f16_block, dot_f16_gather, (f32, u16) -> f32, by 1: dots_f16, dots_f16);
forms!(#[target_feature(enable = "avx2,popcnt")]
    hamming_bits, hamming_bits_block, hamming_bits_gather, (u64, u64) -> u32, by 1: differing_bits, differing_bits);

/// Widens to i16, whose products are summed in pairs to i32 without loss.
#[inline]
#[target_feature(enable = "avx2")]
fn dots_i8(query: &[i8], [row]: [&[i8]; 1]) -> [i32; 1] {
    let (queries, query_rest) = query.as_chunks::<16>();
    let (parts, rest) = row.as_chunks::<16>();
    let mut sum = _mm256_setzero_si256();
    for (q, v) in queries.iter().zip(parts) {
        sum = _mm256_add_epi32(sum, _mm256_madd_epi16(widen(q), widen(v)));
    }
    if !rest.is_empty() {
        sum = _mm256_add_epi32(sum, _mm256_madd_epi16(widen(&padded(query_rest)), widen(&padded(rest))));
    }
    let sum = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256::<1>(sum));
    let sum = _mm_add_epi32(sum, _mm_shuffle_epi32::<0b01_00_11_10>(sum));
    [_mm_cvtsi128_si32(_mm_add_epi32(sum, _mm_shuffle_epi32::<0b10_11_00_01>(sum)))]
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn dots_f16(query: &[f32], [row]: [&[u16]; 1]) -> [f32; 1] {
    let (queries, query_rest) = query.as_chunks::<32>();
    let (parts, rest) = row.as_chunks::<32>();
    let mut sums = [_mm256_setzero_ps(); 4];
    for (q, v) in queries.iter().zip(parts) {
        add_f16(&mut sums, q, v);
    }
    if !rest.is_empty() {
        add_f16(&mut sums, &padded(query_rest), &padded(rest));
    }
    [total(sums)]
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn add_f16(sums: &mut [__m256; 4], query: &[f32; 32], row: &[u16; 32]) {
    for (part, sum) in sums.iter_mut().enumerate() {
        // SAFETY: the last of the four parts ends at the thirty-second component, where both arrays do.
        let (q, v) = unsafe { (_mm256_loadu_ps(query.as_ptr().add(8 * part)), _mm_loadu_si128(row.as_ptr().add(8 * part).cast())) };
        *sum = _mm256_fmadd_ps(q, _mm256_cvtph_ps(v), *sum);
    }
}

/// The plain loop, which the POPCNT instruction alone makes fast.
#[inline]
#[target_feature(enable = "avx2,popcnt")]
fn differing_bits(query: &[u64], [row]: [&[u64]; 1]) -> [u32; 1] {
    [query.iter().zip(row).map(|(q, v)| (q ^ v).count_ones()).sum()]
}

/// The plain form, which the POPCNT instruction alone makes fast.
#[target_feature(enable = "avx2,popcnt")]
pub(crate) fn estimates(query: &PlanesQuery<'_>, rows: &[u64], stride: usize, ids: &[u32], out: &mut [f32]) {
    crate::planes::estimates(query, rows, stride, ids, out);
}

#[inline]
#[target_feature(enable = "avx2")]
fn widen(codes: &[i8; 16]) -> __m256i {
    // SAFETY: the array is as long as what is loaded.
    _mm256_cvtepi8_epi16(unsafe { _mm_loadu_si128(codes.as_ptr().cast()) })
}

#[inline]
fn padded<T: Copy + Default, const N: usize>(rest: &[T]) -> [T; N] {
    let mut full = [T::default(); N];
    full[..rest.len()].copy_from_slice(rest);
    full
}
