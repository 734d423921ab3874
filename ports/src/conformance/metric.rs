//! The suite of the metric port: one property a guarantee, for built-in metrics and plugins alike.

use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::index::Sample;
use crate::{Metric, Vectors};
use proximadb_model::ScoreKind;

const CASES: u32 = 64;

/// Runs every property of the port.
///
/// # Panics
/// When a guarantee does not hold; the message has the input that shows it.
pub fn run(metric: &Arc<dyn Metric>) {
    g1_a_key_is_the_same_in_every_block(metric);
    g2_no_key_is_nan(metric);
    g3_scores_and_distances_keep_the_order(metric);
}

/// G1.
///
/// # Panics
/// When it does not hold.
pub fn g1_a_key_is_the_same_in_every_block(metric: &Arc<dyn Metric>) {
    check(&(Sample::any(), 1usize..70), |(sample, block)| {
        let vectors = sample.vectors();
        let together = keys(metric, &sample.query(0), &vectors, vectors.rows());
        let apart = keys(metric, &sample.query(0), &vectors, block);
        let bits = |keys: &[f32]| keys.iter().map(|key| key.to_bits()).collect::<Vec<_>>();
        prop_assert_eq!(bits(&together), bits(&apart));
        Ok(())
    });
}

/// G2.
///
/// # Panics
/// When it does not hold.
pub fn g2_no_key_is_nan(metric: &Arc<dyn Metric>) {
    let component = prop_oneof![Just(0.0f32), Just(-0.0), Just(1e-45), Just(1e18), Just(-1e18), -1.0f32..1.0];
    let rows = (1usize..20).prop_flat_map(move |dimension| {
        proptest::collection::vec(proptest::collection::vec(component.clone(), dimension), 2..12).prop_map(|rows| rows)
    });
    check(&rows, |rows| {
        let vectors = Vectors { dimension: rows[0].len(), data: Arc::new(rows[1..].concat()) };
        let keys = keys(metric, &rows[0], &vectors, vectors.rows());
        prop_assert!(keys.iter().all(|key| !key.is_nan()), "{:?}", keys);
        Ok(())
    });
}

/// G3.
///
/// # Panics
/// When it does not hold.
pub fn g3_scores_and_distances_keep_the_order(metric: &Arc<dyn Metric>) {
    check(&Sample::any(), |sample| {
        let vectors = sample.vectors();
        let mut keys = keys(metric, &sample.query(0), &vectors, vectors.rows());
        keys.sort_by(f32::total_cmp);
        for pair in keys.windows(2) {
            let (near, far) = (pair[0], pair[1]);
            let scores_keep = match metric.descriptor().score_kind {
                ScoreKind::Similarity => metric.score(near) >= metric.score(far),
                ScoreKind::Distance => metric.score(near) <= metric.score(far),
            };
            prop_assert!(scores_keep, "scores of {near} and {far}");
            prop_assert!(metric.distance(near) <= metric.distance(far), "distances of {near} and {far}");
        }
        Ok(())
    });
}

/// The keys of all rows, scored `block` rows at a time.
pub(super) fn keys(metric: &Arc<dyn Metric>, query: &[f32], vectors: &Vectors, block: usize) -> Vec<f32> {
    let mut scorer = metric.prepare(query).expect("the query can be prepared");
    let mut keys = vec![0.0; vectors.rows()];
    for (rows, keys) in vectors.data.chunks(block.max(1) * vectors.dimension).zip(keys.chunks_mut(block.max(1))) {
        scorer.keys(rows, keys).expect("the block can be scored");
    }
    keys
}

/// Runs a property and panics with its smallest counterexample.
pub(super) fn check<S: Strategy>(strategy: &S, property: impl Fn(S::Value) -> Result<(), TestCaseError>) {
    let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
    if let Err(failure) = TestRunner::new(config).run(strategy, property) {
        panic!("{failure}");
    }
}
