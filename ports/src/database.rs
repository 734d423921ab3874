//! What the outside asks of the database: the one inbound port, held by every transport.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use proximadb_model::{
    Collection, CollectionId, CollectionPatch, CollectionRef, CollectionSpec, EncodedOperations, Filter, Metadata, RecordId, ScoreKind,
    Sequence, SiteId, Timestamp, Value,
};

use crate::error::Result;
use crate::index::SearchCounters;

/// The database.
///
/// Every method takes a collection by name or uuid. Guarantees:
/// - G1 a write that has returned with `durable` survives any crash; one that failed with `Invalid`, `Conflict` or `NotFound`
///   changed nothing;
/// - G2 a write that has returned is seen by every read that starts later;
/// - G3 a write is atomic within each shard, and reads see all of its part of a shard or nothing of it;
/// - G4 a search with `exact` gives the true nearest records for which the filter holds;
/// - G5 a deleted, replaced or expired record is never returned again;
/// - G6 a write repeated under one idempotency key is applied once, and its answer is repeated, as long as the shard remembers
///   the key ([`proximadb_model::limits::IDEMPOTENCY_KEYS_MAX`] writes).
#[async_trait]
pub trait Database: Send + Sync + 'static {
    /// Creates a collection, or finds the one that is there with the same specification.
    ///
    /// # Errors
    /// `Conflict` when the name is taken by another specification; `Invalid`; `Exhausted`; `Unavailable`.
    async fn create_collection(&self, spec: CollectionSpec) -> Result<Created>;

    /// Tells of a collection.
    ///
    /// # Errors
    /// `NotFound`.
    async fn describe_collection(&self, collection: &CollectionRef) -> Result<CollectionInfo>;

    /// All collections, by name.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn list_collections(&self) -> Result<Vec<CollectionInfo>>;

    /// Changes settings.
    ///
    /// # Errors
    /// `NotFound`; `Invalid`; `Unavailable`.
    async fn update_collection(&self, collection: &CollectionRef, patch: CollectionPatch) -> Result<CollectionInfo>;

    /// Removes a collection with all its records.
    ///
    /// # Errors
    /// `NotFound`; `Unavailable`.
    async fn drop_collection(&self, collection: &CollectionRef) -> Result<()>;

    /// Changes records.
    ///
    /// # Errors
    /// `NotFound`; `Invalid` with the field; `Conflict` for an insert of an id that is there, or a reused idempotency key;
    /// `Exhausted`; `Unavailable`.
    async fn write(&self, collection: &CollectionRef, request: WriteRequest) -> Result<WriteOutcome>;

    /// Records by id, in the order asked; `None` where there is none.
    ///
    /// # Errors
    /// `NotFound` for the collection; `Unavailable`.
    async fn get(&self, collection: &CollectionRef, ids: &[RecordId], options: ReadOptions) -> Result<Vec<Option<StoredRecord>>>;

    /// The nearest records to each query, answered in order.
    ///
    /// # Errors
    /// `NotFound`; `Invalid` with the field; `Deadline`; `Unavailable`.
    async fn search(&self, collection: &CollectionRef, queries: Vec<SearchRequest>) -> Result<Vec<SearchResponse>>;

    /// A page of records in the order of their ids.
    ///
    /// # Errors
    /// `NotFound`; `Invalid` for a cursor that is not of this collection; `Unavailable`.
    async fn scan(&self, collection: &CollectionRef, request: ScanRequest) -> Result<ScanPage>;

    /// The number of records for which a filter holds.
    ///
    /// # Errors
    /// `NotFound`; `Unavailable`.
    async fn count(&self, collection: &CollectionRef, filter: Option<Filter>) -> Result<u64>;

    /// Moves everything acknowledged so far from the log into segments.
    ///
    /// # Errors
    /// `NotFound`; `Exhausted`; `Unavailable`.
    async fn flush(&self, collection: &CollectionRef) -> Result<()>;

    /// How a collection is indexed at this moment, and why.
    ///
    /// # Errors
    /// `NotFound`; `Unavailable`.
    async fn index_status(&self, collection: &CollectionRef) -> Result<IndexStatus>;

    /// The sites: where things live, how full, how well.
    async fn sites(&self) -> Vec<SiteStatus>;

    /// Which shard lies where.
    async fn assignments(&self) -> Vec<Assignment>;

    /// Moves every shard of a site to other sites, while they serve, and gives the site no new ones, until
    /// [`Database::cancel_drain`]. The site is named by its uuid or by its number in the configuration.
    ///
    /// # Errors
    /// `NotFound` for the site; `Conflict` while another move is on its way; `Unavailable`.
    async fn drain_site(&self, site: &str) -> Result<TaskStatus>;

    /// Ends a drain: the site keeps what it still has and takes new shards again.
    ///
    /// # Errors
    /// `NotFound` for the site; `Unavailable`.
    async fn cancel_drain(&self, site: &str) -> Result<()>;

    /// Moves shards to where the strategy would have them now, as far as that is worth it.
    ///
    /// # Errors
    /// `Conflict` while another move is on its way.
    async fn rebalance(&self) -> Result<TaskStatus>;

    /// Brings the shards of a site that is lost back from their second copies, on other sites. Should the site come back, its
    /// older copies are left aside.
    ///
    /// # Errors
    /// `NotFound` for the site; `Conflict` while it is there, or while another move is on its way; `Unavailable` when there are no
    /// second copies.
    async fn fail_over(&self, site: &str) -> Result<TaskStatus>;

    /// What is moved, or was since the start; the newest last.
    async fn tasks(&self) -> Vec<TaskStatus>;

    /// The plugins of the configuration, by name: those that were refused too.
    async fn plugins(&self) -> Vec<PluginStatus>;

    /// Serves a collection again of which something is damaged for good, without what was lost, and says what that is. Where
    /// nothing is damaged it changes nothing.
    ///
    /// # Errors
    /// `NotFound`; `Unavailable` for shards whose site is away, which is no loss; `Corrupt` for a shard of which nothing is left.
    async fn accept_loss(&self, collection: &CollectionRef) -> Result<Vec<Loss>>;

    /// Whether all is well, and what is not.
    async fn health(&self) -> Health;

    /// All counters in the Prometheus text format.
    fn metrics(&self) -> String;
}

