//! Hits, and what a search did to find them.

use proximadb_ports::{Hit, SearchResponse, SegmentExplain};
use serde::Serialize;

use super::{Each, Under};
use crate::json::{MetadataOut, VectorFormat, VectorOut};

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
    recall_estimate: Option<f32>,
}

#[derive(Serialize)]
struct ExplainOut {
    shard: u32,
    rows: u64,
    allowed: u64,
    index: &'static str,
    strategy: &'static str,
    reason: &'static str,
    originals: &'static str,
    filter: &'static str,
    ef: Option<usize>,
    recall_estimate: Option<f32>,
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
        originals: segment.originals,
        filter: segment.filter,
        ef: segment.ef,
        recall_estimate: segment.recall_estimate,
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
            recall_estimate: stats.recall_estimate,
        },
        explain: explained.then_some(Each(move || response.stats.explain.iter().map(explain))),
    }
}

pub(crate) fn found_each(responses: &[SearchResponse], how: &[(VectorFormat, bool)]) -> impl Serialize {
    Under("results", Each(move || responses.iter().zip(how).map(|(r, (format, explained))| found(r, *format, *explained))))
}
