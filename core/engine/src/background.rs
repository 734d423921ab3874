//! Work that a shard's writer hands out and takes back finished: flushing a memtable, merging segments, building a graph.
//! It only writes new files; what counts is decided by the manifest that the writer commits afterwards.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use proximadb_model::{Collection, FileId, Manifest, Memtable, RememberedWrite, RowSet, Sequence, SidecarMeta, Timestamp, plan};
use proximadb_ports::{
    Budget, Fault, IndexSpec, Metric, PortError, PutMode, Result, SearchCounters, SearchParams, Traverse, VectorIndex, Vectors, chain,
};
use tokio::sync::{AcquireError, SemaphorePermit, mpsc};

use crate::env::Env;
use crate::segment_build::{self, LiveRows, MemtableRows};
use crate::shard_files::ShardFiles;
use crate::snapshot::{Segment, SegmentView, Snapshot};

/// Time for sampling the recall of a new graph, after which it stays unknown; a plugin may take long for its part.
const SAMPLING_MAX: Duration = Duration::from_secs(60);

/// Time that a graph by a plugin's own metric may take to build, for each of its rows; an honest one takes some milliseconds.
const OWN_GRAPH_ROW_MAX: Duration = Duration::from_millis(20);
const OWN_GRAPH_MIN: Duration = Duration::from_secs(60);

/// What finished work tells the writer.
pub(crate) enum Event {
    Flushed(Result<Flushed>),
    Merged(Result<Merged>),
    Indexed(Result<Indexed>),
    Copied(Result<Copied>),
}

/// The segments of a shard as they stand on another site.
pub(crate) struct Copied {
    pub(crate) views: HashMap<FileId, SegmentView>,
}

/// A memtable that has become a segment.
pub(crate) struct Flushed {
    /// Everything up to here is covered.
    pub(crate) through: Sequence,
    /// The segment; none where every row had died.
    pub(crate) view: Option<SegmentView>,
    /// New deletion vectors of older segments, with the number of dead rows.
    pub(crate) dead: Vec<(FileId, SidecarMeta, u32)>,
    /// Keyed writes up to `through`.
    pub(crate) remembered: Vec<RememberedWrite>,
}

/// Segments that have become one.
pub(crate) struct Merged {
    /// The sources with the rows that were dead when the merge began.
    pub(crate) sources: Vec<(FileId, Arc<RowSet>)>,
    /// The new segment; none where no row was left.
    pub(crate) view: Option<SegmentView>,
    /// Its graph's sidecar.
    pub(crate) index: Option<SidecarMeta>,
}

/// A segment that has got a graph.
pub(crate) struct Indexed {
    pub(crate) segment: FileId,
    pub(crate) graph: Graph,
}

/// A graph and its sidecar.
pub(crate) struct Graph {
    pub(crate) index: Arc<dyn VectorIndex>,
    pub(crate) sidecar: SidecarMeta,
    pub(crate) recall_estimate: Option<f32>,
}

/// What background work needs of its shard.
#[derive(Clone)]
pub(crate) struct Workshop {
    pub(crate) env: Arc<Env>,
    pub(crate) files: ShardFiles,
    pub(crate) trash: mpsc::UnboundedSender<FileId>,
}

impl Workshop {
    /// Writes the frozen memtable of a snapshot as a segment, and the deletion vectors that have changed with it.
    ///
    /// # Errors
    /// Those of the store; nothing has changed then but that unnamed files may lie about.
    pub(crate) async fn flush(&self, snapshot: &Snapshot, frozen: &Memtable) -> Result<Flushed> {
        let collection = &snapshot.manifest.collection;
        let mut rows = MemtableRows::new(frozen);
        // The file, and then the originals, are as large as the memtable, which they free.
        let room = self.env.memory.reserve_at_once(frozen.bytes() as u64);
        let segment = segment_build::write(&self.env, &self.files, collection, &mut rows, &self.trash).await?;
        drop(room);
        let view = match segment {
            Some(segment) => Some(segment_build::flat_view(&self.env, &snapshot.metric, collection, segment).await?),
            None => None,
        };
        let mut dead = Vec::new();
        for (view, entry) in snapshot.segments.iter().zip(&snapshot.manifest.segments) {
            let count = view.dead.count() as u32;
            if count > entry.dead.as_ref().map_or(0, |(_, count)| *count) {
                dead.push((view.segment.meta.id, self.write_dead(&view.dead).await?, count));
            }
        }
        let through = frozen.last();
        let remembered = snapshot.remembered.iter().filter(|w| w.sequence <= through).cloned().collect();
        Ok(Flushed { through, view, dead, remembered })
    }

