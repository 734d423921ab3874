//! The JSON forms of the port's answers, borrowed from them and written straight to bytes.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use proximadb_ports::{
    Assignment, CollectionInfo, Health, Hit, IndexStatus, ScanPage, SearchResponse, SegmentExplain, SegmentStatus, SiteStatus, StoredRecord,
    WriteOutcome,
};
use serde::Serialize;
use serde::ser::{SerializeMap, SerializeSeq, Serializer};

use crate::json::{MetadataOut, VectorFormat, VectorOut};
use crate::problem::Problem;

/// The answer with this JSON.
pub(crate) fn json(status: StatusCode, body: &impl Serialize) -> Result<Response, Problem> {
    let bytes = serde_json::to_vec(body).map_err(|e| Problem { cause: Some(e.to_string()), ..Problem::of_status(StatusCode::INTERNAL_SERVER_ERROR) })?;
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// A sequence written from an iterator, so that answers need no lists of twins.
struct Each<F>(F);

impl<F, I, T> Serialize for Each<F>
where
    F: Fn() -> I,
    I: Iterator<Item = T>,
    T: Serialize,
{
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let items = (self.0)();
        let mut list = serializer.serialize_seq(items.size_hint().1)?;
        for item in items {
            list.serialize_element(&item)?;
        }
        list.end()
    }
}

/// An object with one key.
pub(crate) struct Under<T>(pub(crate) &'static str, pub(crate) T);

impl<T: Serialize> Serialize for Under<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry(self.0, &self.1)?;
        map.end()
    }
}

#[derive(Serialize)]
struct IndexSettingsOut {
    kind: &'static str,
    m: u32,
    ef_construction: u32,
    ef_search: u32,
}

#[derive(Serialize)]
struct CollectionOut<'a, Schema> {
    id: String,
    name: &'a str,
    dimension: usize,
    metric: String,
    score_kind: &'static str,
    schema: Schema,
    shards: u32,
    index: IndexSettingsOut,
    description: &'a str,
    created: String,
    records: u64,
    stored_bytes: u64,
    shards_unavailable: u32,
}

pub(crate) fn collection(info: &CollectionInfo) -> impl Serialize {
    let spec = &info.collection.spec;
    CollectionOut {
        id: info.collection.id.to_string(),
        name: spec.name.as_str(),
        dimension: spec.dimension.get(),
        metric: spec.metric.to_string(),
        score_kind: info.score_kind.as_str(),
        schema: spec.schema.fields().iter().map(|(name, kind)| (name.as_str(), kind.as_str())).collect::<std::collections::BTreeMap<_, _>>(),
        shards: spec.shards,
        index: IndexSettingsOut {
            kind: spec.index.kind.as_str(),
            m: spec.index.m,
            ef_construction: spec.index.ef_construction,
            ef_search: spec.index.ef_search,
        },
        description: &spec.description,
        created: info.collection.created.to_string(),
        records: info.records,
        stored_bytes: info.stored_bytes,
        shards_unavailable: info.shards_unavailable,
    }
}

pub(crate) fn collections(infos: &[CollectionInfo]) -> impl Serialize {
    Under("collections", Each(move || infos.iter().map(collection)))
}

#[derive(Serialize)]
struct WriteOut {
    upserted: u64,
    inserted: u64,
    patched: u64,
    deleted: u64,
    durable: bool,
    sequence: u64,
    replayed: bool,
}

pub(crate) fn written(outcome: &WriteOutcome) -> impl Serialize + use<> {
    WriteOut {
        upserted: outcome.upserted,
        inserted: outcome.inserted,
        patched: outcome.patched,
        deleted: outcome.deleted,
        durable: outcome.durable,
        sequence: outcome.sequence.0,
        replayed: outcome.replayed,
    }
}

#[derive(Serialize)]
struct RecordOut<'a> {
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    vector: Option<VectorOut<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<MetadataOut<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<String>,
    version: u64,
}

