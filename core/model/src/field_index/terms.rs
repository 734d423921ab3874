//! The distinct texts of a field in ascending order, with their rows. Knows no other kind.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::ops::Range;

use super::Order;
use super::postings::{Postings, range};

/// Sorted texts in one string.
#[derive(Debug)]
pub(super) struct Terms {
    text: String,
    /// Where each text ends.
    ends: Vec<u32>,
    postings: Postings,
}

impl Terms {
    /// From texts by number, and pairs of a text's number and a row, rows ascending.
    pub(super) fn new(numbers: HashMap<String, u32>, pairs: &[(u32, u32)], len: usize) -> Self {
        let mut sorted: Vec<(String, u32)> = numbers.into_iter().collect();
        sorted.sort_unstable();
        let mut rank = vec![0u32; sorted.len()];
        let mut text = String::with_capacity(sorted.iter().map(|(text, _)| text.len()).sum());
        let mut ends = Vec::with_capacity(sorted.len());
        for (place, (term, number)) in sorted.into_iter().enumerate() {
            rank[number as usize] = place as u32;
            text.push_str(&term);
            ends.push(text.len() as u32);
        }
        let mut starts = vec![0u32; ends.len() + 1];
        for (number, _) in pairs {
            starts[rank[*number as usize] as usize + 1] += 1;
        }
        for term in 1..starts.len() {
            starts[term] += starts[term - 1];
        }
        let mut next = starts.clone();
        let mut rows = vec![0u32; pairs.len()];
        for (number, row) in pairs {
            let place = &mut next[rank[*number as usize] as usize];
            rows[*place as usize] = *row;
            *place += 1;
        }
        Self { text, ends, postings: Postings::new(starts, rows, len) }
    }

    pub(super) fn postings(&self) -> &Postings {
        &self.postings
    }

    pub(super) fn bytes(&self) -> usize {
        self.text.len() + size_of_val(self.ends.as_slice()) + self.postings.bytes()
    }

    /// The texts in ascending order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.ends.len()).map(|term| self.term(term))
    }

    fn term(&self, term: usize) -> &str {
        let end = |term: usize| self.ends.get(term).map_or(0, |end| *end as usize);
        let start = term.checked_sub(1).map_or(0, end);
        self.text.get(start..end(term)).unwrap_or_default()
    }

    fn partition(&self, before: impl Fn(&str) -> bool) -> usize {
        let (mut low, mut high) = (0, self.ends.len());
        while low < high {
            let middle = low.midpoint(high);
            if before(self.term(middle)) { low = middle + 1 } else { high = middle }
        }
        low
    }

    /// The texts that compare as asked with a text.
    pub(super) fn range(&self, order: Order, than: &str) -> Range<usize> {
        range(order, |ordering: Ordering| self.partition(|term| term.cmp(than) <= ordering), self.ends.len())
    }

    /// The texts that start with a text.
    pub(super) fn starting_with(&self, prefix: &str) -> Range<usize> {
        self.partition(|term| term < prefix)..self.partition(|term| term < prefix || term.starts_with(prefix))
    }

    /// The texts that have a text in them.
    pub(super) fn containing(&self, part: &str) -> impl Iterator<Item = usize> {
        self.iter().enumerate().filter(move |(_, term)| term.contains(part)).map(|(place, _)| place)
    }
}
