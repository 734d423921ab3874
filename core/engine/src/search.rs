//! Searching: filters become row sets, each segment is searched as planned, the nearest of all are merged and fetched.

use std::sync::Arc;
use std::time::Duration;

use proximadb_model::limits::SEARCH_BATCH_MAX;
use proximadb_model::{
    Candidate, CollectionSpec, Filter, IndexKind, Invalid, MetricKind, RecordId, RowSet, ScoreKind, Timestamp, TopK, check_vector, plan,
};
use proximadb_ports::{
    Budget, Fault, Hit, Metric, PortError, Query, Result, SearchCounters, SearchParams, SearchRequest, SearchResponse, SearchStats,
    SegmentExplain,
};

use crate::env::{CancelOnDrop, Env};
use crate::snapshot::{Place, SegmentView, Snapshot};
use crate::{read, segment_build};

mod late;

/// Checks a request against the limits, which every transport shares, and against the collection.
///
/// # Errors
/// [`Invalid`] with the field.
pub(crate) fn check(request: &SearchRequest, spec: &CollectionSpec) -> std::result::Result<(), Invalid> {
    request.check()?;
    match &request.query {
        Query::Vector(vector) => check_vector(vector, spec.dimension, &spec.metric),
        Query::Record(_) => Ok(()),
    }
}

/// Answers checked requests over the shards of one collection.
///
/// # Errors
/// `NotFound` for a query by a record that is not there; `Deadline`; errors of reading.
pub(crate) async fn search(env: &Arc<Env>, shards: Vec<Arc<Snapshot>>, requests: Vec<SearchRequest>) -> Result<Vec<SearchResponse>> {
    if requests.len() > SEARCH_BATCH_MAX {
        let invalid = Invalid::new("queries", format!("has {} queries, at most {SEARCH_BATCH_MAX} are allowed", requests.len()));
        return Err(PortError::invalid("search", invalid));
    }
    let shards = Arc::new(shards);
    let started = env.clock.monotonic();
    let now = env.clock.now();
    let mut jobs = Vec::with_capacity(requests.len());
    for request in requests {
        jobs.push(prepare(env, &shards, request, now).await?);
    }
    // Whoever stops waiting drops these, and the computations end at their next look at the budget.
    let _guards: Vec<_> = jobs.iter().map(|job| CancelOnDrop(job.budget.clone())).collect();
    // Each part of a batch is one computation, so that a single search pays for one hand-over and a batch uses every thread.
    let metric = shards.first().map_or(&MetricKind::Cosine, |shard| &shard.manifest.collection.spec.metric);
    let parts = env.executor.compute_threads().clamp(1, jobs.len().max(1));
    let size = jobs.len().div_ceil(parts).max(1);
    let mut running = Vec::with_capacity(parts);
    while !jobs.is_empty() {
        let part: Vec<Job> = jobs.drain(..size.min(jobs.len())).collect();
        let shards = Arc::clone(&shards);
        let job = move || part.into_iter().map(|job| job.run(&shards, now)).collect::<Result<Vec<_>>>();
        running.push(env.compute_with(metric, job));
    }
    let mut responses = Vec::new();
    for part in futures_util::future::join_all(running).await {
        for mut searched in part? {
            searched.finish_late(env, &shards).await?;
            responses.push(searched.into_answer(&shards).into_response(env, &shards, started).await?);
        }
    }
    Ok(responses)
}

/// A search whose filters have become row sets.
struct Job {
    request: SearchRequest,
    vector: Vec<f32>,
    exclude: Option<RecordId>,
    /// For each shard and segment the rows that count, `None` for all.
    allowed: Vec<Vec<Option<RowSet>>>,
    rows_filtered: u64,
    budget: Budget,
}

async fn prepare(env: &Env, shards: &[Arc<Snapshot>], request: SearchRequest, now: Timestamp) -> Result<Job> {
    let budget = env.budget(Some(request.timeout.unwrap_or(env.settings.search_timeout)));
    let (vector, exclude) = match &request.query {
        Query::Vector(vector) => (vector.clone(), None),
        Query::Record(id) => (vector_of(shards, id, now).await?, Some(id.clone())),
    };
    let mut allowed = Vec::with_capacity(shards.len());
    let mut rows_filtered = 0;
    for shard in shards {
        let mut segments = Vec::with_capacity(shard.segments.len());
        for view in &shard.segments {
            let (rows, examined) = read::allowed(view, request.filter.as_ref(), now).await?;
            rows_filtered += examined;
            // Comparing every row takes the originals; a graph can do without them for a while.
            if !view.index.has_originals() && params_of(&request, shard, view, rows.as_ref()).1.is_some_and(|params| params.exact) {
                segment_build::bring_originals(&view.segment).await?;
            }
            segments.push(rows);
        }
        allowed.push(segments);
        budget.check()?;
    }
    Ok(Job { request, vector, exclude, allowed, rows_filtered, budget })
}

