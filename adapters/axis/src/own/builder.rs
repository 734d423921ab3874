//! Owns the construction of a graph by a metric that is called for whole blocks: the insertion of nodes by several threads, and the
//! links back. Refuses to know searches and files.

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{Builder as Thread, scope};

use proximadb_ports::{Budget, Result, SearchCounters};

use super::blocks::{Block, Space};
use super::choice::choose;
use super::walk::{Track, Walk};
use crate::layers::{GrowingLayer, Layer, Links, layer_nodes};
use crate::pool::Place;

/// Nodes inserted by one thread before others join, which do not see each other's newest nodes.
const ALONE: usize = 1_024;
/// Locks of a layer, each for many nodes.
const LOCKS: usize = 1_024;

/// A graph under construction, into which many threads insert nodes.
pub(crate) struct Builder<'a> {
    space: Space<'a>,
    ef: usize,
    threads: usize,
    budget: &'a Budget,
    layers: Vec<GrowingLayer>,
    locks: Vec<Mutex<()>>,
    /// The first node that nobody has taken yet.
    next: AtomicUsize,
}

/// Empty layers for so many nodes, `m` neighbours a node above the lowest and twice as many there.
pub(crate) fn empty_layers(nodes: usize, m: usize) -> Vec<GrowingLayer> {
    let width = |layer: usize| if layer == 0 { m * 2 } else { m };
    layer_nodes(nodes, m).into_iter().enumerate().map(|(layer, nodes)| GrowingLayer::new(nodes, width(layer))).collect()
}

impl<'a> Builder<'a> {
    /// Goes on with layers that hold the first `next` nodes.
    pub(crate) fn new(space: Space<'a>, ef: usize, threads: usize, budget: &'a Budget, layers: Vec<GrowingLayer>, next: usize) -> Self {
        let locks = (0..LOCKS).map(|_| Mutex::new(())).collect();
        Self { space, ef, threads, budget, layers, locks, next: AtomicUsize::new(next) }
    }

    /// Inserts the nodes below `end` that were not yet. The first error ends it.
    ///
    /// # Errors
    /// `Deadline`, and those of the metric.
    pub(crate) fn insert_below(&self, end: usize) -> Result<()> {
        self.work(end.min(ALONE))?;
        let helpers = if end > ALONE { self.threads.max(1) - 1 } else { 0 };
        scope(|scope| {
            let work = || self.work(end).inspect_err(|_| self.next.store(self.space.count(), Ordering::Relaxed));
            let begin = |_| Thread::new().name("axis-build".to_owned()).spawn_scoped(scope, work).ok();
            // A thread that the system does not give is done without.
            let handles: Vec<_> = (0..helpers).filter_map(begin).collect();
            let own = work();
            handles.into_iter().map(|handle| handle.join().unwrap_or_else(|panic| resume_unwind(panic))).fold(own, Result::and)
        })
    }

    /// The layers as they are now.
    pub(crate) fn layers(&self) -> Vec<Layer> {
        self.layers.iter().map(GrowingLayer::finished).collect()
    }

    /// Inserts nodes below `end` until none is left.
    fn work(&self, end: usize) -> Result<()> {
        let mut track = Track::new(self.space.count());
        loop {
            let taken = self.next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |next| (next < end).then_some(next + 1));
            let Ok(node) = taken else { return Ok(()) };
            self.insert(node as u32, &mut track)?;
        }
    }

    fn insert(&self, node: u32, track: &mut Track) -> Result<()> {
        if node == 0 {
            return Ok(());
        }
        let mut counters = SearchCounters::default();
        let mut scorer = self.space.scorer(node)?;
        let mut entries = vec![0];
        for layer in self.layers.iter().rev() {
            let stands_here = (node as usize) < layer.nodes();
            let ef = if stands_here { self.ef } else { 1 };
            let walk = Walk { space: self.space, links: layer, budget: self.budget };
            walk.run(&mut *scorer, &entries, ef, track, &mut counters)?;
            entries.clear();
            entries.extend(track.pool.places().iter().map(|place| place.node()));
            if stands_here {
                // Another thread may have met this node on a higher layer and linked to it here already.
                let found: Vec<Place> = track.pool.places().iter().copied().filter(|place| place.node() != node).collect();
                self.link(layer, node, &found, track)?;
            }
        }
        Ok(())
    }

    /// Gives a node its neighbours, and itself to them.
    fn link(&self, layer: &GrowingLayer, node: u32, found: &[Place], track: &mut Track) -> Result<()> {
        let chosen = choose(&self.space, found, layer.width(), &mut track.block)?;
        {
            let _turn = self.turn(node);
            layer.set(node, &chosen);
        }
        for neighbour in chosen {
            let _turn = self.turn(neighbour);
            if !layer.push(neighbour, node) {
                self.budget.check()?;
                self.crowd_out(layer, neighbour, node, track)?;
            }
        }
        Ok(())
    }

    /// Puts `newcomer` on the full list of `node`, if it is worth a place there.
    fn crowd_out(&self, layer: &GrowingLayer, node: u32, newcomer: u32, track: &mut Track) -> Result<()> {
        let mut around = vec![newcomer];
        layer.each(node, |neighbour| around.push(neighbour));
        let ranked = ranked(&self.space, node, &around, &mut track.block)?;
        layer.set(node, &choose(&self.space, &ranked, layer.width(), &mut track.block)?);
        Ok(())
    }

    fn turn(&self, node: u32) -> MutexGuard<'_, ()> {
        self.locks[node as usize % LOCKS].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Nodes with their keys to one of them, or another, nearest first.
///
/// # Errors
/// Those of the metric.
pub(crate) fn ranked(space: &Space<'_>, node: u32, nodes: &[u32], block: &mut Block) -> Result<Vec<Place>> {
    let keys = space.keys(&mut *space.scorer(node)?, nodes, block)?;
    let mut places: Vec<Place> = nodes.iter().zip(keys).map(|(&node, &key)| Place::new(key, node)).collect();
    places.sort_unstable();
    Ok(places)
}
