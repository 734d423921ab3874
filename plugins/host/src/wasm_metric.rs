//! A metric that a component brings. Computes no distance itself, and believes no answer before it was checked.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use proximadb_model::{MetricKind, ScoreKind, limits};
use proximadb_ports::{Metric, MetricDescriptor, Result, Scorer, Traverse};
use wasmtime::Store;

use crate::bindings::metric::MetricPlugin;
use crate::bindings::metric::exports::proximadb::plugin::metric::Descriptor;
use crate::plugin::Plugin;
use crate::plugin_error::PluginError;
use crate::walls::Walls;

/// Bytes of what a metric says about itself.
const GUEST_NAME_BYTES_MAX: usize = 128;

/// A metric plugin with its settings, for vectors of one dimension; from
/// [`MetricPlugin::for_dimension`](crate::MetricPlugin::for_dimension).
///
/// Blocks are handed over in parts of at most `block_bytes_max`; an instance that failed is thrown away, and the next call
/// gets a new one.
pub struct WasmMetric {
    shared: Arc<Shared>,
    descriptor: MetricDescriptor,
}

/// What the metric and its prepared queries have in common.
struct Shared {
    plugin: Arc<Plugin>,
    settings: String,
    dimension: usize,
    says: Descriptor,
    warm: Mutex<Vec<Warm>>,
}

/// An instance that has described itself and can score.
struct Warm {
    store: Store<Walls>,
    guest: MetricPlugin,
}

impl WasmMetric {
    /// # Errors
    /// What is wrong with the settings or the dimension by the plugin's word, or a plugin that fails.
    pub(crate) fn new(
        plugin: &Arc<Plugin>,
        settings: &str,
        traverse: Option<Traverse>,
        dimension: usize,
    ) -> std::result::Result<Self, PluginError> {
        if dimension == 0 || dimension > limits::DIMENSION_MAX {
            return Err(PluginError::Dimension(dimension));
        }
        let (first, says) = Warm::start(plugin, settings, dimension)?;
        if matches!(traverse, Some(Traverse::Itself { .. })) && !says.symmetric {
            return Err(PluginError::Asymmetric);
        }
        let descriptor = MetricDescriptor {
            kind: MetricKind::Wasm(plugin.name.clone()),
            score_kind: if says.lower_is_nearer { ScoreKind::Distance } else { ScoreKind::Similarity },
            symmetric: says.symmetric,
            sha256: Some(plugin.sha256),
            traverse,
        };
        let plugin = Arc::clone(plugin);
        let shared = Shared { plugin, settings: settings.to_owned(), dimension, says, warm: Mutex::new(vec![first]) };
        Ok(Self { shared: Arc::new(shared), descriptor })
    }

    /// What the plugin calls itself.
    pub fn guest_name(&self) -> &str {
        &self.shared.says.name
    }

    /// The version that the plugin says it has.
    pub fn guest_version(&self) -> &str {
        &self.shared.says.version
    }

    /// The sha256 of the component.
    pub fn sha256(&self) -> &[u8; 32] {
        &self.shared.plugin.sha256
    }

    fn value(&self, key: f32) -> f32 {
        // Taken from zero rather than negated, so that 0 does not become -0.
        if self.shared.says.lower_is_nearer { key } else { 0.0 - key }
    }
}

impl Metric for WasmMetric {
    fn descriptor(&self) -> &MetricDescriptor {
        &self.descriptor
    }

    fn prepare(&self, query: &[f32]) -> Result<Box<dyn Scorer>> {
        let shared = &self.shared;
        if query.len() != shared.dimension || query.iter().any(|component| !component.is_finite()) {
            let error = PluginError::Query { actual: query.len(), expected: shared.dimension };
            return Err(error.at("metric.prepare", &shared.plugin.name));
        }
        Ok(Box::new(WasmScorer { shared: Arc::clone(shared), query: query.to_vec() }))
    }

    fn score(&self, key: f32) -> f32 {
        self.value(key)
    }

    fn distance(&self, key: f32) -> f32 {
        // A similarity has no distance of its own; its key runs the right way.
        key
    }
}

/// A query that waits for blocks.
struct WasmScorer {
    shared: Arc<Shared>,
    query: Vec<f32>,
}

