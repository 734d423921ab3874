//! Owns the kernels on compact codes (i8, bits) in AVX-512 with VNNI and VPOPCNTDQ. Refuses to know when they may run.

use std::arch::x86_64::*;

use crate::drive::forms;

forms!(#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    dot_i8, dot_i8_block, dot_i8_gather, (i8, i8) -> i32, by 4: dots_i8::<4>, dots_i8::<1>);
forms!(#[target_feature(enable = "avx512f,avx512vpopcntdq")]
    hamming_bits, hamming_bits_block, hamming_bits_gather, (u64, u64) -> u32, by 4: differing_bits::<4>, differing_bits::<1>);

/// VNNI multiplies unsigned by signed bytes: rows are shifted up by 128, and 128 times the query's sum is taken off again.
///
/// The instruction wraps at 32 bits, as do all steps here, so that the result is exact whenever it fits.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn dots_i8<const R: usize>(query: &[i8], rows: [&[i8]; R]) -> [i32; R] {
    let dim = query.len();
    assert!(rows.iter().all(|row| row.len() == dim));
    let shift = _mm512_set1_epi8(-128);
    let mut sums = [_mm512_setzero_si512(); R];
    let mut excess = _mm512_setzero_si512();
    for at in (0..dim).step_by(64) {
        let mask = !0 >> (64 - (dim - at).min(64));
        // SAFETY: lanes outside the mask are not read, and those inside it lie below `dim`, the length of the query.
        let q = unsafe { _mm512_maskz_loadu_epi8(mask, query.as_ptr().add(at)) };
        excess = _mm512_dpbusd_epi32(excess, shift, q);
        for r in 0..R {
            // SAFETY: lanes outside the mask are not read, and those inside it lie below `dim`, the length of every row.
            let v = unsafe { _mm512_maskz_loadu_epi8(mask, rows[r].as_ptr().add(at)) };
            sums[r] = _mm512_dpbusd_epi32(sums[r], _mm512_xor_si512(v, shift), q);
        }
    }
    let mut scores = [0; R];
    for r in 0..R {
        scores[r] = _mm512_reduce_add_epi32(_mm512_sub_epi32(sums[r], excess));
    }
    scores
}

#[inline]
#[target_feature(enable = "avx512f,avx512vpopcntdq")]
fn differing_bits<const R: usize>(query: &[u64], rows: [&[u64]; R]) -> [u32; R] {
    let words = query.len();
    assert!(rows.iter().all(|row| row.len() == words));
    let mut sums = [_mm512_setzero_si512(); R];
    for at in (0..words).step_by(8) {
        let mask = !0 >> (8 - (words - at).min(8));
        // SAFETY: lanes outside the mask are not read, and those inside it lie below `words`, the length of the query.
        let q = unsafe { _mm512_maskz_loadu_epi64(mask, query.as_ptr().add(at).cast()) };
        for r in 0..R {
            // SAFETY: lanes outside the mask are not read, and those inside it lie below `words`, the length of every row.
            let v = unsafe { _mm512_maskz_loadu_epi64(mask, rows[r].as_ptr().add(at).cast()) };
            sums[r] = _mm512_add_epi64(sums[r], _mm512_popcnt_epi64(_mm512_xor_si512(q, v)));
        }
    }
    let mut scores = [0; R];
    for r in 0..R {
        scores[r] = _mm512_reduce_add_epi64(sums[r]) as u32;
    }
    scores
}
