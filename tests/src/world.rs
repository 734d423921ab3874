//! The whole engine on simulated disks: real log, real segments, real indexes, one thread, virtual time, a seed.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use proximadb_axis::{BuiltinMetric, FlatFactory, GraphFactory};
use proximadb_engine::{BuiltinAssigner, Engine, EngineSettings, MetricSource, Parts, SiteAccess, SiteParts};
use proximadb_model::{DiskKind, Invalid, MetricKind, Strategy};
use proximadb_ports::conformance::database::DatabaseHarness;
use proximadb_ports::{Clock, Database, Entropy, Executor, Metric, PortError, Result, Wal, WalCodec};
use proximadb_sim::{SimClock, SimDisk, SimEntropy, SimExecutor, SimFilesystem, SimTelemetry};
use proximadb_viper::{Compression, ViperOptions, ViperStore};
use proximadb_wal::{AvroCodec, BincodeCodec, FileWal, ObjectWal, WalContext, WalSettings};

/// Where the log of a simulated site lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Log {
    /// In files of the site's disk.
    Files,
    /// In objects of the site's second store.
    Objects,
}

/// One simulated site: what lies on it survives crashes as a disk would let it.
pub struct SimSite {
    /// Segments, sidecars and manifests.
    pub filesystem: SimFilesystem,
    /// The log, where it is of files.
    pub disk: SimDisk,
    /// The log, where it is of objects.
    pub log_store: SimFilesystem,
}

impl SimSite {
    /// Bytes of the log's files.
    pub fn disk_bytes(&self) -> u64 {
        self.disk.used_bytes()
    }
}

/// A database on simulated sites.
pub struct World {
    /// What outlives the process.
    pub sites: Vec<SimSite>,
    /// The process.
    pub process: Process,
    /// The seed of everything.
    pub seed: u64,
    lives: u64,
    plan: WorldPlan,
}

/// What a world is made of.
#[derive(Clone)]
pub struct WorldPlan {
    /// Its sites.
    pub sites: u64,
    /// Where their logs lie.
    pub log: Log,
    /// What the logs are written in.
    pub codec: Arc<dyn WalCodec>,
    /// How segments are compressed.
    pub compression: Compression,
    /// Sizes and times.
    pub settings: EngineSettings,
}

/// An engine and the tasks of its process.
pub struct Process {
    /// The engine.
    pub engine: Arc<Engine>,
    /// Its tasks.
    pub executor: Arc<SimExecutor>,
}

/// Sizes at which everything happens within a few dozen rows: flushes, merges, graphs.
pub fn small_settings() -> EngineSettings {
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
    /// A new database on empty sites.
    pub async fn new(seed: u64, plan: WorldPlan) -> Self {
        let site = |i| SimSite {
            filesystem: SimFilesystem::new(seed.wrapping_add(i)),
            disk: SimDisk::new(seed.wrapping_add(i)),
            log_store: SimFilesystem::new(seed.wrapping_add(i) ^ 0x6c6f_6700),
        };
        let sites: Vec<_> = (0..plan.sites).map(site).collect();
        let executor = Arc::new(SimExecutor::current());
        let engine = open(&sites, seed, plan.clone(), Arc::clone(&executor)).await;
        Self { sites, process: Process { engine, executor }, seed, lives: 0, plan }
    }

    /// The engine that is open now.
    pub fn engine(&self) -> Arc<Engine> {
        Arc::clone(&self.process.engine)
    }

    /// Cuts the power of every site, then ends every task of the process. Whatever was under way happened or not.
    pub async fn cut(&mut self) {
        self.cut_sites();
        self.process.executor.shutdown().await;
    }

    fn cut_sites(&mut self) {
        for site in &mut self.sites {
            site.disk = site.disk.crash();
            site.filesystem = site.filesystem.crash();
            site.log_store = site.log_store.crash();
        }
    }

    /// Opens another process on the same sites, and gives it; the one before may still be running.
    pub async fn start(&mut self) -> Process {
        let executor = Arc::new(SimExecutor::current());
        let engine = self.opening(&executor).await;
        Process { engine, executor }
    }

    /// Opens what is left after [`World::cut`].
    pub async fn reopen(&mut self) {
        self.process = self.start().await;
    }

    /// Waits until some site has done so many operations more, and for `longest` at most.
    pub async fn operations(&self, count: u64, longest: Duration) {
        let mut alarms = Vec::new();
        for site in &self.sites {
            alarms.extend([site.disk.alarm_after(count), site.filesystem.alarm_after(count), site.log_store.alarm_after(count)]);
        }
        let clock = SimClock::of_tokio();
        tokio::select! {
            biased;
            _ = futures_util::future::select_all(alarms) => {}
            () = clock.sleep(longest) => {}
        }
    }

    /// Begins to open what is left, lets others have `turns` turns meanwhile, and cuts the power again. False where it was open
    /// before that, and then it is cut off all the same.
    pub async fn cut_while_opening(&mut self, turns: u64) -> bool {
        let executor = Arc::new(SimExecutor::current());
        let cut_off = {
            let opening = self.opening(&executor);
            tokio::select! {
                biased;
                _ = opening => false,
                () = give_way(turns) => true,
            }
        };
        self.cut_sites();
        executor.shutdown().await;
        cut_off
    }

    fn opening(&mut self, executor: &Arc<SimExecutor>) -> impl Future<Output = Arc<Engine>> + use<'_> {
        self.lives += 1;
        // A new process draws other identities than the one before.
        let seed = self.seed ^ (self.lives << 32);
        open(&self.sites, seed, self.plan.clone(), Arc::clone(executor))
    }

    /// Bytes of everything on all sites.
    pub fn stored_bytes(&self) -> u64 {
        self.sites.iter().map(|s| s.disk.used_bytes() + s.filesystem.used_bytes() + s.log_store.used_bytes()).sum()
    }

    /// A digest of everything that any site did.
    pub fn digest(&self) -> u64 {
        let digests = self.sites.iter().flat_map(|s| [s.disk.trace_digest(), s.filesystem.trace_digest(), s.log_store.trace_digest()]);
        digests.fold(0, |all, one| all.rotate_left(9) ^ one)
    }
}

