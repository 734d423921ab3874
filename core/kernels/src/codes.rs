//! Owns the distances on compact codes as free functions at the active level. Refuses to know how codes are made.
//!
//! All of them panic if lengths do not fit; [`Kernel`](crate::Kernel) says how. Strides are in components.

use crate::level::active;

/// Inner product of i8 codes; exact up to 131,071 components, wrapping at 32 bits beyond.
#[inline]
pub fn dot_i8(a: &[i8], b: &[i8]) -> i32 {
    active().dot_i8.row(a, b)
}

/// [`dot_i8`] of a query with each of `out.len()` adjacent rows.
#[inline]
pub fn dot_i8_block(query: &[i8], block: &[i8], out: &mut [i32]) {
    active().dot_i8.block(query, block, out);
}

/// [`dot_i8`] of a query with the rows of the given ids, which start `stride` codes apart.
#[inline]
pub fn dot_i8_gather(query: &[i8], rows: &[i8], stride: usize, ids: &[u32], out: &mut [i32]) {
    active().dot_i8.gather(query, rows, stride, ids, out);
}

/// Inner product of an f32 query and a row of half-precision bit patterns, computed in f32.
#[inline]
pub fn dot_f16(query: &[f32], row: &[u16]) -> f32 {
    active().dot_f16.row(query, row)
}

/// [`dot_f16`] of a query with each of `out.len()` adjacent rows.
#[inline]
pub fn dot_f16_block(query: &[f32], block: &[u16], out: &mut [f32]) {
    active().dot_f16.block(query, block, out);
}

/// [`dot_f16`] of a query with the rows of the given ids, which start `stride` codes apart.
#[inline]
pub fn dot_f16_gather(query: &[f32], rows: &[u16], stride: usize, ids: &[u32], out: &mut [f32]) {
    active().dot_f16.gather(query, rows, stride, ids, out);
}

/// Number of bits that differ.
#[inline]
pub fn hamming_bits(a: &[u64], b: &[u64]) -> u32 {
    active().hamming_bits.row(a, b)
}

/// [`hamming_bits`] of a query to each of `out.len()` adjacent rows.
#[inline]
pub fn hamming_bits_block(query: &[u64], block: &[u64], out: &mut [u32]) {
    active().hamming_bits.block(query, block, out);
}

/// [`hamming_bits`] of a query to the rows of the given ids, which start `stride` words apart.
#[inline]
pub fn hamming_bits_gather(query: &[u64], rows: &[u64], stride: usize, ids: &[u32], out: &mut [u32]) {
    active().hamming_bits.gather(query, rows, stride, ids, out);
}
