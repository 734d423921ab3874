//! The write-ahead logs: where they lie, how they are encoded, and which site a new shard gets.

use std::collections::BTreeMap;
use std::fmt;

use proximadb_model::{CodecId, Strategy, is_plugin_name};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The write-ahead logs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WalSettings {
    /// One folder or prefix for each site, as a path or URL; beside the storage by default.
    pub wal_urls: Vec<String>,
    /// Which site a new shard gets.
    pub distribution_strategy: DistributionStrategy,
    /// What decides in place of a plugin that fails; a built-in strategy.
    pub fallback_strategy: DistributionStrategy,
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
            fallback_strategy: DistributionStrategy::default(),
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
    /// The built-in strategy that decides, alone or where the plugin fails, with all that it needs.
    pub fn strategy(&self) -> Strategy {
        match self.built_in() {
            DistributionStrategy::Hash => Strategy::Hash,
            DistributionStrategy::LoadBalanced => Strategy::LoadBalanced,
            DistributionStrategy::PerformanceBased => Strategy::PerformanceBased,
            DistributionStrategy::Manual => Strategy::Manual(self.manual.clone()),
            // A fallback is never a plugin; that is checked.
            DistributionStrategy::RoundRobin | DistributionStrategy::Wasm(_) => Strategy::RoundRobin,
        }
    }

    /// The name of that strategy.
    pub fn built_in(&self) -> &DistributionStrategy {
        if self.distribution_strategy.plugin().is_some() { &self.fallback_strategy } else { &self.distribution_strategy }
    }

    /// Whether this built-in strategy may be asked.
    pub(crate) fn may_ask_for(&self, strategy: &DistributionStrategy) -> bool {
        self.built_in() == strategy
    }
}

/// A placement strategy by its name in the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum DistributionStrategy {
    /// Each site in turn.
    #[default]
    RoundRobin,
    /// By hashing the shard's identity.
    Hash,
    /// The site with the smallest share of used bytes.
    LoadBalanced,
    /// The fastest site.
    PerformanceBased,
    /// As `manual` says.
    Manual,
    /// As the plugin of this name says.
    Wasm(String),
}

const STRATEGIES: [&str; 6] = ["RoundRobin", "Hash", "LoadBalanced", "PerformanceBased", "Manual", "wasm:NAME"];

impl DistributionStrategy {
    /// The plugin that decides, where one does.
    pub fn plugin(&self) -> Option<&str> {
        match self {
            Self::Wasm(name) => Some(name),
            _ => None,
        }
    }
}

impl fmt::Display for DistributionStrategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RoundRobin => f.write_str("RoundRobin"),
            Self::Hash => f.write_str("Hash"),
            Self::LoadBalanced => f.write_str("LoadBalanced"),
            Self::PerformanceBased => f.write_str("PerformanceBased"),
            Self::Manual => f.write_str("Manual"),
            Self::Wasm(name) => write!(f, "wasm:{name}"),
        }
    }
}

impl Serialize for DistributionStrategy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DistributionStrategy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(match text.as_str() {
            "RoundRobin" => Self::RoundRobin,
            "Hash" | "HashBased" => Self::Hash,
            "LoadBalanced" => Self::LoadBalanced,
            "PerformanceBased" => Self::PerformanceBased,
            "Manual" => Self::Manual,
            other => match other.strip_prefix("wasm:") {
                Some(name) if is_plugin_name(name) => Self::Wasm(name.to_owned()),
                _ => return Err(D::Error::unknown_variant(other, &STRATEGIES)),
            },
        })
    }
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
