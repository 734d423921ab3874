//! Work that goes on to its end whoever waits for it: what has begun, and what nobody waits for any more. Owns no time.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::{Either, select};
use proximadb_ports::{Clock, Fault, PortError, Result};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The outcome of a task of tokio's.
pub(crate) async fn joined<T>(op: &'static str, subject: &str, task: JoinHandle<Result<T>>) -> Result<T> {
    match task.await {
        Ok(outcome) => outcome,
        Err(error) if error.is_panic() => Err(PortError::new(Fault::Internal, op, subject, "the work panicked").with_source(error)),
        Err(error) => Err(PortError::new(Fault::Unavailable, op, subject, "the runtime is shutting down").with_source(error)),
    }
}

/// The outcome of `work`, or nothing when `limit` is over first; `work` is dropped then.
pub(crate) async fn within<T>(clock: &dyn Clock, limit: Duration, work: impl Future<Output = T>) -> Option<T> {
    match select(pin!(work), clock.sleep(limit)).await {
        Either::Left((outcome, _)) => Some(outcome),
        Either::Right(_) => None,
    }
}

/// The operations of one place that have begun and not ended; shared as an `Arc`.
///
/// A caller that gives up does not end an operation: a system call that hangs may still do its work an hour later. So it stays
/// here, abandoned, until it has really ended.
pub(crate) struct InFlight {
    operations: Mutex<Operations>,
    changed: watch::Sender<()>,
}

#[derive(Default)]
struct Operations {
    begun: u64,
    running: BTreeMap<u64, Operation>,
}

struct Operation {
    key: String,
    /// The time by which it should have ended.
    due: Duration,
    abandoned: bool,
}

/// An operation that has begun; it has ended when this is dropped.
pub(crate) struct Begun {
    place: Arc<InFlight>,
    number: u64,
}

/// Somebody waits for an operation, for as long as this lives.
struct Waiting<'a> {
    place: &'a InFlight,
    number: u64,
}

impl InFlight {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { operations: Mutex::default(), changed: watch::Sender::new(()) })
    }

    fn operations(&self) -> MutexGuard<'_, Operations> {
        self.operations.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes an operation on `key` that should end by `due`.
    pub(crate) fn begin(self: &Arc<Self>, key: &str, due: Duration) -> Begun {
        let mut operations = self.operations();
        operations.begun += 1;
        let number = operations.begun;
        operations.running.insert(number, Operation { key: key.to_owned(), due, abandoned: false });
        Begun { place: Arc::clone(self), number }
    }

    /// Runs `work` to its end and gives its outcome.
    ///
    /// # Cancellation
    /// The work goes on, abandoned.
    pub(crate) async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        op: &'static str,
        key: &str,
        due: Duration,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let begun = self.begin(key, due);
        let _waiting = Waiting { place: self, number: begun.number };
        let task = tokio::spawn(async move {
            let _begun = begun;
            work.await
        });
        joined(op, key, task).await
    }

    /// Operations that should have ended by `now`.
    pub(crate) fn overdue(&self, now: Duration) -> usize {
        self.operations().running.values().filter(|operation| operation.due <= now).count()
    }

    /// Returns once no abandoned operation is on a key that `concerns` names.
    pub(crate) async fn settled(&self, concerns: impl Fn(&str) -> bool) {
        self.until(|operations| !operations.values().any(|operation| operation.abandoned && concerns(&operation.key))).await;
    }

    /// Returns once nothing runs.
    pub(crate) async fn idle(&self) {
        self.until(BTreeMap::is_empty).await;
    }

    async fn until(&self, reached: impl Fn(&BTreeMap<u64, Operation>) -> bool) {
        let mut changed = self.changed.subscribe();
        while !reached(&self.operations().running) {
            // The sender lives in `self`, so this fails never; a closed channel would only end the wait early.
            if changed.changed().await.is_err() {
                return;
            }
        }
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        self.place.operations().running.remove(&self.number);
        self.place.changed.send_replace(());
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(operation) = self.place.operations().running.get_mut(&self.number) {
            operation.abandoned = true;
        }
    }
}
