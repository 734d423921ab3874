//! The k nearest of many candidates. Smaller keys are nearer, for every metric; ties go to the smaller row.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// A row and its ordering key: smaller is nearer. What the key means is the metric's affair.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// The ordering key, never NaN.
    pub key: f32,
    /// The row in its segment.
    pub row: u32,
}

impl Eq for Candidate {}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key.total_cmp(&other.key).then(self.row.cmp(&other.row))
    }
}

/// Keeps the `k` smallest of what is pushed. Memory grows with what is pushed, never with `k` itself.
#[derive(Debug)]
pub struct TopK<T = Candidate> {
    k: usize,
    heap: BinaryHeap<T>,
}

impl<T: Ord> TopK<T> {
    /// Keeps the `k` smallest.
    pub fn new(k: usize) -> Self {
        Self { k, heap: BinaryHeap::new() }
    }

    /// Offers one; says whether it is among the nearest so far.
    #[inline]
    pub fn push(&mut self, item: T) -> bool {
        if self.heap.len() < self.k {
            self.heap.push(item);
            return true;
        }
        match self.heap.peek_mut() {
            Some(mut worst) if item < *worst => {
                *worst = item;
                true
            }
            _ => false,
        }
    }

    /// The farthest one kept, once `k` are kept: nothing beyond it gets in.
    #[inline]
    pub fn bound(&self) -> Option<&T> {
        if self.heap.len() < self.k { None } else { self.heap.peek() }
    }

    /// How many are kept.
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }

    /// Those kept, nearest first.
    pub fn into_sorted(self) -> Vec<T> {
        self.heap.into_sorted_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn keeps_what_a_full_sort_keeps(keys in proptest::collection::vec(-5i8..5, 0..200), k in 0usize..20) {
            let all: Vec<_> = keys.iter().enumerate().map(|(i, &key)| Candidate { key: f32::from(key), row: i as u32 }).collect();
            let mut top = TopK::new(k);
            for c in &all { top.push(*c); }
            let mut sorted = all.clone();
            sorted.sort();
            sorted.truncate(k);
            prop_assert_eq!(top.into_sorted(), sorted);
        }
    }
}
