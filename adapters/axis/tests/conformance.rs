//! AXIS against the suites of its ports.

use std::sync::Arc;

use proximadb_axis::{BuiltinMetric, FlatFactory, GraphFactory, OwnGraphFactory, RerankedFactory};
use proximadb_model::{BUILT_IN_METRICS, MetricKind};
use proximadb_ports::conformance::index::{ForeignMetric, Suite};
use proximadb_ports::conformance::metric;
use proximadb_ports::{IndexFactory, Metric, Traverse};

fn builtin(name: &str) -> Arc<dyn Metric> {
    let kind: MetricKind = name.parse().expect("a metric's name");
    Arc::new(BuiltinMetric::new(kind).expect("a built-in metric"))
}

fn suite(factory: impl IndexFactory) -> Suite {
    let foreign: Arc<dyn Metric> = Arc::new(ForeignMetric::default());
    let metrics = BUILT_IN_METRICS.into_iter().map(builtin).chain([foreign]).collect();
    Suite { factory: Arc::new(factory), metrics }
}

/// Metrics that walk by another one beside those that walk by themselves.
fn detours() -> Suite {
    let detour = |by: &str| -> Arc<dyn Metric> {
        Arc::new(ForeignMetric::walking_by(Traverse::By { metric: by.parse().expect("a metric's name"), widen: 3 }))
    };
    let metrics = vec![builtin("cosine"), builtin("hamming"), detour("euclidean"), detour("manhattan"), Arc::new(ForeignMetric::default())];
    Suite { factory: Arc::new(RerankedFactory(GraphFactory)), metrics }
}

/// A metric that walks by itself beside one that takes the detour and those that are known.
fn own() -> Suite {
    let foreign = |traverse| -> Arc<dyn Metric> { Arc::new(ForeignMetric::walking_by(traverse)) };
    let detour = Traverse::By { metric: MetricKind::Euclidean, widen: 3 };
    let metrics =
        vec![builtin("cosine"), foreign(Traverse::Itself { digest: [7; 32] }), foreign(detour), Arc::new(ForeignMetric::default())];
    Suite { factory: Arc::new(OwnGraphFactory(RerankedFactory(GraphFactory))), metrics }
}

#[test]
fn built_in_metrics_conform() {
    for name in BUILT_IN_METRICS {
        metric::run(&builtin(name));
    }
}

macro_rules! properties {
    ($($name:ident),* $(,)?) => {
        mod flat {
            $(#[test] fn $name() { super::suite(super::FlatFactory).$name(); })*
        }
        mod reranked {
            $(#[test] fn $name() { super::detours().$name(); })*
        }
        mod own_graph {
            $(#[test] fn $name() { super::own().$name(); })*
        }
        mod graph {
            $(#[test] fn $name() { super::suite(super::GraphFactory).$name(); })*
        }
    };
}

properties!(
    unsupported_metrics_are_refused,
    factory_g1_a_loaded_index_answers_as_the_saved_one,
    factory_g2_any_bytes_end_in_an_index_or_corrupt,
    factory_g3_another_segments_sidecar_is_refused,
    factory_g4_an_index_answers_before_its_originals_come,
    factory_spec_the_same_seed_gives_the_same_index,
    g1_candidates_are_ordered_distinct_few_and_allowed,
    g2_keys_are_the_metrics_of_the_originals,
    g3_exact_compares_every_allowed_row,
    g4_enough_allowed_rows_give_k_candidates,
    g5_a_search_ends_with_its_budget,
);
