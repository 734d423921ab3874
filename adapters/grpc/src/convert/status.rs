//! Indexes, sites, assignments and health.

use proximadb_ports::{Assignment, Health, IndexStatus, SegmentStatus, SiteStatus};
use proximadb_proto::v1;

pub(crate) fn index_status(status: &IndexStatus) -> v1::IndexStatus {
    let segment = |s: &SegmentStatus| v1::SegmentStatus {
        shard: s.shard,
        id: s.id.clone(),
        rows: s.rows,
        dead: s.dead,
        index: s.index.to_owned(),
        reason: s.reason.clone(),
        originals: s.originals.to_owned(),
        originals_reason: s.originals_reason.to_owned(),
    };
    v1::IndexStatus {
        status: status.status.to_owned(),
        kind: status.kind.to_owned(),
        indexed_rows: status.indexed_rows,
        unindexed_rows: status.unindexed_rows,
        memtable_rows: status.memtable_rows,
        recall_estimate: status.recall_estimate,
        resident_bytes: status.resident_bytes,
        filter_bytes: status.filter_bytes,
        originals_bytes: status.originals_bytes,
        segments: status.segments.iter().map(segment).collect(),
    }
}

pub(crate) fn site(site: &SiteStatus) -> v1::Site {
    v1::Site {
        id: site.id.map(|id| id.to_string()),
        instance: site.instance,
        location: site.location.clone(),
        kind: site.kind.to_owned(),
        state: site.state.clone(),
        shards: site.shards,
        stored_bytes: site.stored_bytes,
        wal_bytes: site.wal_bytes,
        sync_micros: site.sync_micros,
        free_bytes: site.space.map(|s| s.free_bytes),
        total_bytes: site.space.map(|s| s.total_bytes),
        draining: site.draining,
        mirror: site.mirror.clone(),
        log_copies: site.log_copies.clone(),
        recovered: Some(v1::Recovered {
            shards: site.recovered.shards,
            segments: site.recovered.segments,
            rows: site.recovered.rows,
            replayed: site.recovered.replayed,
            millis: site.recovered.millis,
        }),
    }
}

pub(crate) fn assignment(assignment: &Assignment) -> v1::Assignment {
    v1::Assignment {
        collection: assignment.collection.to_string(),
        name: assignment.name.clone(),
        shard: assignment.shard,
        site: assignment.site.map(|site| site.to_string()),
        stored_bytes: assignment.stored_bytes,
        state: assignment.state.clone(),
    }
}

pub(crate) fn server_status(health: Health, sites: &[SiteStatus]) -> v1::ServerStatus {
    let status = match (health.ready, health.problems.is_empty()) {
        (false, _) => "unavailable",
        (true, false) => "degraded",
        (true, true) => "ok",
    };
    v1::ServerStatus {
        status: status.to_owned(),
        ready: health.ready,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        problems: health.problems,
        sites: sites.iter().map(site).collect(),
        memory: Some(v1::Memory {
            state: health.memory.state.to_owned(),
            budget_bytes: health.memory.budget_bytes,
            used_bytes: health.memory.used_bytes,
            parts: health.memory.parts.into_iter().map(|(part, bytes)| (part.to_owned(), bytes)).collect(),
        }),
    }
}
