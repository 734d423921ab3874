//! The suite of the index port: one property a guarantee, over any factory and the metrics that it supports.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use proptest::prelude::*;
use proximadb_model::{Candidate, MetricKind, RowSet, Timestamp};

use super::metric::{check, keys};
use crate::{
    Budget, Clock, Fault, IndexFactory, IndexSpec, Metric, MetricDescriptor, Originals, Result, SearchCounters, SearchParams, VectorIndex,
    Vectors,
};

const SEGMENT_CHECKSUM: u32 = 0x5eed_c0de;
/// G2's rounding.
const ROUNDING: f32 = 1e-5;

/// A factory under test, with the metrics to test it by; those that it does not support must be refused.
pub struct Suite {
    /// What is tested.
    pub factory: Arc<dyn IndexFactory>,
    /// What it orders by.
    pub metrics: Vec<Arc<dyn Metric>>,
}

/// One search of one index.
#[derive(Clone, Debug)]
struct Question {
    sample: Sample,
    k: usize,
    ef: usize,
    /// Which rows are allowed: one in so many, or all.
    allow: Option<usize>,
}

impl Question {
    fn any() -> impl Strategy<Value = Self> {
        (Sample::any(), 1usize..25, 1usize..80, prop::option::of(1usize..12)).prop_map(|(sample, k, ef, allow)| Self {
            sample,
            k,
            ef,
            allow,
        })
    }

    fn allow(&self) -> Option<RowSet> {
        self.allow.map(|each| RowSet::from_fn(self.sample.rows, |row| row % each == 0))
    }

    fn allowed(&self) -> Vec<usize> {
        (0..self.sample.rows).filter(|row| self.allow.is_none_or(|each| row % each == 0)).collect()
    }

    fn ask(&self, index: &dyn VectorIndex, exact: bool) -> Vec<Candidate> {
        let params = SearchParams { k: self.k, ef: self.ef, exact };
        let (allow, mut counters) = (self.allow(), SearchCounters::default());
        let found = index.search(&self.sample.query(0), &params, allow.as_ref(), &endless(), &mut counters);
        found.expect("a search within its budget answers")
    }
}

impl Suite {
    /// Runs every property of the port.
    ///
    /// # Panics
    /// When a guarantee does not hold; the message has the input that shows it.
    pub fn run(&self) {
        self.unsupported_metrics_are_refused();
        self.factory_g1_a_loaded_index_answers_as_the_saved_one();
        self.factory_g2_any_bytes_end_in_an_index_or_corrupt();
        self.factory_g3_another_segments_sidecar_is_refused();
        self.factory_g4_an_index_answers_before_its_originals_come();
        self.factory_spec_the_same_seed_gives_the_same_index();
        self.g1_candidates_are_ordered_distinct_few_and_allowed();
        self.g2_keys_are_the_metrics_of_the_originals();
        self.g3_exact_compares_every_allowed_row();
        self.g4_enough_allowed_rows_give_k_candidates();
        self.g5_a_search_ends_with_its_budget();
        self.g7_originals_may_be_let_go_and_come_back();
    }

    /// `supports` and `build` say the same.
    ///
    /// # Panics
    /// When they do not.
    pub fn unsupported_metrics_are_refused(&self) {
        for metric in self.metrics.iter().filter(|metric| !self.factory.supports(metric.descriptor())) {
            let vectors = Vectors { dimension: 1, data: Arc::new(vec![1.0, 2.0]) };
            let fault = self.factory.build(&spec(metric), vectors, &endless()).err().map(|error| error.fault);
            assert_eq!(fault, Some(Fault::Invalid), "{:?}", metric.descriptor());
        }
    }

    /// G1 of the factory.
    ///
    /// # Panics
    /// When it does not hold.
    pub fn factory_g1_a_loaded_index_answers_as_the_saved_one(&self) {
        self.each(&Question::any(), |metric, question| {
            let index = self.build(metric, &question.sample);
            let Some(saved) = index.save(SEGMENT_CHECKSUM) else { return Ok(()) };
            let loaded = self.factory.load(&spec(metric), question.sample.vectors().into(), SEGMENT_CHECKSUM, saved.clone());
            let loaded = loaded.expect("what was saved can be loaded");
            prop_assert_eq!(question.ask(&*loaded, false), question.ask(&*index, false));
            prop_assert_eq!(loaded.save(SEGMENT_CHECKSUM), Some(saved));
            Ok(())
        });
    }

