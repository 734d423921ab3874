//! Making segments: rows flow once to the file, and what stays resident is picked up on the way.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use proximadb_model::{
    Collection, FileId, IdTable, Manifest, Memtable, Projection, RecordId, RowSet, Rows, SegmentEntry, SegmentMeta, Sequence, SidecarMeta,
    Timestamp, plan,
};
use proximadb_ports::{Fault, Metric, Originals, PortError, Result, RowStream, SegmentReader, VectorIndex, Vectors, chain};
use tokio::sync::{Semaphore, mpsc};

use crate::columns::ColumnKeeper;
use crate::env::Env;
use crate::shard_files::ShardFiles;
use crate::snapshot::{Held, Segment, SegmentView};

/// Rows handed to the store in one block.
const BLOCK_ROWS: usize = 4_096;

/// What stays resident of a segment, whatever becomes of its vectors. Those are read from the file once it is written: while it is
/// encoded it is in memory itself, and holds them.
#[derive(Default)]
struct Resident {
    ids: Vec<RecordId>,
    sequences: Vec<Sequence>,
    expires: Vec<Option<Timestamp>>,
}

impl Resident {
    fn take(&mut self, rows: &Rows) {
        self.ids.extend_from_slice(&rows.ids);
        self.sequences.extend_from_slice(&rows.sequences);
        self.expires.extend_from_slice(&rows.expires);
    }
}

/// Passes rows on and keeps what stays resident.
struct Tee<'a> {
    source: &'a mut dyn RowStream,
    resident: Resident,
}

#[async_trait]
impl RowStream for Tee<'_> {
    async fn next(&mut self) -> Result<Option<Rows>> {
        let rows = self.source.next().await?;
        if let Some(rows) = &rows {
            self.resident.take(rows);
        }
        Ok(rows)
    }
}

/// The live rows of a memtable, copied block by block.
pub(crate) struct MemtableRows {
    memtable: Memtable,
    block: usize,
    row: usize,
}

impl MemtableRows {
    pub(crate) fn new(memtable: &Memtable) -> Self {
        Self { memtable: memtable.clone(), block: 0, row: 0 }
    }
}

#[async_trait]
impl RowStream for MemtableRows {
    async fn next(&mut self) -> Result<Option<Rows>> {
        let mut rows = Rows::default();
        while let Some(block) = self.memtable.blocks().get(self.block)
            && rows.len() < BLOCK_ROWS
        {
            if self.row >= block.rows().len() {
                (self.block, self.row) = (self.block + 1, 0);
                continue;
            }
            rows.dimension = block.rows().dimension;
            if !block.dead().contains(self.row) {
                rows.push_from(block.rows(), self.row);
            }
            self.row += 1;
        }
        Ok(Some(rows).filter(|rows| !rows.is_empty()))
    }
}

/// The rows of several segments that are neither dead nor expired, oldest segment first.
pub(crate) struct LiveRows {
    views: std::vec::IntoIter<SegmentView>,
    current: Option<(SegmentView, Box<dyn RowStream>, usize)>,
    now: Timestamp,
}

impl LiveRows {
    pub(crate) fn new(views: Vec<SegmentView>, now: Timestamp) -> Self {
        Self { views: views.into_iter(), current: None, now }
    }
}

#[async_trait]
impl RowStream for LiveRows {
    async fn next(&mut self) -> Result<Option<Rows>> {
        loop {
            if self.current.is_none() {
                let Some(view) = self.views.next() else { return Ok(None) };
                let stream = view.segment.reader.scan(Projection::ALL).await?;
                self.current = Some((view, stream, 0));
            }
            let Some((view, stream, start)) = &mut self.current else { continue };
            let Some(rows) = stream.next().await? else {
                self.current = None;
                continue;
            };
            let mut live = Rows::new(rows.dimension);
            for row in 0..rows.len() {
                if view.is_visible(*start + row, self.now) {
                    live.push_from(&rows, row);
                }
            }
            *start += rows.len();
            if !live.is_empty() {
                return Ok(Some(live));
            }
        }
    }
}

