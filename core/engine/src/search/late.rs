//! The end of searches that come before the originals of a segment: the likeliest rows are fetched from its file and compared.
//! Knows nothing of how they were found.

use std::sync::Arc;

use proximadb_model::{Candidate, Projection, RowSet};
use proximadb_ports::{Fault, PortError, Result, SearchCounters, SearchParams};

use super::{Found, Searched};
use crate::env::Env;
use crate::segment_build;
use crate::snapshot::{SegmentView, Snapshot};

/// Rows that are fetched one by one; to compare more of them all originals are brought, which the next search finds there.
const FETCHED_ROWS_MAX: usize = 4_096;

/// The rows that an exact search of a segment compares, where they are few and their originals are not in memory.
pub(super) fn few_to_fetch(view: &SegmentView, params: &SearchParams, allow: Option<&RowSet>) -> Option<Vec<u32>> {
    let allow = allow.filter(|allow| params.exact && allow.count() <= FETCHED_ROWS_MAX && !view.index.has_originals())?;
    Some(allow.iter().map(|row| row as u32).collect())
}

/// A segment that a search could not end with.
pub(super) struct Late {
    pub(super) shard: usize,
    pub(super) source: usize,
    pub(super) params: SearchParams,
    /// The rows among which the nearest are; none where it takes all originals to tell.
    pub(super) rows: Option<Vec<u32>>,
    /// The place of the segment's line among those that explain the search.
    pub(super) explained: usize,
}

impl Searched {
    /// Searches what is left over.
    ///
    /// # Errors
    /// `Deadline`; `Corrupt` and `Unavailable` of reading.
    pub(super) async fn finish_late(&mut self, env: &Env, shards: &[Arc<Snapshot>]) -> Result<()> {
        for late in std::mem::take(&mut self.late) {
            let view = shards.get(late.shard).and_then(|snapshot| snapshot.segments.get(late.source));
            let view = view.ok_or_else(|| PortError::new(Fault::Internal, "search", "a segment", "has left its snapshot"))?;
            let mut counters = SearchCounters::default();
            let candidates = match &late.rows {
                Some(rows) => self.compare(env, view, rows, &mut counters).await?,
                None => self.search_whole(env, view, &late, &mut counters).await?,
            };
            self.job.budget.check()?;
            for candidate in candidates {
                self.top.push(Found { candidate, shard: late.shard, source: late.source, kind: 2 });
            }
            self.stats.counters.add(&counters);
            if let Some(line) = self.stats.explain.get_mut(late.explained) {
                line.counters.add(&counters);
            }
        }
        Ok(())
    }

    /// Compares some rows by their vectors in the file.
    async fn compare(&self, env: &Env, view: &SegmentView, rows: &[u32], counters: &mut SearchCounters) -> Result<Vec<Candidate>> {
        let fetched = view.segment.reader.fetch(rows, Projection { vectors: true, metadata: false }).await?;
        let (metric, query, mut keys) = (Arc::clone(&self.metric), self.job.vector.clone(), vec![0.0; rows.len()]);
        let compare = move || {
            metric.prepare(&query)?.keys(&fetched.vectors, &mut keys)?;
            Ok(keys)
        };
        let keys = env.compute_with(&self.metric.descriptor().kind, compare).await?;
        counters.distances += rows.len() as u64;
        Ok(rows.iter().zip(keys).map(|(&row, key)| Candidate { key, row }).collect())
    }

    /// Waits for the originals and searches as if they had been there.
    async fn search_whole(&self, env: &Env, view: &SegmentView, late: &Late, counters: &mut SearchCounters) -> Result<Vec<Candidate>> {
        segment_build::bring_originals(&view.segment).await?;
        let (index, vector, budget) = (Arc::clone(&view.index), self.job.vector.clone(), self.job.budget.clone());
        let (params, allow) = (late.params, self.job.allowed(late.shard, late.source).cloned());
        let search = move || {
            let mut counters = SearchCounters::default();
            let candidates = index.search(&vector, &params, allow.as_ref(), &budget, &mut counters)?;
            Ok((candidates, counters))
        };
        let (candidates, mut counted) = env.compute_with(&self.metric.descriptor().kind, search).await?;
        // The walk that was in vain is in the count already.
        counted.graph_walks = 0;
        counters.add(&counted);
        Ok(candidates)
    }
}
