//! Owns the f32 kernels in AVX2 and FMA. Refuses to know when they may run.
//!
//! A row is summed in four registers of eight lanes, in the same order whatever the number of rows at once, so that all
//! forms agree to the bit. The tail is a masked load: its zeros add nothing in any of the distances.

#![expect(clippy::needless_range_loop, reason = "registers are named by row and part; iterators over them hide which is which")]

use std::arch::x86_64::*;

use crate::drive::forms;
use crate::norm::similarity;
use crate::term::{DOT, L1, L2_SQUARED};

const LANES: usize = 8;

/// Eight lanes to read and eight not to: the mask of a tail starts in the middle less the tail's length.
static TAIL_MASKS: [i32; 2 * LANES] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];

forms!(#[target_feature(enable = "avx2,fma")]
    row, block, gather [const M], (f32, f32) -> f32, by 2: sums::<M, 2>, sums::<M, 1>);
forms!(#[target_feature(enable = "avx2,fma")]
    cosine, cosine_block, cosine_gather, (f32, f32) -> f32, by 1: cosines, cosines);

#[inline]
#[target_feature(enable = "avx2,fma")]
fn sums<const M: u8, const R: usize>(query: &[f32], rows: [&[f32]; R]) -> [f32; R] {
    let dim = query.len();
    assert!(rows.iter().all(|row| row.len() == dim));
    let mut sums = [[_mm256_setzero_ps(); 4]; R];
    let mut at = 0;
    while at + 4 * LANES <= dim {
        for part in 0..4 {
            // SAFETY: `at + 4 * LANES <= dim`, the length of the query.
            let q = unsafe { load(query, at + part * LANES) };
            for r in 0..R {
                // SAFETY: `at + 4 * LANES <= dim`, the length of every row.
                let v = unsafe { load(rows[r], at + part * LANES) };
                sums[r][part] = add_term::<M>(sums[r][part], q, v);
            }
        }
        at += 4 * LANES;
    }
    for part in 0..4 {
        if at < dim {
            let mask = tail_mask(dim - at);
            // SAFETY: the mask has no lane at or beyond `dim`, the length of the query.
            let q = unsafe { load_masked(mask, query, at) };
            for r in 0..R {
                // SAFETY: the mask has no lane at or beyond `dim`, the length of every row.
                let v = unsafe { load_masked(mask, rows[r], at) };
                sums[r][part] = add_term::<M>(sums[r][part], q, v);
            }
            at += LANES;
        }
    }
    let mut scores = [0.0; R];
    for r in 0..R {
        scores[r] = total(sums[r]);
    }
    scores
}

#[target_feature(enable = "avx2,fma")]
pub(crate) fn dot_and_norm(query: &[f32], row: &[f32]) -> (f32, f32) {
    let dim = query.len();
    assert!(row.len() == dim);
    let mut dots = [_mm256_setzero_ps(); 4];
    let mut norms = [_mm256_setzero_ps(); 4];
    let mut at = 0;
    while at + 4 * LANES <= dim {
        for part in 0..4 {
            // SAFETY: `at + 4 * LANES <= dim`, the length of both.
            let (q, v) = unsafe { (load(query, at + part * LANES), load(row, at + part * LANES)) };
            dots[part] = _mm256_fmadd_ps(q, v, dots[part]);
            norms[part] = _mm256_fmadd_ps(v, v, norms[part]);
        }
        at += 4 * LANES;
    }
    for part in 0..4 {
        if at < dim {
            let mask = tail_mask(dim - at);
            // SAFETY: the mask has no lane at or beyond `dim`, the length of both.
            let (q, v) = unsafe { (load_masked(mask, query, at), load_masked(mask, row, at)) };
            dots[part] = _mm256_fmadd_ps(q, v, dots[part]);
            norms[part] = _mm256_fmadd_ps(v, v, norms[part]);
            at += LANES;
        }
    }
    (total(dots), total(norms))
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn cosines(query: &[f32], [row]: [&[f32]; 1]) -> [f32; 1] {
    let (dot, norm_squared) = dot_and_norm(query, row);
    [similarity(query, row, dot, norm_squared)]
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn add_term<const M: u8>(sum: __m256, q: __m256, v: __m256) -> __m256 {
    match M {
        DOT => _mm256_fmadd_ps(q, v, sum),
        L2_SQUARED => {
            let gap = _mm256_sub_ps(q, v);
            _mm256_fmadd_ps(gap, gap, sum)
        }
        L1 => _mm256_add_ps(sum, _mm256_andnot_ps(_mm256_set1_ps(-0.0), _mm256_sub_ps(q, v))),
        _ => _mm256_add_ps(sum, _mm256_and_ps(_mm256_cmp_ps::<_CMP_NEQ_UQ>(q, v), _mm256_set1_ps(1.0))),
    }
}

#[inline]
#[target_feature(enable = "avx2,fma")]
pub(super) fn total([a, b, c, d]: [__m256; 4]) -> f32 {
    let sum = _mm256_add_ps(_mm256_add_ps(a, b), _mm256_add_ps(c, d));
    let sum = _mm_add_ps(_mm256_castps256_ps128(sum), _mm256_extractf128_ps::<1>(sum));
    let sum = _mm_add_ps(sum, _mm_movehl_ps(sum, sum));
    _mm_cvtss_f32(_mm_add_ss(sum, _mm_movehdup_ps(sum)))
}

/// The lanes that hold one of the `rest` last components.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn tail_mask(rest: usize) -> __m256i {
    let start = LANES - rest.min(LANES);
    // SAFETY: `start <= LANES`, so eight lanes from it lie inside the sixteen of the table.
    unsafe { _mm256_loadu_si256(TAIL_MASKS.as_ptr().add(start).cast()) }
}

/// # Safety
///
/// `at + LANES <= from.len()`.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn load(from: &[f32], at: usize) -> __m256 {
    debug_assert!(at + LANES <= from.len());
    // SAFETY: the caller keeps the eight components inside the slice.
    unsafe { _mm256_loadu_ps(from.as_ptr().add(at)) }
}

/// # Safety
///
/// `at <= from.len()`, and the mask is clear for lanes at or beyond `from.len() - at`.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn load_masked(mask: __m256i, from: &[f32], at: usize) -> __m256 {
    debug_assert!(at <= from.len());
    // SAFETY: lanes outside the mask are not read, and those inside it lie in the slice.
    unsafe { _mm256_maskload_ps(from.as_ptr().add(at), mask) }
}
