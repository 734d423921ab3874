//! Chance of the harnesses: the simulator's, and the vectors that are made of it.

pub(crate) use proximadb_sim::Rng as Random;

/// The vector that version `version` of record `id` must have: whoever reads it can tell what it is.
pub(crate) fn vector_of(id: u64, version: u64, dimension: usize) -> Vec<f32> {
    let mut random = Random::new(id.wrapping_mul(0xd6e8_feb8_6659_fd93) ^ version.rotate_left(32));
    // 24 bits are exact in an f32.
    (0..dimension).map(|_| (random.bits() >> 40) as f32 / (1u64 << 20) as f32 - 8.0).collect()
}
