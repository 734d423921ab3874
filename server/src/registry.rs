//! From settings to adapters: the one place that knows every kind there is.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use proximadb_axis::{BuiltinMetric, FlatFactory, GraphFactory};
use proximadb_config::{Codec, ConfigError, Settings, SiteSettings};
use proximadb_engine::{BuiltinAssigner, EngineSettings, MetricSource, Parts, SiteAccess, SiteOpener, SiteParts, site_identity};
use proximadb_filesystem::{DirLock, LocalDisk, create_directory};
use proximadb_model::{Invalid, MetricKind, SiteId};
use proximadb_ports::{Clock, Entropy, Executor, Fault, Filesystem, Metric, PortError, Result, Telemetry, Wal, WalCodec};
use proximadb_viper::{Compression, ViperOptions, ViperStore};
use proximadb_wal::{AvroCodec, BincodeCodec, FileWal, ObjectWal, WalContext, WalSettings};
use url::Url;

/// What the surroundings play.
#[derive(Clone)]
pub(crate) struct Surroundings {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) executor: Arc<dyn Executor>,
    pub(crate) telemetry: Arc<dyn Telemetry>,
}

/// The engine's parts as the settings describe them.
///
/// # Errors
/// Settings that contradict themselves.
pub(crate) fn parts(settings: Settings, cwd: &Path, around: Surroundings) -> std::result::Result<Parts, ConfigError> {
    let settings = Arc::new(settings);
    let surroundings = Arc::new(around.clone());
    let site = |site: SiteSettings| SiteParts {
        instance: site.instance,
        location: site.storage_url.to_string(),
        kind: site.kind,
        weight: site.weight,
        tags: site.tags.clone(),
        capacity_bytes: site.capacity_bytes,
        opener: Arc::new(ConfiguredSite { settings: Arc::clone(&settings), site, around: Arc::clone(&surroundings) }),
    };
    let sites = settings.sites(cwd)?.into_iter().map(site).collect();
    let mut engine = EngineSettings { search_timeout: settings.search.timeout(), ..EngineSettings::default() };
    engine.flush.memtable_bytes_max = usize::try_from(settings.storage.wal_config.memory_flush_size_bytes).unwrap_or(usize::MAX);
    let strategy = &settings.storage.wal_config;
    Ok(Parts {
        clock: around.clock,
        entropy: around.entropy,
        executor: around.executor,
        telemetry: around.telemetry,
        assigner: Arc::new(BuiltinAssigner::new(format!("{:?}", strategy.distribution_strategy), strategy.strategy())),
        metrics: Arc::new(BuiltinMetrics),
        flat: Arc::new(FlatFactory),
        graph: Arc::new(GraphFactory),
        codecs: codecs(),
        sites,
        settings: engine,
    })
}

/// A site as the settings describe it, opened as often as it comes back.
struct ConfiguredSite {
    settings: Arc<Settings>,
    site: SiteSettings,
    around: Arc<Surroundings>,
}

#[async_trait]
impl SiteOpener for ConfiguredSite {
    async fn open(&self, new: Option<SiteId>) -> Result<SiteAccess> {
        let mut locks = Vec::new();
        let filesystem = open_filesystem(&self.settings, &self.site.storage_url, &mut locks)?;
        let id = site_identity(&*filesystem, new).await?;
        let level = i32::from(self.settings.storage.segment.compression_level);
        let options = ViperOptions { compression: Compression::Zstd { level }, ..ViperOptions::default() };
        let segments = Arc::new(ViperStore::new(Arc::clone(&filesystem), Arc::clone(&self.around.clock), options));
        let wal = open_wal(&self.settings, &self.site.wal_url, &self.around, &mut locks).await?;
        Ok(SiteAccess { id, filesystem, segments, wal, mirror: None, reserve: None, hold: Box::new(locks) })
    }
}

fn codecs() -> Vec<Arc<dyn WalCodec>> {
    vec![Arc::new(AvroCodec), Arc::new(BincodeCodec)]
}

fn open_filesystem(settings: &Settings, url: &Url, locks: &mut Vec<DirLock>) -> Result<Arc<dyn Filesystem>> {
    if let Some(folder) = local(url) {
        locks.push(take_folder(&folder)?);
    }
    proximadb_filesystem::open(url.as_str(), &store_options(settings, url))
}

async fn open_wal(settings: &Settings, url: &Url, around: &Surroundings, locks: &mut Vec<DirLock>) -> Result<Arc<dyn Wal>> {
    let wal = &settings.storage.wal_config;
    let codec: Arc<dyn WalCodec> = match wal.codec {
        Codec::Avro => Arc::new(AvroCodec),
        Codec::Bincode => Arc::new(BincodeCodec),
    };
    let options = WalSettings { file_bytes_max: wal.file_bytes_max, ..WalSettings::default() };
    let context =
        WalContext { clock: Arc::clone(&around.clock), entropy: Arc::clone(&around.entropy), executor: Arc::clone(&around.executor) };
    match local(url) {
        Some(folder) => {
            locks.push(take_folder(&folder)?);
            let disk = Arc::new(LocalDisk::open(&folder)?);
            Ok(Arc::new(FileWal::open(disk, None, codec, options, context).await?))
        }
        None => {
            let bucket = open_filesystem(settings, url, locks)?;
            Ok(Arc::new(ObjectWal::open(bucket, "", codec, options, context).await?))
        }
    }
}

fn local(url: &Url) -> Option<PathBuf> {
    (url.scheme() == "file").then(|| url.to_file_path().ok()).flatten()
}

/// Makes a folder where its parent is there, and locks it. A missing parent is more likely a disk that is not mounted than a
/// wish for a new one, and what would be written below it would be on the wrong disk.
fn take_folder(folder: &Path) -> Result<DirLock> {
    let missing = folder.parent().filter(|parent| !parent.is_dir());
    if let Some(parent) = missing {
        let message = "this folder is missing; is its disk mounted?";
        return Err(PortError::new(Fault::Unavailable, "site.open", parent.display(), message));
    }
    create_directory(folder)?;
    let lock = DirLock::acquire(folder)?;
    let swept = lock.sweep_unfinished()?;
    if swept > 0 {
        tracing::info!(folder = %folder.display(), swept, "removed what writes that a crash cut off had left");
    }
    Ok(lock)
}

fn store_options(settings: &Settings, url: &Url) -> BTreeMap<String, String> {
    let stores = &settings.storage.object_store;
    let options = match url.scheme() {
        "s3" => &stores.s3,
        "adls" | "abfs" | "abfss" => &stores.adls,
        "gcs" | "gs" => &stores.gcs,
        _ => return BTreeMap::new(),
    };
    options.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// The metrics that are built in.
struct BuiltinMetrics;

impl MetricSource for BuiltinMetrics {
    fn metric(&self, kind: &MetricKind, _dimension: usize) -> Result<Arc<dyn Metric>> {
        match BuiltinMetric::new(kind.clone()) {
            Some(metric) => Ok(Arc::new(metric)),
            None => Err(PortError::invalid("metric", Invalid::new("metric", format!("no plugin provides {kind}")))),
        }
    }
}
