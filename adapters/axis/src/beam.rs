//! Owns the walk over one layer: greedy to one node, or best first with a beam. Refuses to know rows, metrics and who asks.

use proximadb_ports::{Budget, Result, SearchCounters};

use crate::codes::{Codes, Probe};
use crate::layers::Links;
use crate::pool::{Place, Pool};
use crate::scratch::Trail;

/// Nodes expanded between two looks at the budget.
const BUDGET_HOPS: u64 = 64;
/// Nodes that a scan sifts at a time, and how often it does so between two looks at the budget.
const SCANNED: usize = 32;
const SCANS_A_LOOK: usize = 64;

/// Leaves the `ef` nearest of `nodes` in the trail's pool, without links: most by their signs alone. Memory is asked for one step
/// before it is used, as in a walk.
///
/// # Errors
/// `Deadline`.
pub(crate) fn scan(
    codes: &Codes,
    probe: &Probe<'_>,
    nodes: impl Iterator<Item = u32>,
    ef: usize,
    budget: &Budget,
    trail: &mut Trail,
    counters: &mut SearchCounters,
) -> Result<()> {
    let Trail { pool, fresh, near, coming, products, estimates, .. } = trail;
    pool.start(ef);
    near.clear();
    fresh.clear();
    let mut nodes = nodes.fuse();
    for look in 0usize.. {
        if look.is_multiple_of(SCANS_A_LOOK) {
            budget.check()?;
        }
        coming.clear();
        coming.extend(nodes.by_ref().take(SCANNED).inspect(|&node| codes.prefetch_head(node)));
        counters.code_distances += near.len() as u64;
        pool.admit(codes.places(probe, near, products), f32::INFINITY);
        codes.sift(probe, fresh, estimates, pool.bound().unwrap_or(f32::INFINITY));
        std::mem::swap(near, fresh);
        std::mem::swap(fresh, coming);
        if near.is_empty() && fresh.is_empty() {
            break;
        }
    }
    Ok(())
}

/// How far a walk goes.
///
/// It ends when no node in its pool is left to expand. With a margin it ends sooner, when the next one is farther than the `k`-th nearest
/// by more than that share: queries among close neighbours end soon, those among many equally far ones go on (Al-Jazzazi et al., "Distance
/// adaptive beam search for provably accurate graph-based nearest neighbor search", section 3; here the share is of squared distances).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reach {
    /// Nodes that the pool holds.
    pub(crate) room: usize,
    /// The place that distances are compared with, from 1.
    pub(crate) k: usize,
    /// None where only the room counts.
    pub(crate) margin: Option<f32>,
}

impl Reach {
    /// As far as `ef` nearest nodes lead.
    pub(crate) fn breadth(ef: usize) -> Self {
        Self { room: ef, k: ef, margin: None }
    }

    /// The key beyond which no node is worth a look.
    #[inline]
    fn limit<L>(&self, beam: &Beam<'_, L>, pool: &Pool) -> f32 {
        match (self.margin, self.k.checked_sub(1).and_then(|at| pool.places().get(at))) {
            // Codes that are as near as rounding can tell may belong to nearer rows.
            (Some(margin), Some(kth)) => {
                kth.key() + (margin * beam.probe.squared(kth.key())).max(beam.codes.doubt(&beam.probe, kth.node()))
            }
            _ => f32::INFINITY,
        }
    }
}

/// One query on one layer.
#[derive(Clone, Copy)]
pub(crate) struct Beam<'a, L> {
    pub(crate) codes: &'a Codes,
    pub(crate) links: &'a L,
    pub(crate) probe: Probe<'a>,
    pub(crate) budget: &'a Budget,
}

impl<L: Links> Beam<'_, L> {
    /// The node from which no neighbour is nearer.
    pub(crate) fn descend(&self, from: u32, trail: &mut Trail, counters: &mut SearchCounters) -> u32 {
        let mut best = Place::new(self.codes.key(&self.probe, from), from);
        loop {
            let before = best;
            trail.fresh.clear();
            self.links.each(before.node(), |neighbour| {
                self.codes.prefetch_head(neighbour);
                trail.fresh.push(neighbour);
            });
            self.codes.sift(&self.probe, &mut trail.fresh, &mut trail.estimates, before.key());
            best = self.codes.places(&self.probe, &trail.fresh, &mut trail.products).fold(best, Place::min);
            counters.hops += 1;
            counters.code_distances += trail.fresh.len() as u64;
            if best == before {
                return best.node();
            }
        }
    }

    /// Leaves the nearest nodes that a walk from `entries` meets in the trail's pool, as many as the reach has room for.
    ///
    /// Memory is asked for one step before it is used: a step compares the codes asked for in the last one, takes the next node,
    /// sifts the heads asked for in the last one, which asks for codes, and asks for the heads of the node's neighbours.
    ///
    /// # Errors
    /// `Deadline`.
    pub(crate) fn walk(&self, entries: &[u32], reach: Reach, trail: &mut Trail, counters: &mut SearchCounters) -> Result<()> {
        trail.visited.clear();
        trail.pool.start(reach.room);
        trail.near.clear();
        trail.near.extend(entries.iter().copied().filter(|&entry| trail.visited.insert(entry)));
        trail.fresh.clear();
        let mut limit = f32::INFINITY;
        loop {
            let Trail { pool, visited, fresh, near, products, estimates, .. } = trail;
            counters.code_distances += near.len() as u64;
            pool.admit(self.codes.places(&self.probe, near, products), limit);
            limit = reach.limit(self, pool);
            let next = pool.take().filter(|next| next.key() <= limit);
            if let Some(next) = next {
                self.links.prefetch(next.node());
            }
            let bound = pool.bound().unwrap_or(f32::INFINITY).min(limit);
            if bound == f32::INFINITY && reach.margin.is_some() {
                // Most neighbours of the first nodes are far. What is left out here may be met again when more is known.
                fresh.iter().for_each(|&node| visited.remove(node));
                self.codes.sift_likeliest(&self.probe, fresh, estimates);
                fresh.retain(|&node| visited.insert(node));
            } else {
                self.codes.sift(&self.probe, fresh, estimates, bound);
            }
            std::mem::swap(fresh, near);
            fresh.clear();
            match next {
                Some(next) => self.expand(next.node(), trail, counters)?,
                None if near.is_empty() => return Ok(()),
                None => {}
            }
        }
    }

    /// Puts the neighbours of a node that were not met before into `fresh`, which is empty.
    #[inline]
    fn expand(&self, node: u32, trail: &mut Trail, counters: &mut SearchCounters) -> Result<()> {
        counters.hops += 1;
        if counters.hops.is_multiple_of(BUDGET_HOPS) {
            self.budget.check()?;
        }
        let Trail { visited, fresh, .. } = trail;
        // Which ones were met before nobody can foresee, so no branch is taken on it.
        fresh.resize(self.links.width(), 0);
        let mut new = 0;
        self.links.each(node, |neighbour| {
            fresh[new] = neighbour;
            new += usize::from(visited.insert(neighbour));
        });
        fresh.truncate(new);
        for &neighbour in &*fresh {
            self.codes.prefetch_head(neighbour);
        }
        Ok(())
    }
}
