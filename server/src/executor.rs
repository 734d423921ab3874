//! Where things run: tasks on tokio, computations on a bounded pool of threads, long work on threads of its own.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::{io, thread};

use proximadb_ports::{BoxFuture, Executor};
use tokio::runtime::Handle;

type Job = Box<dyn FnOnce() + Send>;

/// The executor of a server. The queue of computations is bounded by the engine, which waits for a place before it asks.
pub(crate) struct ServerExecutor {
    runtime: Handle,
    jobs: Sender<Job>,
    threads: usize,
}

impl ServerExecutor {
    /// Starts `threads` compute threads, at least one.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub(crate) fn start(runtime: Handle, threads: usize) -> io::Result<Arc<Self>> {
        let threads = threads.max(1);
        let (jobs, queue) = channel::<Job>();
        let queue = Arc::new(Mutex::new(queue));
        for i in 0..threads {
            let queue = Arc::clone(&queue);
            thread::Builder::new().name(format!("compute-{i}")).spawn(move || work(&queue))?;
        }
        Ok(Arc::new(Self { runtime, jobs, threads }))
    }
}

fn work(queue: &Mutex<Receiver<Job>>) {
    loop {
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        match job {
            Ok(job) => run("a computation", job),
            Err(_) => return,
        }
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
        // The workers live as long as the sender, so the queue is there.
        let _ = self.jobs.send(job);
    }

    fn background(&self, name: &'static str, job: Job) {
        if let Err(error) = thread::Builder::new().name(name.to_owned()).spawn(move || run(name, job)) {
            tracing::error!(name, %error, "no thread could be started for background work");
        }
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
