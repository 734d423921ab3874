//! Identities that are counted and bits that are seeded. Never asks the machine for randomness.

use std::sync::{Mutex, PoisonError};

use proximadb_model::Uid;
use proximadb_ports::Entropy;

use crate::rng::Rng;

/// Seeded randomness, shared as an `Arc`.
///
/// Identities have the form of RFC 9562, version 7, with a count in place of the milliseconds, so they sort by the order in
/// which they were drawn. Two of these with one seed draw the same identities: a test that restarts a database hands the
/// same entropy on.
pub struct SimEntropy {
    state: Mutex<(Rng, u64)>,
}

impl SimEntropy {
    /// The stream of this seed, from its beginning.
    pub fn new(seed: u64) -> Self {
        Self { state: Mutex::new((Rng::new(seed ^ 0x656e_7472_6f70_7921), 0)) }
    }
}

impl Entropy for SimEntropy {
    fn uid(&self) -> Uid {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (rng, drawn) = &mut *state;
        *drawn += 1;
        let high = (*drawn << 16) | 0x7000 | (rng.bits() & 0x0fff);
        let low = (rng.bits() >> 2) | (0b10 << 62);
        Uid(((u128::from(high) << 64) | u128::from(low)).to_be_bytes())
    }

    fn bits(&self) -> u64 {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).0.bits()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_gives_one_stream() {
        let (a, b, c) = (SimEntropy::new(1), SimEntropy::new(1), SimEntropy::new(2));
        for _ in 0..100 {
            let uid = a.uid();
            assert_eq!(uid, b.uid());
            assert_ne!(uid, c.uid());
            assert_eq!(uid.0[6] >> 4, 7, "version");
            assert_eq!(uid.0[8] >> 6, 2, "variant");
        }
        assert_eq!(a.bits(), b.bits());
    }
}
