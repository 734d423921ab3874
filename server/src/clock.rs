//! Time and identities from the operating system: the one place of the server that asks for them.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use proximadb_model::{Timestamp, Uid};
use proximadb_ports::{Clock, Entropy};
use uuid::Uuid;

/// The system's clocks.
pub(crate) struct SystemClock {
    start: Instant,
}

impl SystemClock {
    #[expect(clippy::disallowed_methods, reason = "plays the Clock port")]
    pub(crate) fn new() -> Self {
        Self { start: Instant::now() }
    }
}

#[async_trait]
impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "plays the Clock port")]
    fn now(&self) -> Timestamp {
        let micros = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_micros());
        Timestamp(i64::try_from(micros).unwrap_or(i64::MAX))
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }

    #[expect(clippy::disallowed_methods, reason = "plays the Clock port")]
    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

/// Random numbers of the system, as uuids of version 7.
pub(crate) struct SystemEntropy;

impl Entropy for SystemEntropy {
    #[expect(clippy::disallowed_methods, reason = "plays the Entropy port")]
    fn uid(&self) -> Uid {
        Uid::from_bytes(*Uuid::now_v7().as_bytes())
    }

    #[expect(clippy::disallowed_methods, reason = "plays the Entropy port")]
    fn bits(&self) -> u64 {
        // The last 62 bits of a version 7 uuid are random; two of them make 64.
        let (_, a) = Uuid::now_v7().as_u64_pair();
        let (_, b) = Uuid::now_v7().as_u64_pair();
        a ^ b.rotate_left(32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn clock_and_entropy_keep_the_promises_of_their_ports() {
        proximadb_ports::conformance::clock::run_clock(&SystemClock::new()).await;
        proximadb_ports::conformance::clock::run_entropy(&SystemEntropy);
    }
}
