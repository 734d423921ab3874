//! From settings to adapters: the one place that knows every kind there is.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use proximadb_axis::{FlatFactory, GraphFactory, OwnGraphFactory, RerankedFactory};
use proximadb_config::{Codec, ConfigError, Originals, Settings, SiteSettings};
use proximadb_engine::{
    BuiltinAssigner, EngineSettings, FallbackAssigner, MetricSource, Parts, SHARDS, SiteAccess, SiteOpener, SiteParts, site_identity,
};
use proximadb_filesystem::{DeadlineSettings, DirLock, LocalDisk, MirroredFilesystem, create_directory, deadlined};
use proximadb_model::SiteId;
use proximadb_model::plan::{MemorySettings, OriginalsPlace, RoomSettings};
use proximadb_ports::{
    Assigner, Clock, Entropy, Executor, Fault, Filesystem, Mirror, Partner, PortError, Reserve, Result, Telemetry, Wal, WalCodec,
};
use proximadb_viper::{Compression, ViperOptions, ViperStore};
use proximadb_wal::{AvroCodec, BincodeCodec, FileWal, ObjectWal, WalContext, WalSettings};
use url::Url;

use crate::log_mark;
use crate::memory::Budget;
use crate::places::{Entry, FolderReserve, Place, Places, SecondPlace};
use crate::plugins::Plugins;

/// Bytes of decoded metadata that are kept at most, over all sites.
const METADATA_CACHE_BYTES: u64 = 256 << 20;

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
pub(crate) fn parts(
    settings: Settings,
    cwd: &Path,
    around: Surroundings,
    plugins: Arc<Plugins>,
    memory: Budget,
) -> std::result::Result<Parts, ConfigError> {
    let settings = Arc::new(settings);
    let surroundings = Arc::new(around.clone());
    let configured = settings.sites(cwd)?;
    let partners = partners(&settings, &configured);
    let cache_bytes_max = memory.bound(METADATA_CACHE_BYTES) / configured.len().max(1);
    let places = Arc::<Places>::default();
    let site = |site: SiteSettings| SiteParts {
        instance: site.instance,
        location: site.storage_url.to_string(),
        kind: site.kind,
        weight: site.weight,
        tags: site.tags.clone(),
        capacity_bytes: site.capacity_bytes,
        opener: Arc::new(ConfiguredSite {
            settings: Arc::clone(&settings),
            partner: partners.get(&site.instance).copied(),
            site,
            cache_bytes_max,
            places: Arc::clone(&places),
            around: Arc::clone(&surroundings),
        }),
    };
    let sites = configured.into_iter().map(site).collect();
    let disk = &settings.storage.disk;
    let mut engine = EngineSettings {
        search_timeout: settings.search.timeout(),
        memory: MemorySettings {
            budget_bytes: memory.bytes,
            originals: match settings.memory.originals {
                Originals::Auto => OriginalsPlace::Auto,
                Originals::Disk => OriginalsPlace::Disk,
            },
        },
        filter_bytes_max: memory.bound(settings.memory.filter_bytes_max),
        site_check_every: Duration::from_millis(disk.check_every_ms),
        site_answer_within: Duration::from_millis(disk.answer_within_ms),
        room: RoomSettings { warn_bytes: disk.warn_free_bytes, refuse_bytes: disk.refuse_free_bytes },
        scrub_bytes_per_second: disk.scrub_bytes_per_second,
        scrub_every: Duration::from_secs(disk.scrub_every_seconds),
        ..EngineSettings::default()
    };
    engine.flush.memtable_bytes_max = memory.bound(settings.storage.wal_config.memory_flush_size_bytes);
    Ok(Parts {
        clock: around.clock,
        entropy: around.entropy,
        executor: around.executor,
        telemetry: around.telemetry,
        assigner: assigner(&settings, &plugins),
        metrics: Arc::clone(&plugins) as Arc<dyn MetricSource>,
        plugins,
        flat: Arc::new(FlatFactory),
        graph: Arc::new(OwnGraphFactory(RerankedFactory(GraphFactory))),
        codecs: codecs(),
        sites,
        settings: engine,
    })
}

/// The strategy of the settings, with its fallback where a plugin decides.
fn assigner(settings: &Settings, plugins: &Plugins) -> Arc<dyn Assigner> {
    let wal = &settings.storage.wal_config;
    let built_in = BuiltinAssigner::new(wal.built_in().to_string(), wal.strategy());
    match wal.distribution_strategy.plugin() {
        Some(name) => Arc::new(FallbackAssigner::new(wal.distribution_strategy.to_string(), plugins.assigner(name), built_in)),
        None => Arc::new(built_in),
    }
}

