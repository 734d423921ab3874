//! The state of a shard at one moment, immutable: readers hold it as long as they like, the writer publishes the next.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use proximadb_model::{
    FileId, IdTable, Manifest, Memtable, Operation, Record, RememberedWrite, RowSet, SegmentMeta, Sequence, Timestamp, hash_of,
};
use proximadb_ports::{Metric, Originals, SegmentReader, VectorIndex, Vectors};
use tokio::sync::{Semaphore, mpsc};

use crate::columns::Columns;

/// A segment's file and what of it is resident. Its file is deleted when the last reader lets go, once it is obsolete.
pub(crate) struct Segment {
    pub(crate) meta: SegmentMeta,
    pub(crate) reader: Arc<dyn SegmentReader>,
    pub(crate) ids: IdTable,
    pub(crate) sequences: Vec<Sequence>,
    /// Empty where no row expires.
    pub(crate) expires: Vec<Option<Timestamp>>,
    /// The f32 originals, resident until a graph has its own form of them.
    pub(crate) vectors: Mutex<Option<Vectors>>,
    /// For a graph that answers before its originals have come.
    pub(crate) awaited: Option<Awaited>,
    /// What filters have asked for, as far as it is in memory.
    pub(crate) columns: Arc<Columns>,
    pub(crate) obsolete: AtomicBool,
    pub(crate) trash: mpsc::UnboundedSender<FileId>,
}

/// Originals that are brought after a segment was opened.
pub(crate) struct Awaited {
    pub(crate) originals: Originals,
    /// One at a time brings them; the others wait and find them there.
    pub(crate) turn: Semaphore,
}

impl Awaited {
    pub(crate) fn new(originals: Originals) -> Self {
        Self { originals, turn: Semaphore::new(1) }
    }
}

impl Segment {
    /// Whether any row is expired at `now`.
    pub(crate) fn expires_by(&self, row: usize, now: Timestamp) -> bool {
        self.expires.get(row).copied().flatten().is_some_and(|at| at <= now)
    }

    /// The f32 originals, while they are resident.
    pub(crate) fn resident_vectors(&self) -> Option<Vectors> {
        let resident = self.vectors.lock().unwrap_or_else(PoisonError::into_inner).clone();
        resident.or_else(|| self.awaited.as_ref()?.originals.get().cloned())
    }

    fn release_vectors(&self) {
        *self.vectors.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Lets the file go with the last reader.
    pub(crate) fn retire(&self) {
        self.obsolete.store(true, Ordering::Relaxed);
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        if self.obsolete.load(Ordering::Relaxed) {
            // The shard may be gone already; then the next start clears what no manifest names.
            let _ = self.trash.send(self.meta.id);
        }
    }
}

/// A segment with what may change beside it.
#[derive(Clone)]
pub(crate) struct SegmentView {
    pub(crate) segment: Arc<Segment>,
    pub(crate) dead: Arc<RowSet>,
    pub(crate) index: Arc<dyn VectorIndex>,
    pub(crate) recall_estimate: Option<f32>,
}

impl SegmentView {
    pub(crate) fn rows(&self) -> usize {
        self.segment.meta.rows as usize
    }

    pub(crate) fn live(&self) -> usize {
        self.rows() - self.dead.count()
    }

    pub(crate) fn is_visible(&self, row: usize, now: Timestamp) -> bool {
        !self.dead.contains(row) && !self.segment.expires_by(row, now)
    }

    /// The rows a reader at `now` may see; `None` when these are all.
    pub(crate) fn visible(&self, now: Timestamp) -> Option<RowSet> {
        let expired = |row: &usize| self.segment.expires_by(*row, now);
        if self.dead.count() == 0 && !(0..self.segment.expires.len()).any(|row| expired(&row)) {
            return None;
        }
        let mut visible = self.dead.complement();
        for row in (0..self.segment.expires.len()).filter(expired) {
            visible.remove(row);
        }
        Some(visible)
    }

    /// Takes over an approximate index, which has its own form of the vectors.
    pub(crate) fn adopt(&mut self, index: Arc<dyn VectorIndex>, recall_estimate: Option<f32>) {
        self.index = index;
        self.recall_estimate = recall_estimate;
        self.segment.release_vectors();
    }

