//! The write-ahead logs: where they lie, how they are encoded, and which site a new shard gets.

use std::collections::BTreeMap;

use proximadb_model::{CodecId, Strategy};
use serde::{Deserialize, Serialize};

/// The write-ahead logs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WalSettings {
    /// One folder or prefix for each site, as a path or URL; beside the storage by default.
    pub wal_urls: Vec<String>,
    /// Which site a new shard gets.
    pub distribution_strategy: DistributionStrategy,
    /// The instance of each collection's site, under the strategy `Manual`.
    pub manual: BTreeMap<String, u32>,
    /// Whether a shard's log, segments and indexes stay together; they always do, so that `false` is refused.
    pub collection_affinity: bool,
    /// How the payload of a frame is encoded.
    pub codec: Codec,
    /// Bytes after which a log starts its next file.
    pub file_bytes_max: u64,
    /// Disks on which the log, the segments and the indexes of a shard are kept, 1 or 2; 0 means 2 where two or more disks are
    /// configured, otherwise 1. Buckets keep their own copies.
    pub copies: u8,
    /// Bytes that a shard holds in memory before it writes a segment.
    pub memory_flush_size_bytes: u64,
}

impl Default for WalSettings {
    fn default() -> Self {
        Self {
            wal_urls: Vec::new(),
            distribution_strategy: DistributionStrategy::default(),
            manual: BTreeMap::new(),
            collection_affinity: true,
            codec: Codec::default(),
            file_bytes_max: 64 << 20,
            copies: 0,
            memory_flush_size_bytes: 128 << 20,
        }
    }
}

impl WalSettings {
    /// The strategy with all that it needs.
    pub fn strategy(&self) -> Strategy {
        match self.distribution_strategy {
            DistributionStrategy::RoundRobin => Strategy::RoundRobin,
            DistributionStrategy::Hash => Strategy::Hash,
            DistributionStrategy::LoadBalanced => Strategy::LoadBalanced,
            DistributionStrategy::PerformanceBased => Strategy::PerformanceBased,
            DistributionStrategy::Manual => Strategy::Manual(self.manual.clone()),
        }
    }
}

/// A placement strategy by its name in the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum DistributionStrategy {
    /// Each site in turn.
    #[default]
    RoundRobin,
    /// By hashing the shard's identity.
    #[serde(alias = "HashBased")]
    Hash,
    /// The site with the smallest share of used bytes.
    LoadBalanced,
    /// The fastest site.
    PerformanceBased,
    /// As `manual` says.
    Manual,
}

/// A codec of the log by its name in the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Codec {
    /// Avro, which other programs can read.
    #[default]
    Avro,
    /// Bincode.
    Bincode,
}

impl From<Codec> for CodecId {
    fn from(codec: Codec) -> Self {
        match codec {
            Codec::Avro => Self::AVRO,
            Codec::Bincode => Self::BINCODE,
        }
    }
}
