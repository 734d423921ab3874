//! The simulated world keeps the promises of the ports it plays.

use std::sync::Arc;

use proximadb_ports::conformance::{clock, disk, filesystem, telemetry};
use proximadb_ports::{Clock, Disk, Fault, Filesystem};
use proximadb_sim::{Effect, Injection, SimClock, SimDisk, SimEntropy, SimExecutor, SimFilesystem, SimTelemetry};

struct SimStore(SimFilesystem);

impl filesystem::Harness for SimStore {
    fn filesystem(&self) -> Arc<dyn Filesystem> {
        Arc::new(self.0.clone())
    }

    fn crash(&mut self) {
        self.0 = self.0.crash();
    }
}

struct SimPlatter(SimDisk);

impl disk::Harness for SimPlatter {
    fn disk(&self) -> Arc<dyn Disk> {
        Arc::new(self.0.clone())
    }

    fn crash(&mut self) {
        self.0 = self.0.crash();
    }

    fn fail_next_sync(&mut self) -> bool {
        self.0.inject(Injection::next(Effect::Fail(Fault::Unavailable)).on("sync"));
        true
    }
}

#[tokio::test]
async fn the_store_conforms() {
    for seed in 0..20 {
        filesystem::run(&mut SimStore(SimFilesystem::new(seed)), seed).await;
    }
}

#[tokio::test]
async fn the_disk_conforms() {
    for seed in 0..200 {
        disk::run(&mut SimPlatter(SimDisk::new(seed)), seed).await;
    }
}

#[tokio::test]
async fn one_seed_gives_one_trace() {
    let mut digests = Vec::new();
    for seed in [5, 5, 6] {
        let mut store = SimStore(SimFilesystem::new(seed));
        filesystem::run(&mut store, seed).await;
        let mut platter = SimPlatter(SimDisk::new(seed));
        disk::run(&mut platter, seed).await;
        digests.push((store.0.trace_digest(), platter.0.trace_digest(), store.0.trace(), platter.0.trace()));
    }
    assert!(digests[0] == digests[1], "the same seed must do the same");
    assert_ne!(digests[0].0, digests[2].0);
    assert_ne!(digests[0].1, digests[2].1);
}

#[tokio::test(start_paused = true)]
async fn the_clock_the_entropy_and_the_executor_conform() {
    let tokio_clock: Arc<dyn Clock> = Arc::new(SimClock::of_tokio());
    clock::run_clock(&*tokio_clock).await;
    clock::run_entropy(&SimEntropy::new(1));
    clock::run_executor(&SimExecutor::current()).await;
}

#[test]
fn the_telemetry_conforms() {
    let counts = SimTelemetry::new();
    telemetry::run(&counts);
    assert_eq!(counts.total("conformance_counts"), 24_000);
    assert_eq!(counts.counter("conformance_counts", &[("thread", "odd")]), 12_000);
    assert_eq!(counts.observations("conformance_seconds", &[("op", "put")]), 2);
}