/// Writes rows as a new segment and opens it; `None` where the stream has no row.
pub(crate) async fn write(
    env: &Env,
    files: &ShardFiles,
    collection: &Collection,
    rows: &mut dyn RowStream,
    trash: &mpsc::UnboundedSender<FileId>,
) -> Result<Option<Arc<Segment>>> {
    let mut peeked = Peeked { first: rows.next().await?, rest: rows };
    if peeked.first.is_none() {
        return Ok(None);
    }
    let mut tee = Tee { source: &mut peeked, resident: Resident::default() };
    let id = FileId(env.entropy.uid());
    let meta = files.segments.write(files.shard, id, &collection.spec.schema, &mut tee).await?;
    let resident = tee.resident;
    let reader = files.segments.open(files.shard, &meta).await?;
    let originals = Originals::awaited(collection.spec.dimension.get(), meta.rows as usize);
    Ok(Some(segment(env, files, meta, reader, resident, originals, trash.clone())))
}

struct Peeked<'a> {
    first: Option<Rows>,
    rest: &'a mut dyn RowStream,
}

#[async_trait]
impl RowStream for Peeked<'_> {
    async fn next(&mut self) -> Result<Option<Rows>> {
        match self.first.take() {
            Some(rows) => Ok(Some(rows)),
            None => self.rest.next().await,
        }
    }
}

fn segment(
    env: &Env,
    files: &ShardFiles,
    meta: SegmentMeta,
    reader: Arc<dyn SegmentReader>,
    resident: Resident,
    originals: Originals,
    trash: mpsc::UnboundedSender<FileId>,
) -> Arc<Segment> {
    let Resident { ids, mut sequences, mut expires } = resident;
    if expires.iter().all(Option::is_none) {
        expires = Vec::new();
    }
    sequences.shrink_to_fit();
    expires.shrink_to_fit();
    let segment = Arc::new(Segment {
        columns: ColumnKeeper::columns(&env.columns, meta.rows as usize),
        meta,
        reader,
        ids: IdTable::new(ids.iter()),
        sequences,
        expires,
        held: Mutex::new(Held { originals, index: None }),
        turn: Semaphore::new(1),
        pins: AtomicU32::new(0),
        lean: AtomicBool::new(false),
        searched: AtomicI64::new(env.clock.now().0),
        store: Arc::clone(&files.segments),
        obsolete: AtomicBool::new(false),
        trash,
    });
    env.memory.count_segment(&segment);
    segment
}

/// The exact index of a segment whose originals are resident.
pub(crate) fn flat(env: &Env, metric: &Arc<dyn Metric>, collection: &Collection, vectors: Vectors) -> Result<Arc<dyn VectorIndex>> {
    env.flat.build(&env.index_spec(metric, &collection.spec.index), vectors, &env.budget(None))
}

/// A segment that was just written or has no graph, all rows live, searched exactly.
///
/// # Errors
/// `Corrupt`; `Unavailable`.
pub(crate) async fn flat_view(env: &Env, metric: &Arc<dyn Metric>, collection: &Collection, segment: Arc<Segment>) -> Result<SegmentView> {
    let index = flat(env, metric, collection, bring_originals(&segment).await?)?;
    segment.attach(&index);
    // Where there is no room for them they go again at once.
    env.memory.look(0);
    let dead = Arc::new(RowSet::none(segment.meta.rows as usize));
    Ok(SegmentView { segment, dead, index, recall_estimate: None })
}

