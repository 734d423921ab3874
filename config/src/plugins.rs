//! Plugins as the user names them: where each lies, which bytes it must have, what it is told and what it may take. Reads none.

use std::path::{Path, PathBuf};

use proximadb_model::{BUILT_IN_METRICS, MetricKind, is_plugin_name};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::check::range;
use crate::error::ConfigError;
use crate::location::Location;
use crate::settings::Settings;

/// Plugins that a server loads at most.
const PLUGINS_MAX: usize = 64;
/// What is asked of an index at most for each row that a search wants of it.
const WIDEN_MAX: u64 = 64;

/// The word for walks by the plugin's own metric.
const TRAVERSE_BY_SELF: &str = "self";

/// By what the graphs of a plugin's metric are walked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TraverseBy {
    /// By the metric itself.
    Itself,
    /// By a built-in metric, whose finds the plugin orders.
    BuiltIn(MetricKind),
}

/// What all plugins share.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PluginHostSettings {
    /// Folder of compiled plugins, which nobody but the server may write; `plugin-cache` in `data_dir` when empty.
    pub cache_dir: PathBuf,
}

/// What a plugin is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PluginKind {
    /// A distance, as `wasm:NAME` the metric of a collection.
    Metric,
    /// A placement strategy, as `wasm:NAME` the `distribution_strategy`.
    Assigner,
}

impl PluginKind {
    /// The word in the file and on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Metric => "metric",
            Self::Assigner => "assigner",
        }
    }
}

/// One plugin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PluginSettings {
    /// What it is asked for.
    pub kind: PluginKind,
    /// Its component as a file; relative to the working directory.
    #[serde(default)]
    pub path: Option<String>,
    /// Its component as a `file`, `s3`, `adls`, `abfs`, `abfss`, `gcs` or `gs` URL.
    #[serde(default)]
    pub url: Option<String>,
    /// The sha256 of the component in hexadecimal.
    pub sha256: String,
    /// What it is told, as JSON.
    #[serde(default)]
    pub settings: serde_json::Map<String, serde_json::Value>,
    /// What it may take.
    #[serde(default)]
    pub limits: PluginLimits,
    /// Of a metric: by what graphs are walked to the rows that it orders, `self` or a built-in metric; without it every row is compared.
    #[serde(default)]
    pub traverse_by: Option<String>,
    /// How many rows it is handed for each row that `ef` asks of a built-in metric's graph.
    #[serde(default = "widen")]
    pub traverse_widen: u32,
}

fn widen() -> u32 {
    2
}

/// What one plugin may take; beyond it its call, or its loading, fails.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PluginLimits {
    /// Bytes of the component.
    pub component_bytes_max: u64,
    /// Bytes of an instance's memory.
    pub memory_bytes_max: u64,
    /// Elements of a table.
    pub table_elements_max: u64,
    /// Core modules, and tables, that a component may consist of.
    pub instances_max: u64,
    /// Bytes of stack of a call.
    pub stack_bytes_max: u64,
    /// Milliseconds of a call.
    pub call_ms_max: u64,
    /// Faults within `fault_window_seconds` after which it is left alone.
    pub faults_max: u64,
    /// Seconds that faults are remembered.
    pub fault_window_seconds: u64,
    /// Seconds that it is left alone.
    pub cool_down_seconds: u64,
}

impl Default for PluginLimits {
    fn default() -> Self {
        Self {
            component_bytes_max: 8 << 20,
            memory_bytes_max: 64 << 20,
            table_elements_max: 10_000,
            instances_max: 4,
            stack_bytes_max: 512 << 10,
            call_ms_max: 100,
            faults_max: 5,
            fault_window_seconds: 60,
            cool_down_seconds: 30,
        }
    }
}

impl PluginSettings {
    /// A plugin with every key there is, to take their names from.
    pub(crate) fn sample() -> Self {
        Self {
            kind: PluginKind::Metric,
            path: Some(String::new()),
            url: Some(String::new()),
            sha256: String::new(),
            settings: serde_json::Map::new(),
            limits: PluginLimits::default(),
            traverse_by: Some(String::new()),
            traverse_widen: widen(),
        }
    }

    /// The digest as bytes; none where `sha256` is not 64 hexadecimal digits, which no checked settings hold.
    pub fn digest(&self) -> Option<[u8; 32]> {
        let digits: Option<Vec<u8>> = self.sha256.chars().map(|c| c.to_digit(16).map(|digit| digit as u8)).collect();
        let (pairs, rest) = digits.as_deref()?.as_chunks::<2>();
        let bytes: Vec<u8> = pairs.iter().map(|[high, low]| high << 4 | low).collect();
        if rest.is_empty() { bytes.try_into().ok() } else { None }
    }

    /// By what graphs are walked; none where every row is compared.
    pub fn traverse(&self) -> Option<TraverseBy> {
        let name = self.traverse_by.as_deref()?;
        if name == TRAVERSE_BY_SELF {
            return Some(TraverseBy::Itself);
        }
        name.parse().ok().filter(|kind| !matches!(kind, MetricKind::Wasm(_))).map(TraverseBy::BuiltIn)
    }