impl Scorer for WasmScorer {
    fn keys(&mut self, block: &[f32], out: &mut [f32]) -> Result<()> {
        self.shared.plugin.guard("metric.keys", || self.shared.keys(&self.query, block, out))
    }
}

impl Shared {
    fn warm(&self) -> MutexGuard<'_, Vec<Warm>> {
        self.warm.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keys(&self, query: &[f32], block: &[f32], out: &mut [f32]) -> std::result::Result<(), PluginError> {
        if out.len().checked_mul(self.dimension) != Some(block.len()) {
            return Err(PluginError::Block { components: block.len(), rows: out.len(), dimension: self.dimension });
        }
        let options = self.plugin.sandbox.options();
        let rows = (options.block_bytes_max / (self.dimension * size_of::<f32>())).max(1);
        let parts = block.chunks(rows * self.dimension).zip(out.chunks_mut(rows));
        let mut instance = self.take()?;
        for (part, keys) in parts {
            self.plugin.sandbox.allow_a_call(&mut instance.store)?;
            match instance.score(query, part)? {
                Ok(values) => self.accept(&values, keys)?,
                Err(text) => {
                    // The guest answered in good order, so it can go on.
                    self.put_back(instance);
                    return Err(PluginError::said(&text));
                }
            }
        }
        self.put_back(instance);
        Ok(())
    }

    /// Takes over an answer if it has a finite value for each row.
    fn accept(&self, values: &[f32], keys: &mut [f32]) -> std::result::Result<(), PluginError> {
        if values.len() != keys.len() {
            return Err(PluginError::BadAnswer(format!("{} values for {} vectors", values.len(), keys.len())));
        }
        for (row, (value, key)) in values.iter().zip(keys).enumerate() {
            if !value.is_finite() {
                return Err(PluginError::BadAnswer(format!("the value of vector {row} is {value}")));
            }
            // Added to or taken from zero, so that -0 does not order before 0.
            *key = if self.says.lower_is_nearer { 0.0 + value } else { 0.0 - value };
        }
        Ok(())
    }

    fn take(&self) -> std::result::Result<Warm, PluginError> {
        if let Some(warm) = self.warm().pop() {
            return Ok(warm);
        }
        // Without imports it has no way to say anything else about itself than the first time.
        Warm::start(&self.plugin, &self.settings, self.dimension).map(|(warm, _)| warm)
    }

    fn put_back(&self, instance: Warm) {
        let mut warm = self.warm();
        if warm.len() < self.plugin.sandbox.options().warm_instances_max {
            warm.push(instance);
        }
    }
}

/// Whether a component exports what a metric must.
///
/// # Errors
/// A component that does not, or that fails as it starts.
pub(crate) fn check_world(plugin: &Plugin) -> std::result::Result<(), PluginError> {
    instance(plugin).map(drop)
}

fn instance(plugin: &Plugin) -> std::result::Result<(Store<Walls>, MetricPlugin), PluginError> {
    let (mut store, instance) = plugin.instance()?;
    let wrong_world = |source| PluginError::WrongWorld { interface: "proximadb:plugin/metric@0.1.0", source };
    let guest = MetricPlugin::new(&mut store, &instance).map_err(wrong_world)?;
    Ok((store, guest))
}

impl Warm {
    fn start(plugin: &Plugin, settings: &str, dimension: usize) -> std::result::Result<(Self, Descriptor), PluginError> {
        let (mut store, guest) = instance(plugin)?;
        let components = u32::try_from(dimension).map_err(|_| PluginError::Dimension(dimension))?;
        let metric = guest.proximadb_plugin_metric();
        let says = metric.call_describe(&mut store, settings, components).map_err(PluginError::trapped)?;
        let says = says.map_err(|text| PluginError::said(&text))?;
        if says.name.len().max(says.version.len()) > GUEST_NAME_BYTES_MAX {
            return Err(PluginError::BadAnswer(format!("its name or version has more than {GUEST_NAME_BYTES_MAX} bytes")));
        }
        Ok((Self { store, guest }, says))
    }

    fn score(&mut self, query: &[f32], part: &[f32]) -> std::result::Result<std::result::Result<Vec<f32>, String>, PluginError> {
        self.guest.proximadb_plugin_metric().call_score(&mut self.store, query, part).map_err(PluginError::trapped)
    }
}