/// The answer of [`Database::create_collection`].
#[derive(Clone, Debug, PartialEq)]
pub struct Created {
    /// The collection.
    pub info: CollectionInfo,
    /// Whether it was made now; otherwise it was there with the same specification.
    pub new: bool,
}

/// A collection and how much is in it.
#[derive(Clone, Debug, PartialEq)]
pub struct CollectionInfo {
    /// The collection.
    pub collection: Collection,
    /// Live records, expired ones that are still stored included.
    pub records: u64,
    /// Bytes of its segments and sidecars.
    pub stored_bytes: u64,
    /// Which way its scores run.
    pub score_kind: ScoreKind,
    /// Shards that cannot be reached.
    pub shards_unavailable: u32,
}

/// What a transport hands over to be written, already within the limits of size; dimension and schema are checked inside.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WriteRequest {
    /// The changes, applied in this order.
    pub changes: Vec<Change>,
    /// When to answer.
    pub durability: Durability,
    /// The client's key for repeating this request safely.
    pub idempotency_key: Option<String>,
    /// Upserts and deletes as bytes in a codec of the log, instead of `changes`: checked, then logged as they came (where they
    /// all belong to one shard).
    pub encoded: Option<EncodedOperations>,
}

/// A record as it came in; its vector is not yet checked against a collection.
#[derive(Clone, Debug, PartialEq)]
pub struct NewRecord {
    /// Its id.
    pub id: RecordId,
    /// Its components, already f32.
    pub vector: Vec<f32>,
    /// Its metadata.
    pub metadata: Metadata,
    /// When it stops to exist.
    pub expires: Option<Timestamp>,
}

/// One change.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Put a record, whether it is there or not.
    Upsert(NewRecord),
    /// Put a record that must not be there.
    Insert(NewRecord),
    /// Merge values into a record's metadata, and set its vector where one is given; the record must be there.
    Patch {
        /// The record.
        id: RecordId,
        /// A merge patch: null removes a key.
        metadata: BTreeMap<String, Value>,
        /// A new vector.
        vector: Option<Vec<f32>>,
    },
    /// Delete a record; nothing happens where there is none.
    Delete(RecordId),
    /// Delete every record for which the filter holds.
    DeleteWhere(Filter),
}

/// When a write is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Once it is on disk.
    #[default]
    Sync,
    /// Once it is applied; a crash may lose it, and the answer says so.
    Async,
}

