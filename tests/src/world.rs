//! The whole engine on simulated disks: real log, real segments, real indexes, one thread, virtual time, a seed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use proximadb_axis::{BuiltinMetric, FlatFactory, GraphFactory};
use proximadb_engine::{
    BuiltinAssigner, Engine, EngineSettings, MetricSource, Parts, SHARDS, SiteAccess, SiteOpener, SiteParts, site_identity,
};
use proximadb_filesystem::{MirroredFilesystem, scoped};
use proximadb_model::plan::MemorySettings;
use proximadb_model::{DiskKind, Invalid, MetricKind, SiteId, Strategy};
use proximadb_ports::conformance::database::DatabaseHarness;
use proximadb_ports::{
    Clock, Database, Disk, Entropy, Executor, Fault, Filesystem, IndexFactory, Metric, Mirror, NoPlugins, Partner, PortError, Result, Wal,
    WalCodec,
};
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
    /// Second copies of the log of the site before.
    pub copies: SimDisk,
    /// Whether it is away, for good or not; the process that runs sees that too.
    pub gone: Arc<AtomicBool>,
}

impl SimSite {
    /// Takes the disk away, with everything on it.
    pub fn destroy(&mut self) {
        self.disk.wipe();
        self.copies.wipe();
        self.gone.store(true, Ordering::Relaxed);
    }

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
    doubles: Doubles,
}

/// What plays in place of the real parts of an engine, for tests of what it does with them.
#[derive(Clone)]
pub struct Doubles {
    /// Time; every process has a clock of its own otherwise.
    pub clock: Option<Arc<SimClock>>,
    /// The approximate index.
    pub graph: Arc<dyn IndexFactory>,
    /// The metrics.
    pub metrics: Arc<dyn MetricSource>,
}

impl Default for Doubles {
    fn default() -> Self {
        Self { clock: None, graph: Arc::new(GraphFactory), metrics: Arc::new(BuiltinMetrics) }
    }
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
    /// Whether each site keeps second copies on the next one.
    pub mirrored: bool,
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
    settings.maintenance.graph_components_min = 0;
    settings.quiet_after = Duration::from_millis(50);
    settings
}