    /// Writes a deletion vector under a new name.
    pub(crate) async fn write_dead(&self, dead: &RowSet) -> Result<SidecarMeta> {
        self.files.write_dead(FileId(self.env.entropy.uid()), dead).await
    }

    /// Writes the live rows of some segments as one segment, with a graph where one pays.
    ///
    /// # Errors
    /// Those of the store and of the index.
    pub(crate) async fn merge(&self, snapshot: &Snapshot, places: &[usize]) -> Result<Merged> {
        let collection = &snapshot.manifest.collection;
        let views: Vec<_> = places.iter().map(|p| snapshot.segments[*p].clone()).collect();
        let paths: BTreeSet<String> = views.iter().flat_map(|v| v.segment.columns.resident_paths()).collect();
        let sources = views.iter().map(|v| (v.segment.meta.id, Arc::clone(&v.dead))).collect();
        let now = self.env.clock.now();
        let base = Base::of(&views, now);
        let live: usize = views.iter().map(SegmentView::live).sum();
        // First the file is in memory, then the originals and what an index is built with.
        let file_bytes: u64 = views.iter().map(|v| v.segment.meta.bytes * v.live() as u64 / v.rows().max(1) as u64).sum();
        let build_bytes = if self.wants_graph(collection, &snapshot.metric, live) { build_bytes(collection, live) } else { 0 };
        let mut room = self.env.memory.reserve("a merge", file_bytes.saturating_add(build_bytes))?;
        let mut rows = LiveRows::new(views, now);
        let Some(segment) = segment_build::write(&self.env, &self.files, collection, &mut rows, &self.trash).await? else {
            return Ok(Merged { sources, view: None, index: None });
        };
        room.shrink_to(build_bytes);
        // What filters ask for of the sources they will ask for of the whole.
        segment.columns.warm(&segment.reader, &paths.into_iter().collect::<Vec<_>>());
        let _pin = segment.pin();
        let mut view = segment_build::flat_view(&self.env, &snapshot.metric, collection, segment).await?;
        let mut index = None;
        if self.wants_graph(collection, &snapshot.metric, view.rows()) {
            let _turn = self.turn(&snapshot.metric).await;
            match self.graph(&view.segment, collection, &snapshot.metric, base).await {
                Ok(graph) => {
                    view.adopt(graph.index, graph.recall_estimate);
                    index = Some(graph.sidecar);
                }
                // Rows are merged whatever a plugin does; its graph is tried again by itself.
                Err(e) if is_the_metrics_fault(&snapshot.metric, &e) => {
                    tracing::warn!(error = chain(&e), "a merge goes without the graph that its metric should have built");
                }
                Err(e) => return Err(e),
            }
        }
        Ok(Merged { sources, view: Some(view), index })
    }