/// The answer of [`Database::write`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriteOutcome {
    /// Records put by upsert.
    pub upserted: u64,
    /// Records put by insert.
    pub inserted: u64,
    /// Records patched.
    pub patched: u64,
    /// Records that were there and are gone.
    pub deleted: u64,
    /// Whether the write survives any crash.
    pub durable: bool,
    /// The highest sequence of the write over the shards it touched; 0 when it changed nothing.
    pub sequence: Sequence,
    /// Whether this is the repeated answer of an earlier write with the same idempotency key.
    pub replayed: bool,
}

/// What a read brings back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadOptions {
    /// The vector.
    pub vector: bool,
    /// The metadata.
    pub metadata: bool,
}

/// A record as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredRecord {
    /// Its id.
    pub id: RecordId,
    /// Its vector, when asked for.
    pub vector: Option<Vec<f32>>,
    /// Its metadata, when asked for.
    pub metadata: Option<Arc<Metadata>>,
    /// When it stops to exist.
    pub expires: Option<Timestamp>,
    /// The sequence of the write that made it.
    pub version: Sequence,
}

/// What to find the neighbours of.
#[derive(Clone, Debug, PartialEq)]
pub enum Query {
    /// A vector.
    Vector(Vec<f32>),
    /// The vector of a record of the same collection; the record itself is not among the hits.
    Record(RecordId),
}

/// One search; constructed within the limits of [`proximadb_model::limits`], which the engine checks again.
#[derive(Clone, Debug, PartialEq)]
pub struct SearchRequest {
    /// What to find the neighbours of.
    pub query: Query,
    /// Hits wanted.
    pub k: usize,
    /// Hits to skip.
    pub offset: usize,
    /// Which records count.
    pub filter: Option<Filter>,
    /// Breadth of the search; the collection's own by default.
    pub ef: Option<usize>,
    /// Share of the true nearest that the search should find, instead of a breadth; 1 is as good as `exact`. An index that is not
    /// known to reach it is left aside, and every row is compared.
    pub recall_target: Option<f32>,
    /// Whether every record must be compared.
    pub exact: bool,
    /// Hits farther than this score are left out.
    pub score_threshold: Option<f32>,
    /// What hits bring along.
    pub read: ReadOptions,
    /// How long the search may take.
    pub timeout: Option<Duration>,
    /// Whether to tell what ran where.
    pub explain: bool,
}

impl SearchRequest {
    /// A search for the `k` nearest with defaults for everything else: ids, scores and metadata.
    pub fn nearest(query: Query, k: usize) -> Self {
        let read = ReadOptions { vector: false, metadata: true };
        let (filter, ef, recall_target, score_threshold, timeout) = (None, None, None, None, None);
        Self { query, k, offset: 0, filter, ef, recall_target, exact: false, score_threshold, read, timeout, explain: false }
    }
}

/// One hit.
#[derive(Clone, Debug, PartialEq)]
pub struct Hit {
    /// The record.
    pub id: RecordId,
    /// Similarity or distance, as [`SearchResponse::score_kind`] says.
    pub score: f32,
    /// Distance: 1 - similarity for cosine, the negated product for dot products, the score otherwise.
    pub distance: f32,
    /// Its metadata, when asked for.
    pub metadata: Option<Arc<Metadata>>,
    /// Its vector, when asked for.
    pub vector: Option<Vec<f32>>,
    /// The sequence of the write that made it.
    pub version: Sequence,
}

/// The answer to one search.
#[derive(Clone, Debug, PartialEq)]
pub struct SearchResponse {
    /// Hits, nearest first.
    pub hits: Vec<Hit>,
    /// Which way the scores run.
    pub score_kind: ScoreKind,
    /// What ran.
    pub stats: SearchStats,
}

/// What a search did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SearchStats {
    /// Segments searched.
    pub segments: u32,
    /// Rows of memtables compared.
    pub memtable_rows: u64,
    /// Rows whose metadata a filter looked at in segments' files; what is in memory answers without.
    pub rows_filtered: u64,
    /// What memtables and indexes did together.
    pub counters: SearchCounters,
    /// Time from the engine's door and back.
    pub micros: u64,
    /// Recall@10 that is to be expected: over all rows, 1 for those that were compared, and for graphs what their calibration saw.
    /// `None` where one was not calibrated, or is not known for rows that a filter has left so few of.
    pub recall_estimate: Option<f32>,
    /// One line for each segment, when asked for.
    pub explain: Vec<SegmentExplain>,
}

