//! Metrics and placement strategies that people bring as WebAssembly components, run behind walls: no imports, bounded memory,
//! stack and time, every answer checked. The only crate that knows wasmtime; it knows neither files nor the configuration.
//!
//! The contract between host and plugin is `plugins/wit/v0_1`.

mod bindings;
mod breaker;
mod check;
mod metric_plugin;
mod options;
mod plugin;
mod plugin_error;
mod plugin_host;
mod sandbox;
mod ticker;
mod walls;
mod wasm_assigner;
mod wasm_metric;

pub use check::{Check, check_assigner, check_metric};
pub use metric_plugin::{MetricPlugin, WalkBy};
pub use options::{BreakerOptions, Interruption, PluginOptions};
pub use plugin::PluginUse;
pub use plugin_host::PluginHost;
pub use wasm_assigner::WasmAssigner;
pub use wasm_metric::WasmMetric;