/// Lets everybody else have a turn, so many times.
pub async fn give_way(turns: u64) {
    for _ in 0..turns {
        tokio::task::yield_now().await;
    }
}

async fn open(sites: &[SimSite], seed: u64, plan: WorldPlan, executor: Arc<SimExecutor>) -> Arc<Engine> {
    let WorldPlan { log, codec, compression, settings, .. } = plan;
    let clock: Arc<dyn Clock> = Arc::new(SimClock::of_tokio());
    let entropy: Arc<dyn Entropy> = Arc::new(SimEntropy::new(seed));
    let mut parts = Vec::new();
    for (i, site) in sites.iter().enumerate() {
        let context =
            WalContext { clock: Arc::clone(&clock), entropy: Arc::clone(&entropy), executor: Arc::clone(&executor) as Arc<dyn Executor> };
        let (codec, options) = (Arc::clone(&codec), WalSettings::default());
        let wal: Result<Arc<dyn Wal>> = match log {
            Log::Files => {
                FileWal::open(Arc::new(site.disk.clone()), codec, options, context).await.map(|wal| Arc::new(wal) as Arc<dyn Wal>)
            }
            Log::Objects => {
                let store = Arc::new(site.log_store.clone());
                ObjectWal::open(store, "", codec, options, context).await.map(|wal| Arc::new(wal) as Arc<dyn Wal>)
            }
        };
        let filesystem = Arc::new(site.filesystem.clone());
        let segments =
            Arc::new(ViperStore::new(filesystem.clone(), Arc::clone(&clock), ViperOptions { compression, ..ViperOptions::default() }));
        parts.push(SiteParts {
            instance: i as u32 + 1,
            location: format!("sim {i}"),
            kind: DiskKind::SataSsd,
            weight: 1.0,
            tags: Vec::new(),
            capacity_bytes: None,
            access: wal.map(|wal| SiteAccess { filesystem, segments, wal }),
        });
    }
    let engine = Engine::open(Parts {
        clock,
        entropy,
        executor: executor as Arc<dyn Executor>,
        telemetry: Arc::new(SimTelemetry::new()),
        assigner: Arc::new(BuiltinAssigner::new("RoundRobin", Strategy::RoundRobin)),
        metrics: Arc::new(BuiltinMetrics),
        flat: Arc::new(FlatFactory),
        graph: Arc::new(GraphFactory),
        codecs: vec![Arc::new(AvroCodec), Arc::new(BincodeCodec)],
        sites: parts,
        settings,
    });
    engine.await
}

#[async_trait(?Send)]
impl DatabaseHarness for World {
    fn database(&self) -> Arc<dyn Database> {
        self.engine() as Arc<dyn Database>
    }

    async fn crash_and_reopen(&mut self) {
        self.cut().await;
        self.reopen().await;
        let health = self.process.engine.health().await;
        assert!(health.problems.is_empty(), "seed {}: {:?}", self.seed, health.problems);
    }

    async fn settle(&mut self) {
        SimClock::of_tokio().sleep(Duration::from_secs(5)).await;
    }
}
