//! What `GET …/index` tells: which index each segment has, and why.

use std::collections::BTreeSet;
use std::sync::Arc;

use proximadb_model::plan;
use proximadb_ports::{Assigner, IndexStatus, PluginStatus, SegmentStatus, Traverse};

use crate::env::Env;
use crate::snapshot::Snapshot;

/// What is wrong with plugins, and with placement through one of them.
pub(super) fn troubles(assigner: &dyn Assigner, plugins: &[PluginStatus]) -> Vec<String> {
    let placement = assigner.trouble().map(|why| format!("placement by {}: {why}", assigner.name()));
    let plugins = plugins.iter().filter(|plugin| plugin.state != "ready").map(|plugin| {
        let why = plugin.problem.as_deref().unwrap_or("nobody knows why");
        format!("plugin {} is {}: {why}", plugin.name, plugin.state)
    });
    placement.into_iter().chain(plugins).collect()
}

/// The state of a collection's indexes, over the states of its shards.
pub(super) fn status_of(env: &Env, shards: &[Arc<Snapshot>]) -> IndexStatus {
    let mut status = IndexStatus {
        status: "ready",
        kind: "none",
        indexed_rows: 0,
        unindexed_rows: 0,
        memtable_rows: 0,
        recall_estimate: None,
        resident_bytes: 0,
        filter_bytes: 0,
        originals_bytes: 0,
        segments: Vec::new(),
    };
    let mut kinds = BTreeSet::new();
    let mut recall = (0.0, 0u64);
    for (shard, snapshot) in shards.iter().enumerate() {
        let spec = &snapshot.manifest.collection.spec;
        let maintenance = env.settings.maintenance.for_dimension(snapshot.dimension());
        status.memtable_rows += snapshot.memtables().map(|m| m.live() as u64).sum::<u64>();
        for view in &snapshot.segments {
            let rows = view.rows() as u64;
            let wants = plan::wants_graph(view.rows(), spec.index.kind, &maintenance);
            let possible = env.graph.supports(snapshot.metric.descriptor());
            let pending = wants && possible && !view.is_graph();
            if pending {
                status.unindexed_rows += rows
            } else {
                status.indexed_rows += rows
            }
            kinds.insert(view.index.kind());
            status.resident_bytes += view.index.resident_bytes() as u64;
            status.filter_bytes += view.segment.columns.bytes() as u64;
            status.originals_bytes += view.segment.original_bytes();
            if let Some(estimate) = view.index.recall_at(spec.index.ef_search as usize).or(view.recall_estimate) {
                recall = (recall.0 + f64::from(estimate) * rows as f64, recall.1 + rows);
            }
            let min = maintenance.graph_rows_min;
            let reason = match (view.is_graph(), wants, possible) {
                (true, _, _) => match &snapshot.metric.descriptor().traverse {
                    Some(Traverse::By { metric, .. }) => format!("a graph by {metric} leads to the rows that {} orders", spec.metric),
                    Some(Traverse::Itself { .. }) => format!("a graph by {} itself answers faster at this size", spec.metric),
                    None => "a graph answers faster at this size".to_owned(),
                },
                (false, true, true) => "scanned exactly until its graph is built".to_owned(),
                (false, true, false) => "the metric has no graph, so every row is compared".to_owned(),
                (false, false, _) => format!("comparing every row is as fast below {min} rows, and exact"),
            };
            let (originals, originals_reason) = match (view.index.has_originals(), view.segment.is_lean()) {
                (true, _) => ("memory", "there is room for them"),
                (false, true) if env.settings.memory.originals == plan::OriginalsPlace::Disk && view.is_graph() => {
                    ("disk", "memory.originals says so; searches fetch those that they compare")
                }
                (false, true) => ("disk", "memory.budget_bytes leaves no room for them; searches fetch those that they compare"),
                (false, false) => ("disk", "they are on their way into memory"),
            };
            let id = view.segment.meta.id.to_string();
            status.segments.push(SegmentStatus {
                shard: shard as u32,
                id,
                rows,
                dead: view.dead.count() as u64,
                index: view.index.kind(),
                reason,
                originals,
                originals_reason,
            });
        }
    }
    status.kind = match kinds.len() {
        0 => "none",
        1 => kinds.into_iter().next().unwrap_or("none"),
        _ => "mixed",
    };
    if status.unindexed_rows > 0 {
        status.status = "building";
    } else if shards.iter().flat_map(|shard| &shard.segments).any(|view| !view.index.has_originals() && !view.segment.is_lean()) {
        status.status = "loading";
    }
    status.recall_estimate = (recall.1 > 0).then(|| (recall.0 / recall.1 as f64) as f32);
    status
}
