//! The suite of [`Database`]: random histories of writes, flushes and crashes beside a plain map, compared after each step.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use proptest::prelude::*;
use proximadb_model::{
    CollectionName, CollectionRef, CollectionSpec, Dimension, Filter, IndexKind, Metadata, MetricKind, RecordId, Test, Value,
};

use crate::{Change, Database, Fault, NewRecord, Query, ReadOptions, ScanRequest, SearchRequest, WriteOutcome, WriteRequest};

const DIMENSION: usize = 4;
const EVERYTHING: ReadOptions = ReadOptions { vector: true, metadata: true };

/// A database that can be cut off and opened again.
#[async_trait(?Send)]
pub trait DatabaseHarness {
    /// The database as it is open now.
    fn database(&self) -> Arc<dyn Database>;

    /// Ends the process and the power at once, and opens what is left.
    async fn crash_and_reopen(&mut self);

    /// Lets background work go on until there is none.
    async fn settle(&mut self);
}

/// One step of a history; ids are small numbers, so that they meet.
#[derive(Clone, Debug)]
pub enum Step {
    /// Upserts these, in one write.
    Upsert(Vec<(u8, i8)>),
    /// Inserts one; refused when it is there.
    Insert(u8, i8),
    /// Sets `n` of one; refused when it is not there.
    Patch(u8, i8),
    /// Deletes these, in one write.
    Delete(Vec<u8>),
    /// Deletes where `n` is at least this.
    DeleteWhere(i8),
    /// Upserts under an idempotency key, twice.
    Repeated(u8, i8),
    /// Flushes.
    Flush,
    /// Lets maintenance run.
    Settle,
    /// Crashes.
    Crash,
}

/// Histories of up to `length` steps.
pub fn histories(length: usize) -> impl Strategy<Value = Vec<Step>> {
    let id = 0u8..24;
    let n = -5i8..5;
    let step = prop_oneof![
        6 => proptest::collection::vec((id.clone(), n.clone()), 1..12).prop_map(Step::Upsert),
        1 => (id.clone(), n.clone()).prop_map(|(id, n)| Step::Insert(id, n)),
        2 => (id.clone(), n.clone()).prop_map(|(id, n)| Step::Patch(id, n)),
        3 => proptest::collection::vec(id.clone(), 1..6).prop_map(Step::Delete),
        1 => n.clone().prop_map(Step::DeleteWhere),
        1 => (id, n).prop_map(|(id, n)| Step::Repeated(id, n)),
        3 => Just(Step::Flush),
        1 => Just(Step::Settle),
        2 => Just(Step::Crash),
    ];
    proptest::collection::vec(step, 1..length)
}

type Model = BTreeMap<String, (Vec<f32>, i64)>;

struct Run<'a> {
    harness: &'a mut dyn DatabaseHarness,
    collection: CollectionRef,
    model: Model,
    version: u32,
}

/// Plays a history over `shards` shards and compares everything that can be read with the model after each step.
///
/// # Panics
/// When the database and the model differ.
pub async fn check_history(harness: &mut dyn DatabaseHarness, shards: u32, steps: Vec<Step>) {
    let name = CollectionName::new("history").expect("a valid name");
    let mut spec = CollectionSpec::new(name.clone(), Dimension::new(DIMENSION as u64).expect("in range"), MetricKind::Euclidean);
    spec.shards = shards;
    spec.index.kind = IndexKind::Auto;
    let created = harness.database().create_collection(spec.clone()).await.expect("created");
    assert!(created.new);
    let again = harness.database().create_collection(spec).await.expect("the same specification is there");
    assert!(!again.new);
    assert_eq!(again.info.collection.id, created.info.collection.id);
    let mut run = Run { harness, collection: CollectionRef::Name(name), model: Model::new(), version: 0 };
    for (i, step) in steps.into_iter().enumerate() {
        let context = format!("step {i}: {step:?}");
        run.play(step).await;
        run.compare(&context).await;
    }
    run.harness.crash_and_reopen().await;
    run.compare("the last start").await;
}