    /// G2 of the factory.
    ///
    /// # Panics
    /// When it does not hold.
    pub fn factory_g2_any_bytes_end_in_an_index_or_corrupt(&self) {
        let wounds = (
            Question::any(),
            any::<prop::sample::Index>(),
            1u8..=255,
            any::<prop::sample::Index>(),
            prop::collection::vec(any::<u8>(), 0..200),
        );
        self.each(&wounds, |metric, (question, place, flip, cut, noise)| {
            let mut versions = vec![Bytes::from(noise)];
            if let Some(saved) = self.build(metric, &question.sample).save(SEGMENT_CHECKSUM) {
                let mut flipped = saved.to_vec();
                flipped[place.index(saved.len())] ^= flip;
                versions.extend([Bytes::from(flipped), saved.slice(..cut.index(saved.len())), [&saved[..], &[flip]].concat().into()]);
            }
            for bytes in versions {
                match self.factory.load(&spec(metric), question.sample.vectors().into(), SEGMENT_CHECKSUM, bytes) {
                    Ok(index) => drop(question.ask(&*index, false)),
                    Err(error) => prop_assert_eq!(error.fault, Fault::Corrupt),
                }
            }
            Ok(())
        });
    }

    /// G3 of the factory.
    ///
    /// # Panics
    /// When it does not hold.
    pub fn factory_g3_another_segments_sidecar_is_refused(&self) {
        self.each(&(Question::any(), 1u32..), |metric, (question, other)| {
            if let Some(saved) = self.build(metric, &question.sample).save(SEGMENT_CHECKSUM) {
                let loaded = self.factory.load(&spec(metric), question.sample.vectors().into(), SEGMENT_CHECKSUM ^ other, saved);
                prop_assert_eq!(loaded.err().map(|error| error.fault), Some(Fault::Corrupt));
            }
            Ok(())
        });
    }

    /// G4 of the factory, and G6 of the index.
    ///
    /// # Panics
    /// When it does not hold.
    pub fn factory_g4_an_index_answers_before_its_originals_come(&self) {
        self.each(&Question::any(), |metric, question| {
            let index = self.build(metric, &question.sample);
            let Some(saved) = index.save(SEGMENT_CHECKSUM) else { return Ok(()) };
            let originals = Originals::awaited(question.sample.dimension, question.sample.rows);
            let loaded = self.factory.load(&spec(metric), originals.clone(), SEGMENT_CHECKSUM, saved.clone());
            let loaded = loaded.expect("what was saved can be loaded before the originals have come");
            prop_assert!(!loaded.has_originals());
            prop_assert_eq!(loaded.rows(), question.sample.rows);
            prop_assert_eq!(loaded.save(SEGMENT_CHECKSUM), Some(saved));
            let params = SearchParams { k: question.k, ef: question.ef, exact: false };
            let (query, allow, budget) = (question.sample.query(0), question.allow(), endless());
            let mut counters = SearchCounters::default();
            let early = loaded.search(&query, &params, allow.as_ref(), &budget, &mut counters);
            prop_assert_eq!(early.err().map(|error| error.fault), Some(Fault::Unavailable));
            let exact = SearchParams { exact: true, ..params };
            let list = loaded.shortlist(&query, &exact, allow.as_ref(), &budget, &mut counters).expect("a shortlist or none");
            prop_assert_eq!(list, None, "no shortlist compares every row");
            let list = loaded.shortlist(&query, &params, allow.as_ref(), &budget, &mut counters).expect("a shortlist or none");

            let foreign = Vectors { dimension: question.sample.dimension + 1, data: Arc::default() };
            prop_assert!(!originals.arrive(foreign));
            prop_assert!(!loaded.has_originals(), "what is of another shape is not taken");
            prop_assert!(originals.arrive(question.sample.vectors()));
            prop_assert!(loaded.has_originals());
            let found = question.ask(&*loaded, false);
            prop_assert_eq!(&found, &question.ask(&*index, false));
            if let Some(list) = list {
                let listed: BTreeSet<_> = list.iter().map(|row| *row as usize).collect();
                prop_assert_eq!(listed.len(), list.len(), "a row twice");
                prop_assert!(list.len() >= question.k.min(question.allowed().len()));
                prop_assert!(listed.is_subset(&question.allowed().into_iter().collect()), "a row that is not allowed");
                prop_assert!(found.iter().all(|candidate| listed.contains(&(candidate.row as usize))));
                let met = loaded.met(&query, &params, allow.as_ref(), &budget, &mut counters).expect("rows or none");
                let met: BTreeSet<_> = met.expect("as there is a shortlist").into_iter().map(|row| row as usize).collect();
                prop_assert!(listed.is_subset(&met) && met.is_subset(&question.allowed().into_iter().collect()));
            }
            Ok(())
        });
    }

