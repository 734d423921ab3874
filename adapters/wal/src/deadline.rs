//! The time within which a disk must answer. Knows no disk; once an operation is overdue, no other one is begun until it is back.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use proximadb_ports::{Clock, Executor, Fault, PortError, Result};

/// Runs the operations on one disk.
#[derive(Clone)]
pub(crate) struct Deadline {
    clock: Arc<dyn Clock>,
    executor: Arc<dyn Executor>,
    limit: Duration,
    overdue: Arc<AtomicUsize>,
}

/// Counts an operation as overdue until it ends, in whichever way.
struct Overdue(Arc<AtomicUsize>);

impl Overdue {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(count))
    }
}

impl Drop for Overdue {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Deadline {
    pub(crate) fn new(clock: Arc<dyn Clock>, executor: Arc<dyn Executor>, limit: Duration) -> Self {
        Self { clock, executor, limit, overdue: Arc::default() }
    }

    /// Fails while an operation has not come back.
    pub(crate) fn check(&self) -> Result<()> {
        if self.overdue.load(Ordering::Acquire) > 0 { Err(no_answer()) } else { Ok(()) }
    }

    /// Waits for an operation. One that is overdue goes on without anybody waiting for it: a disk may hold it for as long as it
    /// likes, and only its return says that the disk answers again.
    pub(crate) async fn run<T: Send + 'static>(&self, operation: impl Future<Output = T> + Send + 'static) -> Result<T> {
        self.check()?;
        let mut operation = Box::pin(operation);
        tokio::select! {
            biased;
            answer = &mut operation => Ok(answer),
            () = self.clock.sleep(self.limit) => {
                let overdue = Overdue::new(&self.overdue);
                let wait = async move {
                    drop(operation.await);
                    drop(overdue);
                };
                self.executor.spawn("wal.overdue", Box::pin(wait));
                Err(no_answer())
            }
        }
    }
}

fn no_answer() -> PortError {
    PortError::new(Fault::Unavailable, "wal.disk", "the log", "the disk does not answer")
}