/// Which site keeps the second copies of which: the next one on another disk, in the order of the configuration.
fn partners(settings: &Settings, sites: &[SiteSettings]) -> BTreeMap<u32, u32> {
    let disks: Vec<u32> =
        sites.iter().filter(|s| local(&s.storage_url).is_some() && local(&s.wal_url).is_some()).map(|s| s.instance).collect();
    if settings.storage.wal_config.copies == 1 || disks.len() < 2 {
        return BTreeMap::new();
    }
    let next = disks.iter().cycle().skip(1);
    disks.iter().copied().zip(next.copied()).collect()
}

fn codecs() -> Vec<Arc<dyn WalCodec>> {
    vec![Arc::new(AvroCodec), Arc::new(BincodeCodec)]
}

/// A site as the settings describe it, opened as often as it comes back.
struct ConfiguredSite {
    settings: Arc<Settings>,
    site: SiteSettings,
    /// The number of the site that keeps its second copies.
    partner: Option<u32>,
    /// Bytes of decoded metadata that its segments keep.
    cache_bytes_max: usize,
    places: Arc<Places>,
    around: Arc<Surroundings>,
}

/// The folder locks and the entry among the places of a site that is in use.
struct Hold {
    _locks: Vec<DirLock>,
    _entry: Entry,
}

impl ConfiguredSite {
    fn deadline(&self) -> DeadlineSettings {
        DeadlineSettings { base: Duration::from_millis(self.settings.storage.disk.deadline_ms), ..DeadlineSettings::default() }
    }

    fn copy_deadline(&self) -> Duration {
        Duration::from_millis(self.settings.storage.disk.copy_deadline_ms)
    }

    fn segments(&self, filesystem: &Arc<dyn Filesystem>) -> Arc<ViperStore> {
        let level = i32::from(self.settings.storage.segment.compression_level);
        let options =
            ViperOptions { compression: Compression::Zstd { level }, cache_bytes_max: self.cache_bytes_max, ..ViperOptions::default() };
        Arc::new(ViperStore::new(Arc::clone(filesystem), Arc::clone(&self.around.clock), options))
    }

    fn codec(&self) -> Arc<dyn WalCodec> {
        match self.settings.storage.wal_config.codec {
            Codec::Avro => Arc::new(AvroCodec),
            Codec::Bincode => Arc::new(BincodeCodec),
        }
    }

    fn wal_settings(&self) -> WalSettings {
        WalSettings {
            file_bytes_max: self.settings.storage.wal_config.file_bytes_max,
            deadline: self.deadline().base,
            mirror_deadline: self.copy_deadline(),
            ..WalSettings::default()
        }
    }

    fn wal_context(&self) -> WalContext {
        let around = &self.around;
        WalContext { clock: Arc::clone(&around.clock), entropy: Arc::clone(&around.entropy), executor: Arc::clone(&around.executor) }
    }

    /// The filesystem of a URL, in which nothing takes for ever.
    fn filesystem(&self, url: &Url) -> Result<Arc<dyn Filesystem>> {
        let opened = proximadb_filesystem::open(url.as_str(), &store_options(&self.settings, url))?;
        Ok(deadlined(opened, Arc::clone(&self.around.clock), self.deadline()))
    }

    /// Takes the site's folders; these are system calls, and a disk that hangs lets them wait.
    async fn take_folders(&self) -> Result<Vec<DirLock>> {
        let folders: Vec<PathBuf> = [&self.site.storage_url, &self.site.wal_url].into_iter().filter_map(local).collect();
        let taken = tokio::task::spawn_blocking(move || folders.iter().map(|folder| take_folder(folder)).collect::<Result<Vec<_>>>());
        let gone = |e| PortError::new(Fault::Unavailable, "site.open", &self.site.storage_url, "the runtime is ending").with_source(e);
        taken.await.map_err(gone)?
    }

    /// Takes the folders and reads the site's identity.
    async fn reach(&self, new: Option<SiteId>) -> Result<(Vec<DirLock>, Arc<dyn Filesystem>, SiteId)> {
        let locks = self.take_folders().await?;
        let own = self.filesystem(&self.site.storage_url)?;
        let id = site_identity(&*own, new).await?;
        Ok((locks, own, id))
    }