    /// What [`IndexSpec::seed`] promises.
    ///
    /// # Panics
    /// When it does not hold.
    pub fn factory_spec_the_same_seed_gives_the_same_index(&self) {
        self.each(&Question::any(), |metric, question| {
            let (one, other) = (self.build(metric, &question.sample), self.build(metric, &question.sample));
            prop_assert_eq!(one.save(SEGMENT_CHECKSUM), other.save(SEGMENT_CHECKSUM));
            prop_assert_eq!(question.ask(&*one, false), question.ask(&*other, false));
            Ok(())
        });
    }

    /// G1.
    ///
    /// # Panics
    /// When it does not hold.
    pub fn g1_candidates_are_ordered_distinct_few_and_allowed(&self) {
        self.each(&Question::any(), |metric, question| {
            let index = self.build(metric, &question.sample);
            prop_assert_eq!(index.rows(), question.sample.rows);
            let allowed: BTreeSet<_> = question.allowed().into_iter().collect();
            for exact in [false, true] {
                let found = question.ask(&*index, exact);
                prop_assert!(found.is_sorted_by(|a, b| a.key <= b.key), "nearest first: {:?}", found);
                prop_assert!(found.len() <= question.k, "{} for {}", found.len(), question.k);
                let rows: BTreeSet<_> = found.iter().map(|candidate| candidate.row as usize).collect();
                prop_assert_eq!(rows.len(), found.len(), "a row twice");
                prop_assert!(rows.is_subset(&allowed), "a row that is not allowed");
            }
            Ok(())
        });
    }

    /// G2.
    ///
    /// # Panics
    /// When it does not hold.
    pub fn g2_keys_are_the_metrics_of_the_originals(&self) {
        self.each(&Question::any(), |metric, question| {
            let index = self.build(metric, &question.sample);
            let truth = question.sample.keys(metric);
            for candidate in question.ask(&*index, false) {
                let key = truth[candidate.row as usize];
                prop_assert!(is_close(candidate.key, key, &truth), "row {}: {} is not {key}", candidate.row, candidate.key);
            }
            Ok(())
        });
    }

    /// G3.
    ///
    /// # Panics
    /// When it does not hold.
    pub fn g3_exact_compares_every_allowed_row(&self) {
        self.each(&Question::any(), |metric, question| {
            let index = self.build(metric, &question.sample);
            let truth = question.sample.keys(metric);
            let mut nearest: Vec<f32> = question.allowed().into_iter().map(|row| truth[row]).collect();
            nearest.sort_by(f32::total_cmp);
            nearest.truncate(question.k);
            let found: Vec<f32> = question.ask(&*index, true).iter().map(|candidate| candidate.key).collect();
            prop_assert_eq!(found.len(), nearest.len());
            for (found, nearest) in found.iter().zip(&nearest) {
                prop_assert!(is_close(*found, *nearest, &truth), "{} where {} is", found, nearest);
            }
            Ok(())
        });
    }

    /// G4.
    ///
    /// # Panics
    /// When it does not hold.
    pub fn g4_enough_allowed_rows_give_k_candidates(&self) {
        self.each(&Question::any(), |metric, question| {
            let found = question.ask(&*self.build(metric, &question.sample), false);
            prop_assert_eq!(found.len(), question.k.min(question.allowed().len()));
            Ok(())
        });
    }

    /// G5.
    ///
    /// # Panics
    /// When it does not hold.
    pub fn g5_a_search_ends_with_its_budget(&self) {
        let over = || Budget::new(Arc::new(StillClock), Some(Duration::ZERO));
        let cancelled = || {
            let budget = endless();
            budget.cancel();
            budget
        };
        self.each(&Question::any(), |metric, question| {
            let index = self.build(metric, &question.sample);
            for budget in [over(), cancelled()] {
                for exact in [false, true] {
                    let params = SearchParams { k: question.k, ef: question.ef, exact };
                    let mut counters = SearchCounters::default();
                    let answer = index.search(&question.sample.query(0), &params, question.allow().as_ref(), &budget, &mut counters);
                    prop_assert_eq!(answer.err().map(|error| error.fault), Some(Fault::Deadline));
                }
                let built = self.factory.build(&spec(metric), question.sample.vectors(), &budget);
                prop_assert_eq!(built.err().map(|error| error.fault), Some(Fault::Deadline));
            }
            Ok(())
        });
    }

