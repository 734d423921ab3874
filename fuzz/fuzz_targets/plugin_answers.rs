//! Whatever bytes a plugin leaves as its answer, the host takes a value for each vector, all of them finite, or gives an error. The
//! guest points at the block that it was handed, so the block is the answer.
#![no_main]

use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use proximadb_plugins::{BreakerOptions, Interruption, PluginHost, PluginOptions, WasmMetric};
use proximadb_ports::{Fault, Metric};
use proximadb_sim::SimClock;

const SHELL: &str = include_str!("../../plugins/host/tests/plugins/metric_shell.wat");
const CORE: &str = r#"module
    (memory (export "memory") 4)
    (global $heap (mut i32) (i32.const 4096))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (local $at i32)
      (local.set $at (i32.and (i32.add (global.get $heap) (i32.const 7)) (i32.const -8)))
      (global.set $heap (i32.add (local.get $at) (local.get 3)))
      (local.get $at))
    (data (i32.const 36) "\01\01")
    (func (export "describe") (param i32 i32 i32) (result i32) (i32.const 16))
    (func (export "score") (param i32 i32 i32 i32) (result i32) (global.set $heap (i32.const 4096)) (local.get 2))"#;

static METRIC: LazyLock<Arc<WasmMetric>> = LazyLock::new(|| {
    let options = PluginOptions {
        interruption: Interruption::Fuel { call_max: 1_000_000 },
        breaker: BreakerOptions { faults_max: usize::MAX, ..BreakerOptions::default() },
        ..PluginOptions::default()
    };
    let host = PluginHost::new(options, Arc::new(SimClock::new())).expect("the limits fit together");
    let bytes = wat::parse_str(SHELL.replace("module CORE", CORE)).expect("a component");
    host.load_metric("fuzzed", &bytes, None, "{}", 1).expect("a metric")
});

fuzz_target!(|bytes: &[u8]| {
    let block: Vec<f32> = bytes.as_chunks::<4>().0.iter().take(1_000).map(|component| f32::from_le_bytes(*component)).collect();
    if block.is_empty() {
        return;
    }
    let mut keys = vec![0.0; block.len()];
    match METRIC.prepare(&[1.0]).expect("a query").keys(&block, &mut keys) {
        Ok(()) => assert!(keys.iter().all(|key| key.is_finite())),
        Err(error) => assert!(matches!(error.fault, Fault::Plugin | Fault::Invalid), "{error:?}"),
    }
});
