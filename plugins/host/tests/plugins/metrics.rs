//! Metrics that guests compute.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use proximadb_model::{MetricKind, ScoreKind};
use proximadb_plugins::{Interruption, PluginHost, PluginOptions, WasmMetric, check_metric};
use proximadb_ports::conformance::index::ForeignMetric;
use proximadb_ports::conformance::metric as suite;
use proximadb_ports::{Fault, Metric, MetricDescriptor, Result, Scorer};

use crate::guests::Guest;
use crate::{COSINE, HAVERSINE, JACCARD_C, LEARNED, WEIGHTED_L2, host, host_with, keys, options};

/// The suite asks for vectors of many dimensions, and a plugin is loaded for one: this loads it for each that comes.
struct OfAnyDimension {
    host: PluginHost,
    bytes: &'static [u8],
    settings: fn(usize) -> String,
    loaded: Mutex<HashMap<usize, Arc<WasmMetric>>>,
    first: Arc<WasmMetric>,
}

impl OfAnyDimension {
    fn new(options: PluginOptions, bytes: &'static [u8], settings: fn(usize) -> String) -> Self {
        let (host, _) = host_with(options);
        let first = host.load_metric("any", bytes, None, &settings(3), 3).expect("a metric");
        Self { host, bytes, settings, loaded: Mutex::default(), first }
    }
}

impl Metric for OfAnyDimension {
    fn descriptor(&self) -> &MetricDescriptor {
        self.first.descriptor()
    }

    fn prepare(&self, query: &[f32]) -> Result<Box<dyn Scorer>> {
        let mut loaded = self.loaded.lock().expect("no test panicked before");
        let metric = match loaded.get(&query.len()) {
            Some(metric) => Arc::clone(metric),
            None => self.host.load_metric("any", self.bytes, None, &(self.settings)(query.len()), query.len())?,
        };
        loaded.insert(query.len(), Arc::clone(&metric));
        metric.prepare(query)
    }

    fn score(&self, key: f32) -> f32 {
        self.first.score(key)
    }

    fn distance(&self, key: f32) -> f32 {
        self.first.distance(key)
    }
}

fn weights(dimension: usize) -> String {
    let weights: Vec<String> = (0..dimension).map(|place| format!("{}", place % 3)).collect();
    format!("{{\"weights\": [{}]}}", weights.join(","))
}

#[test]
fn the_twin_of_cosine_keeps_the_ports_guarantees() {
    suite::run(&(Arc::new(OfAnyDimension::new(options(), COSINE, |_| "{}".to_owned())) as Arc<dyn Metric>));
}

#[test]
fn weighted_l2_keeps_the_ports_guarantees() {
    suite::run(&(Arc::new(OfAnyDimension::new(options(), WEIGHTED_L2, weights)) as Arc<dyn Metric>));
}

/// Two rows, whatever the dimension.
fn matrix(dimension: usize) -> String {
    let row = |shift: usize| (0..dimension).map(|place| format!("{}", (place + shift) % 3)).collect::<Vec<_>>().join(",");
    format!("{{\"matrix\": [[{}], [{}]]}}", row(0), row(1))
}

#[test]
fn a_learned_matrix_keeps_the_ports_guarantees() {
    suite::run(&(Arc::new(OfAnyDimension::new(options(), LEARNED, matrix)) as Arc<dyn Metric>));
}

#[test]
fn jaccard_in_c_keeps_the_ports_guarantees() {
    suite::run(&(Arc::new(OfAnyDimension::new(options(), JACCARD_C, |_| "{}".to_owned())) as Arc<dyn Metric>));
}

#[test]
fn jaccard_in_c_gives_the_share_that_differs() {
    let host = host();
    let metric = host.load_metric("jaccard", JACCARD_C, None, "{}", 3).expect("a metric");
    assert_eq!((metric.guest_name(), metric.descriptor().symmetric), ("weighted Jaccard", true));
    let block = [1.0, 2.0, 0.0, 2.0, 4.0, 0.0, 0.0, -3.0, 5.0, 0.0, 0.0, 0.0];
    assert_eq!(keys(&*metric, &[1.0, 2.0, 0.0], &block).expect("keys"), [0.0, 0.5, 1.0, 1.0]);
    assert_eq!(keys(&*metric, &[0.0, 0.0, 0.0], &[0.0, 0.0, 0.0]).expect("keys"), [0.0]);
    let error = host.load_metric("jaccard", JACCARD_C, None, "{\"a\": 1}", 3).err().expect("a refusal");
    assert_eq!((error.fault, error.message.as_str()), (Fault::Invalid, "the plugin says: settings: this metric has none"));
    // The kit's memory is used again for each call: what one leaves does not add up.
    let large = vec![1.0; 3 * 20_000];
    for _ in 0..200 {
        assert!(keys(&*metric, &[1.0, 1.0, 1.0], &large).expect("keys").iter().all(|key| *key == 0.0));
    }
}