    /// G7.
    ///
    /// # Panics
    /// When it does not hold.
    pub fn g7_originals_may_be_let_go_and_come_back(&self) {
        self.each(&Question::any(), |metric, question| {
            let index = self.build(metric, &question.sample);
            let Some(originals) = index.originals().cloned() else { return Ok(()) };
            let before = [false, true].map(|exact| question.ask(&*index, exact));
            let held = originals.get().expect("an index is built of originals that are there");
            prop_assert!(originals.let_go() && !index.has_originals());
            prop_assert!(!originals.let_go(), "they have gone already");
            let expected = question.sample.vectors();
            prop_assert_eq!(&held.data, &expected.data, "who holds them has them");
            let (query, allow, mut counters) = (question.sample.query(0), question.allow(), SearchCounters::default());
            for exact in [false, true] {
                let params = SearchParams { k: question.k, ef: question.ef, exact };
                let refused = index.search(&query, &params, allow.as_ref(), &endless(), &mut counters);
                prop_assert_eq!(refused.err().map(|error| error.fault), Some(Fault::Unavailable));
                let list = index.shortlist(&query, &params, allow.as_ref(), &endless(), &mut counters).expect("a shortlist or none");
                if let Some(list) = list {
                    prop_assert!(!exact, "no shortlist compares every row");
                    prop_assert!(before[0].iter().all(|candidate| list.contains(&candidate.row)));
                }
            }
            prop_assert!(originals.arrive(question.sample.vectors()) && index.has_originals());
            prop_assert_eq!([false, true].map(|exact| question.ask(&*index, exact)), before);
            Ok(())
        });
    }

    fn build(&self, metric: &Arc<dyn Metric>, sample: &Sample) -> Arc<dyn VectorIndex> {
        self.factory.build(&spec(metric), sample.vectors(), &endless()).expect("a supported metric can be built")
    }

    fn each<S: Strategy>(&self, strategy: &S, property: impl Fn(&Arc<dyn Metric>, S::Value) -> std::result::Result<(), TestCaseError>) {
        for metric in self.metrics.iter().filter(|metric| self.factory.supports(metric.descriptor())) {
            check(strategy, |value| property(metric, value));
        }
    }
}

/// Rows of a kind, made from a seed.
#[derive(Clone, Debug)]
pub struct Sample {
    /// How rows lie.
    pub form: Form,
    /// How many there are.
    pub rows: usize,
    /// Components of each.
    pub dimension: usize,
    /// What they are made from.
    pub seed: u64,
}

/// How a sample's rows lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Anywhere in a cube.
    Scattered,
    /// Around a few centres.
    Clustered,
    /// Many of them equal to others.
    Repeated,
    /// All equal.
    Equal,
    /// Of lengths that differ widely.
    Stretched,
}

impl Sample {
    /// Samples of all forms, tiny ones among them.
    pub fn any() -> impl Strategy<Value = Self> {
        use Form::{Clustered, Equal, Repeated, Scattered, Stretched};
        let form = prop::sample::select(vec![Scattered, Clustered, Repeated, Equal, Stretched]);
        let rows = prop_oneof![1usize..4, 1usize..40, 200usize..300];
        let dimension = prop_oneof![9 => 1usize..=70, 1 => Just(384usize)];
        (form, rows, dimension, any::<u64>()).prop_map(|(form, rows, dimension, seed)| Self { form, rows, dimension, seed })
    }

    /// Its rows.
    pub fn vectors(&self) -> Vectors {
        let data = (0..self.rows).flat_map(|row| self.vector(row as u64)).collect();
        Vectors { dimension: self.dimension, data: Arc::new(data) }
    }

    /// A vector that lies as its rows do.
    pub fn query(&self, number: usize) -> Vec<f32> {
        self.vector(u64::MAX - number as u64)
    }

    fn vector(&self, number: u64) -> Vec<f32> {
        const CENTRES: u64 = 7;
        let around = |identity: u64, width: f32| move |component: u64| width * noise(self.seed, identity, component);
        let sum = |a: &dyn Fn(u64) -> f32, b: &dyn Fn(u64) -> f32| (0..self.dimension as u64).map(|c| a(c) + b(c)).collect();
        match self.form {
            Form::Scattered => sum(&around(number, 1.0), &|_| 0.0),
            Form::Clustered => sum(&around(number % CENTRES, 1.0), &around(number.wrapping_add(CENTRES), 0.05)),
            Form::Repeated => sum(&around(number % CENTRES, 1.0), &|_| 0.0),
            Form::Equal => sum(&around(0, 1.0), &|_| 0.0),
            Form::Stretched => sum(&around(number, 10f32.powi((number % 7) as i32 - 3)), &|_| 0.0),
        }
    }

