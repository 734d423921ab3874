//! The plugins of the configuration: fetched and compiled at the start, found by name afterwards. One that is refused is told of and
//! keeps no other from being served.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use proximadb_axis::BuiltinMetric;
use proximadb_config::{PluginKind, PluginLimits, PluginSettings, Settings, TraverseBy};
use proximadb_engine::MetricSource;
use proximadb_filesystem::{DeadlineSettings, deadlined};
use proximadb_model::{Invalid, MetricKind};
use proximadb_plugins::{BreakerOptions, Interruption, MetricPlugin, PluginHost, PluginOptions, PluginUse, WalkBy, WasmAssigner};
use proximadb_ports::{Assigner, Clock, Fault, Metric, PluginList, PluginStatus, PortError, Result, chain};
use tokio::task::spawn_blocking;

use crate::precedence::long_call;
use crate::registry::store_options;
use crate::say;

/// Time for fetching and compiling one plugin; the start waits for it no longer.
const LOAD_MAX: Duration = Duration::from_secs(60);

/// The plugins of a server by name.
#[derive(Default)]
pub(crate) struct Plugins {
    plugins: BTreeMap<String, Plugin>,
}

struct Plugin {
    kind: PluginKind,
    sha256: String,
    /// What it is, or why it was refused.
    loaded: std::result::Result<Loaded, PortError>,
}

enum Loaded {
    Metric(MetricPlugin),
    Assigner(Arc<WasmAssigner>),
}

impl Loaded {
    fn use_so_far(&self) -> PluginUse {
        match self {
            Self::Metric(metric) => metric.use_so_far(),
            Self::Assigner(assigner) => assigner.use_so_far(),
        }
    }
}

impl Plugins {
    /// Loads every plugin of the settings, and says which were refused.
    pub(crate) async fn load(settings: &Settings, cwd: &Path, clock: &Arc<dyn Clock>) -> Self {
        let mut loader = Loader { settings, cwd, clock, cache_dir: None, hosts: Vec::new() };
        if !settings.plugins.is_empty() {
            let folder = settings.plugin_cache_dir(cwd);
            match own_folder(&folder) {
                Ok(()) => loader.cache_dir = Some(folder),
                Err(error) => say(&format!("plugins are compiled anew at each start: {}: {error}", folder.display())),
            }
        }
        let mut plugins = BTreeMap::new();
        for (name, settings) in &settings.plugins {
            let loaded = loader.load(name, settings).await;
            match &loaded {
                Ok(_) => say(&format!("plugin {name}: {}, sha256 {}", settings.kind.as_str(), settings.sha256)),
                Err(error) => say(&format!("plugin {name} is refused: {}", chain(error))),
            }
            plugins.insert(name.clone(), Plugin { kind: settings.kind, sha256: settings.sha256.to_ascii_lowercase(), loaded });
        }
        Self { plugins }
    }

    fn find(&self, name: &str, kind: PluginKind) -> Result<&Loaded> {
        let what = kind.as_str();
        let invalid = |reason: String| PortError::invalid(what, Invalid::new(what, reason));
        let Some(plugin) = self.plugins.get(name) else {
            let of_kind = self.plugins.iter().filter(|(_, plugin)| plugin.kind == kind).map(|(name, _)| name.as_str());
            let known = of_kind.collect::<Vec<_>>().join(", ");
            let known = if known.is_empty() { "none".to_owned() } else { known };
            return Err(invalid(format!("there is no plugin {name:?}; the configuration has these {what}s: {known}")));
        };
        if plugin.kind != kind {
            return Err(invalid(format!("the plugin {name:?} is no {what}")));
        }
        let refused = |error: &PortError| {
            PortError::new(Fault::Plugin, what, name, format!("the plugin was refused at the start: {}", chain(error))).with_field(what)
        };
        plugin.loaded.as_ref().map_err(refused)
    }