async fn vector_of(shards: &[Arc<Snapshot>], id: &RecordId, now: Timestamp) -> Result<Vec<f32>> {
    let wanted = read::Wanted { vector: true, metadata: false };
    for shard in shards {
        if let Some(Some(record)) = read::get(shard, std::slice::from_ref(id), wanted, now).await?.into_iter().next()
            && let Some(vector) = record.vector
        {
            return Ok(vector);
        }
    }
    Err(PortError::new(Fault::NotFound, "search", id, "no record has this id").with_field("id"))
}

/// A candidate of any shard and source; ordered by key, then by where it lies.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Found {
    candidate: Candidate,
    shard: usize,
    source: usize,
    /// 0 for the active memtable, 1 for the frozen one, 2 for a segment.
    kind: u8,
}

impl Found {
    fn place(self) -> Place {
        let row = self.candidate.row as usize;
        match self.kind {
            0 => Place::Active { block: self.source, row },
            1 => Place::Frozen { block: self.source, row },
            _ => Place::Segment { segment: self.source, row },
        }
    }
}

/// A search that is done but for the segments whose originals have not come.
struct Searched {
    job: Job,
    metric: Arc<dyn Metric>,
    top: TopK<Found>,
    stats: SearchStats,
    late: Vec<late::Late>,
}

struct Answer {
    request: SearchRequest,
    found: Vec<Found>,
    metric: Arc<dyn Metric>,
    stats: SearchStats,
}

/// The nearest that a search needs of each source.
fn window_of(request: &SearchRequest) -> usize {
    request.k + request.offset + usize::from(matches!(request.query, Query::Record(_)))
}

/// How a segment is to be searched, and with what; none where no row is allowed.
fn params_of(
    request: &SearchRequest,
    snapshot: &Snapshot,
    view: &SegmentView,
    allow: Option<&RowSet>,
) -> (plan::SegmentPlan, Option<SearchParams>) {
    let index = &snapshot.manifest.collection.spec.index;
    let window = window_of(request);
    let ef = request.ef.unwrap_or(index.ef_search as usize);
    let allowed = allow.map_or(view.rows(), RowSet::count);
    let facts = plan::SegmentFacts { rows: view.rows(), allowed, approximate: view.is_graph() && index.kind != IndexKind::Flat };
    let plan = plan::plan_segment(facts, window, ef, request.exact);
    let params = match plan.strategy {
        plan::SearchStrategy::Nothing => None,
        plan::SearchStrategy::Exact => Some(SearchParams { k: window, ef: window, exact: true }),
        plan::SearchStrategy::Approximate { ef } => Some(SearchParams { k: window, ef, exact: false }),
    };
    (plan, params)
}

impl Job {
    fn run(self, shards: &[Arc<Snapshot>], now: Timestamp) -> Result<Searched> {
        let metric = shards.first().map(|s| Arc::clone(&s.metric));
        let metric =
            metric.ok_or_else(|| PortError::new(Fault::Unavailable, "search", "the collection", "has no shard that can be reached"))?;
        let mut top = TopK::new(window_of(&self.request));
        let mut stats = SearchStats { rows_filtered: self.rows_filtered, ..SearchStats::default() };
        let mut late = Vec::new();
        for (shard, snapshot) in shards.iter().enumerate() {
            self.search_memtables(shard, snapshot, &metric, now, &mut top, &mut stats)?;
            self.search_segments(shard, snapshot, &mut top, &mut stats, &mut late)?;
        }
        Ok(Searched { job: self, metric, top, stats, late })
    }

    fn allowed(&self, shard: usize, segment: usize) -> Option<&RowSet> {
        self.allowed.get(shard).and_then(|s| s.get(segment)).and_then(Option::as_ref)
    }

    fn search_memtables(
        &self,
        shard: usize,
        snapshot: &Snapshot,
        metric: &Arc<dyn Metric>,
        now: Timestamp,
        top: &mut TopK<Found>,
        stats: &mut SearchStats,
    ) -> Result<()> {
        let mut scorer = None;
        let mut keys = Vec::new();
        for (kind, memtable) in snapshot.memtables().enumerate() {
            let (mut stored, mut allowed, mut compared) = (0u64, 0u64, 0u64);
            for (source, block) in memtable.blocks().iter().enumerate() {
                self.budget.check()?;
                let rows = block.rows();
                stored += rows.len() as u64;
                let holds =
                    |row: usize| block.is_visible(row, now) && self.request.filter.as_ref().is_none_or(|f| f.matches(&rows.metadata[row]));
                let rows_allowed: Vec<usize> = (0..rows.len()).filter(|row| holds(*row)).collect();
                if rows_allowed.is_empty() {
                    continue;
                }
                let scorer = match &mut scorer {
                    Some(scorer) => scorer,
                    none => none.insert(metric.prepare(&self.vector)?),
                };
                keys.clear();
                keys.resize(rows.len(), 0.0);
                scorer.keys(&rows.vectors, &mut keys)?;
                allowed += rows_allowed.len() as u64;
                compared += rows.len() as u64;
                for row in rows_allowed {
                    top.push(Found { candidate: Candidate { key: keys[row], row: row as u32 }, shard, source, kind: kind as u8 });
                }
            }
            stats.memtable_rows += compared;
            stats.counters.distances += compared;
            if self.request.explain && stored > 0 {
                let counters = SearchCounters { distances: compared, ..SearchCounters::default() };
                let reason = "rows that are not yet in a segment are compared one by one";
                stats.explain.push(line(shard, stored, allowed, "memtable", "exact", reason, counters));
            }
        }
        Ok(())
    }

