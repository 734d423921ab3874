//! Time, randomness and running things: what the core must not take from its surroundings by itself.

use std::time::Duration;

use async_trait::async_trait;
use proximadb_model::{Timestamp, Uid};

use std::future::Future;
use std::pin::Pin;

/// Time.
///
/// Guarantees:
/// - G1 `monotonic` never goes back;
/// - G2 `sleep` returns no sooner than asked, by `monotonic`.
#[async_trait]
pub trait Clock: Send + Sync + 'static {
    /// The time of day.
    fn now(&self) -> Timestamp;

    /// Time since some moment before the process's first use.
    fn monotonic(&self) -> Duration;

    /// Waits.
    ///
    /// # Cancellation
    /// Safe to drop.
    async fn sleep(&self, duration: Duration);
}

/// Randomness and new identities.
///
/// Guarantees:
/// - G1 no two identities are ever equal;
/// - G2 identities drawn later sort later, up to the resolution of the clock (RFC 9562, version 7).
pub trait Entropy: Send + Sync + 'static {
    /// A new identity.
    fn uid(&self) -> Uid;

    /// Random bits.
    fn bits(&self) -> u64;
}

/// A future without a name.
pub type BoxFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Where tasks and computations run.
///
/// Guarantees:
/// - G1 a spawned task runs until it ends or the executor shuts down, in the background or not;
/// - G2 a computation given to `compute` runs on one of a bounded number of threads, none of which drives IO;
/// - G3 a computation that panics takes down neither its thread nor the process; what it would have answered is dropped.
pub trait Executor: Send + Sync + 'static {
    /// Runs a task beside the others; `name` is for people.
    fn spawn(&self, name: &'static str, task: BoxFuture);

    /// Runs a computation.
    fn compute(&self, job: Box<dyn FnOnce() + Send>);

    /// Runs a long computation on a thread of its own, so that it holds up no other; it may start threads itself. It has less claim to
    /// the processors than what answers requests.
    fn background(&self, name: &'static str, job: Box<dyn FnOnce() + Send>);

    /// Runs a computation of which nobody knows how long it takes, on a thread of its own. It has as much claim to the processors as
    /// what answers requests for as long as it is short, and the least of all from its start where it is suspected of being long.
    fn beside(&self, name: &'static str, is_suspect: bool, job: Box<dyn FnOnce() + Send>);

    /// Runs a task that computes much between its waits, with less claim to the processors than what answers requests.
    fn spawn_background(&self, name: &'static str, task: BoxFuture);

    /// Threads that run computations.
    fn compute_threads(&self) -> usize;
}
