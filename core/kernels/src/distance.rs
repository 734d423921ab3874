//! Owns the f32 distances as free functions at the active level. Refuses to know metrics' meanings: which way is nearer, and
//! what a collection calls its metric, is the caller's.
//!
//! All of them panic if lengths do not fit; [`Kernel`](crate::Kernel) says how. The `_block` and `_gather` forms give bitwise
//! what the single form gives for each row. Sums that overflow f32 are infinite or not a number, as f32 arithmetic has it.

use crate::level::active;

/// Inner product `a · b`.
#[inline]
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    active().dot.row(a, b)
}

/// [`dot`] of a query with each of `out.len()` adjacent rows.
#[inline]
pub fn dot_block(query: &[f32], block: &[f32], out: &mut [f32]) {
    active().dot.block(query, block, out);
}

/// [`dot`] of a query with the rows of the given ids.
#[inline]
pub fn dot_gather(query: &[f32], rows: &[f32], ids: &[u32], out: &mut [f32]) {
    active().dot.gather(query, rows, query.len(), ids, out);
}

/// Squared Euclidean distance, the sum of `(a - b)²`.
#[inline]
pub fn l2_squared(a: &[f32], b: &[f32]) -> f32 {
    active().l2_squared.row(a, b)
}

/// [`l2_squared`] of a query to each of `out.len()` adjacent rows.
#[inline]
pub fn l2_squared_block(query: &[f32], block: &[f32], out: &mut [f32]) {
    active().l2_squared.block(query, block, out);
}

/// [`l2_squared`] of a query to the rows of the given ids.
#[inline]
pub fn l2_squared_gather(query: &[f32], rows: &[f32], ids: &[u32], out: &mut [f32]) {
    active().l2_squared.gather(query, rows, query.len(), ids, out);
}

/// Manhattan distance, the sum of `|a - b|`.
#[inline]
pub fn l1(a: &[f32], b: &[f32]) -> f32 {
    active().l1.row(a, b)
}

/// [`l1`] of a query to each of `out.len()` adjacent rows.
#[inline]
pub fn l1_block(query: &[f32], block: &[f32], out: &mut [f32]) {
    active().l1.block(query, block, out);
}

/// [`l1`] of a query to the rows of the given ids.
#[inline]
pub fn l1_gather(query: &[f32], rows: &[f32], ids: &[u32], out: &mut [f32]) {
    active().l1.gather(query, rows, query.len(), ids, out);
}

/// Number of components that differ by `!=`: zeros of either sign are equal, what is not a number differs from all.
#[inline]
pub fn hamming(a: &[f32], b: &[f32]) -> f32 {
    active().hamming.row(a, b)
}

/// [`hamming`] of a query to each of `out.len()` adjacent rows.
#[inline]
pub fn hamming_block(query: &[f32], block: &[f32], out: &mut [f32]) {
    active().hamming.block(query, block, out);
}

/// [`hamming`] of a query to the rows of the given ids.
#[inline]
pub fn hamming_gather(query: &[f32], rows: &[f32], ids: &[u32], out: &mut [f32]) {
    active().hamming.gather(query, rows, query.len(), ids, out);
}

/// Cosine similarity of a raw row to a query of norm one: `query · row / |row|`, zero for a row of norm zero.
///
/// Holds over the whole range of f32. Rounding may carry it a few units in the last place beyond one.
#[inline]
pub fn cosine(query: &[f32], row: &[f32]) -> f32 {
    active().cosine.row(query, row)
}

/// [`cosine`] of a query of norm one with each of `out.len()` adjacent rows.
#[inline]
pub fn cosine_block(query: &[f32], block: &[f32], out: &mut [f32]) {
    active().cosine.block(query, block, out);
}

/// [`cosine`] of a query of norm one with the rows of the given ids.
#[inline]
pub fn cosine_gather(query: &[f32], rows: &[f32], ids: &[u32], out: &mut [f32]) {
    active().cosine.gather(query, rows, query.len(), ids, out);
}

/// `(query · row, row · row)` in one pass; each is bitwise what [`dot`] gives.
#[inline]
pub fn dot_and_norm(query: &[f32], row: &[f32]) -> (f32, f32) {
    active().dot_and_norm(query, row)
}
