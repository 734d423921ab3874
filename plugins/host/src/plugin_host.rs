//! Loading plugins. Reads no files: whoever configures the server brings the bytes.

use std::sync::Arc;

use proximadb_ports::{Clock, Result};

use crate::metric_plugin::{MetricPlugin, WalkBy};
use crate::options::PluginOptions;
use crate::plugin::Plugin;
use crate::sandbox::Sandbox;
use crate::wasm_assigner::WasmAssigner;
use crate::wasm_metric::WasmMetric;

/// Where plugins run: one engine, and the same limits for all of them.
///
/// Plugins hold on to what they need, so they outlive the host. They compute on the thread that calls them.
pub struct PluginHost {
    sandbox: Arc<Sandbox>,
    clock: Arc<dyn Clock>,
}

impl PluginHost {
    /// A host with these limits; the clock says when faults happened.
    ///
    /// # Errors
    /// `Invalid` for limits that contradict each other; `Unavailable` when the thread that watches the time cannot be had.
    pub fn new(options: PluginOptions, clock: Arc<dyn Clock>) -> Result<Self> {
        Self::with_long_calls(options, clock, || ())
    }

    /// As [`PluginHost::new`]; a call that has computed for one to two ticks of [`Interruption::Time`](crate::Interruption::Time) runs
    /// `long_call`, once and on its own thread, which may let others go first from then on.
    ///
    /// # Errors
    /// As [`PluginHost::new`].
    pub fn with_long_calls(options: PluginOptions, clock: Arc<dyn Clock>, long_call: fn()) -> Result<Self> {
        Ok(Self { sandbox: Arc::new(Sandbox::new(options, long_call)?), clock })
    }

    /// A metric for vectors of `dimension` components from the component `bytes`, which must have the digest `sha256` where one
    /// is given; `settings` is what the plugin is told, a JSON text. Compiles, which takes milliseconds to seconds.
    ///
    /// # Errors
    /// `Invalid` for a name that is none, for bytes that are refused, and for settings that the plugin refuses; `Plugin` when it
    /// fails as it starts.
    pub fn load_metric(
        &self,
        name: &str,
        bytes: &[u8],
        sha256: Option<[u8; 32]>,
        settings: &str,
        dimension: usize,
    ) -> Result<Arc<WasmMetric>> {
        self.load_metric_plugin(name, bytes, sha256, settings, None)?.for_dimension(dimension)
    }

    /// As [`PluginHost::load_metric`], for vectors of any dimension. Without `walk` an index compares every row.
    ///
    /// # Errors
    /// As [`PluginHost::load_metric`]; settings are looked at with the first dimension.
    pub fn load_metric_plugin(
        &self,
        name: &str,
        bytes: &[u8],
        sha256: Option<[u8; 32]>,
        settings: &str,
        walk: Option<WalkBy>,
    ) -> Result<MetricPlugin> {
        let plugin = Plugin::new(&self.sandbox, &self.clock, name, bytes, sha256);
        let metric = plugin.and_then(|plugin| MetricPlugin::new(plugin, settings, walk));
        metric.map_err(|error| error.at("plugins.load_metric", name))
    }

    /// A placement strategy from the component `bytes`, which must have the digest `sha256` where one is given; `settings` is
    /// what the plugin is told with every question, a JSON text. Compiles, which takes milliseconds to seconds.
    ///
    /// # Errors
    /// `Invalid` for a name that is none and for bytes that are refused; `Plugin` when it fails as it starts. Settings are looked
    /// at by the first question.
    pub fn load_assigner(&self, name: &str, bytes: &[u8], sha256: Option<[u8; 32]>, settings: &str) -> Result<Arc<WasmAssigner>> {
        let plugin = Plugin::new(&self.sandbox, &self.clock, name, bytes, sha256);
        let assigner = plugin.and_then(|plugin| WasmAssigner::new(plugin, settings));
        assigner.map(Arc::new).map_err(|error| error.at("plugins.load_assigner", name))
    }
}
