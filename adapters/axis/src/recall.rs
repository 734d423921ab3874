//! Owns what was measured of a graph's recall when it was built: the share of the true nearest that searches of several
//! breadths found, for rows that the graph did not hold yet. Refuses to guess where nothing was measured.

use std::thread;

use proximadb_model::Candidate;
use proximadb_ports::{Budget, Metric, Result, SearchCounters, Vectors};

use crate::graph::{Graph, Want};
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

/// Margins tried, shares of a squared distance.
const MARGINS: [f32; 16] = [0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.08, 0.1, 0.12, 0.14, 0.17, 0.2, 0.25, 0.3, 0.4, 0.6];
/// A difference in recall that the sample cannot tell.
const RECALL_NOISE: f32 = 0.0025;
/// The breadth of walks that try a margin, which is to decide alone.
const WIDE: usize = 512;

/// What walks of one breadth found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Tried {
    pub(crate) breadth: u32,
    pub(crate) recall: f32,
    /// The margin that found as much; none where it is not known.
    pub(crate) margin: Option<f32>,
}

/// What was tried, breadth and recall rising; empty where nothing was.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Recalls(Vec<Tried>);

impl Recalls {
    /// Takes what was written; `None` where it cannot have been measured.
    pub(crate) fn new(tried: Vec<Tried>) -> Option<Self> {
        let rises = tried.is_sorted_by(|a, b| a.breadth < b.breadth && a.recall <= b.recall);
        let is_margin = |margin: f32| margin.is_finite() && margin >= 0.0;
        let is_sound = |t: &Tried| t.breadth > 0 && (0.0..=1.0).contains(&t.recall) && t.margin.is_none_or(is_margin);
        (rises && tried.len() <= BREADTHS.len() && tried.iter().all(is_sound)).then_some(Self(tried))
    }

    /// What was tried.
    pub(crate) fn tried(&self) -> &[Tried] {
        &self.0
    }

    /// The margin with which a walk for `k` rows finds what one of breadth `ef` does, as far as that was measured.
    pub(crate) fn margin(&self, ef: usize, k: usize) -> Option<f32> {
        // A search for more rows takes as much more breadth.
        let ef = if k > K { ef * K / k } else { ef };
        let after = self.0.partition_point(|tried| tried.breadth as usize <= ef);
        let below = self.0.get(after.checked_sub(1)?)?;
        let margin = below.margin?;
        if below.breadth as usize == ef {
            return Some(margin);
        }
        let above = self.0.get(after)?;
        Some(margin + share(below.breadth, above.breadth, ef) * (above.margin? - margin))
    }

    /// The least breadth at which a search for `k` reached `recall`, with what the sample may be off by on top.
    pub(crate) fn breadth_for(&self, recall: f32, k: usize) -> Option<usize> {
        let off = (recall * (1.0 - recall) / (HELD_OUT * K) as f32).max(0.0).sqrt();
        let reached = self.0.iter().position(|tried| tried.recall >= recall + off)?;
        let Tried { breadth: ef, recall: at, .. } = self.0[reached];
        // Between two breadths recall is taken to rise evenly with their logarithm.
        let ef = match reached.checked_sub(1).map(|before| self.0[before]) {
            Some(Tried { breadth: lower, recall: below, .. }) if at > below => {
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
        let after = self.0.partition_point(|tried| tried.breadth as usize <= ef);
        let below = self.0.get(after.checked_sub(1)?)?;
        let Some(above) = self.0.get(after) else { return Some(below.recall) };
        Some(below.recall + share(below.breadth, above.breadth, ef) * (above.recall - below.recall))
    }
}

/// Where a breadth lies between two others, by its logarithm.
fn share(lower: u32, upper: u32, ef: usize) -> f32 {
    (ef as f32 / lower as f32).ln() / (upper as f32 / lower as f32).ln()
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

    /// What searches of a breadth, and of a margin where there is one, find.
    ///
    /// # Errors
    /// `Deadline`.
    pub(crate) fn find(&self, graph: &Graph<'_>, ef: usize, margin: Option<f32>, scratch: &mut Scratch) -> Result<Found> {
        let (mut hits, mut hops) = (0, 0);
        for (&row, truth) in self.rows.iter().zip(&self.truths) {
            let query = original(self.vectors, row);
            let counters = &mut SearchCounters::default();
            graph.walk(query, Want { k: K, ef, margin }, None, self.budget, scratch, counters)?;
            let found = graph.rerank(self.vectors, query, K, scratch, counters);
            hits += hits_of(&found, truth);
            hops += counters.hops;
        }
        let rows = self.rows.len().max(1);
        Ok(Found { recall: hits as f32 / (rows * K) as f32, hops: hops as f32 / rows as f32 })
    }

    /// The recall of all breadths that are tried, of any graph's searches for [`K`] rows.
    ///
    /// # Errors
    /// Those of the searches.
    pub(crate) fn recalls_of(&self, mut search: impl FnMut(&[f32], usize) -> Result<Vec<Candidate>>) -> Result<Recalls> {
        let (mut tried, mut best) = (Vec::new(), 0.0f32);
        for breadth in BREADTHS {
            let mut hits = 0;
            for (&row, truth) in self.rows.iter().zip(&self.truths) {
                hits += hits_of(&search(original(self.vectors, row), breadth as usize)?, truth);
            }
            best = best.max(hits as f32 / (self.rows.len() * K).max(1) as f32);
            tried.push(Tried { breadth, recall: best, margin: None });
        }
        Ok(Recalls(tried))
    }

    /// The recall of all breadths that are tried.
    ///
    /// # Errors
    /// `Deadline`.
    pub(crate) fn recalls(&self, graph: &Graph<'_>, scratch: &mut Scratch) -> Result<Recalls> {
        let (mut tried, mut fixed, mut least) = (Vec::new(), Vec::new(), 0.0f32);
        for breadth in BREADTHS {
            let found = self.find(graph, breadth as usize, None, scratch)?;
            // What a greater breadth misses by chance does not count.
            least = least.max(found.recall);
            tried.push(Tried { breadth, recall: least, margin: None });
            fixed.push(Found { recall: least, ..found });
        }
        let mut below = (0.0, Found::default());
        let mut next = 0;
        for margin in MARGINS {
            let found = self.find(graph, WIDE, Some(margin), scratch)?;
            let above = (margin, Found { recall: found.recall.max(below.1.recall), ..found });
            while let Some(wanted) = fixed.get(next).filter(|wanted| wanted.is_met_by(&above.1)) {
                tried[next].margin = margin_for(wanted, below, above);
                next += 1;
            }
            below = above;
            if next == fixed.len() {
                break;
            }
        }
        Ok(Recalls(tried))
    }
}

/// What searches found, and nodes that each expanded for it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Found {
    pub(crate) recall: f32,
    hops: f32,
}

impl Found {
    /// Whether the sample can tell that more effort finds more.
    fn is_open(&self) -> bool {
        self.recall < 1.0 - RECALL_NOISE
    }

