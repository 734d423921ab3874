//! Owns what was measured of a graph's recall when it was built: the share of the true nearest that searches of several
//! breadths found, for rows that the graph did not hold yet. Refuses to guess where nothing was measured.

use std::thread;

use proximadb_model::Candidate;
use proximadb_ports::{Budget, Metric, Result, SearchCounters, Vectors};

use crate::graph::Graph;
use crate::scan::Scan;
use crate::scratch::Scratch;

/// Nearest rows that are looked for.
pub(crate) const K: usize = 10;
/// Rows below which nothing is measured: such graphs are searched exactly for most breadths.
const ROWS_MIN: usize = 4_096;
/// Rows held out of the graph until its recall is measured.
const HELD_OUT: usize = 128;
/// The breadths tried.
const BREADTHS: [u32; 12] = [10, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512];

/// How many of a graph's rows are held out, of which so many are still to be inserted: none where too few would tell nothing.
pub(crate) fn held_out(rows: usize, new: usize) -> usize {
    if rows < ROWS_MIN || new < HELD_OUT { 0 } else { HELD_OUT }
}

/// Breadths with the recall that each reached, both rising; empty where nothing was measured.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Recalls(Vec<(u32, f32)>);

impl Recalls {
    /// Takes what was written; `None` where it cannot have been measured.
    pub(crate) fn new(pairs: Vec<(u32, f32)>) -> Option<Self> {
        let rises = pairs.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1);
        let sound = pairs.len() <= BREADTHS.len() && pairs.iter().all(|(ef, recall)| *ef > 0 && (0.0..=1.0).contains(recall));
        (rises && sound).then_some(Self(pairs))
    }

    /// The pairs.
    pub(crate) fn pairs(&self) -> &[(u32, f32)] {
        &self.0
    }

    /// The least breadth at which a search for `k` reached `recall`, with what the sample may be off by on top.
    pub(crate) fn breadth_for(&self, recall: f32, k: usize) -> Option<usize> {
        let off = (recall * (1.0 - recall) / (HELD_OUT * K) as f32).max(0.0).sqrt();
        let reached = self.0.iter().position(|&(_, reached)| reached >= recall + off)?;
        let (ef, at) = self.0[reached];
        // Between two breadths recall is taken to rise evenly with their logarithm.
        let ef = match reached.checked_sub(1).map(|before| self.0[before]) {
            Some((lower, below)) if at > below => {
                let share = ((recall + off - below) / (at - below)).clamp(0.0, 1.0);
                (lower as f32 * (ef as f32 / lower as f32).powf(share)).ceil() as usize
            }
            _ => ef as usize,
        };
        // A search for more takes as much more breadth.
        Some(if k > K { ef * k.div_ceil(K) } else { ef })
    }

    /// The recall at a breadth, as far as it was measured.
    pub(crate) fn at(&self, ef: usize) -> Option<f32> {
        let after = self.0.partition_point(|&(breadth, _)| breadth as usize <= ef);
        let (lower, below) = *self.0.get(after.checked_sub(1)?)?;
        let Some(&(upper, above)) = self.0.get(after) else { return Some(below) };
        let share = (ef as f32 / lower as f32).ln() / (upper as f32 / lower as f32).ln();
        Some(below + share * (above - below))
    }
}

/// Rows that a graph does not hold yet, with the nearest that it does hold.
pub(crate) struct HeldOut<'a> {
    vectors: &'a Vectors,
    budget: &'a Budget,
    rows: &'a [u32],
    truths: Vec<Vec<Candidate>>,
}

impl<'a> HeldOut<'a> {
    /// Holds out the last `count` rows of the graph's order.
    ///
    /// # Errors
    /// `Deadline`.
    pub(crate) fn new(
        order: &'a [u32],
        count: usize,
        vectors: &'a Vectors,
        metric: &dyn Metric,
        threads: usize,
        budget: &'a Budget,
    ) -> Result<Self> {
        let rows = &order[order.len() - count..];
        let truths = thread::scope(|scope| {
            let truths =
                |part: &'a [u32]| move || part.iter().map(|&row| truth(row, rows, vectors, metric, budget)).collect::<Result<Vec<_>>>();
            let parts = rows.chunks(rows.len().div_ceil(threads.max(1)).max(1));
            let begin = |part| (part, thread::Builder::new().name("axis-recall".to_owned()).spawn_scoped(scope, truths(part)));
            let begun: Vec<_> = parts.map(begin).collect();
            let end = |(part, begun): (&'a [u32], std::io::Result<thread::ScopedJoinHandle<'_, _>>)| match begun {
                Ok(handle) => handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
                // A thread that the system does not give is done without.
                Err(_) => truths(part)(),
            };
            begun.into_iter().map(end).collect::<Result<Vec<_>>>()
        })?;
        Ok(Self { vectors, budget, rows, truths: truths.concat() })
    }