/// How one segment was searched.
#[derive(Clone, Debug, PartialEq)]
pub struct SegmentExplain {
    /// The shard.
    pub shard: u32,
    /// Rows of the segment, or of the memtable.
    pub rows: u64,
    /// Rows that deletes and the filter left.
    pub allowed: u64,
    /// What searched it: `"memtable"`, `"flat"`, `"graph"`.
    pub index: &'static str,
    /// How: `"exact"` or `"approximate"`.
    pub strategy: &'static str,
    /// Why that.
    pub reason: &'static str,
    /// Where the originals were: `"memory"`, or `"disk"`, so that those of the likeliest rows were fetched.
    pub originals: &'static str,
    /// What told which rows count: `"none"` without a filter, `"memory"`, or `"file"` and why.
    pub filter: &'static str,
    /// Breadth of the walk, where a graph was walked.
    pub ef: Option<usize>,
    /// Recall@10 that is to be expected; see [`SearchStats::recall_estimate`].
    pub recall_estimate: Option<f32>,
    /// What it cost.
    pub counters: SearchCounters,
}

/// A page of a scan.
#[derive(Clone, Debug, PartialEq)]
pub struct ScanRequest {
    /// Which records.
    pub filter: Option<Filter>,
    /// Where the last page ended.
    pub cursor: Option<String>,
    /// Records wanted.
    pub limit: usize,
    /// What records bring along.
    pub read: ReadOptions,
}

/// The answer of [`Database::scan`].
#[derive(Clone, Debug, PartialEq)]
pub struct ScanPage {
    /// Records in the order of their ids.
    pub records: Vec<StoredRecord>,
    /// What to send for the next page; `None` at the end.
    pub cursor: Option<String>,
}

/// The answer of [`Database::index_status`].
#[derive(Clone, Debug, PartialEq)]
pub struct IndexStatus {
    /// `"building"` while rows are left to be indexed; `"loading"` while originals are on their way from the segments' files, which
    /// those that stay there for lack of memory are not; otherwise `"ready"`.
    pub status: &'static str,
    /// `"flat"`, `"graph"`, `"mixed"` or `"none"`.
    pub kind: &'static str,
    /// Rows that an index of the wanted kind covers.
    pub indexed_rows: u64,
    /// Rows that are scanned exactly until they are indexed; those of memtables and small segments are not counted.
    pub unindexed_rows: u64,
    /// Rows in memtables.
    pub memtable_rows: u64,
    /// Recall@10 of the index against exact search, sampled from stored rows; `None` until a graph has been sampled.
    pub recall_estimate: Option<f32>,
    /// Bytes that indexes keep in memory.
    pub resident_bytes: u64,
    /// Bytes that fields which filters have asked for keep in memory.
    pub filter_bytes: u64,
    /// Bytes of originals that are in memory.
    pub originals_bytes: u64,
    /// One line for each segment.
    pub segments: Vec<SegmentStatus>,
}

/// One segment in an [`IndexStatus`].
#[derive(Clone, Debug, PartialEq)]
pub struct SegmentStatus {
    /// The shard.
    pub shard: u32,
    /// The segment's uuid.
    pub id: String,
    /// Its rows.
    pub rows: u64,
    /// Rows deleted or replaced since it was written.
    pub dead: u64,
    /// Its index.
    pub index: &'static str,
    /// Why that index.
    pub reason: String,
    /// Where the originals are, `"memory"` or `"disk"`.
    pub originals: &'static str,
    /// Why there.
    pub originals_reason: &'static str,
}

/// Of second copies: they are complete, so that the loss of either disk loses nothing.
pub const IN_STEP: &str = "in step";

