//! What the engine is made of: the adapters that play its ports, handed over by the composition root.

use std::sync::Arc;

use async_trait::async_trait;
use proximadb_model::{DiskKind, MetricKind, SiteId};
use proximadb_ports::{
    Assigner, Clock, Entropy, Executor, Filesystem, IndexFactory, Metric, Mirror, PluginList, Reserve, Result, SegmentStore, Telemetry,
    Wal, WalCodec,
};

use crate::settings::EngineSettings;

/// Finds the metric of a kind.
pub trait MetricSource: Send + Sync + 'static {
    /// The metric for vectors of this dimension. A plugin may be asked for it, so it belongs on a thread that computes.
    ///
    /// # Errors
    /// `Invalid` on `metric` when there is none, or it takes no such dimension; `Plugin` when it fails.
    fn metric(&self, kind: &MetricKind, dimension: usize) -> Result<Arc<dyn Metric>>;
}

/// Everything that the engine needs.
pub struct Parts {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Identities.
    pub entropy: Arc<dyn Entropy>,
    /// Where things run.
    pub executor: Arc<dyn Executor>,
    /// Where counts go.
    pub telemetry: Arc<dyn Telemetry>,
    /// Where new shards go.
    pub assigner: Arc<dyn Assigner>,
    /// Metrics by kind.
    pub metrics: Arc<dyn MetricSource>,
    /// What can be told of plugins.
    pub plugins: Arc<dyn PluginList>,
    /// The exact index, for small and fresh segments.
    pub flat: Arc<dyn IndexFactory>,
    /// The approximate index.
    pub graph: Arc<dyn IndexFactory>,
    /// Codecs in which encoded operations may arrive.
    pub codecs: Vec<Arc<dyn WalCodec>>,
    /// The sites.
    pub sites: Vec<SiteParts>,
    /// Sizes and times.
    pub settings: EngineSettings,
}

/// One site and the adapters that reach it.
pub struct SiteParts {
    /// The number it has in the configuration.
    pub instance: u32,
    /// Where it is, without credentials.
    pub location: String,
    /// What it is.
    pub kind: DiskKind,
    /// Its share of new shards.
    pub weight: f32,
    /// Words that placement plugins look at.
    pub tags: Vec<String>,
    /// Bytes that may be used; `None` for as much as there is.
    pub capacity_bytes: Option<u64>,
    /// Makes the adapters that reach it, at the start and whenever it comes back.
    pub opener: Arc<dyn SiteOpener>,
}

/// Reaches a site, as often as that is needed: a disk may go and come back.
#[async_trait]
pub trait SiteOpener: Send + Sync + 'static {
    /// Reaches the site. Where nothing marks the place as a site it becomes the site `new`, if one is given.
    ///
    /// # Errors
    /// `NotFound` when nothing marks the place as a site and `new` is not given; `Conflict` while another process, or an access
    /// from before that is still in use, holds it; `Unavailable`; `Corrupt`.
    async fn open(&self, new: Option<SiteId>) -> Result<SiteAccess>;

    /// Reaches the second copies of a site that is lost, as if they were the site.
    ///
    /// # Errors
    /// `Unavailable` when there are none, or the site that has them is away.
    async fn open_second(&self, id: SiteId) -> Result<SiteAccess>;
}

/// The adapters of a site that can be reached.
pub struct SiteAccess {
    /// Its identity, as [`crate::site_identity`] read it.
    pub id: SiteId,
    /// Its objects.
    pub filesystem: Arc<dyn Filesystem>,
    /// Its segments.
    pub segments: Arc<dyn SegmentStore>,
    /// Its log.
    pub wal: Arc<dyn Wal>,
    /// The second copies of its objects, where there are any.
    pub mirror: Option<Arc<dyn Mirror>>,
    /// Room that it gives back when there is no other left.
    pub reserve: Option<Arc<dyn Reserve>>,
    /// Held as long as the site is in use: what keeps other processes off.
    pub hold: Box<dyn Send + Sync>,
}
