//! Searching: filters become row sets, each segment is searched as planned, the nearest of all are merged and fetched.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use proximadb_model::limits::SEARCH_BATCH_MAX;
use proximadb_model::{
    Candidate, CollectionSpec, Filter, IndexKind, Invalid, MetricKind, RecordId, RowSet, ScoreKind, Timestamp, TopK, check_vector, plan,
};
use proximadb_ports::{
    Budget, Fault, Hit, Metric, PortError, Query, Result, SearchCounters, SearchParams, SearchRequest, SearchResponse, SearchStats,
    SegmentExplain,
};

use crate::env::{CancelOnDrop, Env, compute_here};
use crate::read::{self, Allowed};
use crate::segment_build;
use crate::snapshot::{Place, SegmentView, Snapshot};

mod late;
mod short;

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
    // Each search has a budget of its own, which ends what it computes; what is read for it ends with the longest of them.
    let longest = requests.iter().map(|request| request.timeout.unwrap_or(env.settings.search_timeout)).max().unwrap_or_default();
    tokio::select! {
        biased;
        answers = answer(env, shards, requests) => answers,
        () = env.clock.sleep(longest) => Err(PortError::new(Fault::Deadline, "search", "the request", "its time is over")),
    }
}

async fn answer(env: &Arc<Env>, shards: Vec<Arc<Snapshot>>, requests: Vec<SearchRequest>) -> Result<Vec<SearchResponse>> {
    let shards = Arc::new(shards);
    let started = env.clock.monotonic();
    let now = env.clock.now();
    let mut jobs: Vec<Job> = Vec::with_capacity(requests.len());
    for request in requests {
        // The queries of a batch mostly have one filter, or few.
        let alike = jobs.iter().rev().take(BATCH_TURN).find(|job| job.request.filter == request.filter);
        let alike = alike.map(|job| Arc::clone(&job.allowed));
        jobs.push(prepare(env, &shards, request, alike, now).await?);
    }
    // Whoever stops waiting drops these, and the computations end at their next look at the budget.
    let _guards: Vec<_> = jobs.iter().map(|job| CancelOnDrop(job.budget.clone())).collect();
    let metric = shards.first().map_or(MetricKind::Cosine, |shard| shard.manifest.collection.spec.metric.clone());
    // What a plugin computes never runs here: nobody knows how long it takes.
    if !matches!(metric, MetricKind::Wasm(_))
        && let [job] = &jobs[..]
        && job.is_short(&shards)
        && let Some(job) = jobs.pop()
    {
        let searched = compute_here(|| job.run(&shards, now))?;
        return Ok(vec![searched.finish(env, &shards, started).await?]);
    }
    // A batch is as many computations at a time as there are threads, each taking the next searches that nobody has: a single search
    // pays for one hand-over, a slow one keeps no others waiting behind it, and a long batch lets other requests between.
    let parts = env.executor.compute_threads().clamp(1, jobs.len().max(1));
    let count = jobs.len();
    let queue = Arc::new(Mutex::new(jobs.into_iter().enumerate()));
    let running = (0..parts).map(|_| async {
        let mut all = Vec::new();
        loop {
            let (queue, shards) = (Arc::clone(&queue), Arc::clone(&shards));
            let done = env.compute_with(&metric, move || run_queued(&queue, &shards, now)).await?;
            let is_over = done.len() < BATCH_TURN;
            all.extend(done);
            if is_over {
                return Ok::<_, PortError>(all);
            }
        }
    });
    let mut searched: Vec<Option<Searched>> = std::iter::repeat_with(|| None).take(count).collect();
    for part in futures_util::future::join_all(running).await {
        for (place, one) in part? {
            searched[place] = Some(one);
        }
    }
    let mut responses = Vec::with_capacity(count);
    for searched in searched.into_iter().flatten() {
        responses.push(searched.finish(env, &shards, started).await?);
    }
    Ok(responses)
}

/// Why an index did not walk.
const SCANNED: &str = "scanning the codes of the rows that are allowed costs less than a walk";

/// Searches of a batch that one computation runs before others get their turn.
const BATCH_TURN: usize = 8;

/// Runs the next searches of a queue, fewer than [`BATCH_TURN`] where it is empty then; after a failure nobody takes another.
fn run_queued(
    queue: &Mutex<std::iter::Enumerate<std::vec::IntoIter<Job>>>,
    shards: &[Arc<Snapshot>],
    now: Timestamp,
) -> Result<Vec<(usize, Searched)>> {
    let mut done = Vec::new();
    while done.len() < BATCH_TURN {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
        let Some((place, job)) = next else { return Ok(done) };
        match job.run(shards, now) {
            Ok(searched) => done.push((place, searched)),
            Err(e) => {
                *queue.lock().unwrap_or_else(PoisonError::into_inner) = Vec::new().into_iter().enumerate();
                return Err(e);
            }
        }
    }
    Ok(done)
}

