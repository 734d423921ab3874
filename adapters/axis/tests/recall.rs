//! The floor under the graph's recall, at the settings that users get without asking.

use std::sync::Arc;

use proximadb_axis::{BuiltinMetric, FlatFactory, GraphFactory, RerankedFactory};
use proximadb_model::{IndexSettings, MetricKind};
use proximadb_ports::conformance::index::{ForeignMetric, Form, Sample, endless, recall};
use proximadb_ports::{IndexFactory, IndexSpec, Metric, Traverse};

const K: usize = 10;
const FLOOR: f64 = 0.95;

fn check(form: Form, kind: MetricKind, threads: usize) {
    let settings = IndexSettings::default();
    let metric: Arc<dyn Metric> = Arc::new(BuiltinMetric::new(kind.clone()).expect("a built-in metric"));
    let spec = IndexSpec { metric, m: settings.m as usize, ef_construction: settings.ef_construction as usize, seed: 0xa15, threads };
    let sample = Sample { form, rows: 20_000, dimension: 64, seed: 0x5eed };
    let queries: Vec<_> = (0..200).map(|number| sample.query(number)).collect();
    let graph = GraphFactory.build(&spec, sample.vectors(), &endless()).expect("a graph");
    let flat = FlatFactory.build(&spec, sample.vectors(), &endless()).expect("a flat index");
    let (recall, counters) = recall(&*graph, &*flat, &queries, K, settings.ef_search as usize);
    assert!(recall >= FLOOR, "{form:?} by {kind}: recall {recall} with {counters:?}, seed {:#x}", sample.seed);
    assert_eq!(counters.graph_walks, queries.len() as u64);
    assert!(counters.distances + counters.code_distances < (queries.len() * sample.rows / 2) as u64, "a scan: {counters:?}");
}

/// A metric that no graph walks by, reached by one that orders much alike: its recall is measured against its own exact order.
#[test]
fn rows_are_found_by_a_detour() {
    let traverse = Traverse { by: MetricKind::Euclidean, widen: 3 };
    let metric: Arc<dyn Metric> = Arc::new(ForeignMetric::walking_by(traverse));
    let settings = IndexSettings::default();
    let spec = IndexSpec { metric, m: settings.m as usize, ef_construction: settings.ef_construction as usize, seed: 0xa15, threads: 2 };
    let sample = Sample { form: Form::Clustered, rows: 8_000, dimension: 64, seed: 0x5eed };
    let queries: Vec<_> = (0..200).map(|number| sample.query(number)).collect();
    let graph = RerankedFactory(GraphFactory).build(&spec, sample.vectors(), &endless()).expect("a graph");
    let flat = FlatFactory.build(&spec, sample.vectors(), &endless()).expect("a flat index");
    let (recall, counters) = recall(&*graph, &*flat, &queries, K, settings.ef_search as usize);
    assert!(recall >= FLOOR, "recall {recall} with {counters:?}, seed {:#x}", sample.seed);
    assert_eq!(counters.graph_walks, queries.len() as u64);
    assert!(counters.distances <= (queries.len() * settings.ef_search as usize * 3) as u64, "more was ordered: {counters:?}");
}

#[test]
fn clustered_rows_are_found_by_cosine() {
    check(Form::Clustered, MetricKind::Cosine, 1);
}

#[test]
fn clustered_rows_are_found_by_euclidean() {
    check(Form::Clustered, MetricKind::Euclidean, 2);
}

#[test]
fn clustered_rows_are_found_by_dot_product() {
    check(Form::Clustered, MetricKind::DotProduct, 2);
}

#[test]
fn repeated_rows_are_found() {
    check(Form::Repeated, MetricKind::Euclidean, 2);
}