    /// The share of the nearest that searches of a breadth find.
    ///
    /// # Errors
    /// `Deadline`.
    pub(crate) fn recall(&self, graph: &Graph<'_>, ef: usize, scratch: &mut Scratch) -> Result<f32> {
        let mut hits = 0;
        for (&row, truth) in self.rows.iter().zip(&self.truths) {
            let query = original(self.vectors, row);
            let counters = &mut SearchCounters::default();
            graph.walk(query, (K, ef), None, self.budget, scratch, counters)?;
            let found = graph.rerank(self.vectors, query, K, scratch, counters);
            hits += hits_of(&found, truth);
        }
        Ok(hits as f32 / (self.rows.len() * K).max(1) as f32)
    }

    /// The recall of all breadths that are tried, of any graph's searches for [`K`] rows.
    ///
    /// # Errors
    /// Those of the searches.
    pub(crate) fn recalls_of(&self, mut search: impl FnMut(&[f32], usize) -> Result<Vec<Candidate>>) -> Result<Recalls> {
        let (mut pairs, mut best) = (Vec::new(), 0.0f32);
        for ef in BREADTHS {
            let mut hits = 0;
            for (&row, truth) in self.rows.iter().zip(&self.truths) {
                hits += hits_of(&search(original(self.vectors, row), ef as usize)?, truth);
            }
            best = best.max(hits as f32 / (self.rows.len() * K).max(1) as f32);
            pairs.push((ef, best));
        }
        Ok(Recalls(pairs))
    }

    /// The recall of all breadths that are tried.
    ///
    /// # Errors
    /// `Deadline`.
    pub(crate) fn recalls(&self, graph: &Graph<'_>, scratch: &mut Scratch) -> Result<Recalls> {
        let (mut pairs, mut best) = (Vec::new(), 0.0f32);
        for ef in BREADTHS {
            best = best.max(self.recall(graph, ef as usize, scratch)?);
            pairs.push((ef, best));
        }
        Ok(Recalls(pairs))
    }
}

/// How many were found of the nearest. Of rows as near as the last true one, any will do.
fn hits_of(found: &[Candidate], truth: &[Candidate]) -> usize {
    found.iter().filter(|candidate| truth.last().is_some_and(|last| candidate.key <= last.key)).count().min(K)
}

/// The nearest to a row; rows that are held out do not count.
fn truth(row: u32, held_out: &[u32], vectors: &Vectors, metric: &dyn Metric, budget: &Budget) -> Result<Vec<Candidate>> {
    let counters = &mut SearchCounters::default();
    let mut nearest = Scan { metric, vectors, budget }.nearest(original(vectors, row), K + held_out.len(), None, counters)?;
    nearest.retain(|candidate| !held_out.contains(&candidate.row));
    nearest.truncate(K);
    Ok(nearest)
}

fn original(vectors: &Vectors, row: u32) -> &[f32] {
    &vectors.data[row as usize * vectors.dimension..][..vectors.dimension]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_breadth_is_told_for_what_was_reached_and_only_for_that() {
        let recalls = Recalls::new(vec![(16, 0.80), (32, 0.90), (64, 0.98)]).expect("rising");
        assert_eq!(recalls.breadth_for(0.5, 10), Some(16));
        let between = recalls.breadth_for(0.94, 10).expect("it was reached");
        assert!((33..64).contains(&between), "{between}");
        assert_eq!(recalls.breadth_for(0.94, 25), Some(3 * between), "more nearest take more breadth");
        assert_eq!(recalls.breadth_for(0.99, 10), None);
        assert_eq!(Recalls::default().breadth_for(0.5, 10), None);
        assert_eq!((recalls.at(8), recalls.at(32), recalls.at(500)), (None, Some(0.90), Some(0.98)));
        assert!((0.81..0.90).contains(&recalls.at(24).expect("between two")));
    }

    #[test]
    fn what_cannot_have_been_measured_is_refused() {
        for pairs in [vec![(16, 0.9), (16, 0.9)], vec![(16, 0.9), (32, 0.8)], vec![(16, 1.5)], vec![(0, 0.5)], vec![(16, f32::NAN)]] {
            assert_eq!(Recalls::new(pairs.clone()), None, "{pairs:?}");
        }
    }
}
