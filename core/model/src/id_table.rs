//! The ids of a segment's rows, resident and compact: row to id, and id to row. Knows nothing of which rows are live.

use std::hash::{DefaultHasher, Hasher};

use crate::name::RecordId;

/// The ids of rows `0..len` in one arena, with an open-addressing table over them.
///
/// Takes the ids' own bytes plus about 12 bytes a row. Where an id occurs more than once, the last row counts.
#[derive(Debug, Default)]
pub struct IdTable {
    arena: String,
    ends: Vec<usize>,
    slots: Vec<u32>,
}

const EMPTY: u32 = u32::MAX;

/// The hash of an id, good for every table of this process; never stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdHash(u64);

/// Takes the hash of an id.
pub fn hash_of(id: &str) -> IdHash {
    let mut hasher = DefaultHasher::new();
    hasher.write(id.as_bytes());
    IdHash(hasher.finish())
}

impl IdTable {
    /// The table of `ids`, row by row.
    pub fn new<'a>(ids: impl ExactSizeIterator<Item = &'a RecordId>) -> Self {
        let rows = ids.len();
        let mut table = Self { arena: String::new(), ends: Vec::with_capacity(rows), slots: vec![EMPTY; (rows * 2).next_power_of_two()] };
        for id in ids {
            table.push(id.as_str());
        }
        table.arena.shrink_to_fit();
        table
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The id of a row.
    pub fn id(&self, row: usize) -> Option<&str> {
        let end = *self.ends.get(row)?;
        let start = if row == 0 { 0 } else { *self.ends.get(row - 1)? };
        self.arena.get(start..end)
    }

    /// The row of an id.
    pub fn find(&self, id: &str) -> Option<usize> {
        self.find_hashed(id, hash_of(id))
    }

    /// The row of an id whose hash was taken before, for callers that look into many tables.
    pub fn find_hashed(&self, id: &str, hash: IdHash) -> Option<usize> {
        if self.slots.is_empty() {
            return None;
        }
        match self.slots[self.slot_of(id, hash)] {
            EMPTY => None,
            row => Some(row as usize),
        }
    }

    /// Bytes resident.
    pub fn bytes(&self) -> usize {
        self.arena.capacity() + self.ends.capacity() * size_of::<usize>() + self.slots.capacity() * size_of::<u32>()
    }

    fn push(&mut self, id: &str) {
        let row = self.ends.len() as u32;
        assert!(row < EMPTY, "a segment has fewer than 2^32 - 1 rows");
        let slot = self.slot_of(id, hash_of(id));
        self.arena.push_str(id);
        self.ends.push(self.arena.len());
        self.slots[slot] = row;
    }

    /// The slot that holds `id`, or the free one where it would go; the table is at most half full, so there is one.
    fn slot_of(&self, id: &str, hash: IdHash) -> usize {
        let mask = self.slots.len() - 1;
        let mut slot = hash.0 as usize & mask;
        loop {
            match self.slots[slot] {
                EMPTY => return slot,
                row if self.id(row as usize) == Some(id) => return slot,
                _ => slot = (slot + 1) & mask,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn finds_every_id_at_its_last_row(names in proptest::collection::vec("[a-d]{1,3}", 0..60)) {
            let ids: Vec<_> = names.iter().map(|n| RecordId::new(n).expect("valid")).collect();
            let table = IdTable::new(ids.iter());
            prop_assert_eq!(table.len(), ids.len());
            for (row, name) in names.iter().enumerate() {
                prop_assert_eq!(table.id(row), Some(name.as_str()));
                prop_assert_eq!(table.find(name), names.iter().rposition(|n| n == name));
            }
            prop_assert_eq!(table.find("absent"), None);
            prop_assert_eq!(table.id(ids.len()), None);
        }
    }
}
