//! Searches and hits.

use std::time::Duration;

use proximadb_model::limits::TIMEOUT_MS_MAX;
use proximadb_model::{Invalid, RecordId};
use proximadb_ports::{Hit, Query, ReadOptions, SearchRequest, SearchResponse, SegmentExplain};
use proximadb_proto::v1;
use v1::search_query::Near;

use super::count;
use super::filter::read_filter;
use super::value;

/// Hits of a search that does not say how many.
const K_DEFAULT: u64 = 10;

/// Reads one search; `deadline` is what its call has left, and counts where it is nearer than the search's own timeout.
pub(crate) fn read_search(query: v1::SearchQuery, deadline: Option<Duration>) -> Result<SearchRequest, Invalid> {
    let near = match query.near {
        None => return Err(Invalid::new("vector", "one of vector, id is required")),
        Some(Near::Vector(vector)) => Query::Vector(value::read_vector(Some(vector))?),
        Some(Near::Id(id)) => Query::Record(RecordId::new(&id)?),
    };
    let mut request = SearchRequest {
        query: near,
        k: count(query.k.unwrap_or(K_DEFAULT)),
        offset: count(query.offset),
        filter: query.filter.map(read_filter).transpose()?,
        ef: query.ef.map(count),
        recall_target: query.recall_target,
        exact: query.exact,
        score_threshold: query.score_threshold,
        read: ReadOptions { vector: query.with_vector.unwrap_or(false), metadata: query.with_metadata.unwrap_or(true) },
        timeout: query.timeout_ms.map(Duration::from_millis),
        explain: query.explain,
    };
    request.check()?;
    if let Some(left) = deadline {
        let left = left.clamp(Duration::from_millis(1), Duration::from_millis(TIMEOUT_MS_MAX));
        request.timeout = Some(request.timeout.map_or(left, |own| own.min(left)));
    }
    Ok(request)
}

pub(crate) fn search_response(response: SearchResponse) -> v1::SearchResponse {
    let stats = &response.stats;
    v1::SearchResponse {
        hits: response.hits.into_iter().map(hit).collect(),
        score_kind: response.score_kind.as_str().to_owned(),
        stats: Some(v1::SearchStats {
            took_us: stats.micros,
            segments: stats.segments,
            memtable_rows: stats.memtable_rows,
            rows_filtered: stats.rows_filtered,
            distances: stats.counters.distances,
            code_distances: stats.counters.code_distances,
            hops: stats.counters.hops,
            graph_walks: stats.counters.graph_walks,
            recall_estimate: stats.recall_estimate,
        }),
        explain: stats.explain.iter().map(explain).collect(),
    }
}

fn hit(hit: Hit) -> v1::Hit {
    v1::Hit {
        id: hit.id.to_string(),
        score: hit.score,
        distance: hit.distance,
        metadata: value::metadata(hit.metadata),
        vector: hit.vector.as_deref().map(value::vector),
        version: hit.version.0,
    }
}

fn explain(segment: &SegmentExplain) -> v1::SegmentExplain {
    v1::SegmentExplain {
        shard: segment.shard,
        rows: segment.rows,
        allowed: segment.allowed,
        index: segment.index.to_owned(),
        strategy: segment.strategy.to_owned(),
        reason: segment.reason.to_owned(),
        distances: segment.counters.distances,
        code_distances: segment.counters.code_distances,
        hops: segment.counters.hops,
        graph_walks: segment.counters.graph_walks,
        originals: segment.originals.to_owned(),
        filter: segment.filter.to_owned(),
        ef: segment.ef.map(|ef| ef as u64),
        recall_estimate: segment.recall_estimate,
    }
}
