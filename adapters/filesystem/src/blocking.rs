//! System calls that may block, off the threads that drive IO.

use proximadb_ports::{Fault, PortError, Result};

/// Runs `work` on tokio's blocking pool. Dropping the future does not stop work that has begun.
pub(crate) async fn run<T: Send + 'static>(
    op: &'static str,
    subject: &str,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(error) if error.is_panic() => Err(PortError::new(Fault::Internal, op, subject, "the work panicked").with_source(error)),
        Err(error) => Err(PortError::new(Fault::Unavailable, op, subject, "the runtime is shutting down").with_source(error)),
    }
}
