//! Owns the f32 kernels in AVX-512. Refuses to know when they may run.
//!
//! A row is summed in four registers of sixteen lanes, in the same order whatever the number of rows at once, so that all forms
//! agree to the bit. What is left of a row after its last whole round is loaded under masks: their zeros add nothing in any of the
//! distances. Masks in every round cost more than the width gains.

#![expect(clippy::needless_range_loop, reason = "registers are named by row and part; iterators over them hide which is which")]

use std::arch::x86_64::*;

use crate::drive::forms;
use crate::norm::{SAFE_NORM_SQUARED, similarity};
use crate::term::{DOT, L1, L2_SQUARED};

const LANES: usize = 16;
/// Registers that a row is summed in.
const PARTS: usize = 4;

forms!(#[target_feature(enable = "avx512f")]
    row, block, gather [const M], (f32, f32) -> f32, by 2: sums::<M, 2>, sums::<M, 1>);
forms!(#[target_feature(enable = "avx512f,avx512vl")]
    cosine, cosine_block, cosine_gather, (f32, f32) -> f32, by 4: cosines_of_four, cosines);

#[inline]
#[target_feature(enable = "avx512f")]
fn sums<const M: u8, const R: usize>(query: &[f32], rows: [&[f32]; R]) -> [f32; R] {
    let dim = query.len();
    assert!(rows.iter().all(|row| row.len() == dim));
    let mut sums = [[_mm512_setzero_ps(); PARTS]; R];
    let whole = dim - dim % (PARTS * LANES);
    for at in (0..whole).step_by(PARTS * LANES) {
        for part in 0..PARTS {
            // SAFETY: `at + PARTS * LANES <= whole <= dim`, the length of the query.
            let q = unsafe { _mm512_loadu_ps(query.as_ptr().add(at + part * LANES)) };
            for r in 0..R {
                // SAFETY: `at + PARTS * LANES <= whole <= dim`, the length of every row.
                let v = unsafe { _mm512_loadu_ps(rows[r].as_ptr().add(at + part * LANES)) };
                sums[r][part] = add_term::<M>(sums[r][part], q, v);
            }
        }
    }
    for at in (whole..dim).step_by(PARTS * LANES) {
        for part in 0..PARTS {
            let (at, mask) = lanes(at + part * LANES, dim);
            // SAFETY: the mask has no lane at or beyond `dim`, the length of the query.
            let q = unsafe { load(query, at, mask) };
            for r in 0..R {
                // SAFETY: the mask has no lane at or beyond `dim`, the length of every row.
                let v = unsafe { load(rows[r], at, mask) };
                sums[r][part] = add_term::<M>(sums[r][part], q, v);
            }
        }
    }
    let mut scores = [0.0; R];
    for r in 0..R {
        scores[r] = total(sums[r]);
    }
    scores
}

#[target_feature(enable = "avx512f")]
pub(crate) fn dot_and_norm(query: &[f32], row: &[f32]) -> (f32, f32) {
    let (dots, norms) = dots_and_norms(query, row);
    (_mm512_reduce_add_ps(dots), _mm512_reduce_add_ps(norms))
}

/// Lanes whose sums are the product of two rows and the square of the second one's norm.
#[inline]
#[target_feature(enable = "avx512f")]
fn dots_and_norms(query: &[f32], row: &[f32]) -> (__m512, __m512) {
    let dim = query.len();
    assert!(row.len() == dim);
    let mut dots = [_mm512_setzero_ps(); PARTS];
    let mut norms = [_mm512_setzero_ps(); PARTS];
    let whole = dim - dim % (PARTS * LANES);
    for at in (0..whole).step_by(PARTS * LANES) {
        for part in 0..PARTS {
            let at = at + part * LANES;
            // SAFETY: `at + LANES <= whole <= dim`, the length of both.
            let (q, v) = unsafe { (_mm512_loadu_ps(query.as_ptr().add(at)), _mm512_loadu_ps(row.as_ptr().add(at))) };
            dots[part] = _mm512_fmadd_ps(q, v, dots[part]);
            norms[part] = _mm512_fmadd_ps(v, v, norms[part]);
        }
    }
    for at in (whole..dim).step_by(PARTS * LANES) {
        for part in 0..PARTS {
            let (at, mask) = lanes(at + part * LANES, dim);
            // SAFETY: the mask has no lane at or beyond `dim`, the length of both.
            let (q, v) = unsafe { (load(query, at, mask), load(row, at, mask)) };
            dots[part] = _mm512_fmadd_ps(q, v, dots[part]);
            norms[part] = _mm512_fmadd_ps(v, v, norms[part]);
        }
    }
    (together(dots), together(norms))
}

#[inline]
#[target_feature(enable = "avx512f")]
fn cosines(query: &[f32], [row]: [&[f32]; 1]) -> [f32; 1] {
    let (dot, norm_squared) = dot_and_norm(query, row);
    [similarity(query, row, dot, norm_squared)]
}