/// Opens a segment that a manifest names, with its deletion vector and index. A graph is there to be searched before the
/// originals of its rows are, which come later where there is room. A damaged index is left out and rebuilt later; a damaged
/// segment or deletion vector is an error.
pub(crate) async fn open(
    env: &Env,
    files: &ShardFiles,
    manifest: &Manifest,
    entry: &SegmentEntry,
    metric: &Arc<dyn Metric>,
    trash: &mpsc::UnboundedSender<FileId>,
) -> Result<SegmentView> {
    let collection = &manifest.collection;
    let (rows, dimension) = (entry.meta.rows as usize, collection.spec.dimension.get());
    let of_graph = |(_, kind): &&(SidecarMeta, String)| {
        let settings = env.settings.maintenance.for_dimension(dimension);
        kind == env.graph.kind() && plan::wants_graph(rows, collection.spec.index.kind, &settings)
    };
    let sidecar = entry.index.as_ref().filter(of_graph).map(|(meta, _)| meta);
    let originals = Originals::awaited(dimension, rows);
    let graph = async {
        match sidecar {
            Some(meta) => Some(load_graph(env, files, entry, metric, collection, meta, originals.clone()).await),
            None => None,
        }
    };
    let (opened, graph) = futures_util::future::join(read_resident(files, entry), graph).await;
    let (reader, resident) = opened?;
    let dead = match &entry.dead {
        Some((meta, count)) => files.read_dead(meta, rows, *count).await?,
        None => RowSet::none(rows),
    };
    let segment = segment(env, files, entry.meta.clone(), reader, resident, originals, trash.clone());
    if let Some(Ok(index)) = graph {
        segment.attach(&index);
        return Ok(SegmentView { segment, dead: Arc::new(dead), index, recall_estimate: None });
    }
    let mut view = flat_view(env, metric, collection, segment).await?;
    view.dead = Arc::new(dead);
    let graph = match (graph, sidecar) {
        // Sidecars that older versions wrote are read with the originals only.
        (Some(Err(e)), Some(meta)) if e.fault == Fault::Unavailable => {
            let vectors = bring_originals(&view.segment).await?;
            Some(load_graph(env, files, entry, metric, collection, meta, vectors.into()).await)
        }
        (graph, _) => graph,
    };
    match (graph, sidecar) {
        (Some(Ok(index)), _) => view.adopt(index, None),
        (Some(Err(e)), Some(meta)) => env.problem(format!("index {}", meta.id), format!("{}; it is being rebuilt", chain(&e))),
        _ => {}
    }
    Ok(view)
}

fn other_rows(entry: &SegmentEntry) -> PortError {
    PortError::new(Fault::Corrupt, "segment.open", entry.meta.id, "does not hold the rows that the manifest says")
}

/// Opens a segment's file and reads what stays resident of it, without vectors.
async fn read_resident(files: &ShardFiles, entry: &SegmentEntry) -> Result<(Arc<dyn SegmentReader>, Resident)> {
    let reader = files.segments.open(files.shard, &entry.meta).await?;
    let mut resident = Resident::default();
    let mut stream = reader.scan(Projection::IDS).await?;
    while let Some(rows) = stream.next().await? {
        resident.take(&rows);
    }
    if resident.ids.len() != entry.meta.rows as usize { Err(other_rows(entry)) } else { Ok((reader, resident)) }
}

async fn load_graph(
    env: &Env,
    files: &ShardFiles,
    entry: &SegmentEntry,
    metric: &Arc<dyn Metric>,
    collection: &Collection,
    meta: &SidecarMeta,
    originals: Originals,
) -> Result<Arc<dyn VectorIndex>> {
    let sidecar = files.read_index(meta).await?;
    let spec = env.index_spec(metric, &collection.spec.index);
    let (graph, checksum) = (Arc::clone(&env.graph), entry.meta.checksum);
    env.background("index-load", move || graph.load(&spec, originals, checksum, sidecar)).await
}

/// The originals of a segment: as they are in memory, or else brought there from its file.
///
/// # Errors
/// `Corrupt`; `Unavailable`. Whoever needs them next tries again.
///
/// # Cancellation
/// Nothing has come then, and the next one begins anew.
pub(crate) async fn bring_originals(segment: &Segment) -> Result<Vectors> {
    if let Some(vectors) = segment.resident_vectors() {
        return Ok(vectors);
    }
    let _turn = segment.turn.acquire().await;
    if let Some(vectors) = segment.resident_vectors() {
        return Ok(vectors);
    }
    let originals = segment.originals();
    let rows = segment.meta.rows as usize;
    let vectors = Vectors { dimension: originals.dimension(), data: Arc::new(segment.reader.vectors(0..rows).await?) };
    // The index may have been replaced meanwhile by one with a place of its own for them.
    if segment.originals().arrive(vectors.clone()) {
        return Ok(vectors);
    }
    Err(PortError::new(Fault::Corrupt, "segment.read", segment.meta.id, "does not hold the vectors that the manifest says"))
}
