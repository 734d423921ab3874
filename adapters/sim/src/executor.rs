//! Tasks on the runtime that the test runs in, and computations inline, so that one thread does everything in one order.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, MutexGuard, PoisonError};

use proximadb_ports::{BoxFuture, Executor};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

/// Runs tasks on a tokio runtime and computations at once on the caller's thread; shared as an `Arc`.
///
/// On a current-thread runtime the order of everything is the same each time. As the one executor of a simulated process it
/// breaks G2 on purpose: a computation runs on the thread that asked for it.
pub struct SimExecutor {
    handle: Handle,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    tasks: Vec<JoinHandle<()>>,
    closed: bool,
    panics: usize,
    computations: usize,
}

impl SimExecutor {
    /// Runs tasks on the runtime of the caller.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn current() -> Self {
        Self::new(Handle::current())
    }

    /// Runs tasks on this runtime.
    pub fn new(handle: Handle) -> Self {
        Self { handle, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Computations that panicked so far.
    pub fn panics(&self) -> usize {
        self.state().panics
    }

    /// Computations that were handed over so far; those of background work are not counted.
    pub fn computations(&self) -> usize {
        self.state().computations
    }

    fn run(&self, job: Box<dyn FnOnce() + Send>) {
        if catch_unwind(AssertUnwindSafe(job)).is_err() {
            self.state().panics += 1;
        }
    }

    /// Tasks that have not ended.
    pub fn tasks(&self) -> usize {
        let mut state = self.state();
        state.tasks.retain(|t| !t.is_finished());
        state.tasks.len()
    }

    /// Ends every task where it stands, as a crash of the process does, and drops what is spawned from now on.
    ///
    /// Returns once every task is gone.
    pub async fn shutdown(&self) {
        let tasks = {
            let mut state = self.state();
            state.closed = true;
            std::mem::take(&mut state.tasks)
        };
        for task in &tasks {
            task.abort();
        }
        for task in tasks {
            // Cancelled, ended or panicked: gone in each case.
            let _ = task.await;
        }
    }
}

impl Executor for SimExecutor {
    fn spawn(&self, _name: &'static str, task: BoxFuture) {
        let mut state = self.state();
        if state.closed {
            return;
        }
        state.tasks.retain(|t| !t.is_finished());
        state.tasks.push(self.handle.spawn(task));
    }

    fn compute(&self, job: Box<dyn FnOnce() + Send>) {
        self.state().computations += 1;
        self.run(job);
    }

    fn background(&self, _name: &'static str, job: Box<dyn FnOnce() + Send>) {
        self.run(job);
    }

    fn beside(&self, _name: &'static str, _is_suspect: bool, job: Box<dyn FnOnce() + Send>) {
        self.run(job);
    }

    fn spawn_background(&self, name: &'static str, task: BoxFuture) {
        self.spawn(name, task);
    }

    fn compute_threads(&self) -> usize {
        1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_shutdown_ends_tasks_and_takes_no_more() {
        let executor = SimExecutor::current();
        let (sender, ended) = tokio::sync::oneshot::channel::<()>();
        executor.spawn(
            "waits",
            Box::pin(async move {
                std::future::pending::<()>().await;
                drop(sender);
            }),
        );
        assert_eq!(executor.tasks(), 1);
        executor.shutdown().await;
        assert!(ended.await.is_err(), "dropped with the task");
        executor.spawn("late", Box::pin(async {}));
        assert_eq!(executor.tasks(), 0);
    }
}
