//! Owns the sketches of rows: the sign of each component, by which most rows that a walk meets can be passed over without
//! reading their codes. Refuses to decide anything for good: it only says what cannot well be near.
//!
//! The share of signs that differ is the angle between two rows (Charikar, "Similarity estimation techniques from rounding
//! algorithms", section 3), as far as components are alike. How far they are is measured on the rows themselves.

use proximadb_kernels::active;

use crate::aligned::AlignedRows;
use crate::sidecar::Damage;

/// Components below which signs say too little.
const DIMENSION_MIN: usize = 64;
/// The share of rows that are not near which may still pass for near, if sketches are to save anything.
const PASSING_SHARE: f32 = 0.5;
/// Standard deviations of the estimate that a row is given for free.
const GENEROSITY: f32 = 1.0;
/// The share of components by which an estimate may be off and still be of use.
const SLACK_SHARE: f32 = 0.125;

/// Two nodes, as their codes have it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pair {
    pub(crate) one: u32,
    pub(crate) other: u32,
    /// The cosine between the two.
    pub(crate) cosine: f32,
    /// The cosine between the first and the last of its near ones.
    pub(crate) bound: f32,
}

/// The signs of all rows.
#[derive(Debug)]
pub(crate) struct Sketches {
    dimension: usize,
    words: usize,
    signs: AlignedRows<u64>,
    /// The cosine that so many different signs may stand for at most; empty where sketches are of no use.
    cosines: Vec<f32>,
}

impl Sketches {
    pub(crate) fn new(dimension: usize, rows: usize) -> Self {
        let words = Self::words_for(dimension);
        let rows = if words == 0 { 0 } else { rows };
        Self { dimension, words, signs: AlignedRows::filled(rows, AlignedRows::<u64>::stride_for(words), 0), cosines: Vec::new() }
    }

    /// Words of a sketch of so many components; none below those that say something.
    pub(crate) fn words_for(dimension: usize) -> usize {
        if dimension < DIMENSION_MIN { 0 } else { dimension.div_ceil(64) }
    }

    /// Sketches that were written: `cosines`, which are none or one more than components, and the words of `signs` row after row.
    ///
    /// # Errors
    /// [`Damage`] for a table of another length, and for a sign that no component has.
    pub(crate) fn take(dimension: usize, rows: usize, cosines: Vec<f32>, signs: &[u8]) -> Result<Self, Damage> {
        let words = if cosines.is_empty() { 0 } else { Self::words_for(dimension) };
        if words == 0 {
            let none = Self { dimension, words, signs: AlignedRows::filled(0, 0, 0), cosines: Vec::new() };
            return if cosines.is_empty() && signs.is_empty() { Ok(none) } else { Err(Damage::Codes) };
        }
        if cosines.len() != dimension + 1 || signs.len() != rows * words * size_of::<u64>() {
            return Err(Damage::Codes);
        }
        let signs = AlignedRows::read(signs, rows, words, 0, |word| u64::from_le_bytes(*word));
        // More signs that differ than there are components would lie beyond the table.
        let beyond = dimension % 64;
        if beyond > 0 && (0..rows).any(|row| signs.row(row)[words - 1] >> beyond != 0) {
            return Err(Damage::Codes);
        }
        Ok(Self { dimension, words, signs, cosines })
    }

    /// The cosine that so many different signs may stand for at most; empty where sketches are of no use.
    pub(crate) fn cosines(&self) -> &[f32] {
        &self.cosines
    }

    /// Words of a sketch.
    pub(crate) fn words(&self) -> usize {
        self.words
    }

    /// Whether they are of use for these rows.
    #[inline]
    pub(crate) fn is_useful(&self) -> bool {
        !self.cosines.is_empty()
    }

    /// Bytes that they hold.
    pub(crate) fn bytes(&self) -> usize {
        self.signs.bytes() + size_of_val(&*self.cosines)
    }

    /// The sketch of a node.
    pub(crate) fn of(&self, node: u32) -> &[u64] {
        if self.words == 0 { &[] } else { &self.signs.row(node as usize)[..self.words] }
    }

    /// Keeps the sketch of a node.
    pub(crate) fn set(&mut self, node: usize, row: &[f32]) {
        if self.words > 0 {
            sketch(row, &mut self.signs.row_mut(node)[..self.words]);
        }
    }

