//! Any bytes are a plugin or refused. What is taken runs, and whatever it does is an answer or an error.
#![no_main]

use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use proximadb_model::SiteMap;
use proximadb_plugins::{Interruption, PluginHost, PluginOptions};
use proximadb_ports::{Assigner, Metric};
use proximadb_sim::SimClock;

static HOST: LazyLock<PluginHost> = LazyLock::new(|| {
    let options = PluginOptions { interruption: Interruption::Fuel { call_max: 1_000_000 }, ..PluginOptions::default() };
    PluginHost::new(options, Arc::new(SimClock::new())).expect("the limits fit together")
});

fuzz_target!(|bytes: &[u8]| {
    if let Ok(metric) = HOST.load_metric("fuzzed", bytes, None, "{}", 2)
        && let Ok(mut scorer) = metric.prepare(&[1.0, 2.0])
    {
        let mut keys = [0.0; 2];
        if scorer.keys(&[1.0, 2.0, 3.0, 4.0], &mut keys).is_ok() {
            assert!(keys.iter().all(|key| key.is_finite()));
        }
    }
    if let Ok(assigner) = HOST.load_assigner("fuzzed", bytes, None, "{}") {
        let _ = assigner.assign(&[], &SiteMap::default());
    }
});
