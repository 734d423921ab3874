//! A metric plugin before it knows how many components vectors have: one component, one breaker, a metric for each dimension.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use proximadb_model::MetricKind;
use proximadb_ports::{Result, Traverse};
use sha2::{Digest, Sha256};

use crate::plugin::{Plugin, PluginUse};
use crate::plugin_error::PluginError;
use crate::wasm_metric::{self, WasmMetric};

/// By what an index is to walk to the rows that a plugin's metric orders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WalkBy {
    /// By a built-in metric.
    BuiltIn {
        /// Which one.
        metric: MetricKind,
        /// Rows that the plugin orders for each that a search's breadth asks for.
        widen: usize,
    },
    /// By the plugin's metric itself, which must be symmetric.
    Itself,
}

impl WalkBy {
    /// The same as the port has it. A graph by the plugin's metric is good for no other bytes or settings.
    pub(crate) fn traverse(self, sha256: &[u8; 32], settings: &str) -> Traverse {
        match self {
            Self::BuiltIn { metric, widen } => Traverse::By { metric, widen },
            Self::Itself => Traverse::Itself { digest: Sha256::new().chain_update(sha256).chain_update(settings).finalize().into() },
        }
    }
}

/// A metric plugin with its settings; from [`PluginHost::load_metric_plugin`](crate::PluginHost::load_metric_plugin).
pub struct MetricPlugin {
    plugin: Arc<Plugin>,
    settings: String,
    traverse: Option<Traverse>,
    /// Those in use, by dimension.
    metrics: Mutex<BTreeMap<usize, Weak<WasmMetric>>>,
}

impl MetricPlugin {
    /// # Errors
    /// A component that is no metric, or that fails as it starts.
    pub(crate) fn new(plugin: Plugin, settings: &str, walk: Option<WalkBy>) -> std::result::Result<Self, PluginError> {
        wasm_metric::check_world(&plugin)?;
        let traverse = walk.map(|by| by.traverse(&plugin.sha256, settings));
        Ok(Self { plugin: Arc::new(plugin), settings: settings.to_owned(), traverse, metrics: Mutex::default() })
    }

    /// The metric for vectors of `dimension` components; the same one for as long as somebody has it.
    ///
    /// # Errors
    /// `Invalid` for settings or a dimension that the plugin refuses; `Plugin` when it fails.
    pub fn for_dimension(&self, dimension: usize) -> Result<Arc<WasmMetric>> {
        let metrics = || self.metrics.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(metric) = metrics().get(&dimension).and_then(Weak::upgrade) {
            return Ok(metric);
        }
        let make = || WasmMetric::new(&self.plugin, &self.settings, self.traverse.clone(), dimension);
        let metric = Arc::new(self.plugin.guard("metric.describe", make)?);
        let mut metrics = metrics();
        metrics.retain(|_, metric| metric.strong_count() > 0);
        metrics.insert(dimension, Arc::downgrade(&metric));
        Ok(metric)
    }

    /// The sha256 of the component.
    pub fn sha256(&self) -> &[u8; 32] {
        &self.plugin.sha256
    }

    /// What it was used for, whatever the dimension.
    pub fn use_so_far(&self) -> PluginUse {
        self.plugin.use_so_far()
    }
}