/// A site.
#[derive(Clone, Debug, PartialEq)]
pub struct SiteStatus {
    /// Its uuid; `None` while it cannot be read.
    pub id: Option<SiteId>,
    /// The number it has in the configuration.
    pub instance: u32,
    /// Where it is, without credentials.
    pub location: String,
    /// What it is.
    pub kind: &'static str,
    /// `"ok"`, or what is wrong with it.
    pub state: String,
    /// Whether it is being emptied, or has been: it gets no new shards until [`Database::cancel_drain`].
    pub draining: bool,
    /// Shards on it.
    pub shards: u32,
    /// Bytes of segments and sidecars on it.
    pub stored_bytes: u64,
    /// Bytes of its log.
    pub wal_bytes: u64,
    /// Mean time to make a group of writes durable; 0 before the first.
    pub sync_micros: u32,
    /// Bytes free and in all, where known.
    pub space: Option<crate::filesystem::Space>,
    /// Its objects' second copies: [`IN_STEP`], or why they are behind; `None` where none are kept, and while it is away.
    pub mirror: Option<String>,
    /// Its log's second copy: [`IN_STEP`], or why it is not complete; `None` where none is kept, and while it is away.
    pub log_copies: Option<String>,
    /// What was found there at start.
    pub recovered: Recovered,
}

/// What recovery found on a site.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Shards.
    pub shards: u32,
    /// Segments.
    pub segments: u32,
    /// Rows in them.
    pub rows: u64,
    /// Operations replayed from the log.
    pub replayed: u64,
    /// Time it took.
    pub millis: u64,
}

/// Where a shard lies.
#[derive(Clone, Debug, PartialEq)]
pub struct Assignment {
    /// The collection's uuid.
    pub collection: CollectionId,
    /// The collection's name.
    pub name: String,
    /// The shard.
    pub shard: u32,
    /// Its site; `None` when nobody knows.
    pub site: Option<SiteId>,
    /// Bytes of its segments and sidecars.
    pub stored_bytes: u64,
    /// `"ok"`, or what is wrong with it.
    pub state: String,
}

/// Work on shards as a whole that goes on in the background.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskStatus {
    /// Counts up from 1 with each start of the server.
    pub id: u64,
    /// `"drain"`, `"rebalance"` or `"fail_over"`.
    pub kind: &'static str,
    /// The number of the site it is about, where it is about one.
    pub site: Option<u32>,
    /// `"running"`, `"done"`, `"failed"` or `"cancelled"`.
    pub state: &'static str,
    /// Shards that are to be moved.
    pub shards_total: u32,
    /// Shards that have been.
    pub shards_done: u32,
    /// Bytes of files that are to be copied; grows with what is written meanwhile.
    pub bytes_total: u64,
    /// Bytes that have been.
    pub bytes_done: u64,
    /// What went wrong last.
    pub problem: Option<String>,
    /// When it began.
    pub started: Timestamp,
}

/// A plugin.
#[derive(Clone, Debug, PartialEq)]
pub struct PluginStatus {
    /// Its name in the configuration.
    pub name: String,
    /// `"metric"` or `"assigner"`.
    pub kind: &'static str,
    /// The sha256 that its component must have, in hexadecimal.
    pub sha256: String,
    /// `"ready"`; `"resting"` while it is left alone after faults; `"refused"` when it was not loaded.
    pub state: &'static str,
    /// The state of its breaker: `"closed"` while calls go through, `"open"` while it is left alone.
    pub breaker: &'static str,
    /// Why it was refused, or what its last fault was.
    pub problem: Option<String>,
    /// Calls since the start.
    pub calls: u64,
    /// Those of them in which it broke its contract.
    pub faults: u64,
    /// Time in those calls, over all threads.
    pub micros: u64,
}

/// Something that was given up by [`Database::accept_loss`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// The shard.
    pub shard: u32,
    /// The segment, or the log.
    pub what: String,
    /// Rows that are gone; 0 where nobody can know.
    pub rows: u64,
}

/// The answer of [`Database::health`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Whether writes and reads are served.
    pub ready: bool,
    /// What is wrong, one line each; empty when all is well.
    pub problems: Vec<String>,
    /// What is held in memory, and whether it is within its budget.
    pub memory: MemoryStatus,
}

/// What the engine holds in memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryStatus {
    /// `"roomy"` while all originals are there or on their way; `"lean"` while some stay on disk for lack of room, so that searches
    /// fetch those they compare; `"over"` while the budget is passed and nothing is left to let go, so that records are refused.
    pub state: &'static str,
    /// The budget; `None` without one.
    pub budget_bytes: Option<u64>,
    /// All parts together.
    pub used_bytes: u64,
    /// Bytes by part: `filters`, `indexes`, `memtables`, `metadata`, `originals`, `rows`, `work`.
    pub parts: Vec<(&'static str, u64)>,
}