pub(crate) fn record(record: &StoredRecord, format: VectorFormat) -> impl Serialize {
    RecordOut {
        id: record.id.as_str(),
        vector: record.vector.as_deref().map(|components| VectorOut { components, format }),
        metadata: record.metadata.as_deref().map(MetadataOut),
        expires: record.expires.map(|t| t.to_string()),
        version: record.version.0,
    }
}

pub(crate) fn records(found: &[Option<StoredRecord>], format: VectorFormat) -> impl Serialize {
    Under("records", Each(move || found.iter().map(move |r| r.as_ref().map(|r| record(r, format)))))
}

#[derive(Serialize)]
struct PageOut<'a, R> {
    records: R,
    cursor: Option<&'a str>,
}

pub(crate) fn page(page: &ScanPage, format: VectorFormat) -> impl Serialize {
    PageOut { records: Each(move || page.records.iter().map(move |r| record(r, format))), cursor: page.cursor.as_deref() }
}

#[derive(Serialize)]
struct HitOut<'a> {
    id: &'a str,
    score: f32,
    distance: f32,
    score_kind: &'static str,
    version: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<MetadataOut<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vector: Option<VectorOut<'a>>,
}

#[derive(Serialize)]
struct SearchOut<H, E> {
    hits: H,
    stats: StatsOut,
    #[serde(skip_serializing_if = "Option::is_none")]
    explain: Option<E>,
}

#[derive(Serialize)]
struct StatsOut {
    took_us: u64,
    segments: u32,
    memtable_rows: u64,
    rows_filtered: u64,
    distances: u64,
    code_distances: u64,
    hops: u64,
    graph_walks: u64,
}

#[derive(Serialize)]
struct ExplainOut {
    shard: u32,
    rows: u64,
    allowed: u64,
    index: &'static str,
    strategy: &'static str,
    reason: &'static str,
    distances: u64,
    code_distances: u64,
    hops: u64,
    graph_walks: u64,
}

fn hit<'a>(hit: &'a Hit, score_kind: &'static str, format: VectorFormat) -> HitOut<'a> {
    HitOut {
        id: hit.id.as_str(),
        score: hit.score,
        distance: hit.distance,
        score_kind,
        version: hit.version.0,
        metadata: hit.metadata.as_deref().map(MetadataOut),
        vector: hit.vector.as_deref().map(|components| VectorOut { components, format }),
    }
}

fn explain(segment: &SegmentExplain) -> ExplainOut {
    ExplainOut {
        shard: segment.shard,
        rows: segment.rows,
        allowed: segment.allowed,
        index: segment.index,
        strategy: segment.strategy,
        reason: segment.reason,
        distances: segment.counters.distances,
        code_distances: segment.counters.code_distances,
        hops: segment.counters.hops,
        graph_walks: segment.counters.graph_walks,
    }
}

/// The answer to one search; `explained` when the request asked for it.
pub(crate) fn found(response: &SearchResponse, format: VectorFormat, explained: bool) -> impl Serialize {
    let stats = &response.stats;
    let kind = response.score_kind.as_str();
    SearchOut {
        hits: Each(move || response.hits.iter().map(move |h| hit(h, kind, format))),
        stats: StatsOut {
            took_us: stats.micros,
            segments: stats.segments,
            memtable_rows: stats.memtable_rows,
            rows_filtered: stats.rows_filtered,
            distances: stats.counters.distances,
            code_distances: stats.counters.code_distances,
            hops: stats.counters.hops,
            graph_walks: stats.counters.graph_walks,
        },
        explain: explained.then(|| Each(move || response.stats.explain.iter().map(explain))),
    }
}

pub(crate) fn found_each(responses: &[SearchResponse], how: &[(VectorFormat, bool)]) -> impl Serialize {
    Under("results", Each(move || responses.iter().zip(how).map(|(r, (format, explained))| found(r, *format, *explained))))
}

#[derive(Serialize)]
struct IndexOut<'a, S> {
    status: &'a str,
    kind: &'a str,
    indexed_rows: u64,
    unindexed_rows: u64,
    memtable_rows: u64,
    recall_estimate: Option<f32>,
    resident_bytes: u64,
    segments: S,
}

