//! Owns the walk over one layer: greedy to one node, or best first with a beam. Refuses to know rows, metrics and who asks.

use proximadb_ports::{Budget, Result, SearchCounters};

use crate::codes::{Codes, Probe};
use crate::layers::Links;
use crate::pool::{Place, Pool};
use crate::scratch::Trail;

/// Nodes expanded between two looks at the budget.
const BUDGET_HOPS: u64 = 64;
/// Nodes whose heads, or codes, a scan asks for at a time, and how often it does so between two looks at the budget.
const SCANNED: usize = 64;
const SCANS_A_LOOK: usize = 64;
/// Estimates by which a scan guesses how far the nearest nodes are.
const SAMPLED: usize = 256;
/// Standard deviations that the guess is generous by, so that next to always enough nodes are within it.
const SAMPLE_DEVIATIONS: f32 = 2.5;

/// Takes the nearest of the trail's `fresh` nodes into its pool, which was started.
///
/// All are estimated by their signs. Those that are likely the nearest are compared by their codes first, which leaves few others that
/// are estimated nearer than the farthest of the pool: these are compared next, and the rest never.
///
/// # Errors
/// `Deadline`.
pub(crate) fn scan(codes: &Codes, probe: &Probe<'_>, budget: &Budget, trail: &mut Trail, counters: &mut SearchCounters) -> Result<()> {
    let Trail { pool, fresh, near, products, estimates, sample, .. } = trail;
    if !codes.can_estimate(probe) {
        return compare(codes, probe, fresh, budget, pool, products, counters);
    }
    estimates.clear();
    estimates.resize(fresh.len(), 0.0);
    in_blocks(
        fresh,
        budget,
        |node| codes.prefetch_head(node),
        |from, block| {
            codes.estimates(probe, block, &mut estimates[from..][..block.len()]);
        },
    )?;
    let farthest = |pool: &Pool| pool.bound().unwrap_or(f32::INFINITY);
    let likely = likely_bound(estimates, pool.room(), sample).min(farthest(pool));
    pick(fresh, estimates, |estimate| estimate <= likely, near);
    compare(codes, probe, near, budget, pool, products, counters)?;
    let bound = farthest(pool);
    pick(fresh, estimates, |estimate| likely < estimate && estimate <= bound, near);
    compare(codes, probe, near, budget, pool, products, counters)
}

/// A bound within which most likely `count` of the estimates lie, and not many more.
fn likely_bound(estimates: &[f32], count: usize, sample: &mut Vec<f32>) -> f32 {
    let stride = estimates.len().div_ceil(SAMPLED).max(1);
    sample.clear();
    sample.extend(estimates.iter().step_by(stride));
    let share = count as f32 * sample.len() as f32 / estimates.len().max(1) as f32;
    let place = (share + SAMPLE_DEVIATIONS * share.sqrt() + 1.0) as usize;
    if place < sample.len() { *sample.select_nth_unstable_by(place, f32::total_cmp).1 } else { f32::INFINITY }
}

/// Puts the nodes whose estimates fit into `into`.
#[inline]
fn pick(nodes: &[u32], estimates: &[f32], fits: impl Fn(f32) -> bool, into: &mut Vec<u32>) {
    into.resize(nodes.len(), 0);
    // Which of them fit nobody can foresee, so no branch is taken on it.
    let mut kept = 0;
    for (&node, &estimate) in nodes.iter().zip(estimates) {
        into[kept] = node;
        kept += usize::from(fits(estimate));
    }
    into.truncate(kept);
}

/// Takes nodes into the pool by their codes.
fn compare(
    codes: &Codes,
    probe: &Probe<'_>,
    nodes: &[u32],
    budget: &Budget,
    pool: &mut Pool,
    products: &mut Vec<i32>,
    counters: &mut SearchCounters,
) -> Result<()> {
    counters.code_distances += nodes.len() as u64;
    in_blocks(nodes, budget, |node| codes.prefetch(node), |_, block| pool.admit(codes.places(probe, block, products), f32::INFINITY))
}

/// Does something with blocks of nodes, each of which was asked for one block before; it is told where the block begins.
#[inline]
fn in_blocks(nodes: &[u32], budget: &Budget, ask_for: impl Fn(u32), mut work: impl FnMut(usize, &[u32])) -> Result<()> {
    nodes.iter().take(SCANNED).for_each(|&node| ask_for(node));
    for (at, block) in nodes.chunks(SCANNED).enumerate() {
        if at.is_multiple_of(SCANS_A_LOOK) {
            budget.check()?;
        }
        let from = at * SCANNED;
        nodes[from + block.len()..].iter().take(SCANNED).for_each(|&node| ask_for(node));
        work(from, block);
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
