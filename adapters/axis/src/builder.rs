//! Owns the construction of a graph: the order of nodes, their insertion by several threads, and the links back. Refuses to know
//! searches, filters and files.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use proximadb_ports::{Budget, Result, SearchCounters};

use crate::beam::{Beam, Reach};
use crate::codes::{Codes, Slack};
use crate::heads::Planes;
use crate::layers::{GrowingLayer, Layer, Links, layer_nodes};
use crate::pool::Place;
use crate::scratch::Scratch;
use crate::select::Selector;

/// Nodes inserted by one thread before others join: threads do not see each other's newest nodes, which matters while most are
/// new.
const ALONE: usize = 1_024;
/// Nodes that a thread takes at a time.
const SHARE: usize = 16;
/// Locks of a layer, each for many nodes.
const LOCKS: usize = 1_024;

/// How a graph is built.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// Neighbours of a node on upper layers; twice as many on the lowest.
    pub(crate) m: usize,
    /// Breadth of the search for them.
    pub(crate) ef: usize,
    /// Threads that may work at it.
    pub(crate) threads: usize,
    /// What estimates by signs are given for free.
    pub(crate) slack: Slack,
}

/// A graph under construction, into which many threads insert nodes.
pub(crate) struct Builder<'a> {
    codes: &'a Codes,
    shape: Shape,
    budget: &'a Budget,
    layers: Vec<GrowingLayer>,
    locks: Vec<Mutex<()>>,
    nodes: usize,
    /// The first node that nobody has taken yet.
    next: AtomicUsize,
}

/// The order in which rows become nodes: random, so that sorted rows build as good a graph, and the same for the same seed.
pub(crate) fn shuffled(rows: usize, seed: u64) -> Vec<u32> {
    let mut order: Vec<u32> = (0..rows as u32).collect();
    let mut state = seed;
    for last in (1..order.len()).rev() {
        // SplitMix64 (Steele et al., "Fast splittable pseudorandom number generators").
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = state;
        bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        let other = (u128::from(bits ^ bits >> 31) * (last as u128 + 1)) >> 64;
        order.swap(last, other as usize);
    }
    order
}

impl<'a> Builder<'a> {
    pub(crate) fn new(codes: &'a Codes, shape: Shape, budget: &'a Budget) -> Self {
        let width = |layer: usize| if layer == 0 { shape.m * 2 } else { shape.m };
        let counts = layer_nodes(codes.count(), shape.m);
        let layers = counts.into_iter().enumerate().map(|(layer, nodes)| GrowingLayer::new(nodes, width(layer))).collect();
        Self::resume(codes, shape, budget, layers, 0)
    }

    /// Goes on with layers that hold the first `next` nodes.
    pub(crate) fn resume(codes: &'a Codes, shape: Shape, budget: &'a Budget, layers: Vec<GrowingLayer>, next: usize) -> Self {
        let locks = (0..LOCKS).map(|_| Mutex::new(())).collect();
        Self { codes, shape, budget, layers, locks, nodes: codes.count(), next: AtomicUsize::new(next) }
    }

    /// Nodes that it holds or has begun to insert.
    pub(crate) fn begun(&self) -> usize {
        self.next.load(Ordering::Relaxed)
    }

    /// Inserts the nodes below `end` that were not yet.
    ///
    /// # Errors
    /// `Deadline`.
    pub(crate) fn insert_below(&self, end: usize) -> Result<()> {
        self.work(end.min(ALONE))?;
        let helpers = self.shape.threads.max(1) - 1;
        std::thread::scope(|scope| {
            let work = || self.work(end);
            let spawn = |_| std::thread::Builder::new().name("axis-build".to_owned()).spawn_scoped(scope, work).ok();
            // A thread that the system does not give is done without.
            let handles: Vec<_> = if end > ALONE { (0..helpers).filter_map(spawn).collect() } else { Vec::new() };
            let own = work();
            handles.into_iter().map(|handle| handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).fold(own, Result::and)
        })
    }

    /// The layers as they are now.
    pub(crate) fn layers(&self) -> Vec<Layer> {
        self.layers.iter().map(GrowingLayer::finished).collect()
    }

    /// Inserts nodes below `end` until none is left.
    fn work(&self, end: usize) -> Result<()> {
        let mut hand = Hand {
            scratch: Scratch::new(self.nodes),
            planes: Planes::default(),
            selector: Selector::new(self.codes),
            entries: Vec::new(),
            found: Vec::new(),
            around: Vec::new(),
        };
        loop {
            let taken = self.next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |next| (next < end).then(|| (next + SHARE).min(end)));
            let Ok(first) = taken else { return Ok(()) };
            self.budget.check()?;
            for node in first..(first + SHARE).min(end) {
                self.insert(node as u32, &mut hand)?;
            }
        }
    }

    fn insert(&self, node: u32, hand: &mut Hand<'_>) -> Result<()> {
        if node == 0 {
            return Ok(());
        }
        let mut counters = SearchCounters::default();
        hand.entries.clear();
        hand.entries.push(0);
        let probe = self.codes.walking_probe_node(node, self.shape.slack, &mut hand.planes);
        for layer in self.layers.iter().rev() {
            let beam = Beam { codes: self.codes, links: layer, probe, budget: self.budget };
            let trail = &mut hand.scratch.trail;
            if node as usize >= layer.nodes() {
                let entry = beam.descend(hand.entries[0], trail, &mut counters);
                hand.entries.clear();
                hand.entries.push(entry);
                continue;
            }
            beam.walk(&hand.entries, Reach::breadth(self.shape.ef), trail, &mut counters)?;
            hand.entries.clear();
            hand.entries.extend(trail.pool.places().iter().map(|place| place.node()));
            // Another thread may have met this node on a higher layer and linked to it here already: it is no neighbour of itself.
            hand.found.clear();
            hand.found.extend(trail.pool.places().iter().filter(|place| place.node() != node));
            self.link(layer, node, &hand.found, &mut hand.selector, &mut hand.around);
        }
        Ok(())
    }

    /// Gives a node its neighbours, and itself to them.
    fn link(&self, layer: &GrowingLayer, node: u32, found: &[Place], selector: &mut Selector<'_>, around: &mut Vec<Place>) {
        let chosen = selector.choose(found, layer.width()).to_vec();
        {
            let _turn = self.turn(node);
            layer.set(node, &chosen);
        }
        for neighbour in chosen {
            let _turn = self.turn(neighbour);
            if !layer.push(neighbour, node) {
                self.crowd_out(layer, neighbour, node, selector, around);
            }
        }
    }

    /// Puts `newcomer` on the full list of `node`, if it is worth a place there.
    fn crowd_out(&self, layer: &GrowingLayer, node: u32, newcomer: u32, selector: &mut Selector<'_>, around: &mut Vec<Place>) {
        let mut nodes = vec![newcomer];
        layer.each(node, |neighbour| nodes.push(neighbour));
        around.clear();
        let mut products = Vec::new();
        around.extend(self.codes.places(&self.codes.probe_node(node), &nodes, &mut products));
        around.sort_unstable();
        layer.set(node, selector.choose(around, layer.width()));
    }

    fn turn(&self, node: u32) -> std::sync::MutexGuard<'_, ()> {
        self.locks[node as usize % LOCKS].lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// What one thread builds with.
struct Hand<'a> {
    scratch: Scratch,
    planes: Planes,
    selector: Selector<'a>,
    entries: Vec<u32>,
    found: Vec<Place>,
    around: Vec<Place>,
}
