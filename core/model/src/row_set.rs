//! A set of rows of one segment as a dense bitmap: deletion vectors, filter results, visibility.

use crate::invalid::Invalid;

/// A set over the rows `0..len`, one bit a row.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct RowSet {
    words: Vec<u64>,
    len: usize,
    count: usize,
}

impl RowSet {
    /// No row of `len`.
    pub fn none(len: usize) -> Self {
        Self { words: vec![0; len.div_ceil(64)], len, count: 0 }
    }

    /// Every row of `len`.
    pub fn all(len: usize) -> Self {
        let mut set = Self { words: vec![u64::MAX; len.div_ceil(64)], len, count: len };
        set.mask_tail();
        set
    }

    /// The rows of `len` for which `is_in` holds.
    pub fn from_fn(len: usize, mut is_in: impl FnMut(usize) -> bool) -> Self {
        let mut set = Self::none(len);
        for row in 0..len {
            if is_in(row) {
                set.insert(row);
            }
        }
        set
    }

    /// The rows of `len` that are in any of some sets, which have the same range, or in any of some lists.
    ///
    /// # Panics
    /// When a set has another range, or a row is out of range.
    pub fn union_of<'a>(len: usize, sets: impl IntoIterator<Item = &'a Self>, lists: impl IntoIterator<Item = &'a [u32]>) -> Self {
        let mut words = vec![0u64; len.div_ceil(64)];
        for set in sets {
            assert_eq!(set.len, len, "row sets of different segments");
            words.iter_mut().zip(&set.words).for_each(|(a, b)| *a |= b);
        }
        for list in lists {
            for &row in list {
                let row = row as usize;
                assert!(row < len, "row {row} of {len}");
                words[row / 64] |= 1u64 << (row % 64);
            }
        }
        let count = words.iter().map(|w| w.count_ones() as usize).sum();
        Self { words, len, count }
    }

    /// Bytes that the set takes in memory beside itself.
    pub fn bytes(&self) -> usize {
        size_of_val(self.words.as_slice())
    }

    /// Rows that the set ranges over.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the set ranges over no rows at all; see [`RowSet::count`] for how many are in it.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Rows in the set.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Whether `row` is in the set; false beyond its range.
    #[inline]
    pub fn contains(&self, row: usize) -> bool {
        self.words.get(row / 64).is_some_and(|word| word >> (row % 64) & 1 == 1)
    }

    /// Puts a row in; says whether it was not there before.
    ///
    /// # Panics
    /// When `row` is out of range.
    pub fn insert(&mut self, row: usize) -> bool {
        assert!(row < self.len, "row {row} of {}", self.len);
        let (word, bit) = (&mut self.words[row / 64], 1u64 << (row % 64));
        let new = *word & bit == 0;
        *word |= bit;
        self.count += usize::from(new);
        new
    }

    /// Takes a row out; says whether it was there.
    pub fn remove(&mut self, row: usize) -> bool {
        if !self.contains(row) {
            return false;
        }
        self.words[row / 64] &= !(1u64 << (row % 64));
        self.count -= 1;
        true
    }

    /// Keeps the rows that are also in `other`, which has the same range.
    pub fn intersect(&mut self, other: &Self) {
        self.combine(other, |a, b| a & b);
    }

    /// Adds the rows of `other`, which has the same range.
    pub fn union(&mut self, other: &Self) {
        self.combine(other, |a, b| a | b);
    }

    /// Drops the rows of `other`, which has the same range.
    pub fn subtract(&mut self, other: &Self) {
        self.combine(other, |a, b| a & !b);
    }

    /// The rows that are not in the set.
    #[must_use]
    pub fn complement(&self) -> Self {
        let mut set = Self { words: self.words.iter().map(|w| !w).collect(), len: self.len, count: self.len - self.count };
        set.mask_tail();
        set
    }

    /// The rows in ascending order.
    pub fn iter(&self) -> Rows<'_> {
        Rows::of(&self.words, 0)
    }

    /// The rows in ascending order, those of so many rows of the range at a time, rounded up to whole words.
    ///
    /// # Panics
    /// When `rows` is zero.
    pub fn parts(&self, rows: usize) -> impl Iterator<Item = Rows<'_>> {
        let words = rows.div_ceil(64);
        self.words.chunks(words).enumerate().map(move |(at, part)| Rows::of(part, at * words * 64))
    }

    /// The bitmap as little-endian words, for a file; the range's length is kept apart.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.words.iter().flat_map(|w| w.to_le_bytes()).collect()
    }

    /// Reads what [`RowSet::to_bytes`] wrote for a range of `len` rows.
    ///
    /// # Errors
    /// [`Invalid`] when the length is not that of `len` rows or a bit beyond the range is set.
    pub fn from_bytes(bytes: &[u8], len: usize) -> Result<Self, Invalid> {
        if bytes.len() != len.div_ceil(64) * 8 {
            return Err(Invalid::new("rows", format!("{} bytes cannot be a bitmap of {len} rows", bytes.len())));
        }
        let words: Vec<u64> = bytes.as_chunks::<8>().0.iter().map(|w| u64::from_le_bytes(*w)).collect();
        let count = words.iter().map(|w| w.count_ones() as usize).sum();
        let mut set = Self { words, len, count };
        let before = set.words.last().copied();
        set.mask_tail();
        if set.words.last().copied() != before {
            return Err(Invalid::new("rows", "a bit beyond the range is set"));
        }
        Ok(set)
    }

    fn combine(&mut self, other: &Self, op: impl Fn(u64, u64) -> u64) {
        assert_eq!(self.len, other.len, "row sets of different segments");
        let mut count = 0;
        for (a, &b) in self.words.iter_mut().zip(&other.words) {
            *a = op(*a, b);
            count += a.count_ones() as usize;
        }
        self.count = count;
    }

    fn mask_tail(&mut self) {
        if !self.len.is_multiple_of(64)
            && let Some(last) = self.words.last_mut()
        {
            *last &= (1u64 << (self.len % 64)) - 1;
        }
    }
}