    async fn reserve(&self, filesystem: &dyn Filesystem) -> Result<Option<Arc<dyn Reserve>>> {
        let (Some(folder), Some(space)) = (local(&self.site.storage_url), filesystem.space().await?) else { return Ok(None) };
        let bytes = self.settings.storage.disk.reserve_bytes.min(space.total_bytes / 100);
        Ok(Some(Arc::new(FolderReserve::new(folder, bytes).await)))
    }
}

#[async_trait]
impl SiteOpener for ConfiguredSite {
    async fn open(&self, new: Option<SiteId>) -> Result<SiteAccess> {
        let reached = self.reach(new).await;
        let (locks, own, id) = reached.inspect_err(|_| self.places.away(self.site.instance))?;
        let folder = local(&self.site.wal_url);
        let entry = self.places.enter(self.site.instance, Place { filesystem: Arc::clone(&own), wal: folder.clone() });
        let reserve = self.reserve(&*own).await?;
        let partner = self.partner.map(|instance| Arc::new(SecondPlace { places: Arc::clone(&self.places), instance, of: id }));
        let (filesystem, mirror): (Arc<dyn Filesystem>, Option<Arc<dyn Mirror>>) = match &partner {
            Some(partner) => {
                let partner = Arc::clone(partner) as Arc<dyn Partner>;
                let mirrored = MirroredFilesystem::new(own, partner, SHARDS, Arc::clone(&self.around.clock), self.copy_deadline());
                (Arc::clone(&mirrored) as Arc<dyn Filesystem>, Some(mirrored))
            }
            None => (own, None),
        };
        if let Some(instance) = self.partner {
            // The log reads both copies when it is opened. A partner that hangs is waited for no longer than it may take later.
            let prepared = async {
                self.places.settled(instance).await;
                if let Some(partner) = &partner {
                    partner.prepare().await;
                }
            };
            tokio::select! {
                () = prepared => {}
                () = self.around.clock.sleep(self.copy_deadline()) => {}
            }
        }
        let wal: Arc<dyn Wal> = match folder {
            Some(folder) => {
                let second = partner.as_ref().is_some_and(|partner| partner.disk().is_ok());
                let shards = !filesystem.list_prefixes(SHARDS).await?.is_empty();
                let mark = folder.clone();
                // The log of a site that has shards is no new folder, unless the second copy tells what was in it.
                let marked = tokio::task::spawn_blocking(move || log_mark::check(&mark, id, second || !shards)).await;
                marked.map_err(|e| PortError::new(Fault::Unavailable, "site.open", id, "the runtime is ending").with_source(e))??;
                let disk = Arc::new(LocalDisk::open(&folder)?);
                let partner = partner.map(|partner| partner as Arc<dyn Partner>);
                Arc::new(FileWal::open(disk, partner, self.codec(), self.wal_settings(), self.wal_context()).await?)
            }
            None => {
                let bucket = self.filesystem(&self.site.wal_url)?;
                Arc::new(ObjectWal::open(bucket, "", self.codec(), self.wal_settings(), self.wal_context()).await?)
            }
        };
        let segments = self.segments(&filesystem);
        Ok(SiteAccess { id, filesystem, segments, wal, mirror, reserve, hold: Box::new(Hold { _locks: locks, _entry: entry }) })
    }

    async fn open_second(&self, id: SiteId) -> Result<SiteAccess> {
        let none = || PortError::new(Fault::Unavailable, "site.open_second", id, "no second copies of this site are kept");
        let partner = SecondPlace { places: Arc::clone(&self.places), instance: self.partner.ok_or_else(none)?, of: id };
        let filesystem = partner.filesystem()?;
        partner.prepare().await;
        let wal = FileWal::open(partner.disk()?, None, self.codec(), self.wal_settings(), self.wal_context()).await?;
        let segments = self.segments(&filesystem);
        Ok(SiteAccess { id, filesystem, segments, wal: Arc::new(wal), mirror: None, reserve: None, hold: Box::new(()) })
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
    match lock.sweep_unfinished() {
        Ok(0) => {}
        Ok(swept) => tracing::info!(folder = %folder.display(), swept, "removed what writes that a crash cut off had left"),
        Err(error) => tracing::warn!(folder = %folder.display(), %error, "what writes that a crash cut off had left stays"),
    }
    Ok(lock)
}

/// The options of a bucket, by the scheme of its URL.
pub(crate) fn store_options(settings: &Settings, url: &Url) -> BTreeMap<String, String> {
    let stores = &settings.storage.object_store;
    let options = match url.scheme() {
        "s3" => &stores.s3,
        "adls" | "abfs" | "abfss" => &stores.adls,
        "gcs" | "gs" => &stores.gcs,
        _ => return BTreeMap::new(),
    };
    options.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}
