//! A database that keeps what it is asked and gives prepared answers, for the tests of transports: they check what reaches the
//! port, and that nothing does when a request is refused. It stores nothing; the suite of the port is run by real ones.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use proximadb_model::{
    Collection, CollectionId, CollectionName, CollectionPatch, CollectionRef, CollectionSpec, Dimension, Filter, Metadata, MetricKind,
    RecordId, ScoreKind, Sequence, SiteId, Timestamp, Uid, Value,
};

use crate::database::{
    Assignment, Change, CollectionInfo, Created, Database, Durability, Health, Hit, IN_STEP, IndexStatus, Loss, MemoryStatus, PluginStatus,
    ReadOptions, Recovered, ScanPage, ScanRequest, SearchRequest, SearchResponse, SearchStats, SegmentExplain, SegmentStatus, SiteStatus,
    StoredRecord, TaskStatus, WriteOutcome, WriteRequest,
};
use crate::error::{Fault, PortError, Result};
use crate::filesystem::Space;
use crate::index::SearchCounters;

/// A call as it reached the port.
#[derive(Clone, Debug, PartialEq)]
pub enum Call {
    /// `create_collection`.
    Create(CollectionSpec),
    /// `describe_collection`.
    Describe(CollectionRef),
    /// `list_collections`.
    List,
    /// `update_collection`.
    Update(CollectionRef, CollectionPatch),
    /// `drop_collection`.
    Drop(CollectionRef),
    /// `write`.
    Write(CollectionRef, WriteRequest),
    /// `get`.
    Get(CollectionRef, Vec<RecordId>, ReadOptions),
    /// `search`.
    Search(CollectionRef, Vec<SearchRequest>),
    /// `scan`.
    Scan(CollectionRef, ScanRequest),
    /// `count`.
    Count(CollectionRef, Option<Filter>),
    /// `flush`.
    Flush(CollectionRef),
    /// `index_status`.
    IndexStatus(CollectionRef),
    /// `drain_site`.
    Drain(String),
    /// `cancel_drain`.
    CancelDrain(String),
    /// `rebalance`.
    Rebalance,
    /// `fail_over`.
    FailOver(String),
    /// `accept_loss`.
    AcceptLoss(CollectionRef),
}

/// What is to go wrong.
#[derive(Clone, Debug, Default)]
pub struct Mishap {
    /// Every call fails with this fault, on this field.
    pub fault: Option<(Fault, Option<String>)>,
    /// The server is not ready.
    pub not_ready: bool,
    /// Every collection was there before.
    pub existing: bool,
    /// Listing the collections never ends.
    pub endless: bool,
}

/// The double. A record is there unless its id is `missing`; a search hits one record for each of its first three places.
#[derive(Default)]
pub struct RecordingDatabase {
    calls: Mutex<Vec<Call>>,
    mishap: Mutex<Mishap>,
}

impl RecordingDatabase {
    /// A double for which nothing goes wrong.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// The calls so far, which are forgotten.
    pub fn take_calls(&self) -> Vec<Call> {
        std::mem::take(&mut *self.calls.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// From now on this goes wrong.
    pub fn set_mishap(&self, mishap: Mishap) {
        *self.mishap.lock().unwrap_or_else(PoisonError::into_inner) = mishap;
    }

    fn mishap(&self) -> Mishap {
        self.mishap.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn record(&self, call: Call) -> Result<()> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).push(call);
        match self.mishap().fault {
            Some((fault, field)) => {
                let mut error = PortError::new(fault, "double.call", "the subject", "went wrong").with_source("the cause");
                error.field = field;
                Err(error)
            }
            None => Ok(()),
        }
    }

    /// The metadata of every record.
    pub fn metadata() -> Metadata {
        let list = Value::Array(vec![Value::Bool(true), Value::Null, Value::Float(1.0)]);
        let inner = BTreeMap::from([("x".to_owned(), Value::Float(0.1)), ("when".to_owned(), Value::DateTime(Timestamp(0)))]);
        let fields = [("big", Value::UInt(u64::MAX)), ("inner", Value::Object(inner)), ("list", list), ("small", Value::Int(i64::MIN))];
        Metadata::new(fields.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()).unwrap_or_default()
    }

    /// The vector of every record; its third component needs nine digits.
    pub const VECTOR: [f32; 3] = [0.5, -1.0, 0.100_000_024];

    fn stored(id: &RecordId, read: ReadOptions) -> Option<StoredRecord> {
        (id.as_str() != "missing").then(|| StoredRecord {
            id: id.clone(),
            vector: read.vector.then(|| Self::VECTOR.to_vec()),
            metadata: read.metadata.then(|| Arc::new(Self::metadata())),
            expires: Some(Timestamp(1)),
            version: Sequence(7),
        })
    }
}

fn described(spec: CollectionSpec) -> CollectionInfo {
    let collection = Collection { id: CollectionId(Uid([1; 16])), spec, created: Timestamp(0), pinned: None };
    CollectionInfo { collection, records: 3, stored_bytes: 4, score_kind: ScoreKind::Similarity, shards_unavailable: 0 }
}

fn plain() -> Result<CollectionInfo> {
    let invalid = |e| PortError::invalid("double", e);
    let name = CollectionName::new("documents").map_err(invalid)?;
    Ok(described(CollectionSpec::new(name, Dimension::new(3).map_err(invalid)?, MetricKind::Cosine)))
}

const COUNTERS: SearchCounters = SearchCounters { distances: 4, code_distances: 5, hops: 6, graph_walks: 1 };

#[async_trait]
impl Database for RecordingDatabase {
    async fn create_collection(&self, spec: CollectionSpec) -> Result<Created> {
        self.record(Call::Create(spec.clone()))?;
        Ok(Created { info: described(spec), new: !self.mishap().existing })
    }

