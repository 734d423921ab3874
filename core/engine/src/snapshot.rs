//! The state of a shard at one moment, immutable: readers hold it as long as they like, the writer publishes the next.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use proximadb_model::{
    FileId, IdTable, Manifest, Memtable, Operation, Record, RememberedWrite, RowSet, SegmentMeta, Sequence, Timestamp, hash_of, plan,
};
use proximadb_ports::{Metric, Originals, SegmentReader, SegmentStore, VectorIndex, Vectors};
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
    /// The index that is searched now, and the originals as it finds them.
    pub(crate) held: Mutex<Held>,
    /// One at a time brings originals; the others wait and find them there.
    pub(crate) turn: Semaphore,
    /// Those who need the originals to stay where they are.
    pub(crate) pins: AtomicU32,
    /// Whether the originals are left on disk for lack of room.
    pub(crate) lean: AtomicBool,
    /// The time of the last search, in microseconds of the day's time.
    pub(crate) searched: AtomicI64,
    /// The store that the file lies in.
    pub(crate) store: Arc<dyn SegmentStore>,
    /// What filters have asked for, as far as it is in memory.
    pub(crate) columns: Arc<Columns>,
    pub(crate) obsolete: AtomicBool,
    pub(crate) trash: mpsc::UnboundedSender<FileId>,
}

/// What a segment has of its index: enough to count it, and to let its originals go.
pub(crate) struct Held {
    pub(crate) originals: Originals,
    pub(crate) index: Option<Weak<dyn VectorIndex>>,
}

/// Keeps the originals of a segment in memory while something is made of them.
pub(crate) struct Pin(Arc<Segment>);

impl Drop for Pin {
    fn drop(&mut self) {
        self.0.pins.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Segment {
    /// Whether any row is expired at `now`.
    pub(crate) fn expires_by(&self, row: usize, now: Timestamp) -> bool {
        self.expires.get(row).copied().flatten().is_some_and(|at| at <= now)
    }

    // What is under the lock is whole after each step, so a poisoned one tells nothing.
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The f32 originals as the index finds them.
    pub(crate) fn originals(&self) -> Originals {
        self.held().originals.clone()
    }

    /// The f32 originals, while they are resident.
    pub(crate) fn resident_vectors(&self) -> Option<Vectors> {
        self.originals().get().map(|vectors| vectors.clone())
    }

    /// Takes note of the index that is searched from now on.
    pub(crate) fn attach(&self, index: &Arc<dyn VectorIndex>) {
        let mut held = self.held();
        held.originals = match index.originals() {
            Some(originals) => originals.clone(),
            // It has its own form of them.
            None => Originals::awaited(held.originals.dimension(), held.originals.rows()),
        };
        held.index = Some(Arc::downgrade(index));
    }

    /// Keeps the originals where they are, for as long as the pin lives.
    pub(crate) fn pin(self: &Arc<Self>) -> Pin {
        self.pins.fetch_add(1, Ordering::Relaxed);
        Pin(Arc::clone(self))
    }

    /// Lets the originals go; searches fetch the few that they compare from the file.
    pub(crate) fn let_originals_go(&self) {
        self.originals().let_go();
    }

    pub(crate) fn set_lean(&self, lean: bool) {
        self.lean.store(lean, Ordering::Relaxed);
    }

    /// Whether the originals are left on disk for lack of room.
    pub(crate) fn is_lean(&self) -> bool {
        self.lean.load(Ordering::Relaxed)
    }

    /// Takes note of a search; by threads that all do so at once, so it is written seldom.
    pub(crate) fn note_search(&self, now: Timestamp) {
        const EVERY_MICROS: i64 = 100_000;
        if now.0.saturating_sub(self.searched.load(Ordering::Relaxed)) >= EVERY_MICROS {
            self.searched.store(now.0, Ordering::Relaxed);
        }
    }

    /// What is to be decided over its originals; `None` where they stay as they are.
    pub(crate) fn residence(&self, now: Timestamp) -> Option<plan::Residence> {
        let held = self.held();
        let index = held.index.as_ref().and_then(Weak::upgrade)?;
        if self.pins.load(Ordering::Relaxed) > 0 || index.originals().is_none() {
            return None;
        }
        let idle = now.0.saturating_sub(self.searched.load(Ordering::Relaxed));
        Some(plan::Residence {
            bytes: held.originals.bytes(),
            resident: held.originals.are_there(),
            approximate: index.walks_without_originals(),
            idle: Duration::from_micros(u64::try_from(idle).unwrap_or(0)),
        })
    }

    /// Bytes of the originals, as far as they are in memory.
    pub(crate) fn original_bytes(&self) -> u64 {
        let held = self.held();
        if held.originals.are_there() { held.originals.bytes() } else { 0 }
    }

    /// Bytes of the index without the originals.
    pub(crate) fn index_bytes(&self) -> usize {
        let index = self.held().index.as_ref().and_then(Weak::upgrade);
        index.map_or(0, |index| index.resident_bytes())
    }

    /// Bytes of what stays resident of the rows, and of the open file.
    pub(crate) fn row_bytes(&self) -> usize {
        let expires = self.expires.capacity() * size_of::<Option<Timestamp>>();
        self.ids.bytes() + self.sequences.capacity() * size_of::<Sequence>() + expires + self.reader.resident_bytes()
    }

    /// A number that segments of the same store share.
    pub(crate) fn store_number(&self) -> usize {
        Arc::as_ptr(&self.store).cast::<()>().addr()
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

    /// Takes over an approximate index.
    pub(crate) fn adopt(&mut self, index: Arc<dyn VectorIndex>, recall_estimate: Option<f32>) {
        self.segment.attach(&index);
        self.index = index;
        self.recall_estimate = recall_estimate;
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
