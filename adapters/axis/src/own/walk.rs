//! Owns the walk over one layer by a metric that is called for whole blocks. Refuses to know rows and who asks.

use proximadb_ports::{Budget, Result, Scorer, SearchCounters};

use super::blocks::{Block, Space};
use crate::layers::Links;
use crate::pool::{Place, Pool};
use crate::scratch::Visited;

/// Nodes that are compared in one call at least, where the walk knows so many: a call costs as much as some of them.
const BLOCK_MIN: usize = 16;

/// What one walk at a time needs.
#[derive(Debug)]
pub(crate) struct Track {
    visited: Visited,
    pub(crate) pool: Pool,
    fresh: Vec<u32>,
    pub(crate) block: Block,
}

impl Track {
    pub(crate) fn new(nodes: usize) -> Self {
        Self { visited: Visited::new(nodes), pool: Pool::default(), fresh: Vec::new(), block: Block::default() }
    }
}

/// One layer to walk.
#[derive(Clone, Copy)]
pub(crate) struct Walk<'a, L> {
    pub(crate) space: Space<'a>,
    pub(crate) links: &'a L,
    pub(crate) budget: &'a Budget,
}

impl<L: Links> Walk<'_, L> {
    /// Leaves the `ef` nearest nodes that a walk from `entries` meets in the track's pool.
    ///
    /// Nodes are expanded, best first, until enough neighbours are met that were not before; these are compared in one call. So a
    /// step may expand a node before nearer ones that a walk with a call for each node would have met.
    ///
    /// # Errors
    /// `Deadline`, and those of the metric.
    pub(crate) fn run(
        &self,
        scorer: &mut dyn Scorer,
        entries: &[u32],
        ef: usize,
        track: &mut Track,
        counters: &mut SearchCounters,
    ) -> Result<()> {
        let Track { visited, pool, fresh, block } = track;
        visited.clear();
        pool.start(ef);
        fresh.clear();
        fresh.extend(entries.iter().copied().filter(|&entry| visited.insert(entry)));
        while !fresh.is_empty() {
            // Nobody knows how long a call takes.
            self.budget.check()?;
            let keys = self.space.keys(scorer, fresh, block)?;
            counters.distances += fresh.len() as u64;
            pool.admit(fresh.iter().zip(keys).map(|(&node, &key)| Place::new(key, node)), f32::INFINITY);
            fresh.clear();
            while fresh.len() < BLOCK_MIN
                && let Some(next) = pool.take()
            {
                counters.hops += 1;
                self.links.each(next.node(), |neighbour| {
                    if visited.insert(neighbour) {
                        fresh.push(neighbour);
                    }
                });
            }
        }
        Ok(())
    }
}
