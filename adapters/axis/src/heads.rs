//! Owns what a walk reads of a node first, on as few cache lines as it takes: the sign of each component of its code, and the
//! factors of its distances. By the signs most nodes can be passed over without reading their codes. Refuses to decide
//! anything for good: it only says what cannot well be near.
//!
//! The product of a row and a query is estimated from the row's signs (Gao and Long, "RaBitQ: quantizing high-dimensional
//! vectors with a theoretical error bound for approximate nearest neighbor search", section 3.2), without the random rotation:
//! how far the estimate can be trusted is measured on the rows themselves.

use proximadb_kernels::{FACTOR_WORDS, PLANES, PlanesQuery, active};

use crate::aligned::AlignedRows;
use crate::codes::ROUND;

/// Components below which signs say too little.
const DIMENSION_MIN: usize = 64;
/// The greatest component of four bits stands for so many times the root of their mean square: greater ones are cut off.
const REACH: f32 = 2.7;
const NIBBLE_MAX: f32 = 7.0;

/// What a stored row adds to its product with a query.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Head {
    /// What one step of the code is worth.
    pub(crate) scale: f32,
    /// The squared norm of what the code stands for, the additional component's square included.
    pub(crate) norm: f32,
    /// What one sign is worth.
    pub(crate) spread: f32,
    /// The additional component.
    pub(crate) lift: f32,
}

/// The heads of all rows.
#[derive(Debug)]
pub(crate) struct Heads {
    words: usize,
    rows: AlignedRows<u64>,
    count: usize,
}

impl Heads {
    pub(crate) fn new(dimension: usize, count: usize) -> Self {
        let words = if dimension < DIMENSION_MIN { 0 } else { dimension.div_ceil(64) };
        Self { words, rows: AlignedRows::filled(count, AlignedRows::<u64>::stride_for(words + FACTOR_WORDS), 0), count }
    }

    /// Rows.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Words of a row's signs; none of short rows.
    pub(crate) fn words(&self) -> usize {
        self.words
    }

    /// Bytes that they hold.
    pub(crate) fn bytes(&self) -> usize {
        self.rows.bytes()
    }

    /// Keeps the signs of a row's code and its factors. What a sign is worth makes the row's product with itself right.
    pub(crate) fn set(&mut self, node: usize, code: &[i8], scale: f32, norm: f32, lift: f32) {
        let (squares, sizes) = code.iter().fold((0i32, 0i32), |(s, a), &c| (s + i32::from(c) * i32::from(c), a + i32::from(c).abs()));
        let spread = if sizes == 0 { 0.0 } else { scale * squares as f32 / sizes as f32 };
        let row = self.rows.row_mut(node);
        let (signs, rest) = row.split_at_mut(self.words);
        for (word, steps) in signs.iter_mut().zip(code.chunks(64)) {
            *word = steps.iter().enumerate().fold(0, |word, (bit, &step)| word | u64::from(step > 0) << bit);
        }
        rest[..FACTOR_WORDS].copy_from_slice(&[pack(scale, norm), pack(spread, lift)]);
    }

    /// The factors of a row.
    #[inline]
    pub(crate) fn of(&self, node: u32) -> Head {
        let row = &self.rows.row(node as usize)[self.words..][..FACTOR_WORDS];
        let ((scale, norm), (spread, lift)) = (unpack(row[0]), unpack(row[1]));
        Head { scale, norm, spread, lift }
    }

    /// Asks for a row.
    #[inline]
    pub(crate) fn prefetch(&self, node: u32) {
        self.rows.prefetch(node as usize);
    }

    /// The keys of nodes as their signs tell them.
    #[inline]
    pub(crate) fn estimates(&self, query: &PlanesQuery<'_>, nodes: &[u32], keys: &mut [f32]) {
        active().estimates.gather(query, self.rows.all(), self.rows.stride(), nodes, keys);
    }
}

fn pack(low: f32, high: f32) -> u64 {
    u64::from(low.to_bits()) | u64::from(high.to_bits()) << 32
}

#[inline]
fn unpack(word: u64) -> (f32, f32) {
    (f32::from_bits(word as u32), f32::from_bits((word >> 32) as u32))
}

/// A code brought to four bits a component and laid out bit by bit, as rows' signs are compared with it.
#[derive(Debug, Default)]
pub(crate) struct Planes {
    pub(crate) words: Vec<u64>,
    /// What one step of four bits is worth, in steps of the code.
    pub(crate) step: f32,
    /// The sum of all components.
    pub(crate) total: f32,
    /// The norm of the code, in its steps.
    pub(crate) length: f32,
}

impl Planes {
    /// Takes a code whose norm in steps is `length`, for rows of so many words.
    pub(crate) fn set(&mut self, code: &[i8], length: f32, words: usize) {
        self.words.clear();
        self.words.resize(PLANES * words, 0);
        let reach = REACH * length / (code.len().max(1) as f32).sqrt();
        self.step = (reach / NIBBLE_MAX).max(f32::MIN_POSITIVE);
        self.length = length;
        let per_step = 1.0 / self.step;
        let mut total = 0i32;
        for (at, steps) in code.chunks(64).enumerate().take(words) {
            let mut nibbles = [0u8; 64];
            for (nibble, &step) in nibbles.iter_mut().zip(steps) {
                let clamped = (f32::from(step) * per_step).clamp(-NIBBLE_MAX - 1.0, NIBBLE_MAX);
                // Rounds without a call, as codes do.
                let rounded = (clamped + ROUND).to_bits() as i8;
                total += i32::from(rounded);
                *nibble = rounded as u8;
            }
            for (eighth, eight) in nibbles.as_chunks::<8>().0.iter().enumerate() {
                let eight = u64::from_le_bytes(*eight);
                for plane in 0..PLANES {
                    // Gathers the lowest bit of each byte: every product but the one that lands in the top byte is shifted out.
                    let bits = ((eight >> plane) & 0x0101_0101_0101_0101).wrapping_mul(0x0102_0408_1020_4080) >> 56;
                    self.words[plane * words + at] |= bits << (8 * eighth);
                }
            }
        }
        self.total = total as f32;
    }
}
