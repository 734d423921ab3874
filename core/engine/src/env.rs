//! What every part of the engine shares: ports, settings, and the list of what is wrong.

use std::collections::BTreeMap;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use proximadb_model::{CollectionSpec, MetricKind};
use proximadb_ports::{
    Budget, Clock, Entropy, Executor, Fault, IndexFactory, IndexSpec, Metric, PluginList, PortError, Result, Telemetry, WalCodec,
};
use tokio::sync::{Semaphore, oneshot};

use crate::columns::ColumnKeeper;
use crate::memory::MemoryKeeper;
use crate::parts::MetricSource;
use crate::settings::EngineSettings;

pub(crate) struct Env {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) executor: Arc<dyn Executor>,
    pub(crate) telemetry: Arc<dyn Telemetry>,
    pub(crate) metrics: Arc<dyn MetricSource>,
    pub(crate) plugins: Arc<dyn PluginList>,
    pub(crate) flat: Arc<dyn IndexFactory>,
    pub(crate) graph: Arc<dyn IndexFactory>,
    pub(crate) codecs: Vec<Arc<dyn WalCodec>>,
    pub(crate) columns: Arc<ColumnKeeper>,
    pub(crate) memory: Arc<MemoryKeeper>,
    pub(crate) settings: EngineSettings,
    /// One merge or index build at a time: each takes the memory of a whole segment and as many threads as there are.
    pub(crate) heavy_work: Semaphore,
    /// The same for graphs that plugins compare the rows of, so that none that is slow keeps the others' waiting.
    pub(crate) own_graphs: Semaphore,
    /// Searches that read the vectors of a whole segment from its file, each of which holds a block of them.
    pub(crate) file_scans: Semaphore,
    /// Places in the queue of computations.
    compute_places: Semaphore,
    /// Places for the computations of each metric plugin, so that one that is slow keeps no other waiting.
    plugin_lanes: Mutex<BTreeMap<String, Arc<PluginLane>>>,
    problems: Mutex<BTreeMap<String, String>>,
}

/// What keeps the computations of one metric plugin from those of others.
struct PluginLane {
    places: Semaphore,
    /// Whether its last one broke the contract, and the next may take as long as it is let.
    is_suspect: AtomicBool,
}

/// Computations that run or wait.
const COMPUTATIONS_MAX: usize = 1_024;

/// Searches that read whole segments at a time.
const FILE_SCANS_MAX: usize = 4;

impl Env {
    #[expect(clippy::too_many_arguments, reason = "called once, by the engine's constructor")]
    pub(crate) fn new(
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        executor: Arc<dyn Executor>,
        telemetry: Arc<dyn Telemetry>,
        metrics: Arc<dyn MetricSource>,
        plugins: Arc<dyn PluginList>,
        flat: Arc<dyn IndexFactory>,
        graph: Arc<dyn IndexFactory>,
        codecs: Vec<Arc<dyn WalCodec>>,
        settings: EngineSettings,
    ) -> Self {
        let problems = Mutex::new(BTreeMap::new());
        let columns = ColumnKeeper::new(Arc::clone(&clock), Arc::clone(&executor), Arc::clone(&telemetry), settings.filter_bytes_max);
        let memory = MemoryKeeper::new(Arc::clone(&clock), Arc::clone(&telemetry), Arc::clone(&columns), settings.memory);
        Self {
            clock,
            entropy,
            executor,
            telemetry,
            metrics,
            plugins,
            flat,
            graph,
            codecs,
            columns,
            memory,
            settings,
            heavy_work: Semaphore::new(1),
            own_graphs: Semaphore::new(1),
            file_scans: Semaphore::new(FILE_SCANS_MAX),
            compute_places: Semaphore::new(COMPUTATIONS_MAX),
            plugin_lanes: Mutex::default(),
            problems,
        }
    }

