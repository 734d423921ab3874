//! Indexes, sites, assignments and health in answers.

use std::collections::BTreeMap;

use proximadb_ports::{Assignment, Health, IndexStatus, MemoryStatus, SegmentStatus, SiteStatus};
use serde::Serialize;

use super::{Each, Under};

#[derive(Serialize)]
struct IndexOut<'a, S> {
    status: &'a str,
    kind: &'a str,
    indexed_rows: u64,
    unindexed_rows: u64,
    memtable_rows: u64,
    recall_estimate: Option<f32>,
    resident_bytes: u64,
    filter_bytes: u64,
    originals_bytes: u64,
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
    originals: &'a str,
    originals_reason: &'a str,
}

fn segment(s: &SegmentStatus) -> SegmentOut<'_> {
    SegmentOut {
        shard: s.shard,
        id: &s.id,
        rows: s.rows,
        dead: s.dead,
        index: s.index,
        reason: &s.reason,
        originals: s.originals,
        originals_reason: s.originals_reason,
    }
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
        filter_bytes: status.filter_bytes,
        originals_bytes: status.originals_bytes,
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
    draining: bool,
    shards: u32,
    stored_bytes: u64,
    wal_bytes: u64,
    sync_micros: u32,
    free_bytes: Option<u64>,
    total_bytes: Option<u64>,
    mirror: Option<&'a str>,
    log_copies: Option<&'a str>,
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
        draining: site.draining,
        shards: site.shards,
        stored_bytes: site.stored_bytes,
        wal_bytes: site.wal_bytes,
        sync_micros: site.sync_micros,
        free_bytes: site.space.map(|s| s.free_bytes),
        total_bytes: site.space.map(|s| s.total_bytes),
        mirror: site.mirror.as_deref(),
        log_copies: site.log_copies.as_deref(),
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
    site: Option<String>,
    stored_bytes: u64,
    state: &'a str,
}

fn assignment(a: &Assignment) -> AssignmentOut<'_> {
    AssignmentOut {
        collection: a.collection.to_string(),
        name: &a.name,
        shard: a.shard,
        site: a.site.map(|site| site.to_string()),
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
    memory: MemoryOut,
    sites: S,
}

#[derive(Serialize)]
struct MemoryOut {
    state: &'static str,
    budget_bytes: Option<u64>,
    used_bytes: u64,
    parts: BTreeMap<&'static str, u64>,
}

fn memory(memory: &MemoryStatus) -> MemoryOut {
    MemoryOut {
        state: memory.state,
        budget_bytes: memory.budget_bytes,
        used_bytes: memory.used_bytes,
        parts: memory.parts.iter().copied().collect(),
    }
}

pub(crate) fn health(health: &Health, all: &[SiteStatus]) -> impl Serialize {
    let status = match (health.ready, health.problems.is_empty()) {
        (false, _) => "unavailable",
        (true, false) => "degraded",
        (true, true) => "ok",
    };
    let version = env!("CARGO_PKG_VERSION");
    HealthOut {
        status,
        ready: health.ready,
        version,
        problems: &health.problems,
        memory: memory(&health.memory),
        sites: Each(move || all.iter().map(site)),
    }
}

#[derive(Serialize)]
struct ReadyOut<'a> {
    ready: bool,
    problems: &'a [String],
}

pub(crate) fn ready(health: &Health) -> impl Serialize {
    ReadyOut { ready: health.ready, problems: &health.problems }
}
