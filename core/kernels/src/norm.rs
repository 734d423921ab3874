//! Owns norms and what becomes of them when f32 is too narrow. Refuses to know instruction sets.

use crate::level::active;

/// Squared norms in this range have lost nothing to underflow or overflow that the error bound does not cover.
pub(crate) const SAFE_NORM_SQUARED: std::ops::RangeInclusive<f32> = 1e-25..=f32::MAX;

/// `v · v`
#[inline]
pub fn norm_squared(v: &[f32]) -> f32 {
    active().dot.row(v, v)
}

/// Scales a vector to norm one; false, leaving it as it was, if its norm is zero or it holds a value that is not finite.
///
/// Correct over the whole range of f32: a vector of subnormals or of values near the largest is scaled in f64.
pub fn normalize(v: &mut [f32]) -> bool {
    let squared = norm_squared(v);
    if SAFE_NORM_SQUARED.contains(&squared) {
        let scale = 1.0 / squared.sqrt();
        v.iter_mut().for_each(|x| *x *= scale);
        return true;
    }
    normalize_wide(v)
}

#[cold]
fn normalize_wide(v: &mut [f32]) -> bool {
    let norm = v.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt();
    if norm == 0.0 || !norm.is_finite() {
        return false;
    }
    v.iter_mut().for_each(|x| *x = (f64::from(*x) / norm) as f32);
    true
}

/// The similarity from its parts; zero where the row's norm is.
#[inline]
pub(crate) fn similarity(query: &[f32], row: &[f32], dot: f32, row_norm_squared: f32) -> f32 {
    if SAFE_NORM_SQUARED.contains(&row_norm_squared) { dot / row_norm_squared.sqrt() } else { similarity_wide(query, row) }
}

#[cold]
fn similarity_wide(query: &[f32], row: &[f32]) -> f32 {
    let (dot, squared) = query.iter().zip(row).fold((0.0, 0.0), |(dot, squared), (&q, &v)| {
        let (q, v) = (f64::from(q), f64::from(v));
        (dot + q * v, squared + v * v)
    });
    if squared == 0.0 { 0.0 } else { (dot / squared.sqrt()) as f32 }
}