    /// Learns from pairs of near nodes how far signs can be trusted, and from pairs of others whether they tell the two apart.
    ///
    /// Where all rows of a neighbourhood have nearly the same signs they do not, however well they tell neighbourhoods apart.
    pub(crate) fn calibrate(&mut self, near: &[Pair], others: &[Pair]) {
        if self.words == 0 || near.is_empty() || others.is_empty() {
            return;
        }
        let dimension = self.dimension as f32;
        let differing = |pair: &Pair| active().hamming_bits.row(self.of(pair.one), self.of(pair.other));
        let surplus = |pair: &Pair| differing(pair) as f32 - dimension * pair.cosine.clamp(-1.0, 1.0).acos() / std::f32::consts::PI;
        let surplus: Vec<f32> = near.iter().map(surplus).collect();
        let count = surplus.len() as f32;
        let mean = surplus.iter().sum::<f32>() / count;
        let deviation = (surplus.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / count).sqrt();
        let slack = mean + GENEROSITY * deviation;
        let angle = |differing: usize| ((differing as f32 - slack) / dimension).clamp(0.0, 1.0) * std::f32::consts::PI;
        let cosines: Vec<f32> = (0..=self.dimension).map(|differing| angle(differing).cos()).collect();
        let passing = others.iter().filter(|pair| cosines[differing(pair) as usize] > pair.bound).count() as f32;
        if slack.is_finite() && slack.abs() <= SLACK_SHARE * dimension && passing <= PASSING_SHARE * others.len() as f32 {
            self.cosines = cosines;
        }
    }

    /// Calls for each node with the cosine that it may have with the sketched row at most.
    #[inline]
    pub(crate) fn each(&self, signs: &[u64], nodes: &[u32], differing: &mut Vec<u32>, mut each: impl FnMut(usize, f32)) {
        differing.clear();
        differing.resize(nodes.len(), 0);
        active().hamming_bits.gather(signs, self.signs.all(), self.signs.stride(), nodes, differing);
        for (at, &differing) in differing.iter().enumerate() {
            each(at, self.cosines[differing as usize]);
        }
    }
}

/// Writes the signs of a row.
pub(crate) fn sketch(row: &[f32], into: &mut [u64]) {
    for (word, components) in into.iter_mut().zip(row.chunks(64)) {
        *word = components.iter().enumerate().fold(0, |word, (bit, &x)| word | u64::from(x > 0.0) << bit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIMENSION: usize = 128;

    /// Row `turned` differs in sign from row 0 in so many components.
    fn turned(count: usize) -> Vec<f32> {
        (0..DIMENSION).map(|component| if component < count { -1.0 } else { 1.0 }).collect()
    }

    fn sketches() -> Sketches {
        let mut sketches = Sketches::new(DIMENSION, 3);
        for (node, count) in [0, 16, 64].into_iter().enumerate() {
            sketches.set(node, &turned(count));
        }
        sketches
    }

    fn cosine(differing: f32) -> f32 {
        (std::f32::consts::PI * differing / DIMENSION as f32).cos()
    }

    fn pair(other: u32, differing: f32, bound: f32) -> Pair {
        Pair { one: 0, other, cosine: cosine(differing), bound: cosine(bound) }
    }

    #[test]
    fn estimates_follow_what_the_pairs_taught() {
        let mut sketches = sketches();
        assert!(!sketches.is_useful(), "nothing was learnt yet");
        sketches.calibrate(&[pair(1, 16.0, 16.0)], &[pair(2, 64.0, 16.0)]);
        let mut bounds = Vec::new();
        sketches.each(sketches.of(0), &[0, 1, 2], &mut Vec::new(), |_, bound| bounds.push(bound));
        for (bound, expected) in bounds.iter().zip([1.0, cosine(16.0), cosine(64.0)]) {
            assert!((bound - expected).abs() < 1e-3, "{bound} for {expected}");
        }
    }

    #[test]
    fn signs_that_say_nothing_of_the_angle_are_not_used() {
        let mut far_off = sketches();
        far_off.calibrate(&[pair(2, 2.0, 2.0)], &[pair(2, 64.0, 2.0)]);
        assert!(!far_off.is_useful());
        let mut alike = sketches();
        alike.calibrate(&[pair(1, 16.0, 16.0)], &[pair(1, 60.0, 20.0)]);
        assert!(!alike.is_useful());
    }

    #[test]
    fn short_rows_have_none() {
        let mut sketches = Sketches::new(DIMENSION_MIN - 1, 2);
        sketches.set(0, &[1.0; DIMENSION_MIN - 1]);
        sketches.calibrate(&[pair(1, 0.0, 0.0)], &[pair(1, 0.0, 0.0)]);
        assert!(!sketches.is_useful() && sketches.bytes() < 128);
    }
}
