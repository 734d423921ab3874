//! Where things run: tasks on tokio, computations on a bounded pool of threads, long work on threads of its own.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::{io, thread};

use proximadb_ports::{BoxFuture, Executor};
use tokio::runtime::Handle;

type Job = Box<dyn FnOnce() + Send>;

/// How nice background work is to the rest, of 0 to 19: it gets about a tenth of a processor that a request wants too, so that a build
/// under full load goes on all the same (docs/decisions/0015-memory-budget.adoc).
#[cfg(target_os = "linux")]
const BACKGROUND_NICE: i32 = 10;

/// The executor of a server. The queue of computations is bounded by the engine, which waits for a place before it asks.
pub(crate) struct ServerExecutor {
    runtime: Handle,
    queue: Arc<Queue>,
    threads: usize,
}

/// Computations that wait for a thread. One that comes wakes one thread, and no thread waits for another.
#[derive(Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    arrived: Condvar,
}

#[derive(Default)]
struct Waiting {
    jobs: VecDeque<Job>,
    closed: bool,
}

impl Queue {
    // Nothing panics while it holds the lock, so a poisoned lock tells nothing.
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, job: Job) {
        self.lock().jobs.push_back(job);
        self.arrived.notify_one();
    }

    /// The next computation, or `None` once the executor is gone.
    fn next(&self) -> Option<Job> {
        let waiting = self.lock();
        let mut waiting =
            self.arrived.wait_while(waiting, |waiting| waiting.jobs.is_empty() && !waiting.closed).unwrap_or_else(PoisonError::into_inner);
        waiting.jobs.pop_front()
    }
}

impl Drop for ServerExecutor {
    fn drop(&mut self) {
        self.queue.lock().closed = true;
        self.queue.arrived.notify_all();
    }
}

impl ServerExecutor {
    /// Starts `threads` compute threads, at least one.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub(crate) fn start(runtime: Handle, threads: usize) -> io::Result<Arc<Self>> {
        let executor = Arc::new(Self { runtime, queue: Arc::default(), threads: threads.max(1) });
        for i in 0..executor.threads {
            let queue = Arc::clone(&executor.queue);
            thread::Builder::new().name(format!("compute-{i}")).spawn(move || work(&queue))?;
        }
        Ok(executor)
    }
}

fn work(queue: &Queue) {
    while let Some(job) = queue.next() {
        run("a computation", job);
    }
}

/// Lets the threads that answer requests go before this one, and before those that it starts, when all want a processor. The runtime's
/// blocking threads must not be among these: file systems start theirs from tasks of the runtime (`deadlined`), never from here.
#[cfg(target_os = "linux")]
fn give_precedence() {
    // On Linux a priority is a thread's own, though POSIX says a process's (setpriority(2), "C library/kernel differences").
    if let Err(error) = rustix::process::setpriority_process(None, BACKGROUND_NICE) {
        tracing::debug!(%error, "background work runs at full priority");
    }
}

#[cfg(not(target_os = "linux"))]
fn give_precedence() {}

fn run(what: &str, job: Job) {
    if catch_unwind(AssertUnwindSafe(job)).is_err() {
        tracing::error!(what, "panicked; the request that asked for it gets an internal error");
    }
}

impl Executor for ServerExecutor {
    fn spawn(&self, name: &'static str, task: BoxFuture) {
        tracing::trace!(name, "spawn");
        self.runtime.spawn(task);
    }

    fn compute(&self, job: Job) {
        self.queue.push(job);
    }

    fn background(&self, name: &'static str, job: Job) {
        let in_background = move || {
            give_precedence();
            run(name, job);
        };
        if let Err(error) = thread::Builder::new().name(name.to_owned()).spawn(in_background) {
            tracing::error!(name, %error, "no thread could be started for background work");
        }
    }

    fn spawn_background(&self, name: &'static str, task: BoxFuture) {
        let runtime = self.runtime.clone();
        self.background(name, Box::new(move || runtime.block_on(task)));
    }

    fn compute_threads(&self) -> usize {
        self.threads
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn keeps_the_promises_of_its_port() {
        let executor = ServerExecutor::start(Handle::current(), 2).expect("threads");
        proximadb_ports::conformance::clock::run_executor(&*executor).await;
    }
}
