//! Owns the f32 kernels in AVX-512. Refuses to know when they may run.
//!
//! A row is summed in four registers of sixteen lanes, in the same order whatever the number of rows at once, so that all forms
//! agree to the bit. What is left of a row after its last whole round is loaded under masks: their zeros add nothing in any of the
//! distances. Masks in every round cost more than the width gains.

#![expect(clippy::needless_range_loop, reason = "registers are named by row and part; iterators over them hide which is which")]

use std::arch::x86_64::*;

use crate::drive::forms;
use crate::norm::similarity;
use crate::term::{DOT, L1, L2_SQUARED};

const LANES: usize = 16;
/// Registers that a row is summed in.
const PARTS: usize = 4;

forms!(#[target_feature(enable = "avx512f")]
    row, block, gather [const M], (f32, f32) -> f32, by 2: sums::<M, 2>, sums::<M, 1>);
forms!(#[target_feature(enable = "avx512f")]
    cosine, cosine_block, cosine_gather, (f32, f32) -> f32, by 1: cosines, cosines);

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
    (total(dots), total(norms))
}

#[inline]
#[target_feature(enable = "avx512f")]
fn cosines(query: &[f32], [row]: [&[f32]; 1]) -> [f32; 1] {
    let (dot, norm_squared) = dot_and_norm(query, row);
    [similarity(query, row, dot, norm_squared)]
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
fn total([a, b, c, d]: [__m512; PARTS]) -> f32 {
    _mm512_reduce_add_ps(_mm512_add_ps(_mm512_add_ps(a, b), _mm512_add_ps(c, d)))
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
