//! The end of searches of segments whose originals are on disk: the likeliest rows are fetched from the file and compared, or all of
//! them block by block. Knows nothing of how they were found.

use std::sync::Arc;

use proximadb_model::{Candidate, MetricKind, RowSet, TopK};
use proximadb_ports::{Fault, PortError, Result, SearchCounters, SearchParams, Vectors};

use super::{Found, Searched, short};
use crate::env::{Env, compute_here};
use crate::segment_build;
use crate::snapshot::{SegmentView, Snapshot};

/// Rows that are fetched one by one; to compare more of them the whole file is read.
const FETCHED_ROWS_MAX: usize = 4_096;
/// Bytes of a block of vectors that is read and compared at once.
const BLOCK_BYTES: usize = 1 << 20;

/// The rows that an exact search of a segment compares, where they are few.
pub(super) fn few_to_fetch(params: &SearchParams, allow: Option<&RowSet>) -> Option<Vec<u32>> {
    let allow = allow.filter(|allow| params.exact && allow.count() <= FETCHED_ROWS_MAX)?;
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
        // They may have come meanwhile.
        let resident = view.segment.originals().get().map(|vectors| picked(&vectors, rows));
        let vectors = match resident {
            Some(vectors) => vectors,
            None => view.segment.reader.vectors_of(rows).await?,
        };
        env.telemetry.count("proximadb_vectors_fetched_total", &[], rows.len() as u64);
        counters.distances += rows.len() as u64;
        let keys = self.keys(env, vectors, rows.len()).await?;
        Ok(rows.iter().zip(keys).map(|(&row, key)| Candidate { key, row }).collect())
    }

    /// The keys of some vectors; here where that takes no time to speak of.
    async fn keys(&self, env: &Env, vectors: Vec<f32>, rows: usize) -> Result<Vec<f32>> {
        let (metric, query) = (Arc::clone(&self.metric), self.job.vector.clone());
        let is_short = !matches!(metric.descriptor().kind, MetricKind::Wasm(_)) && vectors.len() <= short::COMPONENTS_MAX;
        let compare = move || {
            let mut keys = vec![0.0; rows];
            metric.prepare(&query)?.keys(&vectors, &mut keys)?;
            Ok(keys)
        };
        if is_short { compute_here(compare) } else { env.compute_with(&self.metric.descriptor().kind, compare).await }
    }

    /// Compares every row that counts: by the originals where they come anyway, or else block by block from the file.
    async fn search_whole(&self, env: &Env, view: &SegmentView, late: &Late, counters: &mut SearchCounters) -> Result<Vec<Candidate>> {
        if view.segment.is_lean() {
            return self.search_file(env, view, late, counters).await;
        }
        segment_build::bring_originals(&view.segment).await?;
        let (index, vector, budget) = (Arc::clone(&view.index), self.job.vector.clone(), self.job.budget.clone());
        let (params, allow) = (late.params, self.job.allowed(late.shard, late.source).cloned());
        let search = move || {
            let mut counters = SearchCounters::default();
            let candidates = index.search(&vector, &params, allow.as_ref(), &budget, &mut counters)?;
            Ok((candidates, counters))
        };
        match env.compute_with(&self.metric.descriptor().kind, search).await {
            // They were let go again.
            Err(e) if e.fault == Fault::Unavailable => self.search_file(env, view, late, counters).await,
            Err(e) => Err(e),
            Ok((candidates, mut counted)) => {
                // The walk that was in vain is in the count already.
                counted.graph_walks = 0;
                counters.add(&counted);
                Ok(candidates)
            }
        }
    }

    /// Compares the rows that count with the vectors as they are read.
    async fn search_file(&self, env: &Env, view: &SegmentView, late: &Late, counters: &mut SearchCounters) -> Result<Vec<Candidate>> {
        let _place = env.file_scans.acquire().await;
        let allow = self.job.allowed(late.shard, late.source);
        let rows = view.rows();
        let dimension = view.segment.originals().dimension();
        let block_rows = (BLOCK_BYTES / (dimension * size_of::<f32>()).max(1)).max(1);
        let mut top = TopK::new(late.params.k);
        for first in (0..rows).step_by(block_rows) {
            self.job.budget.check()?;
            let block = first..rows.min(first + block_rows);
            if allow.is_some_and(|allow| !block.clone().any(|row| allow.contains(row))) {
                continue;
            }
            let vectors = view.segment.reader.vectors(block.clone()).await?;
            let keys = self.keys(env, vectors, block.len()).await?;
            counters.distances += block.len() as u64;
            for (row, key) in block.zip(keys).filter(|(row, _)| allow.is_none_or(|allow| allow.contains(*row))) {
                top.push(Candidate { key, row: row as u32 });
            }
        }
        Ok(top.into_sorted())
    }
}

/// Some of a segment's vectors, one after the other.
fn picked(vectors: &Vectors, rows: &[u32]) -> Vec<f32> {
    let one = |row: &u32| vectors.data.get(*row as usize * vectors.dimension..).and_then(|rest| rest.get(..vectors.dimension));
    rows.iter().filter_map(one).flatten().copied().collect()
}