    fn search_segments(
        &self,
        shard: usize,
        snapshot: &Snapshot,
        top: &mut TopK<Found>,
        stats: &mut SearchStats,
        late: &mut Vec<late::Late>,
    ) -> Result<()> {
        for (source, view) in snapshot.segments.iter().enumerate() {
            let allow = self.allowed(shard, source);
            let (plan, params) = params_of(&self.request, snapshot, view, allow);
            let mut counters = SearchCounters::default();
            if let Some(params) = params {
                stats.segments += 1;
                if view.index.has_originals() {
                    let candidates = view.index.search(&self.vector, &params, allow, &self.budget, &mut counters)?;
                    for candidate in candidates {
                        top.push(Found { candidate, shard, source, kind: 2 });
                    }
                } else {
                    let rows = view.index.shortlist(&self.vector, &params, allow, &self.budget, &mut counters)?;
                    late.push(late::Late { shard, source, params, rows, explained: stats.explain.len() });
                }
            }
            stats.counters.add(&counters);
            if self.request.explain {
                let allowed = allow.map_or(view.rows(), RowSet::count);
                let rows = (view.rows() as u64, allowed as u64);
                stats.explain.push(line(shard, rows.0, rows.1, view.index.kind(), plan.strategy.as_str(), plan.reason, counters));
            }
        }
        Ok(())
    }
}

impl Searched {
    fn into_answer(self, shards: &[Arc<Snapshot>]) -> Answer {
        let Self { job, metric, top, stats, .. } = self;
        let mut found = top.into_sorted();
        if let Some(exclude) = &job.exclude {
            found.retain(|f| id_at(shards, *f) != Some(exclude.as_str()));
        }
        if let Some(threshold) = job.request.score_threshold {
            let kind = metric.descriptor().score_kind;
            found.retain(|f| match kind {
                ScoreKind::Similarity => metric.score(f.candidate.key) >= threshold,
                ScoreKind::Distance => metric.score(f.candidate.key) <= threshold,
            });
        }
        let found = found.into_iter().skip(job.request.offset).take(job.request.k).collect();
        Answer { request: job.request, found, metric, stats }
    }
}

fn line(
    shard: usize,
    rows: u64,
    allowed: u64,
    index: &'static str,
    strategy: &'static str,
    reason: &'static str,
    counters: SearchCounters,
) -> SegmentExplain {
    SegmentExplain { shard: shard as u32, rows, allowed, index, strategy, reason, counters }
}

fn id_at(shards: &[Arc<Snapshot>], found: Found) -> Option<&str> {
    let snapshot = shards.get(found.shard)?;
    match found.place() {
        Place::Active { block, row } => snapshot.active.blocks().get(block)?.rows().ids.get(row).map(RecordId::as_str),
        Place::Frozen { block, row } => snapshot.frozen.as_ref()?.blocks().get(block)?.rows().ids.get(row).map(RecordId::as_str),
        Place::Segment { segment, row } => snapshot.segments.get(segment)?.segment.ids.id(row),
    }
}

impl Answer {
    async fn into_response(self, env: &Env, shards: &[Arc<Snapshot>], started: Duration) -> Result<SearchResponse> {
        let mut records = vec![None; self.found.len()];
        for (shard, snapshot) in shards.iter().enumerate() {
            let mine: Vec<usize> = (0..self.found.len()).filter(|i| self.found[*i].shard == shard).collect();
            let places: Vec<Place> = mine.iter().map(|i| self.found[*i].place()).collect();
            for (i, record) in mine.into_iter().zip(read::fetch(snapshot, &places, self.request.read).await?) {
                records[i] = Some(record);
            }
        }
        let hit = |(found, record): (Found, Option<proximadb_ports::StoredRecord>)| {
            let record = record?;
            let key = found.candidate.key;
            Some(Hit {
                id: record.id,
                score: self.metric.score(key),
                distance: self.metric.distance(key),
                metadata: record.metadata,
                vector: record.vector,
                version: record.version,
            })
        };
        let hits = self.found.iter().copied().zip(records).filter_map(hit).collect();
        let mut stats = self.stats;
        let took = env.clock.monotonic().saturating_sub(started);
        stats.micros = took.as_micros() as u64;
        env.telemetry.observe("proximadb_search_seconds", &[], took.as_secs_f64());
        env.telemetry.count("proximadb_distances_total", &[], stats.counters.distances);
        Ok(SearchResponse { hits, score_kind: self.metric.descriptor().score_kind, stats })
    }
}

/// Records of all shards for which a filter holds.
pub(crate) async fn count(shards: &[Arc<Snapshot>], filter: Option<&Filter>, now: Timestamp) -> Result<u64> {
    let mut count = 0;
    for shard in shards {
        count += read::count(shard, filter, now).await?;
    }
    Ok(count)
}