#[derive(Serialize)]
struct SegmentOut<'a> {
    shard: u32,
    id: &'a str,
    rows: u64,
    dead: u64,
    index: &'a str,
    reason: &'a str,
}

fn segment(s: &SegmentStatus) -> SegmentOut<'_> {
    SegmentOut { shard: s.shard, id: &s.id, rows: s.rows, dead: s.dead, index: s.index, reason: &s.reason }
}

pub(crate) fn index(status: &IndexStatus) -> impl Serialize {
    IndexOut {
        status: status.status,
        kind: status.kind,
        indexed_rows: status.indexed_rows,
        unindexed_rows: status.unindexed_rows,
        memtable_rows: status.memtable_rows,
        recall_estimate: status.recall_estimate,
        resident_bytes: status.resident_bytes,
        segments: Each(move || status.segments.iter().map(segment)),
    }
}

#[derive(Serialize)]
struct SiteOut<'a> {
    id: Option<String>,
    instance: u32,
    location: &'a str,
    kind: &'a str,
    state: &'a str,
    shards: u32,
    stored_bytes: u64,
    wal_bytes: u64,
    sync_micros: u32,
    free_bytes: Option<u64>,
    total_bytes: Option<u64>,
    recovered: RecoveredOut,
}

#[derive(Serialize)]
struct RecoveredOut {
    shards: u32,
    segments: u32,
    rows: u64,
    replayed: u64,
    millis: u64,
}

fn site(site: &SiteStatus) -> SiteOut<'_> {
    SiteOut {
        id: site.id.map(|id| id.to_string()),
        instance: site.instance,
        location: &site.location,
        kind: site.kind,
        state: &site.state,
        shards: site.shards,
        stored_bytes: site.stored_bytes,
        wal_bytes: site.wal_bytes,
        sync_micros: site.sync_micros,
        free_bytes: site.space.map(|s| s.free_bytes),
        total_bytes: site.space.map(|s| s.total_bytes),
        recovered: RecoveredOut {
            shards: site.recovered.shards,
            segments: site.recovered.segments,
            rows: site.recovered.rows,
            replayed: site.recovered.replayed,
            millis: site.recovered.millis,
        },
    }
}

pub(crate) fn sites(all: &[SiteStatus]) -> impl Serialize {
    Under("sites", Each(move || all.iter().map(site)))
}

#[derive(Serialize)]
struct AssignmentOut<'a> {
    collection: String,
    name: &'a str,
    shard: u32,
    site: String,
    stored_bytes: u64,
    state: &'a str,
}

fn assignment(a: &Assignment) -> AssignmentOut<'_> {
    AssignmentOut {
        collection: a.collection.to_string(),
        name: &a.name,
        shard: a.shard,
        site: a.site.to_string(),
        stored_bytes: a.stored_bytes,
        state: &a.state,
    }
}

pub(crate) fn assignments(all: &[Assignment]) -> impl Serialize {
    Under("assignments", Each(move || all.iter().map(assignment)))
}

#[derive(Serialize)]
struct HealthOut<'a, S> {
    status: &'static str,
    ready: bool,
    version: &'static str,
    problems: &'a [String],
    sites: S,
}

pub(crate) fn health(health: &Health, all: &[SiteStatus]) -> impl Serialize {
    let status = match (health.ready, health.problems.is_empty()) {
        (false, _) => "unavailable",
        (true, false) => "degraded",
        (true, true) => "ok",
    };
    let version = env!("CARGO_PKG_VERSION");
    HealthOut { status, ready: health.ready, version, problems: &health.problems, sites: Each(move || all.iter().map(site)) }
}

#[derive(Serialize)]
struct ReadyOut<'a> {
    ready: bool,
    problems: &'a [String],
}

pub(crate) fn ready(health: &Health) -> impl Serialize {
    ReadyOut { ready: health.ready, problems: &health.problems }
}