impl Run<'_> {
    fn record(&mut self, id: u8, n: i8) -> (String, NewRecord) {
        self.version += 1;
        let vector = vec![f32::from(id), f32::from(n), self.version as f32, 1.0];
        let metadata = Metadata::new(BTreeMap::from([("n".to_owned(), Value::Int(i64::from(n)))])).expect("small");
        self.model.insert(id.to_string(), (vector.clone(), i64::from(n)));
        let new = NewRecord { id: RecordId::new(&id.to_string()).expect("valid"), vector, metadata, expires: None };
        (id.to_string(), new)
    }

    async fn write(&self, changes: Vec<Change>, key: Option<String>) -> crate::Result<WriteOutcome> {
        let request = WriteRequest { changes, idempotency_key: key, ..WriteRequest::default() };
        self.harness.database().write(&self.collection, request).await
    }

    async fn play(&mut self, step: Step) {
        match step {
            Step::Upsert(records) => {
                let changes: Vec<_> = records.into_iter().map(|(id, n)| Change::Upsert(self.record(id, n).1)).collect();
                let count = changes.len() as u64;
                let outcome = self.write(changes, None).await.expect("written");
                assert!(outcome.durable && outcome.upserted == count);
            }
            Step::Insert(id, n) => {
                let before = self.model.clone();
                let there = before.contains_key(&id.to_string());
                let (_, new) = self.record(id, n);
                match self.write(vec![Change::Insert(new)], None).await {
                    Ok(outcome) => assert!(!there && outcome.inserted == 1),
                    Err(e) => {
                        assert!(there && e.fault == Fault::Conflict, "{e:?}");
                        self.model = before;
                    }
                }
            }
            Step::Patch(id, n) => {
                let key = RecordId::new(&id.to_string()).expect("valid");
                let metadata = BTreeMap::from([("n".to_owned(), Value::Int(i64::from(n)))]);
                let outcome = self.write(vec![Change::Patch { id: key, metadata, vector: None }], None).await;
                match self.model.get_mut(&id.to_string()) {
                    Some(record) => {
                        record.1 = i64::from(n);
                        assert_eq!(outcome.expect("patched").patched, 1);
                    }
                    None => assert_eq!(outcome.expect_err("nothing to patch").fault, Fault::NotFound),
                }
            }
            Step::Delete(ids) => {
                let expected = ids.iter().filter(|id| self.model.remove(&id.to_string()).is_some()).count() as u64;
                let changes = ids.iter().map(|id| Change::Delete(RecordId::new(&id.to_string()).expect("valid"))).collect();
                assert_eq!(self.write(changes, None).await.expect("deleted").deleted, expected);
            }
            Step::DeleteWhere(n) => {
                let before = self.model.len();
                self.model.retain(|_, (_, v)| *v < i64::from(n));
                let outcome = self.write(vec![Change::DeleteWhere(at_least(i64::from(n)))], None).await.expect("deleted");
                assert_eq!(outcome.deleted as usize, before - self.model.len());
            }
            Step::Repeated(id, n) => {
                let (_, new) = self.record(id, n);
                let key = Some(format!("key-{}", self.version));
                let first = self.write(vec![Change::Upsert(new.clone())], key.clone()).await.expect("written");
                let second = self.write(vec![Change::Upsert(new)], key.clone()).await.expect("repeated");
                assert!(!first.replayed && second.replayed && first.sequence == second.sequence);
                let other = self.write(vec![Change::Delete(RecordId::new("x").expect("valid"))], key).await;
                // Another request of another record may belong to another shard, which has not seen the key.
                assert!(other.is_ok_and(|o| o.deleted == 0) || self.model.contains_key(&id.to_string()));
            }
            Step::Flush => self.harness.database().flush(&self.collection).await.expect("flushed"),
            Step::Settle => self.harness.settle().await,
            Step::Crash => self.harness.crash_and_reopen().await,
        }
    }

    async fn compare(&self, context: &str) {
        let database = self.harness.database();
        let scanned = self.scan(3).await;
        assert_eq!(scanned, self.model, "scan after {context}");
        for filter in [None, Some(at_least(0))] {
            let holds = |n: i64| filter.is_none() || n >= 0;
            let expected: Vec<_> = self.model.values().filter(|(_, n)| holds(*n)).collect();
            let count = database.count(&self.collection, filter.clone()).await.expect("counted");
            assert_eq!(count as usize, expected.len(), "count after {context}");
            for exact in [true, false] {
                let query = vec![3.0, 0.0, self.version as f32, 1.0];
                let mut distances: Vec<f32> = expected.iter().map(|(v, _)| distance(v, &query)).collect();
                distances.sort_by(f32::total_cmp);
                distances.truncate(5);
                let request = SearchRequest {
                    filter: filter.clone(),
                    exact,
                    read: EVERYTHING,
                    ..SearchRequest::nearest(Query::Vector(query.clone()), 5)
                };
                let found = database.search(&self.collection, vec![request]).await.expect("searched").remove(0);
                for hit in &found.hits {
                    let (vector, n) = self.model.get(hit.id.as_str()).unwrap_or_else(|| panic!("{} is no record, after {context}", hit.id));
                    assert_eq!(hit.vector.as_ref(), Some(vector), "{context}");
                    assert!(holds(*n), "a hit outside the filter, after {context}");
                    assert!((hit.distance - distance(vector, &query)).abs() <= 1e-4 * (1.0 + hit.distance), "{context}");
                }
                let got: Vec<f32> = found.hits.iter().map(|h| h.distance).collect();
                assert_eq!(got.len(), distances.len(), "hits after {context}");
                assert!(
                    got.iter().zip(&distances).all(|(a, b)| (a - b).abs() <= 1e-4 * (1.0 + b)),
                    "{got:?} {distances:?} after {context}"
                );
            }
        }
        let ids: Vec<_> = (0..24).map(|id| RecordId::new(&id.to_string()).expect("valid")).collect();
        let records = database.get(&self.collection, &ids, EVERYTHING).await.expect("read");
        for (id, record) in ids.iter().zip(records) {
            let vector = record.and_then(|r| r.vector);
            assert_eq!(vector.as_ref(), self.model.get(id.as_str()).map(|(v, _)| v), "get {id} after {context}");
        }
    }

    async fn scan(&self, limit: usize) -> Model {
        let mut out = Model::new();
        let mut cursor = None;
        let mut last = String::new();
        loop {
            let request = ScanRequest { filter: None, cursor, limit, read: EVERYTHING };
            let page = self.harness.database().scan(&self.collection, request).await.expect("scanned");
            for record in page.records {
                assert!(record.id.as_str() > last.as_str(), "ids ascend");
                last = record.id.as_str().to_owned();
                let n = match record.metadata.as_ref().and_then(|m| m.get("n")) {
                    Some(Value::Int(n)) => *n,
                    other => panic!("{} has {other:?} as n", record.id),
                };
                out.insert(last.clone(), (record.vector.expect("asked for"), n));
            }
            match page.cursor {
                Some(next) => cursor = Some(next),
                None => return out,
            }
        }
    }
}

fn at_least(n: i64) -> Filter {
    Filter::Field { path: "n".to_owned(), test: Test::Gte(Value::Int(n)) }
}

fn distance(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f32>().sqrt()
}