#[test]
fn a_learned_matrix_measures_what_it_maps_to() {
    let host = host();
    let load = |settings: &str| host.load_metric("learned", LEARNED, None, settings, 2);
    let metric = load("{\"matrix\": [[1.0, 1.0], [0.0, 2.0]]}").expect("a metric");
    assert_eq!(keys(&*metric, &[0.0, 0.0], &[3.0, 0.0, 1.0, -1.0]).expect("keys"), [3.0, 2.0]);
    for (settings, words) in
        [("{\"matrix\": []}", "no rows"), ("{\"matrix\": [[1.0]]}", "row 0 has 1 columns for 2 components"), ("{}", "missing field")]
    {
        let error = load(settings).err().expect("a refusal");
        assert!(error.fault == Fault::Invalid && error.message.contains(words), "{error}");
    }
}

#[test]
fn haversine_knows_the_way_over_the_date_line() {
    let host = host();
    let metric = host.load_metric("globe", HAVERSINE, None, "{}", 2).expect("a metric");
    let [berlin, paris, suva, apia] = [[52.52, 13.405], [48.8566, 2.3522], [-18.1416, 178.4419], [-13.8333, -171.7667]];
    let kilometres = keys(&*metric, &berlin, &[berlin, paris].concat()).expect("keys");
    assert!(kilometres[0] == 0.0 && (876.0..880.0).contains(&kilometres[1]), "{kilometres:?}");
    let over = keys(&*metric, &suva, &apia).expect("keys")[0];
    assert!((1_100.0..1_200.0).contains(&over), "{over}");
    let poles = keys(&*metric, &[90.0, 0.0], &[-90.0, 77.0]).expect("keys")[0];
    assert!((poles - 20_015.1).abs() < 0.1, "{poles}");
    assert!(host.load_metric("globe", HAVERSINE, None, "{}", 3).err().expect("a refusal").message.contains("latitude"));
}

#[test]
fn every_example_passes_the_check_and_so_does_a_native_metric() {
    let host = host();
    for (bytes, settings, dimension) in [
        (COSINE, "{}".to_owned(), 48),
        (WEIGHTED_L2, weights(48), 48),
        (LEARNED, matrix(48), 48),
        (JACCARD_C, "{}".to_owned(), 48),
        (HAVERSINE, "{}".to_owned(), 2),
    ] {
        let metric = host.load_metric("checked", bytes, None, &settings, dimension).expect("a metric");
        let failed: Vec<_> = check_metric(&*metric, dimension).into_iter().filter(|check| check.failure.is_some()).collect();
        assert!(failed.is_empty(), "{}: {failed:?}", metric.guest_name());
    }
    assert!(check_metric(&ForeignMetric::default(), 7).iter().all(|check| check.failure.is_none()));
}

#[test]
fn the_check_finds_what_is_wrong() {
    // The value of a vector is its component: one way it is not that of the other way.
    let echo = host().load_metric("echo", &Guest::default().component(), None, "", 1).expect("a metric");
    let failed: Vec<_> = check_metric(&*echo, 1).into_iter().filter(|check| check.failure.is_some()).map(|check| check.what).collect();
    assert_eq!(failed, ["the value of (a, b) is that of (b, a), where the plugin says so"]);
    // Adds how often it was asked.
    let counts = "(local $i i32)
        (i32.store (i32.const 300) (i32.add (i32.load (i32.const 300)) (i32.const 1)))
        (loop $next
          (f32.store (i32.add (local.get $block) (i32.mul (local.get $i) (i32.const 4))) (f32.convert_i32_u (i32.load (i32.const 300))))
          (local.set $i (i32.add (local.get $i) (i32.const 1)))
          (br_if $next (i32.lt_u (local.get $i) (local.get $length))))
        (i32.store (i32.const 68) (local.get $block)) (i32.store (i32.const 72) (local.get $length)) (i32.const 64)";
    let counts = host().load_metric("counts", &Guest::scoring(counts), None, "", 1).expect("a metric");
    let first = check_metric(&*counts, 1).remove(0);
    assert!(first.what.contains("in whatever block") && first.failure.is_some(), "{first:?}");
}

