//! The one source of chance of the harnesses: SplitMix64, so that a seed says everything. Not for secrets.

/// A seeded stream of numbers.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`; 0 for a bound of 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.bits().checked_rem(bound).unwrap_or(0)
    }

    /// True once in `n` times.
    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// A stream of its own, which goes on by itself.
    pub(crate) fn fork(&mut self) -> Self {
        Self(self.bits())
    }
}

/// The vector that version `version` of record `id` must have: whoever reads it can tell what it is.
pub(crate) fn vector_of(id: u64, version: u64, dimension: usize) -> Vec<f32> {
    let mut random = Random::new(id.wrapping_mul(0xd6e8_feb8_6659_fd93) ^ version.rotate_left(32));
    // 24 bits are exact in an f32.
    (0..dimension).map(|_| (random.bits() >> 40) as f32 / (1u64 << 20) as f32 - 8.0).collect()
}