    /// Copies the files of the shard that a target lacks, and opens the segments there. What is there already, whole, stays.
    ///
    /// # Errors
    /// Those of both sites.
    pub(crate) async fn copy_to(
        &self,
        target: &Self,
        manifest: &Manifest,
        metric: &Arc<dyn Metric>,
        copied: &AtomicU64,
        known: &mut Copied,
    ) -> Result<()> {
        for entry in &manifest.segments {
            for (key, bytes, checksum) in self.files.keys(entry) {
                let there = match target.files.filesystem.size(&key).await {
                    Ok(size) => size == bytes,
                    Err(e) if e.fault == Fault::NotFound => false,
                    Err(e) => return Err(e),
                };
                if there {
                    continue;
                }
                let body = self.files.filesystem.get(&key).await?;
                if body.len() as u64 != bytes || crc32c::crc32c(&body) != checksum {
                    return Err(PortError::new(Fault::Corrupt, "shard.move", &key, "size or checksum is not what the manifest says"));
                }
                target.files.filesystem.put(&key, body, PutMode::Overwrite).await?;
                copied.fetch_add(bytes, Ordering::Relaxed);
            }
            if let Entry::Vacant(place) = known.views.entry(entry.meta.id) {
                place.insert(segment_build::open(&target.env, &target.files, manifest, entry, metric, &target.trash).await?);
            }
        }
        Ok(())
    }

    /// Whether a segment of this size should have a graph, and can.
    pub(crate) fn wants_graph(&self, collection: &Collection, metric: &Arc<dyn Metric>, rows: usize) -> bool {
        let settings = self.env.settings.maintenance.for_dimension(collection.spec.dimension.get());
        plan::wants_graph(rows, collection.spec.index.kind, &settings) && self.env.graph.supports(metric.descriptor())
    }

    /// One build at a time, and apart from that one by a plugin.
    async fn turn(&self, metric: &Arc<dyn Metric>) -> std::result::Result<SemaphorePermit<'_>, AcquireError> {
        if walks_by_itself(metric) { self.env.own_graphs.acquire().await } else { self.env.heavy_work.acquire().await }
    }

    /// Builds a graph over a segment that has none.
    ///
    /// # Errors
    /// As of [`Self::graph`]; `Exhausted` while there is no memory for it.
    pub(crate) async fn index(&self, segment: &Arc<Segment>, collection: &Collection, metric: &Arc<dyn Metric>) -> Result<Indexed> {
        let _turn = self.turn(metric).await;
        let _pin = segment.pin();
        let rows = segment.meta.rows as usize;
        let originals = segment.originals();
        let absent = if originals.are_there() { 0 } else { originals.bytes() };
        let mut room = self.env.memory.reserve("an index", build_bytes(collection, rows).saturating_add(absent))?;
        segment_build::bring_originals(segment).await?;
        room.shrink_to(build_bytes(collection, rows));
        let graph = self.graph(segment, collection, metric, None).await?;
        Ok(Indexed { segment: segment.meta.id, graph })
    }

    /// Builds a graph over a segment, from one over a part of its rows where there is one that is worth it, and writes its sidecar.
    /// The caller has the turn for heavy work, and memory for it.
    ///
    /// # Errors
    /// Those of the index and of the store.
    async fn graph(&self, segment: &Arc<Segment>, collection: &Collection, metric: &Arc<dyn Metric>, base: Option<Base>) -> Result<Graph> {
        let is_own = walks_by_itself(metric);
        let vectors = segment_build::bring_originals(segment).await?;
        let spec = self.env.index_spec(metric, &collection.spec.index);
        let rows = u32::try_from(vectors.rows()).unwrap_or(u32::MAX);
        let longest = is_own.then(|| OWN_GRAPH_ROW_MAX.saturating_mul(rows).max(OWN_GRAPH_MIN));
        let (factory, budget) = (Arc::clone(&self.env.graph), self.env.budget(longest));
        let clock = Arc::clone(&self.env.clock);
        let ef = collection.spec.index.ef_search as usize;
        let checksum = segment.meta.checksum;
        let (index, bytes, recall_estimate) = self
            .env
            .background("index-build", move || {
                let extended = match &base {
                    Some(base) => factory.extend(&spec, vectors.clone(), &*base.index, &base.rows, &budget)?,
                    None => None,
                };
                let index = match extended {
                    Some(index) => index,
                    None => factory.build(&spec, vectors.clone(), &budget)?,
                };
                let bytes = index.save(checksum);
                let sampling = Budget::new(clock, Some(SAMPLING_MAX));
                let sample = || sampled_recall(&*index, &spec, &vectors, ef, &sampling);
                let recall = match index.recall_at(ef).map_or_else(sample, |measured| Ok(Some(measured))) {
                    // The graph is as good without it.
                    Err(e) if matches!(e.fault, Fault::Deadline | Fault::Plugin) => {
                        tracing::warn!(error = chain(&e), "the recall of a graph was not sampled");
                        None
                    }
                    sampled => sampled?,
                };
                Ok((index, bytes, recall))
            })
            .await?;
        let id = FileId(self.env.entropy.uid());
        let sidecar = self.files.write_index(id, bytes.unwrap_or_default()).await?;
        Ok(Graph { index, sidecar, recall_estimate })
    }
}