    fn keys(&self, metric: &Arc<dyn Metric>) -> Vec<f32> {
        keys(metric, &self.query(0), &self.vectors(), 1)
    }
}

/// The share of the true `k` nearest, ties counted as found, that `index` gives on average over `queries`, and the walks it took.
///
/// # Panics
/// When a search fails.
pub fn recall(index: &dyn VectorIndex, oracle: &dyn VectorIndex, queries: &[Vec<f32>], k: usize, ef: usize) -> (f64, SearchCounters) {
    let mut counters = SearchCounters::default();
    let mut found = 0;
    for query in queries {
        let ask = |index: &dyn VectorIndex, exact, counters: &mut SearchCounters| {
            index.search(query, &SearchParams { k, ef, exact }, None, &endless(), counters).expect("a search within its budget answers")
        };
        let truth = ask(oracle, true, &mut SearchCounters::default());
        let farthest = truth.last().map_or(f32::INFINITY, |candidate| candidate.key);
        let bound = farthest + ROUNDING * farthest.abs();
        found += ask(index, false, &mut counters).iter().filter(|candidate| candidate.key <= bound).count();
    }
    (found as f64 / (queries.len() * k) as f64, counters)
}

/// A budget that never ends.
pub fn endless() -> Budget {
    Budget::new(Arc::new(StillClock), None)
}

/// How the suite builds, except for metric and seed: small, and by one thread.
fn spec(metric: &Arc<dyn Metric>) -> IndexSpec {
    IndexSpec { metric: metric.clone(), m: 8, ef_construction: 32, seed: 7, threads: 1 }
}

/// Rounding is relative to the keys of the sample: those of a product may be near zero while what was added up is not.
fn is_close(key: f32, truth: f32, all: &[f32]) -> bool {
    let largest = all.iter().fold(0.0f32, |largest, key| largest.max(key.abs()));
    key == truth || (key - truth).abs() <= ROUNDING * largest
}

/// A number from -1 to 1 that depends on nothing but its arguments.
fn noise(seed: u64, identity: u64, component: u64) -> f32 {
    let mut bits = seed ^ identity.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ component.wrapping_mul(0xd1b5_4a32_d192_ed03);
    for _ in 0..2 {
        bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
    }
    (bits >> 40) as f32 / (1u64 << 23) as f32 - 1.0
}

/// A clock that stands still.
struct StillClock;

#[async_trait]
impl Clock for StillClock {
    fn now(&self) -> Timestamp {
        Timestamp(0)
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }

    async fn sleep(&self, _duration: Duration) {}
}

/// A metric whose kind indexes do not know, as a plugin's is: twice the Manhattan distance, in plain Rust.
pub struct ForeignMetric {
    descriptor: MetricDescriptor,
}

impl Default for ForeignMetric {
    fn default() -> Self {
        let kind = MetricKind::Wasm("foreign".to_owned());
        Self {
            descriptor: MetricDescriptor {
                kind,
                score_kind: proximadb_model::ScoreKind::Distance,
                symmetric: true,
                sha256: None,
                traverse: None,
            },
        }
    }
}

impl ForeignMetric {
    /// The same, for indexes that come to its rows by another metric or by itself.
    pub fn walking_by(traverse: crate::Traverse) -> Self {
        let Self { descriptor } = Self::default();
        Self { descriptor: MetricDescriptor { traverse: Some(traverse), ..descriptor } }
    }
}

impl Metric for ForeignMetric {
    fn descriptor(&self) -> &MetricDescriptor {
        &self.descriptor
    }

    fn prepare(&self, query: &[f32]) -> Result<Box<dyn crate::Scorer>> {
        Ok(Box::new(ForeignScorer { query: query.to_vec() }))
    }

    fn score(&self, key: f32) -> f32 {
        key
    }

    fn distance(&self, key: f32) -> f32 {
        key
    }
}

struct ForeignScorer {
    query: Vec<f32>,
}

impl crate::Scorer for ForeignScorer {
    fn keys(&mut self, block: &[f32], out: &mut [f32]) -> Result<()> {
        for (key, row) in out.iter_mut().zip(block.chunks_exact(self.query.len())) {
            *key = row.iter().zip(&self.query).map(|(a, b)| 2.0 * (a - b).abs()).sum();
        }
        Ok(())
    }
}
