//! System calls that may block, off the threads that drive IO.

use proximadb_ports::Result;

use crate::tasks::joined;

/// Runs `work` on tokio's blocking pool. Dropping the future does not stop work that has begun.
pub(crate) async fn run<T: Send + 'static>(
    op: &'static str,
    subject: &str,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    joined(op, subject, tokio::task::spawn_blocking(work)).await
}
