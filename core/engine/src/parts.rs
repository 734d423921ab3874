//! What the engine is made of: the adapters that play its ports, handed over by the composition root.

use std::sync::Arc;

use proximadb_model::{DiskKind, MetricKind};
use proximadb_ports::{
    Assigner, Clock, Entropy, Executor, Filesystem, IndexFactory, Metric, Result, SegmentStore, Telemetry, Wal, WalCodec,
};

use crate::settings::EngineSettings;

/// Finds the metric of a kind.
pub trait MetricSource: Send + Sync + 'static {
    /// The metric for vectors of this dimension.
    ///
    /// # Errors
    /// `Invalid` on `metric` when there is none.
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
    /// What reaches it, or why nothing does: such a site is listed as unavailable, and the others are served.
    pub access: Result<SiteAccess>,
}

/// The adapters of a site that can be reached.
#[derive(Clone)]
pub struct SiteAccess {
    /// Its objects.
    pub filesystem: Arc<dyn Filesystem>,
    /// Its segments.
    pub segments: Arc<dyn SegmentStore>,
    /// Its log.
    pub wal: Arc<dyn Wal>,
}