    pub(crate) fn is_graph(&self) -> bool {
        self.index.kind() == "graph"
    }
}

/// Where a live record lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Active { block: usize, row: usize },
    Frozen { block: usize, row: usize },
    Segment { segment: usize, row: usize },
}

/// A shard at one moment.
#[derive(Clone)]
pub(crate) struct Snapshot {
    pub(crate) manifest: Arc<Manifest>,
    pub(crate) metric: Arc<dyn Metric>,
    /// Takes the writes.
    pub(crate) active: Memtable,
    /// Is being written as a segment.
    pub(crate) frozen: Option<Memtable>,
    /// Oldest first, as in the manifest.
    pub(crate) segments: Vec<SegmentView>,
    /// Keyed writes that are still remembered, oldest first.
    pub(crate) remembered: Arc<Vec<RememberedWrite>>,
}

impl Snapshot {
    pub(crate) fn dimension(&self) -> usize {
        self.manifest.collection.spec.dimension.get()
    }

    /// The memtables, newest first.
    pub(crate) fn memtables(&self) -> impl Iterator<Item = &Memtable> {
        std::iter::once(&self.active).chain(&self.frozen)
    }

    /// Live records, expired ones included.
    pub(crate) fn live(&self) -> usize {
        self.memtables().map(Memtable::live).sum::<usize>() + self.segments.iter().map(SegmentView::live).sum::<usize>()
    }

    /// Where the live record with this id lies; expiry is not looked at.
    pub(crate) fn find(&self, id: &str) -> Option<Place> {
        if let Some((block, row)) = self.active.find(id) {
            return Some(Place::Active { block, row });
        }
        if let Some((block, row)) = self.frozen.as_ref().and_then(|m| m.find(id)) {
            return Some(Place::Frozen { block, row });
        }
        let hash = hash_of(id);
        self.segments.iter().enumerate().rev().find_map(|(segment, view)| {
            let row = view.segment.ids.find_hashed(id, hash).filter(|row| !view.dead.contains(*row))?;
            Some(Place::Segment { segment, row })
        })
    }

    /// Whether a reader at `now` sees a record with this id.
    pub(crate) fn is_visible(&self, id: &str, now: Timestamp) -> bool {
        match self.find(id) {
            None => false,
            Some(Place::Active { block, row }) => self.active.blocks()[block].is_visible(row, now),
            Some(Place::Frozen { block, row }) => self.frozen.as_ref().is_some_and(|m| m.blocks()[block].is_visible(row, now)),
            Some(Place::Segment { segment, row }) => self.segments[segment].is_visible(row, now),
        }
    }

    /// Applies operations of which the first has sequence `first`. The last one of an id decides.
    pub(crate) fn apply(&mut self, first: Sequence, operations: &[Operation]) {
        for operation in operations {
            self.remove(operation.id().as_str());
        }
        let deletes = operations.iter().any(|o| matches!(o, Operation::Delete(_)));
        let last: HashMap<&str, usize> =
            if deletes { operations.iter().enumerate().map(|(i, o)| (o.id().as_str(), i)).collect() } else { HashMap::new() };
        let puts: Vec<(Sequence, &Record)> = operations
            .iter()
            .enumerate()
            .filter_map(|(i, operation)| match operation {
                Operation::Put(record) if last.get(record.id.as_str()).is_none_or(|l| *l == i) => Some((first.plus(i as u64), record)),
                _ => None,
            })
            .collect();
        self.active.put(&puts);
        if let Some(more) = operations.len().checked_sub(1) {
            self.active.advance(first.plus(more as u64));
        }
    }

    fn remove(&mut self, id: &str) {
        match self.find(id) {
            None => {}
            Some(Place::Active { .. }) => {
                self.active.remove(id);
            }
            Some(Place::Frozen { .. }) => {
                if let Some(frozen) = &mut self.frozen {
                    frozen.remove(id);
                }
            }
            Some(Place::Segment { segment, row }) => {
                Arc::make_mut(&mut self.segments[segment].dead).insert(row);
            }
        }
    }
}
