//! Plugins through the ports that they play: the examples do what they say, and whatever a guest does, the host stays.

mod assigners;
mod guests;
mod hostile;
mod loading;
mod metrics;

use std::sync::Arc;

use proximadb_plugins::{Interruption, PluginHost, PluginOptions};
use proximadb_ports::{Metric, Result};
use proximadb_sim::SimClock;

const COSINE: &[u8] = include_bytes!("../../../examples/prebuilt/cosine.wasm");
const WEIGHTED_L2: &[u8] = include_bytes!("../../../examples/prebuilt/weighted_l2.wasm");
const HAVERSINE: &[u8] = include_bytes!("../../../examples/prebuilt/haversine.wasm");
const JACCARD_C: &[u8] = include_bytes!("../../../examples/prebuilt/jaccard_c.wasm");
const LEARNED: &[u8] = include_bytes!("../../../examples/prebuilt/learned.wasm");
const TAG_AFFINITY: &[u8] = include_bytes!("../../../examples/prebuilt/tag_affinity.wasm");
const RACK_AWARE: &[u8] = include_bytes!("../../../examples/prebuilt/rack_aware.wasm");

/// Limits that do not look at real time, so that a busy machine changes nothing.
fn options() -> PluginOptions {
    PluginOptions { interruption: Interruption::Fuel { call_max: 100_000_000 }, ..PluginOptions::default() }
}

fn host_with(options: PluginOptions) -> (PluginHost, Arc<SimClock>) {
    let clock = Arc::new(SimClock::new());
    (PluginHost::new(options, Arc::<SimClock>::clone(&clock)).expect("the limits fit together"), clock)
}

fn host() -> PluginHost {
    host_with(options()).0
}

/// The keys of a block of vectors, all in one go.
fn keys(metric: &dyn Metric, query: &[f32], block: &[f32]) -> Result<Vec<f32>> {
    let mut keys = vec![0.0; block.len() / query.len()];
    metric.prepare(query)?.keys(block, &mut keys)?;
    Ok(keys)
}