/// A search whose filters have become row sets.
struct Job {
    request: SearchRequest,
    vector: Vec<f32>,
    exclude: Option<RecordId>,
    /// For each shard and segment the rows that count; shared with searches of the same batch that have the same filter.
    allowed: Arc<Vec<Vec<Allowed>>>,
    /// Rows whose values were looked at in files for this search.
    rows_filtered: u64,
    budget: Budget,
    /// When it was asked for.
    asked: Timestamp,
}

async fn prepare(
    env: &Env,
    shards: &[Arc<Snapshot>],
    request: SearchRequest,
    alike: Option<Arc<Vec<Vec<Allowed>>>>,
    now: Timestamp,
) -> Result<Job> {
    let budget = env.budget(Some(request.timeout.unwrap_or(env.settings.search_timeout)));
    let (vector, exclude) = match &request.query {
        Query::Vector(vector) => (vector.clone(), None),
        Query::Record(id) => (vector_of(shards, id, now).await?, Some(id.clone())),
    };
    let rows_filtered;
    let allowed = match alike {
        Some(allowed) => {
            rows_filtered = 0;
            allowed
        }
        None => {
            let allowed = allowed_of(shards, request.filter.as_ref(), &budget, now).await?;
            rows_filtered = allowed.iter().flatten().map(|allowed| allowed.rows_examined).sum();
            Arc::new(allowed)
        }
    };
    for (shard, allowed) in shards.iter().zip(&*allowed) {
        for (view, allowed) in shard.segments.iter().zip(allowed) {
            // Comparing many rows takes the originals; where they come anyway they are waited for.
            if !view.index.has_originals()
                && !view.segment.is_lean()
                && let (_, Some(params)) = params_of(&request, shard, view, allowed.rows.as_ref())
                && params.exact
                && late::few_to_fetch(&params, allowed.rows.as_ref()).is_none()
            {
                segment_build::bring_originals(&view.segment).await?;
            }
        }
        budget.check()?;
    }
    Ok(Job { request, vector, exclude, allowed, rows_filtered, budget, asked: now })
}

