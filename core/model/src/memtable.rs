//! Acknowledged rows that are not yet in a segment, as immutable blocks: a clone is a snapshot.
//!
//! There is one writer; it edits its own clone and publishes it, so that readers never wait and never see half a batch.

use std::sync::Arc;

use crate::id_table::{IdHash, IdTable, hash_of};
use crate::ids::Sequence;
use crate::name::RecordId;
use crate::record::Record;
use crate::row_set::RowSet;
use crate::rows::Rows;
use crate::time::Timestamp;

/// Rows of a block that still takes more; small writes are copied together until then.
const BLOCK_ROWS: usize = 256;

/// Rows that were written together, and which of them are dead.
#[derive(Clone, Debug)]
pub struct Block {
    rows: Arc<Rows>,
    ids: Arc<IdTable>,
    dead: Arc<RowSet>,
}

impl Block {
    fn new(rows: Rows, dead: RowSet) -> Self {
        let ids = Arc::new(IdTable::new(rows.ids.iter()));
        Self { rows: Arc::new(rows), ids, dead: Arc::new(dead) }
    }

    /// All rows, dead ones included.
    pub fn rows(&self) -> &Rows {
        &self.rows
    }

    /// The dead rows.
    pub fn dead(&self) -> &RowSet {
        &self.dead
    }

    /// Whether a row is there for a reader at `now`.
    #[inline]
    pub fn is_visible(&self, row: usize, now: Timestamp) -> bool {
        !self.dead.contains(row) && self.rows.expires[row].is_none_or(|at| at > now)
    }

    fn live_row(&self, id: &str, hash: IdHash) -> Option<usize> {
        self.ids.find_hashed(id, hash).filter(|row| !self.dead.contains(*row))
    }
}

/// The memtable of one shard.
#[derive(Clone, Debug)]
pub struct Memtable {
    dimension: usize,
    blocks: Vec<Block>,
    bytes: usize,
    live: usize,
    last: Sequence,
}

impl Memtable {
    /// An empty memtable for vectors with `dimension` components.
    pub fn new(dimension: usize) -> Self {
        Self { dimension, blocks: Vec::new(), bytes: 0, live: 0, last: Sequence(0) }
    }

    /// The blocks, oldest first.
    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// Rows that are not dead.
    pub fn live(&self) -> usize {
        self.live
    }

    /// Rows stored, dead ones included.
    pub fn stored(&self) -> usize {
        self.blocks.iter().map(|b| b.rows.len()).sum()
    }

    /// Bytes that the rows take, about; dead ones are counted, since they take room too.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The sequence of the last operation that was applied, also when it left no row.
    pub fn last(&self) -> Sequence {
        self.last
    }

    /// Says that operations up to `sequence` have been applied.
    pub fn advance(&mut self, sequence: Sequence) {
        self.last = self.last.max(sequence);
    }

    /// Whether there is no live row with this id, or where it is: block and row.
    pub fn find(&self, id: &str) -> Option<(usize, usize)> {
        let hash = hash_of(id);
        self.blocks.iter().enumerate().rev().find_map(|(b, block)| block.live_row(id, hash).map(|row| (b, row)))
    }

    /// Adds records, each with its sequence. The caller has removed older rows of the same ids, here and elsewhere; of records
    /// with the same id among these, the last counts.
    pub fn put(&mut self, records: &[(Sequence, &Record)]) {
        if records.is_empty() {
            return;
        }
        let (mut rows, mut was_dead) = self.open_block(records.len());
        for (sequence, record) in records {
            self.bytes += record_bytes(record);
            rows.push(record.id.clone(), record.vector.as_slice(), Arc::clone(&record.metadata), *sequence, record.expires);
            self.advance(*sequence);
        }
        was_dead.resize(rows.len(), false);
        let mut block = Block::new(rows, RowSet::none(0));
        let dead = RowSet::from_fn(was_dead.len(), |row| was_dead[row] || block.ids.find(block.rows.ids[row].as_str()) != Some(row));
        block.dead = Arc::new(dead);
        self.blocks.push(block);
        self.live = self.blocks.iter().map(|b| b.rows.len() - b.dead.count()).sum();
    }

    /// Kills the live row with this id; says whether there was one.
    pub fn remove(&mut self, id: &str) -> bool {
        let Some((block, row)) = self.find(id) else { return false };
        let removed = Arc::make_mut(&mut self.blocks[block].dead).insert(row);
        self.live -= usize::from(removed);
        removed
    }