/// Rows of a set, in ascending order.
#[derive(Clone, Debug)]
pub struct Rows<'a> {
    words: std::slice::Iter<'a, u64>,
    /// What is left of the word that begins at `base`.
    rest: u64,
    base: usize,
}

impl<'a> Rows<'a> {
    fn of(words: &'a [u64], base: usize) -> Self {
        Self { words: words.iter(), rest: 0, base: base.wrapping_sub(64) }
    }
}

impl Iterator for Rows<'_> {
    type Item = usize;

    // Few rows of many leave most words empty, so passing over one has to cost next to nothing.
    #[inline]
    fn next(&mut self) -> Option<usize> {
        while self.rest == 0 {
            self.rest = *self.words.next()?;
            self.base = self.base.wrapping_add(64);
        }
        let bit = self.rest.trailing_zeros() as usize;
        self.rest &= self.rest - 1;
        Some(self.base + bit)
    }

    /// What `for_each` and others go by: without the question after each row whether there is one more, in half the time.
    #[inline]
    fn fold<B, F: FnMut(B, usize) -> B>(self, init: B, mut f: F) -> B {
        let mut folded = init;
        let mut base = self.base;
        for mut rest in std::iter::once(self.rest).chain(self.words.copied()) {
            while rest != 0 {
                folded = f(folded, base + rest.trailing_zeros() as usize);
                rest &= rest - 1;
            }
            base = base.wrapping_add(64);
        }
        folded
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn behaves_like_a_set(len in 1usize..300, a in proptest::collection::btree_set(0usize..300, 0..80), b in proptest::collection::btree_set(0usize..300, 0..80)) {
            let cut = |s: &BTreeSet<usize>| s.iter().copied().filter(|r| *r < len).collect::<BTreeSet<_>>();
            let (a, b) = (cut(&a), cut(&b));
            let set = |s: &BTreeSet<usize>| RowSet::from_fn(len, |r| s.contains(&r));
            let rows = |s: &RowSet| s.iter().collect::<BTreeSet<_>>();
            let (sa, sb) = (set(&a), set(&b));
            let mut both = sa.clone(); both.intersect(&sb);
            prop_assert_eq!(rows(&both), &a & &b);
            let mut any = sa.clone(); any.union(&sb);
            prop_assert_eq!(rows(&any), &a | &b);
            let mut less = sa.clone(); less.subtract(&sb);
            prop_assert_eq!(rows(&less), &a - &b);
            prop_assert_eq!(less.count(), (&a - &b).len());
            let other = sa.complement();
            prop_assert_eq!(other.count() + sa.count(), len);
            prop_assert!(sa.iter().all(|r| !other.contains(r)));
            let listed: Vec<u32> = b.iter().map(|r| *r as u32).collect();
            prop_assert_eq!(RowSet::union_of(len, [&sa], [listed.as_slice()]), any);
            prop_assert_eq!(RowSet::from_bytes(&sa.to_bytes(), len).expect("own bytes"), sa.clone());
            for size in [1, 64, 65, 300] {
                prop_assert_eq!(sa.parts(size).flatten().collect::<BTreeSet<_>>(), a.clone());
            }
            let mut rest = sa.iter();
            let first = rest.next();
            let mut folded: Vec<usize> = first.into_iter().collect();
            rest.for_each(|row| folded.push(row));
            prop_assert_eq!(folded, a.iter().copied().collect::<Vec<_>>());
        }
    }

    #[test]
    fn foreign_bytes_are_refused() {
        assert!(RowSet::from_bytes(&[0; 8], 65).is_err());
        assert!(RowSet::from_bytes(&[0xff; 8], 63).is_err());
        assert!(RowSet::from_bytes(&[0xff; 8], 64).is_ok());
    }
}