    async fn describe_collection(&self, collection: &CollectionRef) -> Result<CollectionInfo> {
        self.record(Call::Describe(collection.clone()))?;
        plain()
    }

    async fn list_collections(&self) -> Result<Vec<CollectionInfo>> {
        self.record(Call::List)?;
        if self.mishap().endless {
            std::future::pending::<()>().await;
        }
        Ok(vec![plain()?])
    }

    async fn update_collection(&self, collection: &CollectionRef, patch: CollectionPatch) -> Result<CollectionInfo> {
        self.record(Call::Update(collection.clone(), patch))?;
        plain()
    }

    async fn drop_collection(&self, collection: &CollectionRef) -> Result<()> {
        self.record(Call::Drop(collection.clone()))
    }

    async fn write(&self, collection: &CollectionRef, request: WriteRequest) -> Result<WriteOutcome> {
        self.record(Call::Write(collection.clone(), request.clone()))?;
        let mut outcome = WriteOutcome { durable: request.durability == Durability::Sync, sequence: Sequence(9), ..Default::default() };
        for change in &request.changes {
            match change {
                Change::Upsert(_) => outcome.upserted += 1,
                Change::Insert(_) => outcome.inserted += 1,
                Change::Patch { .. } => outcome.patched += 1,
                Change::Delete(_) | Change::DeleteWhere(_) => outcome.deleted += 1,
            }
        }
        Ok(outcome)
    }

    async fn get(&self, collection: &CollectionRef, ids: &[RecordId], options: ReadOptions) -> Result<Vec<Option<StoredRecord>>> {
        self.record(Call::Get(collection.clone(), ids.to_vec(), options))?;
        Ok(ids.iter().map(|id| Self::stored(id, options)).collect())
    }

    async fn search(&self, collection: &CollectionRef, queries: Vec<SearchRequest>) -> Result<Vec<SearchResponse>> {
        self.record(Call::Search(collection.clone(), queries.clone()))?;
        let answer = |query: &SearchRequest| {
            let hits = ["1", "two", "3"].iter().take(query.k).filter_map(|id| {
                let stored = Self::stored(&RecordId::new(id).ok()?, query.read)?;
                let StoredRecord { id, vector, metadata, version, .. } = stored;
                Some(Hit { id, score: 0.1, distance: 0.9, metadata, vector, version })
            });
            let explain = SegmentExplain {
                shard: 0,
                rows: 10,
                allowed: 9,
                index: "graph",
                strategy: "approximate",
                reason: "graph",
                originals: "disk",
                filter: "memory",
                ef: Some(96),
                recall_estimate: Some(0.5),
                counters: COUNTERS,
            };
            let stats = SearchStats {
                segments: 1,
                memtable_rows: 2,
                rows_filtered: 3,
                counters: COUNTERS,
                micros: 8,
                recall_estimate: Some(0.5),
                explain: query.explain.then_some(explain).into_iter().collect(),
            };
            SearchResponse { hits: hits.collect(), score_kind: ScoreKind::Similarity, stats }
        };
        Ok(queries.iter().map(answer).collect())
    }

    async fn scan(&self, collection: &CollectionRef, request: ScanRequest) -> Result<ScanPage> {
        self.record(Call::Scan(collection.clone(), request.clone()))?;
        let id = RecordId::new("1").map_err(|e| PortError::invalid("double", e))?;
        let cursor = request.cursor.is_none().then(|| "next".to_owned());
        Ok(ScanPage { records: Self::stored(&id, request.read).into_iter().collect(), cursor })
    }