/// Whether graphs are built by the metric itself, a plugin's.
fn walks_by_itself(metric: &Arc<dyn Metric>) -> bool {
    matches!(metric.descriptor().traverse, Some(Traverse::Itself { .. }))
}

/// Whether a graph was not built because of the plugin that was to compare its rows: it failed, took too long, or refused a row.
pub(crate) fn is_the_metrics_fault(metric: &Arc<dyn Metric>, error: &PortError) -> bool {
    walks_by_itself(metric) && matches!(error.fault, Fault::Plugin | Fault::Deadline | Fault::Invalid)
}

fn build_bytes(collection: &Collection, rows: usize) -> u64 {
    plan::build_bytes(rows, collection.spec.dimension.get(), collection.spec.index.m as usize)
}

/// The largest index of segments that are merged, and what has become of its rows.
pub(crate) struct Base {
    index: Arc<dyn VectorIndex>,
    rows: Vec<Option<u32>>,
}

impl Base {
    /// Numbers the rows as [`LiveRows`] hands them out.
    fn of(views: &[SegmentView], now: Timestamp) -> Option<Self> {
        let largest = (0..views.len()).filter(|at| views[*at].is_graph()).max_by_key(|at| views[*at].live())?;
        let mut next = 0;
        let mut number = |view: &SegmentView| -> Vec<Option<u32>> {
            let place = |row| {
                view.is_visible(row, now).then(|| {
                    next += 1;
                    next - 1
                })
            };
            (0..view.rows()).map(place).collect()
        };
        let rows = views.iter().take(largest + 1).map(&mut number).last()?;
        Some(Self { index: Arc::clone(&views[largest].index), rows })
    }
}

/// Recall@10 of an index that measured none, against its own exact search, over stored rows as queries, each row itself left out.
fn sampled_recall(index: &dyn VectorIndex, spec: &IndexSpec, vectors: &Vectors, ef: usize, budget: &Budget) -> Result<Option<f32>> {
    const QUERIES: usize = 32;
    const K: usize = 10;
    let rows = vectors.rows();
    if rows <= K + 1 || !spec.metric.descriptor().symmetric {
        return Ok(None);
    }
    let (mut hits, mut wanted) = (0usize, 0usize);
    let mut counters = SearchCounters::default();
    for i in 0..QUERIES.min(rows) {
        let row = i * (rows / QUERIES.min(rows));
        let Some(query) = vectors.data.get(row * vectors.dimension..(row + 1) * vectors.dimension) else { continue };
        let mut nearest = |exact| index.search(query, &SearchParams { k: K + 1, ef, exact }, None, budget, &mut counters);
        let truth: Vec<u32> = nearest(true)?.iter().map(|c| c.row).filter(|r| *r as usize != row).take(K).collect();
        let found: Vec<u32> = nearest(false)?.iter().map(|c| c.row).filter(|r| *r as usize != row).take(K).collect();
        hits += truth.iter().filter(|r| found.contains(r)).count();
        wanted += truth.len();
    }
    Ok((wanted > 0).then(|| hits as f32 / wanted as f32))
}
