//! Decoded metadata that readers keep, within a bound on its bytes over all of them. Decodes nothing itself.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow_array::{Array, ArrayRef};
use parquet::bloom_filter::Sbbf;
use proximadb_model::Metadata;

use crate::compact::CompactRows;

/// Decoded metadata takes about this many times the bytes of its text.
const METADATA_OVERHEAD: usize = 4;
/// Bytes of a block of a bloom filter.
const BLOOM_BLOCK_BYTES: usize = 32;

/// A part of a row group, by which kept things are found again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Part {
    /// A typed metadata column.
    Column(usize),
    /// The remainder.
    Remainder,
    /// The bloom filter of a typed metadata column.
    Bloom(usize),
    /// All metadata, row by row.
    Rows,
}

/// A part once it is decoded.
pub(crate) enum Chunk {
    /// A column of a row group.
    Column(ArrayRef),
    /// The remainder of each row of a row group, where it has one.
    Remainder(Vec<Option<Metadata>>),
    /// A bloom filter, where the column has one.
    Bloom(Option<Sbbf>),
    /// The metadata of each row of a row group.
    Rows(CompactRows),
}

impl Chunk {
    fn bytes(&self) -> usize {
        match self {
            Self::Column(array) => array.get_array_memory_size(),
            Self::Remainder(rows) => {
                let values: usize = rows.iter().flatten().map(|metadata| metadata.bytes() * METADATA_OVERHEAD).sum();
                values + rows.len() * size_of::<Option<Metadata>>()
            }
            Self::Bloom(filter) => filter.as_ref().map_or(0, Sbbf::num_blocks) * BLOOM_BLOCK_BYTES,
            Self::Rows(rows) => rows.bytes(),
        }
    }
}

/// What all readers of a store keep.
pub(crate) struct ChunkCache {
    bytes_max: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    shelves: u64,
    uses: u64,
    bytes: usize,
    entries: HashMap<(u64, usize, Part), Entry>,
}

struct Entry {
    chunk: Arc<Chunk>,
    bytes: usize,
    used: u64,
}

impl ChunkCache {
    /// An empty cache that keeps at most `bytes_max` bytes.
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, state: Mutex::default() }
    }

    /// Bytes that it keeps now.
    pub(crate) fn bytes(&self) -> usize {
        self.lock().bytes
    }

    /// A place of its own for one reader.
    pub(crate) fn shelf(cache: Arc<Self>) -> Shelf {
        let number = {
            let mut state = cache.lock();
            state.shelves += 1;
            state.shelves
        };
        Shelf { cache, number }
    }

    // Nothing panics while it holds the lock, and each entry is whole, so a poisoned lock tells nothing.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Drops the entries that were not used for longest, until a quarter of the bound is free again.
    fn evict(&mut self, bytes_max: usize) {
        let mut by_use: Vec<(u64, (u64, usize, Part))> = self.entries.iter().map(|(key, entry)| (entry.used, *key)).collect();
        by_use.sort_unstable_by_key(|(used, _)| *used);
        for (_, key) in by_use {
            if self.bytes <= bytes_max / 4 * 3 {
                break;
            }
            if let Some(entry) = self.entries.remove(&key) {
                self.bytes -= entry.bytes;
            }
        }
    }
}

/// One reader's part of the cache; given back when the reader is dropped.
pub(crate) struct Shelf {
    cache: Arc<ChunkCache>,
    number: u64,
}

impl Shelf {
    /// Bytes that all readers together may keep.
    pub(crate) fn bytes_max(&self) -> usize {
        self.cache.bytes_max
    }

    /// Bytes that may be kept without anything else being dropped.
    pub(crate) fn bytes_free(&self) -> usize {
        self.cache.bytes_max.saturating_sub(self.cache.lock().bytes)
    }

    /// What is kept of a part.
    pub(crate) fn get(&self, group: usize, part: Part) -> Option<Arc<Chunk>> {
        let mut state = self.cache.lock();
        state.uses += 1;
        let now = state.uses;
        let entry = state.entries.get_mut(&(self.number, group, part))?;
        entry.used = now;
        Some(Arc::clone(&entry.chunk))
    }

    /// Keeps a part, unless it is larger than the whole cache may be.
    pub(crate) fn put(&self, group: usize, part: Part, chunk: Chunk) -> Arc<Chunk> {
        let bytes = chunk.bytes();
        let chunk = Arc::new(chunk);
        if bytes > self.cache.bytes_max {
            return chunk;
        }
        let mut state = self.cache.lock();
        state.uses += 1;
        let entry = Entry { chunk: Arc::clone(&chunk), bytes, used: state.uses };
        state.bytes += bytes;
        if let Some(before) = state.entries.insert((self.number, group, part), entry) {
            state.bytes -= before.bytes;
        }
        if state.bytes > self.cache.bytes_max {
            state.evict(self.cache.bytes_max);
        }
        chunk
    }
}

impl Drop for Shelf {
    fn drop(&mut self) {
        let mut state = self.cache.lock();
        let mut freed = 0;
        state.entries.retain(|(shelf, _, _), entry| {
            let keep = *shelf != self.number;
            freed += if keep { 0 } else { entry.bytes };
            keep
        });
        state.bytes -= freed;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::Int64Array;

    fn column(rows: i64) -> Chunk {
        Chunk::Column(Arc::new(Int64Array::from_iter_values(0..rows)))
    }

    #[test]
    fn the_bound_holds_and_the_oldest_goes_first() {
        let cache = Arc::new(ChunkCache::new(10_000));
        let shelf = ChunkCache::shelf(Arc::clone(&cache));
        for group in 0..100 {
            shelf.put(group, Part::Column(0), column(100));
            assert!(shelf.get(0, Part::Column(0)).is_some(), "what is used stays");
            assert!(cache.lock().bytes <= 10_000);
        }
        assert!(shelf.get(1, Part::Column(0)).is_none());
        shelf.put(200, Part::Column(0), column(10_000));
        assert!(shelf.get(200, Part::Column(0)).is_none(), "larger than the cache");
        drop(shelf);
        assert_eq!(cache.lock().bytes, 0);
    }
}
