//! Owns the names of the f32 distances that are one sum of terms, as constants that generic code is compiled for.

/// `q * v`
pub(crate) const DOT: u8 = 0;
/// `(q - v)²`
pub(crate) const L2_SQUARED: u8 = 1;
/// `|q - v|`
pub(crate) const L1: u8 = 2;
/// `1` where `q != v`
pub(crate) const HAMMING: u8 = 3;