/// How long a second copy may take in the simulated world.
const COPY_DEADLINE: Duration = Duration::from_secs(2);

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
        Self::with(seed, plan, Doubles::default()).await
    }

    /// A new database on empty sites, of which some parts are played by doubles.
    pub async fn with(seed: u64, plan: WorldPlan, doubles: Doubles) -> Self {
        let site = |i| SimSite {
            filesystem: SimFilesystem::new(seed.wrapping_add(i)),
            disk: SimDisk::new(seed.wrapping_add(i)),
            log_store: SimFilesystem::new(seed.wrapping_add(i) ^ 0x6c6f_6700),
            copies: SimDisk::new(seed.wrapping_add(i) ^ 0x0063_6f70),
            gone: Arc::default(),
        };
        let sites: Vec<_> = (0..plan.sites).map(site).collect();
        let executor = Arc::new(SimExecutor::current());
        let engine = open(&sites, seed, plan.clone(), doubles.clone(), Arc::clone(&executor)).await;
        Self { sites, process: Process { engine, executor }, seed, lives: 0, plan, doubles }
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
            site.copies = site.copies.crash();
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
        open(&self.sites, seed, self.plan.clone(), self.doubles.clone(), Arc::clone(executor))
    }

    /// What the process may hold in memory from the next start on.
    pub fn set_memory(&mut self, memory: MemorySettings) {
        self.plan.settings.memory = memory;
    }

    /// Whether each site keeps second copies on the next one.
    pub fn is_mirrored(&self) -> bool {
        self.plan.mirrored
    }

    /// Bytes of everything on all sites.
    pub fn stored_bytes(&self) -> u64 {
        self.sites.iter().map(|s| s.disk.used_bytes() + s.copies.used_bytes() + s.filesystem.used_bytes() + s.log_store.used_bytes()).sum()
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

async fn open(sites: &[SimSite], seed: u64, plan: WorldPlan, doubles: Doubles, executor: Arc<SimExecutor>) -> Arc<Engine> {
    let WorldPlan { log, codec, compression, settings, mirrored, .. } = plan;
    let clock: Arc<dyn Clock> = doubles.clock.unwrap_or_else(|| Arc::new(SimClock::of_tokio()));
    let entropy: Arc<dyn Entropy> = Arc::new(SimEntropy::new(seed));
    let mut parts = Vec::new();
    for (i, site) in sites.iter().enumerate() {
        let context =
            WalContext { clock: Arc::clone(&clock), entropy: Arc::clone(&entropy), executor: Arc::clone(&executor) as Arc<dyn Executor> };
        let partner = sites.get((i + 1) % sites.len()).filter(|_| mirrored && sites.len() > 1);
        let opener = SimOpener {
            filesystem: site.filesystem.clone(),
            disk: site.disk.clone(),
            log_store: site.log_store.clone(),
            partner: partner.map(|partner| (partner.filesystem.clone(), partner.copies.clone(), Arc::clone(&partner.gone))),
            gone: Arc::clone(&site.gone),
            log,
            codec: Arc::clone(&codec),
            compression,
            context,
        };
        parts.push(SiteParts {
            instance: i as u32 + 1,
            location: format!("sim {i}"),
            kind: DiskKind::SataSsd,
            weight: 1.0,
            tags: Vec::new(),
            capacity_bytes: None,
            opener: Arc::new(opener),
        });
    }
    let engine = Engine::open(Parts {
        clock,
        entropy,
        executor: executor as Arc<dyn Executor>,
        telemetry: Arc::new(SimTelemetry::new()),
        assigner: Arc::new(BuiltinAssigner::new("RoundRobin", Strategy::RoundRobin)),
        metrics: doubles.metrics,
        plugins: Arc::new(NoPlugins),
        flat: Arc::new(FlatFactory),
        graph: doubles.graph,
        codecs: vec![Arc::new(AvroCodec), Arc::new(BincodeCodec)],
        sites: parts,
        settings,
    });
    engine.await
}

/// Opens a simulated site.
struct SimOpener {
    filesystem: SimFilesystem,
    disk: SimDisk,
    log_store: SimFilesystem,
    /// Where its second copies lie.
    partner: Option<(SimFilesystem, SimDisk, Arc<AtomicBool>)>,
    gone: Arc<AtomicBool>,
    log: Log,
    codec: Arc<dyn WalCodec>,
    compression: Compression,
    context: WalContext,
}

/// The place of second copies on another simulated site, which may be away.
struct SimPartner {
    filesystem: Arc<dyn Filesystem>,
    disk: SimDisk,
    gone: Arc<AtomicBool>,
}

impl SimPartner {
    fn there(&self) -> Result<&Self> {
        if self.gone.load(Ordering::Relaxed) {
            return Err(PortError::new(Fault::Unavailable, "site.partner", "the partner", "is gone"));
        }
        Ok(self)
    }
}

impl Partner for SimPartner {
    fn disk(&self) -> Result<Arc<dyn Disk>> {
        Ok(Arc::new(self.there()?.disk.clone()))
    }

    fn filesystem(&self) -> Result<Arc<dyn Filesystem>> {
        Ok(Arc::clone(&self.there()?.filesystem))
    }
}

impl SimOpener {
    fn partner(&self, id: SiteId) -> Option<Arc<dyn Partner>> {
        let (filesystem, disk, gone) = self.partner.clone()?;
        let filesystem = scoped(Arc::new(filesystem), &format!("mirrors/{id}"));
        Some(Arc::new(SimPartner { filesystem, disk, gone }))
    }

    fn segments(&self, filesystem: &Arc<dyn Filesystem>) -> Arc<ViperStore> {
        let options = ViperOptions { compression: self.compression, ..ViperOptions::default() };
        Arc::new(ViperStore::new(Arc::clone(filesystem), Arc::clone(&self.context.clock), options))
    }

    async fn wal(&self, disk: Arc<dyn Disk>, partner: Option<Arc<dyn Partner>>) -> Result<Arc<dyn Wal>> {
        let (codec, options, context) = (Arc::clone(&self.codec), WalSettings::default(), self.context.clone());
        Ok(match self.log {
            Log::Files => Arc::new(FileWal::open(disk, partner, codec, options, context).await?),
            Log::Objects => Arc::new(ObjectWal::open(Arc::new(self.log_store.clone()), "", codec, options, context).await?),
        })
    }
}

#[async_trait]
impl SiteOpener for SimOpener {
    async fn open(&self, new: Option<SiteId>) -> Result<SiteAccess> {
        if self.gone.load(Ordering::Relaxed) {
            return Err(PortError::new(Fault::Unavailable, "site.open", "the disk", "is gone"));
        }
        let own: Arc<dyn Filesystem> = Arc::new(self.filesystem.clone());
        let id = site_identity(&*own, new).await?;
        let partner = self.partner(id);
        let wal = self.wal(Arc::new(self.disk.clone()), partner.clone()).await?;
        let (filesystem, mirror): (Arc<dyn Filesystem>, Option<Arc<dyn Mirror>>) = match partner {
            Some(partner) => {
                let mirrored = MirroredFilesystem::new(own, partner, SHARDS, Arc::clone(&self.context.clock), COPY_DEADLINE);
                (Arc::clone(&mirrored) as Arc<dyn Filesystem>, Some(mirrored))
            }
            None => (own, None),
        };
        let segments = self.segments(&filesystem);
        Ok(SiteAccess { id, filesystem, segments, wal, mirror, reserve: None, hold: Box::new(()) })
    }

    async fn open_second(&self, id: SiteId) -> Result<SiteAccess> {
        let none = || PortError::new(Fault::Unavailable, "site.open_second", id, "no second copies are kept");
        let partner = self.partner(id).ok_or_else(none)?;
        let filesystem = partner.filesystem()?;
        let wal = self.wal(partner.disk()?, None).await?;
        let segments = self.segments(&filesystem);
        Ok(SiteAccess { id, filesystem, segments, wal, mirror: None, reserve: None, hold: Box::new(()) })
    }
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
