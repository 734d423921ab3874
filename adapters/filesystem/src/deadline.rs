//! How long operations on a place may take, and how many may be on their way at once. Knows no operation; measures by the clock
//! that it is given.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use proximadb_ports::{Clock, Fault, PortError, Result};
use tokio::sync::Semaphore;

use crate::tasks::{InFlight, within};

/// How much is asked of a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeadlineSettings {
    /// What every operation may take, waiting for a place among the others included.
    pub base: Duration,
    /// The slowest transfer that still counts as one: so much more time has an operation for each byte.
    pub bytes_per_second: u64,
    /// Operations on their way at once, and so threads that a disk which hangs can hold.
    pub operations: usize,
}

impl Default for DeadlineSettings {
    fn default() -> Self {
        Self { base: Duration::from_secs(10), bytes_per_second: 8 << 20, operations: 32 }
    }
}

/// The places for operations on one disk or store, and the time that each has.
///
/// An operation that has run out of time, or whose caller has left, keeps its place until it has really ended.
pub(crate) struct Deadline {
    clock: Arc<dyn Clock>,
    settings: DeadlineSettings,
    places: Arc<Semaphore>,
    in_flight: Arc<InFlight>,
}

/// Which operations that nobody waits for any more must have ended before one may begin.
pub(crate) enum After {
    /// None: it reads what was written before.
    Nothing,
    /// Those that change the same key, since one of them could still undo this one.
    ChangesOf(String),
    /// Those that change a key below the prefix, since the answer would not be true for long.
    ChangesBelow(String),
}

impl After {
    fn concerns(&self, key: &str) -> bool {
        match self {
            Self::Nothing => false,
            Self::ChangesOf(other) => key == other,
            Self::ChangesBelow(prefix) if prefix.is_empty() => !key.is_empty(),
            Self::ChangesBelow(prefix) => key.strip_prefix(prefix.as_str()).is_some_and(|rest| rest.starts_with('/')),
        }
    }

    /// The key that the operation itself changes; no key is empty.
    fn changes(&self) -> &str {
        if let Self::ChangesOf(key) = self { key } else { "" }
    }
}

impl Deadline {
    pub(crate) fn new(clock: Arc<dyn Clock>, settings: DeadlineSettings) -> Self {
        let operations = settings.operations.clamp(1, Semaphore::MAX_PERMITS);
        let settings = DeadlineSettings { operations, bytes_per_second: settings.bytes_per_second.max(1), ..settings };
        Self { clock, settings, places: Arc::new(Semaphore::new(operations)), in_flight: InFlight::new() }
    }

    /// Whether a transfer of so many bytes has more time than a second by its length alone.
    pub(crate) fn is_long(&self, bytes: u64) -> bool {
        bytes > self.settings.bytes_per_second
    }

    /// Runs an operation that moves `bytes`, in its time.
    ///
    /// # Errors
    /// `Unavailable` when its time is over: it may still happen. Those of the operation.
    ///
    /// # Cancellation
    /// An operation that has begun goes on.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        op: &'static str,
        subject: &str,
        bytes: u64,
        after: After,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let DeadlineSettings { base, bytes_per_second, operations } = self.settings;
        let silent = |why: String| PortError::new(Fault::Unavailable, op, subject, format!("does not answer{why}"));
        let now = self.clock.monotonic();
        if self.in_flight.overdue(now) >= operations {
            return Err(silent(format!("; {operations} earlier operations have not ended")));
        }
        let limit = base.saturating_add(Duration::from_millis(bytes.saturating_mul(1_000) / bytes_per_second));
        let in_time = within(&*self.clock, limit, async {
            self.in_flight.settled(|key| after.concerns(key)).await;
            // The semaphore is never closed; were it, the operation would run without a place.
            let place = Arc::clone(&self.places).acquire_owned().await;
            let work = async move {
                let _place = place;
                work.await
            };
            self.in_flight.run(op, after.changes(), now.saturating_add(limit), work).await
        });
        in_time.await.unwrap_or_else(|| Err(silent(format!(" within {} ms", limit.as_millis()))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_must_have_ended_before() {
        let below = |prefix: &str| After::ChangesBelow(prefix.to_owned());
        for (after, key, expected) in [
            (After::Nothing, "a/b", false),
            (After::ChangesOf("a/b".to_owned()), "a/b", true),
            (After::ChangesOf("a/b".to_owned()), "a/bc", false),
            (below("a"), "a/b", true),
            (below("a"), "ab/c", false),
            (below("a"), "a", false),
            (below(""), "a", true),
            (below(""), "", false),
        ] {
            assert_eq!(after.concerns(key), expected, "{key}");
        }
    }
}
