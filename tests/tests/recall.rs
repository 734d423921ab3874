//! The graph against exact search on the real sentence embeddings of the sample, with held-out questions.

use std::sync::Arc;

use bytes::Bytes;
use proximadb_axis::{BuiltinMetric, FlatFactory, GraphFactory};
use proximadb_model::{IndexSettings, MetricKind, Rows};
use proximadb_ports::{Budget, Clock, IndexFactory, IndexSpec, Metric, SearchCounters, SearchParams, Vectors};
use proximadb_sim::SimClock;

const K: usize = 10;
const RECALL_MIN: f64 = 0.95;

fn read(name: &str) -> Rows {
    let path = proximadb_tests::root().join("tests/testdata/sample").join(name);
    proximadb_viper::read_plain(Bytes::from(std::fs::read(path).expect("the sample is in the tree"))).expect("the sample is readable")
}

#[test]
fn the_graph_finds_what_exact_search_finds_on_real_sentences() {
    let (sentences, questions) = (read("sample.parquet"), read("queries.parquet"));
    let clock: Arc<dyn Clock> = Arc::new(SimClock::new());
    let budget = Budget::new(clock, None);
    let defaults = IndexSettings::default();
    let metric: Arc<dyn Metric> = Arc::new(BuiltinMetric::new(MetricKind::Cosine).expect("built in"));
    let spec = IndexSpec { metric, m: defaults.m as usize, ef_construction: defaults.ef_construction as usize, seed: 7, threads: 1 };
    let vectors = Vectors { dimension: sentences.dimension, data: Arc::new(sentences.vectors.clone()) };
    let flat = FlatFactory.build(&spec, vectors.clone(), &budget).expect("built");
    let graph = GraphFactory.build(&spec, vectors, &budget).expect("built");

    let (mut found, mut wanted) = (0usize, 0usize);
    let (mut walked, mut scanned) = (SearchCounters::default(), SearchCounters::default());
    for question in 0..questions.len() {
        let query = questions.vector(question).expect("has vectors");
        let params = |exact| SearchParams { k: K, ef: defaults.ef_search as usize, exact };
        let truth = flat.search(query, &params(true), None, &budget, &mut scanned).expect("searched");
        let answer = graph.search(query, &params(false), None, &budget, &mut walked).expect("searched");
        wanted += truth.len();
        found += truth.iter().filter(|t| answer.iter().any(|a| a.row == t.row)).count();
    }
    let recall = found as f64 / wanted as f64;
    println!("recall@{K} {recall:.4} over {} questions, {walked:?}", questions.len());
    assert_eq!(walked.graph_walks, questions.len() as u64, "the graph answered, not a scan");
    assert!(walked.distances + walked.code_distances < scanned.distances, "a walk looks at fewer rows than a scan");
    assert!(recall >= RECALL_MIN, "recall@{K} is {recall}");
}