    /// The answer of `work`, or `None` when it takes too long; the work is dropped then.
    pub(crate) async fn within<T>(&self, limit: Duration, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            answer = work => Some(answer),
            () = self.clock.sleep(limit) => None,
        }
    }

    /// Notes what is wrong with a subject; it stays in health until it is cleared.
    pub(crate) fn problem(&self, subject: impl Into<String>, what: impl Into<String>) {
        let (subject, what) = (subject.into(), what.into());
        tracing::warn!(subject, what, "problem");
        self.problems.lock().unwrap_or_else(PoisonError::into_inner).insert(subject, what);
    }

    /// As [`Env::problem`], but silent where the very same is noted already.
    pub(crate) fn problem_once(&self, subject: String, what: String) {
        let there = self.problems.lock().unwrap_or_else(PoisonError::into_inner).get(&subject) == Some(&what);
        if !there {
            self.problem(subject, what);
        }
    }

    pub(crate) fn clear_problem(&self, subject: &str) {
        self.problems.lock().unwrap_or_else(PoisonError::into_inner).remove(subject);
    }

    pub(crate) fn problems(&self) -> Vec<String> {
        self.problems.lock().unwrap_or_else(PoisonError::into_inner).iter().map(|(subject, what)| format!("{subject}: {what}")).collect()
    }

    pub(crate) fn budget(&self, timeout: Option<Duration>) -> Budget {
        Budget::new(Arc::clone(&self.clock), timeout)
    }

    pub(crate) fn index_spec(&self, metric: &Arc<dyn Metric>, index: &proximadb_model::IndexSettings) -> IndexSpec {
        IndexSpec {
            metric: Arc::clone(metric),
            m: index.m as usize,
            ef_construction: index.ef_construction as usize,
            seed: 0x5eed,
            threads: self.executor.compute_threads(),
        }
    }

    /// Runs a short computation on the bounded pool and waits for its answer.
    ///
    /// # Errors
    /// Its own; `Internal` when it panicked.
    ///
    /// # Cancellation
    /// The computation goes on until it checks its budget.
    pub(crate) async fn compute<T: Send + 'static>(&self, job: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
        let _place = self.compute_places.acquire().await;
        let (reply, answer) = oneshot::channel();
        self.executor.compute(Box::new(move || drop(reply.send(job()))));
        answer.await.unwrap_or_else(|_| Err(panicked()))
    }

    /// Runs what computes with a metric and waits for its answer: on the bounded pool, or on a thread of its own where the metric is a
    /// plugin's, since nobody knows how long that takes. Of each plugin as many run at a time as there are threads in the pool, and one
    /// that failed last time lets everything else go first.
    ///
    /// # Errors
    /// Its own; `Internal` when it panicked.
    ///
    /// # Cancellation
    /// As with [`Env::compute`].
    pub(crate) async fn compute_with<T: Send + 'static>(
        &self,
        metric: &MetricKind,
        job: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let MetricKind::Wasm(name) = metric else { return self.compute(job).await };
        let lane = {
            let mut lanes = self.plugin_lanes.lock().unwrap_or_else(PoisonError::into_inner);
            let free = || {
                let places = Semaphore::new(self.executor.compute_threads().max(1));
                Arc::new(PluginLane { places, is_suspect: AtomicBool::new(false) })
            };
            Arc::clone(lanes.entry(name.clone()).or_insert_with(free))
        };
        let _place = lane.places.acquire().await;
        let (reply, answer) = oneshot::channel();
        self.executor.beside("plugin", lane.is_suspect.load(Ordering::Relaxed), Box::new(move || drop(reply.send(job()))));
        let done = answer.await.unwrap_or_else(|_| Err(panicked()));
        lane.is_suspect.store(matches!(&done, Err(error) if error.fault == Fault::Plugin), Ordering::Relaxed);
        done
    }

    /// The metric of a collection.
    ///
    /// # Errors
    /// Those of [`MetricSource::metric`].
    pub(crate) async fn metric(&self, spec: &CollectionSpec) -> Result<Arc<dyn Metric>> {
        let (source, kind, dimension) = (Arc::clone(&self.metrics), spec.metric.clone(), spec.dimension.get());
        // Only a plugin that is there takes time, and only for such a one are places kept: names come from users.
        match &kind {
            MetricKind::Wasm(name) if self.plugins.list().iter().any(|plugin| plugin.name == *name) => {
                self.compute_with(&spec.metric, move || source.metric(&kind, dimension)).await
            }
            _ => source.metric(&kind, dimension),
        }
    }

    /// Runs a long computation on a thread of its own and waits for its answer.
    ///
    /// # Errors
    /// Its own; `Internal` when it panicked.
    pub(crate) async fn background<T: Send + 'static>(
        &self,
        name: &'static str,
        job: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        self.executor.background(name, Box::new(move || drop(reply.send(job()))));
        answer.await.unwrap_or_else(|_| Err(panicked()))
    }
}

/// Runs a computation of some hundred microseconds at most where its caller is: handing it over would cost as much again.
///
/// # Errors
/// Its own; `Internal` when it panicked.
pub(crate) fn compute_here<T>(job: impl FnOnce() -> Result<T>) -> Result<T> {
    // What the computation owned is dropped with it, and what it borrowed it could only read.
    catch_unwind(AssertUnwindSafe(job)).unwrap_or_else(|_| Err(panicked()))
}

fn panicked() -> PortError {
    PortError::new(Fault::Internal, "compute", "a computation", "ended without an answer")
}

/// Cancels its budget when dropped: nobody waits any more.
pub(crate) struct CancelOnDrop(pub(crate) Budget);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_computation_that_panics_here_is_an_internal_error() {
        assert_eq!(compute_here(|| Ok(7)).expect("no error"), 7);
        let failed: Result<()> = compute_here(|| Err(PortError::new(Fault::Deadline, "search", "a test", "is over")));
        assert_eq!(failed.expect_err("its own").fault, Fault::Deadline);
        let panicked: Result<()> = compute_here(|| panic!("asked for by a test"));
        assert_eq!(panicked.expect_err("a panic").fault, Fault::Internal);
    }
}