    /// The placement strategy of this name, or why there is none.
    pub(crate) fn assigner(&self, name: &str) -> std::result::Result<Arc<dyn Assigner>, String> {
        match self.find(name, PluginKind::Assigner) {
            Ok(Loaded::Assigner(assigner)) => Ok(Arc::clone(assigner) as Arc<dyn Assigner>),
            Ok(Loaded::Metric(_)) => Err(format!("the plugin {name:?} is no assigner")),
            Err(error) => Err(chain(&error)),
        }
    }
}

impl MetricSource for Plugins {
    fn metric(&self, kind: &MetricKind, dimension: usize) -> Result<Arc<dyn Metric>> {
        if let Some(metric) = BuiltinMetric::new(kind.clone()) {
            return Ok(Arc::new(metric));
        }
        let MetricKind::Wasm(name) = kind else {
            return Err(PortError::new(Fault::Internal, "metric", kind, "is neither built in nor a plugin's"));
        };
        match self.find(name, PluginKind::Metric)? {
            Loaded::Metric(metric) => Ok(metric.for_dimension(dimension).map_err(|error| error.with_field("metric"))?),
            Loaded::Assigner(_) => Err(PortError::new(Fault::Internal, "metric", name, "is no metric")),
        }
    }
}

impl PluginList for Plugins {
    fn list(&self) -> Vec<PluginStatus> {
        let status = |(name, plugin): (&String, &Plugin)| {
            let used = plugin.loaded.as_ref().map(Loaded::use_so_far).unwrap_or_default();
            let state = match (&plugin.loaded, used.is_resting) {
                (Err(_), _) => "refused",
                (Ok(_), true) => "resting",
                (Ok(_), false) => "ready",
            };
            PluginStatus {
                name: name.clone(),
                kind: plugin.kind.as_str(),
                sha256: plugin.sha256.clone(),
                state,
                breaker: if used.is_resting { "open" } else { "closed" },
                problem: plugin.loaded.as_ref().err().map(chain).or(used.last_fault),
                calls: used.calls,
                faults: used.faults,
                micros: u64::try_from(used.busy.as_micros()).unwrap_or(u64::MAX),
            }
        };
        self.plugins.iter().map(status).collect()
    }
}

/// Loads one plugin after the other; those with the same limits share an engine.
struct Loader<'a> {
    settings: &'a Settings,
    cwd: &'a Path,
    clock: &'a Arc<dyn Clock>,
    cache_dir: Option<PathBuf>,
    hosts: Vec<(PluginOptions, Arc<PluginHost>)>,
}

