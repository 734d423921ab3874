//! Owns the memory that a walk needs and gives it to the next one. Refuses to know what is walked.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::codes::QueryCode;
use crate::pool::Pool;

/// Threads whose searches find their memory again.
const KEPT: usize = 16;

/// What one walk at a time needs.
#[derive(Debug)]
pub(crate) struct Scratch {
    pub(crate) trail: Trail,
    pub(crate) query: QueryCode,
    pub(crate) floats: Vec<f32>,
}

/// Where a walk has been, and what it found.
#[derive(Debug)]
pub(crate) struct Trail {
    pub(crate) visited: Visited,
    pub(crate) pool: Pool,
    /// Neighbours met for the first time.
    pub(crate) fresh: Vec<u32>,
    /// Those of them that may be near enough.
    pub(crate) near: Vec<u32>,
    pub(crate) products: Vec<i32>,
    pub(crate) estimates: Vec<f32>,
    /// Some of the estimates.
    pub(crate) sample: Vec<f32>,
}

impl Scratch {
    pub(crate) fn new(nodes: usize) -> Self {
        let trail = Trail {
            visited: Visited::new(nodes),
            pool: Pool::default(),
            fresh: Vec::new(),
            near: Vec::new(),
            products: Vec::new(),
            estimates: Vec::new(),
            sample: Vec::new(),
        };
        Self { trail, query: QueryCode::empty(), floats: Vec::new() }
    }
}

impl Trail {
    fn bytes(&self) -> usize {
        let Self { visited, fresh, near, estimates, .. } = self;
        8 * visited.words.len() + 4 * (fresh.capacity() + near.capacity() + estimates.capacity())
    }
}

/// The nodes that a walk has met.
#[derive(Debug)]
pub(crate) struct Visited {
    words: Vec<u64>,
}

impl Visited {
    pub(crate) fn new(nodes: usize) -> Self {
        Self { words: vec![0; nodes.div_ceil(64)] }
    }

    pub(crate) fn clear(&mut self) {
        self.words.fill(0);
    }

    /// Forgets that a node was met.
    #[inline]
    pub(crate) fn remove(&mut self, node: u32) {
        self.words[node as usize / 64] &= !(1 << (node % 64));
    }

    /// Puts a node in; says whether it was not there before.
    #[inline]
    pub(crate) fn insert(&mut self, node: u32) -> bool {
        let (word, bit) = (&mut self.words[node as usize / 64], 1u64 << (node % 64));
        let new = *word & bit == 0;
        *word |= bit;
        new
    }
}

/// Scratch memory that waits for the next search of the same thread, in whose caches it lies: fetching it from those of another core
/// takes longer than some of a walk. Nobody ever waits for it, and no slot shares a cache line with another.
#[derive(Debug, Default)]
pub(crate) struct ScratchPool {
    slots: [Slot; KEPT],
}

#[derive(Debug, Default)]
#[repr(align(128))]
struct Slot(Mutex<Option<Box<Scratch>>>);

/// Threads that have searched so far.
static THREADS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// The slot of this thread; threads beyond the number of slots share them.
    static HOME: usize = THREADS.fetch_add(1, Ordering::Relaxed) % KEPT;
}

impl ScratchPool {
    /// Runs a walk over `nodes` nodes with memory of its own.
    pub(crate) fn with<R>(&self, nodes: usize, walk: impl FnOnce(&mut Scratch) -> R) -> R {
        let Slot(home) = &self.slots[HOME.with(|home| *home)];
        let kept = home.try_lock().ok().and_then(|mut slot| slot.take());
        let mut scratch = kept.unwrap_or_else(|| Box::new(Scratch::new(nodes)));
        let answer = walk(&mut scratch);
        if let Ok(mut slot) = home.try_lock() {
            *slot = Some(scratch);
        }
        answer
    }

    /// Bytes of a pool's slots.
    pub(crate) fn bytes(&self) -> usize {
        let held = |slot: &Slot| slot.0.try_lock().ok().and_then(|s| s.as_ref().map(|s| s.trail.bytes()));
        self.slots.iter().filter_map(held).sum()
    }
}