/// Four rows one after the other, of which only what their lanes add up to is found together, in the order of a single one.
#[inline]
#[target_feature(enable = "avx512f,avx512vl")]
fn cosines_of_four(query: &[f32], rows: [&[f32]; 4]) -> [f32; 4] {
    let [a, b, c, d] = rows;
    let (a, b, c, d) = (dots_and_norms(query, a), dots_and_norms(query, b), dots_and_norms(query, c), dots_and_norms(query, d));
    // Four lanes of each row, quarter by quarter.
    let dots = quarters(halves(a.0, b.0), halves(c.0, d.0));
    let norms = quarters(halves(a.1, b.1), halves(c.1, d.1));
    let (dots, norms) = (_mm512_castps_pd(dots), _mm512_castps_pd(norms));
    let pairs = _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(dots, norms)), _mm512_castpd_ps(_mm512_unpackhi_pd(dots, norms)));
    // In each quarter the row's product and behind it the square of its norm, either twice.
    let totals = _mm512_add_ps(pairs, _mm512_permute_ps::<0b10_11_00_01>(pairs));
    let in_order = _mm512_permutexvar_ps(_mm512_set_epi32(0, 0, 0, 0, 0, 0, 0, 0, 14, 10, 6, 2, 12, 8, 4, 0), totals);
    let (dots, norms) = (_mm512_castps512_ps128(in_order), _mm512_extractf32x4_ps::<1>(in_order));
    let safe = _mm_cmp_ps_mask::<_CMP_GE_OQ>(norms, _mm_set1_ps(*SAFE_NORM_SQUARED.start()))
        & _mm_cmp_ps_mask::<_CMP_LE_OQ>(norms, _mm_set1_ps(*SAFE_NORM_SQUARED.end()));
    let (mut scores, mut squares) = ([0.0; 4], [0.0; 4]);
    // SAFETY: each array is as long as what is stored.
    unsafe {
        _mm_storeu_ps(scores.as_mut_ptr(), if safe == 0b1111 { _mm_div_ps(dots, _mm_sqrt_ps(norms)) } else { dots });
        _mm_storeu_ps(squares.as_mut_ptr(), norms);
    }
    if safe != 0b1111 {
        for r in 0..4 {
            scores[r] = similarity(query, rows[r], scores[r], squares[r]);
        }
    }
    scores
}

/// Sums of the lower and the upper half of each register.
#[inline]
#[target_feature(enable = "avx512f")]
fn halves(a: __m512, b: __m512) -> __m512 {
    _mm512_add_ps(_mm512_shuffle_f32x4::<0x44>(a, b), _mm512_shuffle_f32x4::<0xee>(a, b))
}

/// Sums of adjacent quarters, those of the first register first.
#[inline]
#[target_feature(enable = "avx512f")]
fn quarters(a: __m512, b: __m512) -> __m512 {
    _mm512_add_ps(_mm512_shuffle_f32x4::<0x88>(a, b), _mm512_shuffle_f32x4::<0xdd>(a, b))
}

#[inline]
#[target_feature(enable = "avx512f")]
fn add_term<const M: u8>(sum: __m512, q: __m512, v: __m512) -> __m512 {
    match M {
        DOT => _mm512_fmadd_ps(q, v, sum),
        L2_SQUARED => {
            let gap = _mm512_sub_ps(q, v);
            _mm512_fmadd_ps(gap, gap, sum)
        }
        L1 => _mm512_add_ps(sum, _mm512_abs_ps(_mm512_sub_ps(q, v))),
        _ => _mm512_mask_add_ps(sum, _mm512_cmp_ps_mask::<_CMP_NEQ_UQ>(q, v), sum, _mm512_set1_ps(1.0)),
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn total(parts: [__m512; PARTS]) -> f32 {
    _mm512_reduce_add_ps(together(parts))
}

#[inline]
#[target_feature(enable = "avx512f")]
fn together([a, b, c, d]: [__m512; PARTS]) -> __m512 {
    _mm512_add_ps(_mm512_add_ps(a, b), _mm512_add_ps(c, d))
}

/// Where a register starts, within the row, and the lanes of it that hold components.
#[inline]
#[target_feature(enable = "avx512f")]
fn lanes(at: usize, dim: usize) -> (usize, __mmask16) {
    let rest = dim.saturating_sub(at).min(LANES);
    (at.min(dim), ((1u32 << rest) - 1) as __mmask16)
}

/// # Safety
///
/// `at <= from.len()`, and the mask is clear for lanes at or beyond `from.len() - at`.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn load(from: &[f32], at: usize, mask: __mmask16) -> __m512 {
    debug_assert!(at <= from.len());
    // SAFETY: lanes outside the mask are not read, and those inside it lie in the slice.
    unsafe { _mm512_maskz_loadu_ps(mask, from.as_ptr().add(at)) }
}