impl Loader<'_> {
    async fn load(&mut self, name: &str, plugin: &PluginSettings) -> Result<Loaded> {
        let clock = Arc::clone(self.clock);
        tokio::select! {
            loaded = self.fetch_and_compile(name, plugin) => loaded,
            () = clock.sleep(LOAD_MAX) => {
                let message = format!("fetching and compiling it takes longer than {} s", LOAD_MAX.as_secs());
                Err(PortError::new(Fault::Plugin, "plugins.load", name, message))
            }
        }
    }

    async fn fetch_and_compile(&mut self, name: &str, plugin: &PluginSettings) -> Result<Loaded> {
        let bytes = self.fetch(name, plugin).await?;
        let host = self.host(&plugin.limits)?;
        let settings = serde_json::to_string(&plugin.settings)
            .map_err(|e| PortError::new(Fault::Invalid, "plugins.load", name, "its settings are no JSON").with_source(e))?;
        let (of, kind, sha256) = (name.to_owned(), plugin.kind, plugin.digest());
        let walk = plugin.traverse().map(|by| match by {
            TraverseBy::Itself => WalkBy::Itself,
            TraverseBy::BuiltIn(metric) => WalkBy::BuiltIn { metric, widen: plugin.traverse_widen as usize },
        });
        let compiled = spawn_blocking(move || match kind {
            PluginKind::Metric => host.load_metric_plugin(&of, &bytes, sha256, &settings, walk).map(Loaded::Metric),
            PluginKind::Assigner => host.load_assigner(&of, &bytes, sha256, &settings).map(Loaded::Assigner),
        });
        compiled.await.map_err(|e| PortError::new(Fault::Internal, "plugins.load", name, "loading it ended early").with_source(e))?
    }

    /// The component's bytes, over the filesystem that its place has.
    async fn fetch(&self, name: &str, plugin: &PluginSettings) -> Result<Vec<u8>> {
        let wrong = |e: proximadb_config::ConfigError| PortError::new(Fault::Invalid, "plugins.fetch", name, e.to_string());
        let (folder, file) = self.settings.plugin_location(name, self.cwd).map_err(wrong)?;
        let opened = proximadb_filesystem::open(folder.as_str(), &store_options(self.settings, &folder))?;
        let filesystem = deadlined(opened, Arc::clone(self.clock), DeadlineSettings::default());
        let (bytes, max) = (filesystem.size(&file).await?, plugin.limits.component_bytes_max);
        if bytes > max {
            let message = format!("the component has {bytes} bytes, and at most {max} are taken");
            return Err(PortError::new(Fault::Invalid, "plugins.fetch", name, message));
        }
        Ok(filesystem.get(&file).await?.to_vec())
    }

    fn host(&mut self, limits: &PluginLimits) -> Result<Arc<PluginHost>> {
        let options = PluginOptions { cache_dir: self.cache_dir.clone(), ..options_of(limits) };
        if let Some((_, host)) = self.hosts.iter().find(|(there, _)| *there == options) {
            return Ok(Arc::clone(host));
        }
        let host = Arc::new(PluginHost::with_long_calls(options.clone(), Arc::clone(self.clock), long_call)?);
        self.hosts.push((options, Arc::clone(&host)));
        Ok(host)
    }
}

/// The limits as the host has them.
pub(crate) fn options_of(limits: &PluginLimits) -> PluginOptions {
    let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    let standard = PluginOptions::default();
    let tick = match standard.interruption {
        Interruption::Time { tick, .. } => tick,
        Interruption::Fuel { .. } => Duration::from_millis(2),
    };
    PluginOptions {
        component_bytes_max: size(limits.component_bytes_max),
        memory_bytes_max: size(limits.memory_bytes_max),
        table_elements_max: size(limits.table_elements_max),
        instances_max: size(limits.instances_max),
        stack_bytes_max: size(limits.stack_bytes_max),
        interruption: Interruption::Time { tick, call_max: Duration::from_millis(limits.call_ms_max) },
        breaker: BreakerOptions {
            faults_max: size(limits.faults_max),
            window: Duration::from_secs(limits.fault_window_seconds),
            cool_down: Duration::from_secs(limits.cool_down_seconds),
        },
        ..standard
    }
}

/// Makes a folder that only this user can enter, or sees to it that nobody else can write one that is there: what lies in it is run.
fn own_folder(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let there = std::fs::metadata(folder)?;
    if Permissions::mode(&there.permissions()) & 0o022 != 0 {
        return Err(io::Error::other(format!("others may write it (mode {:o})", there.mode() & 0o777)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limits_of_the_configuration_are_those_of_the_host() {
        assert_eq!(options_of(&PluginLimits::default()), PluginOptions::default());
    }

    #[test]
    fn a_folder_that_others_may_write_is_not_used() {
        let folder = tempfile::tempdir().expect("a folder");
        let cache = folder.path().join("deep/cache");
        own_folder(&cache).expect("made");
        assert_eq!(std::fs::metadata(&cache).expect("there").mode() & 0o777, 0o700);
        own_folder(&cache).expect("there already");
        std::fs::set_permissions(&cache, Permissions::from_mode(0o777)).expect("ours");
        assert!(own_folder(&cache).expect_err("others may write it").to_string().contains("777"));
    }
}
