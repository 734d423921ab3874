//! Where things run: tasks on tokio, computations on a bounded pool of threads, long work on threads of its own.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::{io, thread};

use proximadb_ports::{BoxFuture, Executor};
use tokio::runtime::Handle;

use crate::precedence::{Watch, give_precedence, give_way_to_all};

type Job = Box<dyn FnOnce() + Send>;

/// The executor of a server. The queue of computations is bounded by the engine, which waits for a place before it asks.
pub(crate) struct ServerExecutor {
    runtime: Handle,
    queue: Arc<Queue>,
    threads: usize,
    watch: Arc<Watch>,
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
        self.watch.close();
    }
}

impl ServerExecutor {
    /// Starts `threads` compute threads, at least one, and one that watches those of plugins.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub(crate) fn start(runtime: Handle, threads: usize) -> io::Result<Arc<Self>> {
        let executor = Arc::new(Self { runtime, queue: Arc::default(), threads: threads.max(1), watch: Watch::start()? });
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

/// Starts a thread. Where none can be had, what it would have done is dropped, and whoever waits for it learns that.
fn spawn(name: &'static str, job: impl FnOnce() + Send + 'static) {
    if let Err(error) = thread::Builder::new().name(name.to_owned()).spawn(job) {
        tracing::error!(name, %error, "no thread could be started");
    }
}

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
        spawn(name, in_background);
    }

    fn beside(&self, name: &'static str, is_suspect: bool, job: Job) {
        let watch = Arc::clone(&self.watch);
        spawn(name, move || {
            if is_suspect {
                give_way_to_all();
                return run(name, job);
            }
            watch.over(|| run(name, job));
        });
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