/// The rows of each shard and segment that count.
async fn allowed_of(shards: &[Arc<Snapshot>], filter: Option<&Filter>, budget: &Budget, now: Timestamp) -> Result<Vec<Vec<Allowed>>> {
    let mut allowed = Vec::with_capacity(shards.len());
    for shard in shards {
        let mut segments = Vec::with_capacity(shard.segments.len());
        for view in &shard.segments {
            segments.push(read::allowed(view, filter, now).await?);
            budget.check()?;
        }
        allowed.push(segments);
    }
    Ok(allowed)
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
    let effort = match request.recall_target {
        _ if request.exact => plan::Effort::Exact,
        Some(target) if target >= 1.0 => plan::Effort::Exact,
        Some(target) => view.index.breadth_for(target, window).map_or(plan::Effort::OutOfReach, plan::Effort::Breadth),
        None => plan::Effort::Breadth(request.ef.unwrap_or(index.ef_search as usize)),
    };
    let facts = plan::SegmentFacts {
        rows: view.rows(),
        allowed: allow.map_or(view.rows(), RowSet::count),
        dimension: snapshot.manifest.collection.spec.dimension.get(),
        foreign: matches!(snapshot.manifest.collection.spec.metric, MetricKind::Wasm(_)),
        approximate: view.is_graph() && index.kind != IndexKind::Flat,
        originals: view.index.has_originals(),
    };
    let plan = plan::plan_segment(facts, window, effort);
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
        let mut expected = Expected::default();
        for (shard, snapshot) in shards.iter().enumerate() {
            self.search_memtables(shard, snapshot, &metric, now, &mut top, &mut stats)?;
            self.search_segments(shard, snapshot, &mut top, &mut stats, &mut late, &mut expected)?;
        }
        expected.rows(stats.memtable_rows as usize, Some(1.0));
        stats.recall_estimate = expected.recall();
        Ok(Searched { job: self, metric, top, stats, late })
    }

    fn allowed(&self, shard: usize, segment: usize) -> Option<&RowSet> {
        self.allowed.get(shard).and_then(|s| s.get(segment)).and_then(|allowed| allowed.rows.as_ref())
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
                stats.explain.push(SegmentExplain {
                    shard: shard as u32,
                    rows: stored,
                    allowed,
                    index: "memtable",
                    strategy: "exact",
                    reason: "rows that are not yet in a segment are compared one by one",
                    originals: "memory",
                    filter: if self.request.filter.is_some() { "memory" } else { "none" },
                    ef: None,
                    recall_estimate: Some(1.0),
                    counters: SearchCounters { distances: compared, ..SearchCounters::default() },
                });
            }
        }
        Ok(())
    }

    /// What an index finds that has the originals; `None` where it has not.
    fn found_in_memory(
        &self,
        view: &SegmentView,
        params: &SearchParams,
        allow: Option<&RowSet>,
        counters: &mut SearchCounters,
    ) -> Result<Option<Vec<Candidate>>> {
        if !view.index.has_originals() {
            return Ok(None);
        }
        match view.index.search(&self.vector, params, allow, &self.budget, counters) {
            // They were let go in between.
            Err(e) if e.fault == Fault::Unavailable => Ok(None),
            found => found.map(Some),
        }
    }

    fn search_segments(
        &self,
        shard: usize,
        snapshot: &Snapshot,
        top: &mut TopK<Found>,
        stats: &mut SearchStats,
        late: &mut Vec<late::Late>,
        expected: &mut Expected,
    ) -> Result<()> {
        for (source, view) in snapshot.segments.iter().enumerate() {
            let allow = self.allowed(shard, source);
            let allowed = allow.map_or(view.rows(), RowSet::count);
            let (plan, params) = params_of(&self.request, snapshot, view, allow);
            let recall_estimate = recall_of(view, allowed, params);
            expected.rows(allowed, recall_estimate);
            let mut counters = SearchCounters::default();
            let mut originals = "memory";
            if let Some(params) = params {
                stats.segments += 1;
                view.segment.note_search(self.asked);
                if let Some(candidates) = self.found_in_memory(view, &params, allow, &mut counters)? {
                    for candidate in candidates {
                        top.push(Found { candidate, shard, source, kind: 2 });
                    }
                } else {
                    originals = "disk";
                    let rows = match late::few_to_fetch(&params, allow) {
                        Some(rows) => Some(rows),
                        None => view.index.shortlist(&self.vector, &params, allow, &self.budget, &mut counters)?,
                    };
                    late.push(late::Late { shard, source, params, rows, explained: stats.explain.len() });
                }
            }
            stats.counters.add(&counters);
            if self.request.explain {
                stats.explain.push(SegmentExplain {
                    shard: shard as u32,
                    rows: view.rows() as u64,
                    allowed: allowed as u64,
                    index: view.index.kind(),
                    strategy: plan.strategy.as_str(),
                    reason: if counters.code_distances > 0 && counters.graph_walks == 0 { SCANNED } else { plan.reason },
                    originals,
                    filter: self.allowed.get(shard).and_then(|s| s.get(source)).map_or("none", |allowed| allowed.filter),
                    ef: params.filter(|params| !params.exact).map(|params| params.ef),
                    recall_estimate,
                    counters,
                });
            }
        }
        Ok(())
    }
}

impl Searched {
    async fn finish(mut self, env: &Env, shards: &[Arc<Snapshot>], started: Duration) -> Result<SearchResponse> {
        self.finish_late(env, shards).await?;
        self.into_answer(shards).into_response(env, shards, started).await
    }

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

/// The recall that the search of a segment is expected to have; `None` where nobody knows.
fn recall_of(view: &SegmentView, allowed: usize, params: Option<SearchParams>) -> Option<f32> {
    match params {
        None => Some(1.0),
        Some(params) if params.exact => Some(1.0),
        // What was calibrated is a walk whose every row counts; where a filter leaves few, another.
        Some(params) if allowed.saturating_mul(plan::search_cost::SPARSE_ROWS) >= view.rows() => view.index.recall_at(params.ef),
        Some(_) => None,
    }
}

/// The recall over several sources, each weighing as much as its rows.
#[derive(Default)]
struct Expected {
    rows: f64,
    found: f64,
    unknown: bool,
}

impl Expected {
    fn rows(&mut self, rows: usize, recall: Option<f32>) {
        self.rows += rows as f64;
        self.found += rows as f64 * f64::from(recall.unwrap_or_default());
        self.unknown |= rows > 0 && recall.is_none();
    }

    fn recall(&self) -> Option<f32> {
        match (self.unknown, self.rows > 0.0) {
            (true, _) => None,
            (false, true) => Some((self.found / self.rows) as f32),
            (false, false) => Some(1.0),
        }
    }
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