#[test]
fn guarantees_hold_under_the_watch_of_time_and_in_small_blocks() {
    let interruption = Interruption::Time { tick: Duration::from_millis(10), call_max: Duration::from_secs(600) };
    let options = PluginOptions { interruption, block_bytes_max: 1_000, warm_instances_max: 0, ..PluginOptions::default() };
    suite::g1_a_key_is_the_same_in_every_block(&(Arc::new(OfAnyDimension::new(options, COSINE, |_| "{}".to_owned())) as Arc<dyn Metric>));
}

/// Cosine in f64, one component after the other.
fn scalar_cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |x: &[f32], y: &[f32]| x.iter().zip(y).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum::<f64>();
    let product = dot(a, a).sqrt() * dot(b, b).sqrt();
    if product > 0.0 { dot(a, b) / product } else { 0.0 }
}

#[test]
fn the_twin_orders_as_scalar_cosine_does() {
    let twin = OfAnyDimension::new(options(), COSINE, |_| "{}".to_owned());
    let vector = |dimension| prop::collection::vec(-1.0f32..1.0, dimension);
    let vectors = (1usize..40).prop_flat_map(move |dimension| prop::collection::vec(vector(dimension), 3..20));
    let config = ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() };
    let order = |vectors: Vec<Vec<f32>>| {
        let (query, rows) = vectors.split_first().expect("at least three");
        let keys = keys(&twin, query, &rows.concat()).expect("keys");
        for (key, row) in keys.iter().zip(rows) {
            prop_assert!((f64::from(*key) + scalar_cosine(query, row)).abs() < 1e-5);
            prop_assert!((f64::from(twin.score(*key)) - scalar_cosine(query, row)).abs() < 1e-5);
        }
        for (a, b) in (0..rows.len()).flat_map(|a| (0..rows.len()).map(move |b| (a, b))) {
            if scalar_cosine(query, &rows[a]) > scalar_cosine(query, &rows[b]) + 1e-5 {
                prop_assert!(keys[a] < keys[b], "row {} is nearer than {}", a, b);
            }
        }
        Ok(())
    };
    if let Err(failure) = TestRunner::new(config).run(&vectors, order) {
        panic!("{failure}");
    }
}

#[test]
fn metrics_say_what_they_are() {
    let host = host();
    let cosine = host.load_metric("twin", COSINE, None, "{}", 2).expect("a metric");
    let kind = MetricKind::Wasm("twin".to_owned());
    let sha256 = Some(*cosine.sha256());
    let expected = MetricDescriptor { kind, score_kind: ScoreKind::Similarity, symmetric: true, sha256, traverse: None };
    assert_eq!(*cosine.descriptor(), expected);
    assert_eq!((cosine.guest_name(), cosine.guest_version()), ("cosine", "0.2.0"));
    let weighted = host.load_metric("weighted", WEIGHTED_L2, None, "{\"weights\": [1, 1]}", 2).expect("a metric");
    assert_eq!(weighted.descriptor().score_kind, ScoreKind::Distance);
}

#[test]
fn weights_weigh() {
    let metric = host().load_metric("weighted", WEIGHTED_L2, None, "{\"weights\": [4, 0, 1]}", 3).expect("a metric");
    let keys = keys(&*metric, &[0.0, 0.0, 0.0], &[3.0, 9.0, 0.0, 0.0, 9.0, 5.0, 0.0, 0.0, 0.0]).expect("keys");
    assert_eq!(keys, [6.0, 5.0, 0.0]);
    assert_eq!((metric.score(6.0), metric.distance(6.0)), (6.0, 6.0));
}

#[test]
fn settings_that_the_plugin_refuses_come_back_with_its_words() {
    for (settings, word) in [("{\"weights\": [1]}", "1 of them"), ("{\"weights\": [1, -1]}", "number 1"), ("{", "EOF"), ("{\"x\": 1}", "x")]
    {
        let error = host().load_metric("weighted", WEIGHTED_L2, None, settings, 2).err().expect("a refusal");
        assert_eq!(error.fault, Fault::Invalid, "{error:?}");
        assert!(error.message.contains(word), "{error:?}");
    }
}