    async fn count(&self, collection: &CollectionRef, filter: Option<Filter>) -> Result<u64> {
        self.record(Call::Count(collection.clone(), filter))?;
        Ok(42)
    }

    async fn flush(&self, collection: &CollectionRef) -> Result<()> {
        self.record(Call::Flush(collection.clone()))
    }

    async fn index_status(&self, collection: &CollectionRef) -> Result<IndexStatus> {
        self.record(Call::IndexStatus(collection.clone()))?;
        let segment = SegmentStatus {
            shard: 0,
            id: "s".to_owned(),
            rows: 10,
            dead: 1,
            index: "graph",
            reason: "large".to_owned(),
            originals: "disk",
            originals_reason: "small memory",
        };
        Ok(IndexStatus {
            status: "ready",
            kind: "graph",
            indexed_rows: 10,
            unindexed_rows: 0,
            memtable_rows: 2,
            recall_estimate: Some(0.1),
            resident_bytes: 100,
            filter_bytes: 50,
            originals_bytes: 60,
            segments: vec![segment],
        })
    }

    async fn sites(&self) -> Vec<SiteStatus> {
        vec![SiteStatus {
            id: Some(SiteId(Uid([2; 16]))),
            instance: 1,
            location: "file:///data".to_owned(),
            kind: "nvme_ssd",
            state: "ok".to_owned(),
            draining: true,
            shards: 1,
            stored_bytes: 4,
            wal_bytes: 5,
            sync_micros: 6,
            space: Some(Space { free_bytes: 1, total_bytes: 2 }),
            mirror: Some("one object is missing".to_owned()),
            log_copies: Some(IN_STEP.to_owned()),
            recovered: Recovered { shards: 1, segments: 2, rows: 3, replayed: 4, millis: 5 },
        }]
    }

    async fn assignments(&self) -> Vec<Assignment> {
        let (collection, site) = (CollectionId(Uid([1; 16])), Some(SiteId(Uid([2; 16]))));
        vec![Assignment { collection, name: "documents".to_owned(), shard: 0, site, stored_bytes: 4, state: "ok".to_owned() }]
    }

    async fn drain_site(&self, site: &str) -> Result<TaskStatus> {
        self.record(Call::Drain(site.to_owned()))?;
        Ok(task("drain", Some(1)))
    }

    async fn cancel_drain(&self, site: &str) -> Result<()> {
        self.record(Call::CancelDrain(site.to_owned()))
    }

    async fn rebalance(&self) -> Result<TaskStatus> {
        self.record(Call::Rebalance)?;
        Ok(task("rebalance", None))
    }

    async fn fail_over(&self, site: &str) -> Result<TaskStatus> {
        self.record(Call::FailOver(site.to_owned()))?;
        Ok(task("fail_over", Some(1)))
    }

    async fn tasks(&self) -> Vec<TaskStatus> {
        vec![task("drain", Some(1))]
    }

    async fn plugins(&self) -> Vec<PluginStatus> {
        vec![PluginStatus {
            name: "near".to_owned(),
            kind: "metric",
            sha256: "0".repeat(64),
            state: "resting",
            breaker: "open",
            problem: Some("the plugin took too long".to_owned()),
            calls: 9,
            faults: 5,
            micros: 7,
        }]
    }

    async fn accept_loss(&self, collection: &CollectionRef) -> Result<Vec<Loss>> {
        self.record(Call::AcceptLoss(collection.clone()))?;
        Ok(vec![Loss { shard: 0, what: "segment 1".to_owned(), rows: 7 }])
    }

    async fn health(&self) -> Health {
        let not_ready = self.mishap().not_ready;
        let problems = not_ready.then(|| "a disk is gone".to_owned()).into_iter().collect();
        let memory = MemoryStatus { state: "lean", budget_bytes: Some(1_000), used_bytes: 900, parts: vec![("indexes", 900)] };
        Health { ready: !not_ready, problems, memory }
    }

    fn metrics(&self) -> String {
        "# TYPE up gauge\nup 1\n".to_owned()
    }
}

/// The task that every move is answered with.
fn task(kind: &'static str, site: Option<u32>) -> TaskStatus {
    TaskStatus {
        id: 1,
        kind,
        site,
        state: "running",
        shards_total: 4,
        shards_done: 1,
        bytes_total: 400,
        bytes_done: 100,
        problem: Some("one shard is slow".to_owned()),
        started: Timestamp(0),
    }
}