    fn check(&self, name: &str) -> Result<(), ConfigError> {
        let key = |part: &str| format!("plugins.{name}.{part}");
        if !is_plugin_name(name) {
            return Err(ConfigError::contradiction(format!("plugins.{name}"), "a name must be 1 to 64 letters, digits, _ or -"));
        }
        if self.path.is_some() == self.url.is_some() {
            return Err(ConfigError::contradiction(key("path"), "one of path, url must say where the component lies, and not both"));
        }
        if self.digest().is_none() {
            let reason = "must be the 64 hexadecimal digits that sha256sum prints for the component";
            return Err(ConfigError::contradiction(key("sha256"), reason));
        }
        if self.kind == PluginKind::Assigner && self.traverse_by.is_some() {
            return Err(ConfigError::contradiction(key("traverse_by"), "is read only with kind = \"metric\""));
        }
        if self.traverse_by.is_some() && self.traverse().is_none() {
            let reason = format!("must be {TRAVERSE_BY_SELF} or a built-in metric: {}", BUILT_IN_METRICS.join(", "));
            return Err(ConfigError::contradiction(key("traverse_by"), reason));
        }
        range(&key("traverse_widen"), u64::from(self.traverse_widen), 1, WIDEN_MAX)?;
        let limits = &self.limits;
        for (part, value, low, high) in [
            ("component_bytes_max", limits.component_bytes_max, 8, 256 << 20),
            ("memory_bytes_max", limits.memory_bytes_max, 64 << 10, 4 << 30),
            ("table_elements_max", limits.table_elements_max, 0, 10_000_000),
            ("instances_max", limits.instances_max, 1, 1_000),
            // A call runs on the stack of the thread that asks, which has 2 MiB.
            ("stack_bytes_max", limits.stack_bytes_max, 16 << 10, 1 << 20),
            ("call_ms_max", limits.call_ms_max, 10, 60_000),
            ("faults_max", limits.faults_max, 1, 10_000),
            ("fault_window_seconds", limits.fault_window_seconds, 1, 86_400),
            ("cool_down_seconds", limits.cool_down_seconds, 1, 86_400),
        ] {
            range(&key(&format!("limits.{part}")), value, low, high)?;
        }
        Ok(())
    }

    fn location(&self, name: &str, cwd: &Path) -> Result<Location, ConfigError> {
        let (part, text) = match (&self.path, &self.url) {
            (Some(path), _) if path.contains("://") => {
                return Err(ConfigError::contradiction(format!("plugins.{name}.path"), "is a URL; say url instead of path"));
            }
            (Some(path), _) => ("path", path.as_str()),
            (None, url) => ("url", url.as_deref().unwrap_or_default()),
        };
        let wrong = |reason| ConfigError::contradiction(format!("plugins.{name}.{part}"), reason);
        if part == "url" && !text.contains("://") {
            return Err(wrong("is a path; say path instead of url".to_owned()));
        }
        Location::parse(text, cwd).map_err(wrong)
    }
}

impl Settings {
    /// Where a plugin's component lies: the URL of its folder or prefix, and its name there.
    ///
    /// # Errors
    /// A location that cannot be read.
    pub fn plugin_location(&self, name: &str, cwd: &Path) -> Result<(Url, String), ConfigError> {
        let missing = || ConfigError::contradiction(format!("plugins.{name}"), "there is no such plugin");
        let location = self.plugins.get(name).ok_or_else(missing)?.location(name, cwd)?;
        Ok((location.folder(), location.name().to_owned()))
    }

    /// The folder of compiled plugins.
    pub fn plugin_cache_dir(&self, cwd: &Path) -> PathBuf {
        let own = &self.plugin_host.cache_dir;
        if own.as_os_str().is_empty() { cwd.join(&self.data_dir).join("plugin-cache") } else { cwd.join(own) }
    }

    pub(crate) fn check_plugins(&self) -> Result<(), ConfigError> {
        if self.plugins.len() > PLUGINS_MAX {
            return Err(ConfigError::contradiction("plugins", format!("at most {PLUGINS_MAX} are loaded, got {}", self.plugins.len())));
        }
        for (name, plugin) in &self.plugins {
            plugin.check(name)?;
            // The folder does not matter for whether a location can be read.
            plugin.location(name, Path::new("/"))?;
        }
        let wal = &self.storage.wal_config;
        let Some(name) = wal.distribution_strategy.plugin() else { return Ok(()) };
        let key = "storage.wal_config.distribution_strategy";
        match self.plugins.get(name) {
            None => Err(ConfigError::contradiction(key, format!("there is no [plugins.{name}]"))),
            Some(plugin) if plugin.kind != PluginKind::Assigner => {
                Err(ConfigError::contradiction(key, format!("[plugins.{name}] is no assigner")))
            }
            Some(_) => Ok(()),
        }
    }
}
