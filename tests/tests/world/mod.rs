//! The whole engine on simulated disks: real log, real segments, real indexes, one thread, virtual time, a seed.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use proximadb_axis::{BuiltinMetric, FlatFactory, GraphFactory};
use proximadb_engine::{BuiltinAssigner, Engine, EngineSettings, MetricSource, Parts, SiteAccess, SiteParts};
use proximadb_model::{DiskKind, Invalid, MetricKind, Strategy};
use proximadb_ports::conformance::database::DatabaseHarness;
use proximadb_ports::{Clock, Database, Entropy, Executor, Metric, PortError, Result, WalCodec};
use proximadb_sim::{SimClock, SimDisk, SimEntropy, SimExecutor, SimFilesystem, SimTelemetry};
use proximadb_viper::{ViperOptions, ViperStore};
use proximadb_wal::{AvroCodec, BincodeCodec, FileWal, WalContext, WalSettings};

/// One simulated site: what lies on it survives crashes as a disk would let it.
pub(crate) struct SimSite {
    pub(crate) filesystem: SimFilesystem,
    pub(crate) disk: SimDisk,
}

/// A database on simulated sites.
pub(crate) struct World {
    pub(crate) sites: Vec<SimSite>,
    pub(crate) engine: Arc<Engine>,
    seed: u64,
    lives: u64,
    executor: Arc<SimExecutor>,
    settings: EngineSettings,
    codec: Arc<dyn WalCodec>,
}

/// Sizes at which everything happens within a few dozen rows: flushes, merges, graphs.
pub(crate) fn small_settings() -> EngineSettings {
    let mut settings = EngineSettings::default();
    settings.flush.memtable_bytes_max = 4_096;
    settings.maintenance.graph_rows_min = 12;
    settings.quiet_after = Duration::from_millis(50);
    settings
}

struct BuiltinMetrics;

impl MetricSource for BuiltinMetrics {
    fn metric(&self, kind: &MetricKind, _dimension: usize) -> Result<Arc<dyn Metric>> {
        match BuiltinMetric::new(kind.clone()) {
            Some(metric) => Ok(Arc::new(metric)),
            None => Err(PortError::invalid("metric", Invalid::new("metric", "is not built in"))),
        }
    }
}

impl World {
    /// A new database on `sites` empty sites.
    pub(crate) async fn new(seed: u64, sites: u64, codec: Arc<dyn WalCodec>, settings: EngineSettings) -> Self {
        let sites: Vec<_> =
            (0..sites).map(|i| SimSite { filesystem: SimFilesystem::new(seed + i), disk: SimDisk::new(seed + i) }).collect();
        let (engine, executor) = open(&sites, seed, Arc::clone(&codec), settings.clone()).await;
        Self { sites, engine, seed, lives: 0, executor, settings, codec }
    }

    /// Ends the process in the middle of whatever it does, and starts another on what the disks hold.
    pub(crate) async fn restart(&mut self) {
        self.executor.shutdown().await;
        for site in &mut self.sites {
            site.disk = site.disk.crash();
            site.filesystem = site.filesystem.crash();
        }
        self.lives += 1;
        // A new process draws other identities than the one before.
        let seed = self.seed ^ (self.lives << 32);
        (self.engine, self.executor) = open(&self.sites, seed, Arc::clone(&self.codec), self.settings.clone()).await;
    }
}

async fn open(sites: &[SimSite], seed: u64, codec: Arc<dyn WalCodec>, settings: EngineSettings) -> (Arc<Engine>, Arc<SimExecutor>) {
    let executor = Arc::new(SimExecutor::current());
    let clock: Arc<dyn Clock> = Arc::new(SimClock::of_tokio());
    let entropy: Arc<dyn Entropy> = Arc::new(SimEntropy::new(seed));
    let mut parts = Vec::new();
    for (i, site) in sites.iter().enumerate() {
        let context =
            WalContext { clock: Arc::clone(&clock), entropy: Arc::clone(&entropy), executor: Arc::clone(&executor) as Arc<dyn Executor> };
        let wal = FileWal::open(Arc::new(site.disk.clone()), Arc::clone(&codec), WalSettings::default(), context).await;
        let filesystem = Arc::new(site.filesystem.clone());
        let segments = Arc::new(ViperStore::new(filesystem.clone(), Arc::clone(&clock), ViperOptions::default()));
        parts.push(SiteParts {
            instance: i as u32 + 1,
            location: format!("sim {i}"),
            kind: DiskKind::SataSsd,
            weight: 1.0,
            tags: Vec::new(),
            capacity_bytes: None,
            access: wal.map(|wal| SiteAccess { filesystem, segments, wal: Arc::new(wal) }),
        });
    }
    let engine = Engine::open(Parts {
        clock,
        entropy,
        executor: Arc::clone(&executor) as Arc<dyn Executor>,
        telemetry: Arc::new(SimTelemetry::new()),
        assigner: Arc::new(BuiltinAssigner::new("RoundRobin", Strategy::RoundRobin)),
        metrics: Arc::new(BuiltinMetrics),
        flat: Arc::new(FlatFactory),
        graph: Arc::new(GraphFactory),
        codecs: vec![Arc::new(AvroCodec), Arc::new(BincodeCodec)],
        sites: parts,
        settings,
    });
    (engine.await, executor)
}

#[async_trait(?Send)]
impl DatabaseHarness for World {
    fn database(&self) -> Arc<dyn Database> {
        Arc::clone(&self.engine) as Arc<dyn Database>
    }

    async fn crash_and_reopen(&mut self) {
        self.restart().await;
        let health = self.engine.health().await;
        assert!(health.problems.is_empty(), "seed {}: {:?}", self.seed, health.problems);
    }

    async fn settle(&mut self) {
        SimClock::of_tokio().sleep(Duration::from_secs(5)).await;
    }
}