    fn is_met_by(&self, other: &Self) -> bool {
        (self.is_open() && self.recall <= other.recall) || self.hops <= other.hops
    }
}

/// The margin between two that finds what a breadth does, with no more steps; none where it takes more. Where a breadth finds all of the sample,
/// nobody knows how much less would do: it gets as many steps.
fn margin_for(wanted: &Found, (lower, below): (f32, Found), (upper, above): (f32, Found)) -> Option<f32> {
    let share = |from: f32, to: f32, at: f32| if to > from { ((at - from) / (to - from)).clamp(0.0, 1.0) } else { 1.0 };
    let by_hops = share(below.hops, above.hops, wanted.hops);
    let with_as_many_hops = below.recall + by_hops * (above.recall - below.recall);
    if with_as_many_hops < wanted.recall - RECALL_NOISE {
        return None;
    }
    let by_recall = if wanted.is_open() { share(below.recall, above.recall, wanted.recall) } else { 1.0 };
    Some(lower + by_hops.min(by_recall) * (upper - lower))
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

    fn tried(breadth: u32, recall: f32, margin: Option<f32>) -> Tried {
        Tried { breadth, recall, margin }
    }

    #[test]
    fn a_breadth_is_told_for_what_was_reached_and_only_for_that() {
        let recalls =
            Recalls::new([(16, 0.80), (32, 0.90), (64, 0.98)].map(|(ef, recall)| tried(ef, recall, None)).to_vec()).expect("rising");
        assert_eq!(recalls.breadth_for(0.5, 10), Some(16));
        let between = recalls.breadth_for(0.94, 10).expect("it was reached");
        assert!((33..64).contains(&between), "{between}");
        assert_eq!(recalls.breadth_for(0.94, 25), Some(3 * between), "more nearest take more breadth");
        assert_eq!(recalls.breadth_for(0.99, 10), None);
        assert_eq!(Recalls::default().breadth_for(0.5, 10), None);
        assert_eq!((recalls.at(8), recalls.at(32), recalls.at(500)), (None, Some(0.90), Some(0.98)));
        assert!((0.81..0.90).contains(&recalls.at(24).expect("between two")));
        assert_eq!(recalls.margin(32, 10), None, "none was measured");
    }

    #[test]
    fn a_margin_is_told_between_those_that_were_measured() {
        let recalls = Recalls::new(vec![tried(16, 0.80, Some(0.04)), tried(64, 0.90, Some(0.10)), tried(128, 0.95, None)]).expect("rising");
        assert_eq!((recalls.margin(16, 10), recalls.margin(64, 3)), (Some(0.04), Some(0.10)));
        assert!((recalls.margin(32, 10).expect("between two") - 0.07).abs() < 1e-6);
        assert_eq!(recalls.margin(64, 40), recalls.margin(16, 10), "a breadth for more rows is less for each");
        assert_eq!((recalls.margin(8, 10), recalls.margin(65, 10), recalls.margin(500, 10)), (None, None, None));
    }

    #[test]
    fn what_cannot_have_been_measured_is_refused() {
        let pairs = [vec![(16, 0.9), (16, 0.9)], vec![(16, 0.9), (32, 0.8)], vec![(16, 1.5)], vec![(0, 0.5)], vec![(16, f32::NAN)]];
        for pairs in pairs {
            assert_eq!(Recalls::new(pairs.iter().map(|&(ef, recall)| tried(ef, recall, None)).collect()), None, "{pairs:?}");
        }
        for margin in [-0.1, f32::NAN, f32::INFINITY] {
            assert_eq!(Recalls::new(vec![tried(16, 0.9, Some(margin))]), None, "{margin}");
        }
    }
}