    /// The live rows by column, in the order they were written, in parts of at most `rows_max`.
    pub fn live_rows(&self, rows_max: usize) -> impl Iterator<Item = Rows> + '_ {
        let mut places =
            self.blocks.iter().flat_map(|b| (0..b.rows.len()).filter(|r| !b.dead.contains(*r)).map(move |r| (b, r))).peekable();
        std::iter::from_fn(move || {
            places.peek()?;
            let mut part = Rows::new(self.dimension);
            for (block, row) in places.by_ref().take(rows_max.max(1)) {
                part.push_from(&block.rows, row);
            }
            Some(part)
        })
    }

    /// The rows to start a new block from: those of the last block while it is small, so that single writes do not make
    /// as many blocks as rows.
    fn open_block(&mut self, more: usize) -> (Rows, Vec<bool>) {
        match self.blocks.last() {
            Some(last) if last.rows.len() + more <= BLOCK_ROWS => {
                let dead = (0..last.rows.len()).map(|row| last.dead.contains(row)).collect();
                let rows = Rows::clone(&last.rows);
                self.blocks.pop();
                (rows, dead)
            }
            _ => (Rows::new(self.dimension), Vec::new()),
        }
    }
}

fn record_bytes(record: &Record) -> usize {
    const OVERHEAD: usize = 96;
    record.id.as_str().len() + size_of_val(record.vector.as_slice()) + record.metadata.bytes() + OVERHEAD
}

/// A live row of a memtable: its id, for callers that only count or list.
impl Memtable {
    /// The ids of the live rows, oldest first.
    pub fn live_ids(&self) -> impl Iterator<Item = &RecordId> + '_ {
        self.blocks.iter().flat_map(|b| b.rows.ids.iter().enumerate().filter(|(r, _)| !b.dead.contains(*r)).map(|(_, id)| id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::MetricKind;
    use crate::record::{Dimension, Vector};
    use crate::value::Metadata;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn record(id: u8, version: u64) -> Record {
        let vector =
            Vector::new(vec![f32::from(id), version as f32], Dimension::new(2).expect("valid"), &MetricKind::Euclidean).expect("valid");
        Record { id: RecordId::new(&id.to_string()).expect("valid"), vector, metadata: Arc::new(Metadata::default()), expires: None }
    }

    fn content(table: &Memtable) -> BTreeMap<String, u64> {
        let mut out = BTreeMap::new();
        for part in table.live_rows(3) {
            assert!(part.len() <= 3);
            for row in 0..part.len() {
                assert_eq!(part.vector(row).expect("has vectors")[1], part.sequences[row].0 as f32);
                assert!(out.insert(part.ids[row].to_string(), part.sequences[row].0).is_none(), "an id is live once");
            }
        }
        out
    }

    proptest! {
        #[test]
        fn behaves_like_a_map_and_snapshots_stay(steps in proptest::collection::vec(proptest::collection::vec((any::<bool>(), 0u8..12), 1..9), 1..40)) {
            let mut table = Memtable::new(2);
            let mut model = BTreeMap::new();
            let mut next = 1;
            let mut kept = Vec::new();
            for step in steps {
                kept.push((table.clone(), model.clone()));
                let mut puts = Vec::new();
                for (is_put, id) in step {
                    if is_put {
                        table.remove(&id.to_string());
                        puts.push((Sequence(next), record(id, next)));
                        model.insert(id.to_string(), next);
                    } else if !puts.iter().any(|(_, r)| r.id.as_str() == id.to_string()) {
                        prop_assert_eq!(table.remove(&id.to_string()), model.remove(&id.to_string()).is_some());
                    }
                    next += 1;
                }
                let borrowed: Vec<_> = puts.iter().map(|(s, r)| (*s, r)).collect();
                table.put(&borrowed);
                prop_assert_eq!(content(&table), model.clone());
                prop_assert_eq!(table.live(), model.len());
            }
            for (snapshot, model) in kept {
                prop_assert_eq!(content(&snapshot), model);
            }
        }
    }

    #[test]
    fn small_writes_share_blocks() {
        let mut table = Memtable::new(2);
        for i in 0..=255 {
            table.put(&[(Sequence(i + 1), &record(i as u8, i + 1))]);
        }
        assert_eq!((table.blocks().len(), table.live()), (1, 256));
        assert_eq!(table.last(), Sequence(256));
    }
}
