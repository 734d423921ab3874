//! Which rows have which of the sorted values of one kind, and the union of ranges of them. Knows no value's meaning.

use std::cmp::Ordering;
use std::ops::Range;

use super::Order;
use crate::row_set::RowSet;

/// Long lists of rows are cut into about so many blocks, each with its rows as a bitmap too: a wide range then costs a few
/// bitmaps and two ends, not each of its rows. Takes two bytes more for each row.
const BLOCKS: usize = 16;

/// The rows of each value, the values in ascending order.
#[derive(Debug, Default)]
pub(super) struct Postings {
    /// Where the rows of each value begin, and where the last one's end.
    starts: Vec<u32>,
    rows: Vec<u32>,
    blocks: Vec<RowSet>,
    block_len: usize,
}

impl Postings {
    /// From the rows of all values, and where those of each begin.
    pub(super) fn new(starts: Vec<u32>, rows: Vec<u32>, len: usize) -> Self {
        // A block pays where its bitmap has fewer words than it has rows.
        let block_len = rows.len().div_ceil(BLOCKS).max(len.div_ceil(64)).max(1);
        let blocks = if rows.len() < 2 * block_len {
            Vec::new()
        } else {
            rows.chunks_exact(block_len).map(|block| RowSet::union_of(len, [], [block])).collect()
        };
        Self { starts, rows, blocks, block_len }
    }

    pub(super) fn bytes(&self) -> usize {
        size_of_val(self.starts.as_slice()) + size_of_val(self.rows.as_slice()) + self.blocks.iter().map(RowSet::bytes).sum::<usize>()
    }

    #[cfg(test)]
    pub(super) fn blocks(&self) -> &[RowSet] {
        &self.blocks
    }

    /// The places of the rows of a range of values.
    fn places(&self, values: Range<usize>) -> Range<usize> {
        let at = |value: usize| self.starts.get(value).map_or(self.rows.len(), |start| *start as usize);
        at(values.start)..at(values.end)
    }
}

/// Bitmaps and lists of rows that are to be united.
#[derive(Default)]
pub(super) struct Pieces<'a> {
    sets: Vec<&'a RowSet>,
    lists: Vec<&'a [u32]>,
}

impl<'a> Pieces<'a> {
    /// Adds a bitmap.
    pub(super) fn set(&mut self, rows: &'a RowSet) {
        self.sets.push(rows);
    }

    /// Adds the rows of a range of values.
    pub(super) fn sorted(&mut self, postings: &'a Postings, values: Range<usize>) {
        if values.is_empty() {
            return;
        }
        let places = postings.places(values);
        let (first, last) = (places.start.div_ceil(postings.block_len), (places.end / postings.block_len).min(postings.blocks.len()));
        let ends = match postings.blocks.get(first..last) {
            Some(blocks) if !blocks.is_empty() => {
                self.sets.extend(blocks);
                [places.start..first * postings.block_len, last * postings.block_len..places.end]
            }
            _ => [places, 0..0],
        };
        self.lists.extend(ends.into_iter().filter_map(|end| postings.rows.get(end)).filter(|rows| !rows.is_empty()));
    }

    /// The rows of all pieces.
    pub(super) fn rows(self, len: usize) -> RowSet {
        RowSet::union_of(len, self.sets, self.lists)
    }
}

/// The distinct values of a kind in ascending order, with their rows.
#[derive(Debug)]
pub(super) struct Sorted<K> {
    keys: Vec<K>,
    postings: Postings,
}

impl<K: Copy> Sorted<K> {
    /// From pairs of a value and its row, in any order. Values that have no order together must not be among them.
    pub(super) fn new(mut pairs: Vec<(K, u32)>, len: usize, order: impl Fn(&K, &K) -> Ordering) -> Self {
        pairs.sort_unstable_by(|a, b| order(&a.0, &b.0).then(a.1.cmp(&b.1)));
        pairs.dedup_by(|a, b| order(&a.0, &b.0).is_eq() && a.1 == b.1);
        let mut keys: Vec<K> = Vec::new();
        let mut starts = Vec::new();
        for (place, (key, _)) in pairs.iter().enumerate() {
            if keys.last().is_none_or(|last| order(last, key).is_ne()) {
                keys.push(*key);
                starts.push(place as u32);
            }
        }
        starts.push(pairs.len() as u32);
        keys.shrink_to_fit();
        starts.shrink_to_fit();
        Self { keys, postings: Postings::new(starts, pairs.into_iter().map(|(_, row)| row).collect(), len) }
    }

    pub(super) fn postings(&self) -> &Postings {
        &self.postings
    }

    pub(super) fn bytes(&self) -> usize {
        size_of_val(self.keys.as_slice()) + self.postings.bytes()
    }

    /// The values that compare as asked with an operand, which has an order with all of them or with none.
    pub(super) fn range(&self, order: Order, compare: impl Fn(&K) -> Option<Ordering>) -> Range<usize> {
        if self.keys.first().is_none_or(|key| compare(key).is_none()) {
            return 0..0;
        }
        range(order, |ordering| self.keys.partition_point(|key| compare(key).is_some_and(|o| o <= ordering)), self.keys.len())
    }
}

/// The range of sorted values that compare as asked, given how many compare with the operand as `Less` or at most as `Equal`.
pub(super) fn range(order: Order, up_to: impl Fn(Ordering) -> usize, all: usize) -> Range<usize> {
    match order {
        Order::Less => 0..up_to(Ordering::Less),
        Order::LessOrEqual => 0..up_to(Ordering::Equal),
        Order::Equal => up_to(Ordering::Less)..up_to(Ordering::Equal),
        Order::GreaterOrEqual => up_to(Ordering::Less)..all,
        Order::Greater => up_to(Ordering::Equal)..all,
    }
}