#[test]
fn similarities_come_back_as_they_were_and_zero_has_one_sign() {
    // Not lower-is-nearer: the flag at 37 is taken back as the module starts.
    let beside = "(func $start (i32.store8 (i32.const 37) (i32.const 0))) (start $start)";
    let metric = host().load_metric("echo", &Guest { beside, ..Guest::default() }.component(), None, "", 1).expect("a metric");
    let similar = keys(&*metric, &[1.0], &[0.5, 0.0, -0.0, -2.0]).expect("keys");
    assert_eq!(similar.iter().map(|key| key.to_bits()).collect::<Vec<_>>(), [-0.5f32, 0.0, 0.0, 2.0].map(f32::to_bits));
    assert_eq!(similar.iter().map(|key| metric.score(*key).to_bits()).collect::<Vec<_>>(), [0.5f32, 0.0, 0.0, -2.0].map(f32::to_bits));
    let metric = host().load_metric("echo", &Guest::default().component(), None, "", 1).expect("a metric");
    assert_eq!(keys(&*metric, &[1.0], &[-0.0]).expect("keys")[0].to_bits(), 0.0f32.to_bits());
}

#[test]
fn blocks_are_handed_over_in_parts() {
    // Refuses more than four vectors at once.
    let guest = Guest::scoring(
        "(if (i32.gt_u (local.get $length) (i32.const 4)) (then unreachable))
         (i32.store (i32.const 68) (local.get $block)) (i32.store (i32.const 72) (local.get $length)) (i32.const 64)",
    );
    let block: Vec<f32> = (0..10u8).map(f32::from).collect();
    let (small, _) = host_with(PluginOptions { block_bytes_max: 16, ..options() });
    let metric = small.load_metric("parts", &guest, None, "", 1).expect("a metric");
    assert_eq!(keys(&*metric, &[0.0], &block).expect("keys"), block);
    let (large, _) = host_with(PluginOptions { block_bytes_max: 20, ..options() });
    let metric = large.load_metric("parts", &guest, None, "", 1).expect("a metric");
    assert_eq!(keys(&*metric, &[0.0], &block).expect_err("five are too many").fault, Fault::Plugin);
}

#[test]
fn queries_and_blocks_of_another_shape_are_refused() {
    let metric = host().load_metric("cosine", COSINE, None, "{}", 2).expect("a metric");
    for query in [&[1.0][..], &[1.0, 2.0, 3.0], &[1.0, f32::NAN], &[f32::INFINITY, 1.0], &[]] {
        assert_eq!(metric.prepare(query).err().expect("a refusal").fault, Fault::Invalid, "{query:?}");
    }
    let mut scorer = metric.prepare(&[1.0, 0.0]).expect("a scorer");
    assert_eq!(scorer.keys(&[1.0, 2.0, 3.0], &mut [0.0]).expect_err("three are no row").fault, Fault::Internal);
    assert!(scorer.keys(&[], &mut []).is_ok());
}

#[test]
fn sums_that_run_out_of_f32_are_as_far_as_can_be() {
    let metric = host().load_metric("weighted", WEIGHTED_L2, None, "{\"weights\": [1, 0]}", 2).expect("a metric");
    assert_eq!(keys(&*metric, &[-3e38, -3e38], &[3e38, 3e38, -3e38, 3e38]).expect("keys"), [f32::MAX, f32::MAX]);
    let metric = host().load_metric("cosine", COSINE, None, "{}", 2).expect("a metric");
    assert_eq!(keys(&*metric, &[1e30, 0.0], &[1e30, 0.0, 0.0, 0.0]).expect("keys"), [1.0, 1.0]);
}

#[test]
fn many_threads_score_at_once() {
    let metric = host().load_metric("weighted", WEIGHTED_L2, None, "{\"weights\": [1, 1]}", 2).expect("a metric");
    let score = |by: f32| {
        for round in 0..50u8 {
            let far = by * f32::from(round);
            assert_eq!(keys(&*metric, &[0.0, 0.0], &[far, 0.0, 0.0, 2.0 * far]).expect("keys"), [far, 2.0 * far]);
        }
    };
    std::thread::scope(|scope| (1..=4u8).for_each(|by| drop(scope.spawn(move || score(f32::from(by))))));
}
