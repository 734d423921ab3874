//! The whole of the settings as plain data with its defaults. Knows neither files nor variables, and reads none.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::plugins::{PluginHostSettings, PluginSettings};
use crate::server::ServerSettings;
use crate::storage::StorageSettings;

/// Every setting of a server; what [`Settings::load`] gives is checked, and what is not set has its default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Folder of everything when neither log nor storage paths are set; relative to the working directory.
    pub data_dir: PathBuf,
    /// What it listens on, and how it stops.
    pub server: ServerSettings,
    /// Where and how data is kept.
    pub storage: StorageSettings,
    /// Metrics and placement strategies that are brought along, by name.
    pub plugins: BTreeMap<String, PluginSettings>,
    /// What all of them share.
    pub plugin_host: PluginHostSettings,
    /// The threads that compute.
    pub compute: ComputeSettings,
    /// Searches that do not say otherwise.
    pub search: SearchSettings,
    /// What may be kept in memory.
    pub memory: MemorySettings,
    /// What is logged.
    pub log: LogSettings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("./data"),
            server: ServerSettings::default(),
            storage: StorageSettings::default(),
            plugins: BTreeMap::new(),
            plugin_host: PluginHostSettings::default(),
            compute: ComputeSettings::default(),
            search: SearchSettings::default(),
            memory: MemorySettings::default(),
            log: LogSettings::default(),
        }
    }
}

/// The pool on which distances are computed and indexes are built.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ComputeSettings {
    /// Threads; 0 means one for each core.
    pub threads: u32,
}

/// Defaults of searches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SearchSettings {
    /// Milliseconds that a search may take when the request does not say.
    pub timeout_ms: u64,
}

impl Default for SearchSettings {
    fn default() -> Self {
        Self { timeout_ms: 30_000 }
    }
}

impl SearchSettings {
    /// The timeout as a duration.
    pub fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }
}

/// Where full vectors are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Originals {
    /// In memory where the budget leaves room.
    Auto,
    /// On disk.
    Disk,
}

/// Bounds of what is kept in memory because it answers faster from there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MemorySettings {
    /// Bytes that everything which the engine holds may take together; 0 for three quarters of what there is.
    pub budget_bytes: u64,
    /// Where the full vectors of graphs are.
    pub originals: Originals,
    /// Bytes of metadata fields that filters have asked for, over all segments.
    pub filter_bytes_max: u64,
}

impl Default for MemorySettings {
    fn default() -> Self {
        Self { budget_bytes: 0, originals: Originals::Auto, filter_bytes_max: 256 << 20 }
    }
}

/// What goes to the log of the process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogSettings {
    /// Levels by target, in the syntax of `tracing_subscriber::EnvFilter`: `info`, or `info,proximadb_wal=debug`.
    pub filter: String,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { filter: "info".to_owned() }
    }
}
