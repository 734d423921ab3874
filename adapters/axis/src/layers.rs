//! Owns the graph's shape: which nodes stand on which layer and the lists of neighbours. Refuses to know vectors and distances.
//!
//! Nodes are numbered so that a layer holds the first so many of them; a node has the same number on all its layers.

use std::sync::atomic::{AtomicU32, Ordering};

use proximadb_kernels::prefetch;

use crate::aligned::AlignedRows;

/// The end of a list that is not full.
pub(crate) const NONE: u32 = u32::MAX;
/// Layers of a graph at most: each has at most half the nodes of the one below.
pub(crate) const LAYERS_MAX: usize = 32;

/// Reads lists of neighbours.
pub(crate) trait Links {
    /// Calls for each neighbour of `node`.
    fn each(&self, node: u32, visit: impl FnMut(u32));

    /// Asks for the list of `node`.
    fn prefetch(&self, node: u32);

    /// Neighbours that a node may have.
    fn width(&self) -> usize;
}

/// One finished layer.
#[derive(Debug)]
pub(crate) struct Layer {
    nodes: usize,
    width: usize,
    lists: AlignedRows<u32>,
}

impl Layer {
    /// A layer of empty lists.
    pub(crate) fn empty(nodes: usize, width: usize) -> Self {
        Self { nodes, width, lists: AlignedRows::filled(nodes, AlignedRows::<u32>::stride_for(width), NONE) }
    }

    /// A layer of lists that were written as they lie in memory, each as long as it may be; `None` where one holds what is no
    /// node of the layer.
    pub(crate) fn read(nodes: usize, width: usize, lists: &[u8]) -> Option<Self> {
        let read = AlignedRows::read(lists, nodes, width, NONE, |node| u32::from_le_bytes(*node));
        let layer = Self { nodes, width, lists: read };
        let is_sound = |node: usize| {
            let (list, rest) = layer.slots(node as u32).split_at(layer.list(node as u32).len());
            list.iter().fold(true, |all, &n| all & ((n as usize) < nodes)) && rest.iter().all(|&n| n == NONE)
        };
        (0..nodes).all(is_sound).then_some(layer)
    }

    /// Nodes on it.
    pub(crate) fn nodes(&self) -> usize {
        self.nodes
    }

    /// The whole list of a node, [`NONE`] behind the last neighbour.
    pub(crate) fn slots(&self, node: u32) -> &[u32] {
        &self.lists.row(node as usize)[..self.width]
    }

    /// The neighbours of a node.
    pub(crate) fn list(&self, node: u32) -> &[u32] {
        let list = self.slots(node);
        let len = list.iter().position(|&n| n == NONE).unwrap_or(self.width);
        &list[..len]
    }

    /// Room for the neighbours of a node, [`NONE`] behind the last.
    pub(crate) fn list_mut(&mut self, node: u32) -> &mut [u32] {
        &mut self.lists.row_mut(node as usize)[..self.width]
    }

    /// Bytes that it holds.
    pub(crate) fn bytes(&self) -> usize {
        self.lists.bytes()
    }
}

impl Links for Layer {
    #[inline]
    fn each(&self, node: u32, mut visit: impl FnMut(u32)) {
        for &neighbour in &self.lists.row(node as usize)[..self.width] {
            if neighbour == NONE {
                break;
            }
            visit(neighbour);
        }
    }

    #[inline]
    fn prefetch(&self, node: u32) {
        self.lists.prefetch(node as usize);
    }

    #[inline]
    fn width(&self) -> usize {
        self.width
    }
}

/// One layer while several threads build it: readers may see a list half old and half new, every entry of which is a node.
#[derive(Debug)]
pub(crate) struct GrowingLayer {
    nodes: usize,
    width: usize,
    lists: Vec<AtomicU32>,
}

impl GrowingLayer {
    pub(crate) fn new(nodes: usize, width: usize) -> Self {
        Self { nodes, width, lists: (0..nodes * width).map(|_| AtomicU32::new(NONE)).collect() }
    }

    pub(crate) fn nodes(&self) -> usize {
        self.nodes
    }

    /// Writes a list; writers of one node take turns by a lock that is not kept here.
    pub(crate) fn set(&self, node: u32, neighbours: &[u32]) {
        let ends = std::iter::repeat(&NONE);
        for (place, &neighbour) in self.slots(node).iter().zip(neighbours.iter().chain(ends)) {
            place.store(neighbour, Ordering::Relaxed);
        }
    }

    /// Appends to a list; false when it is full. Writers take turns as for [`Self::set`].
    pub(crate) fn push(&self, node: u32, neighbour: u32) -> bool {
        match self.slots(node).iter().find(|place| place.load(Ordering::Relaxed) == NONE) {
            Some(place) => {
                place.store(neighbour, Ordering::Relaxed);
                true
            }
            None => false,
        }
    }

    /// The layer as it is now.
    pub(crate) fn finished(&self) -> Layer {
        let mut layer = Layer::empty(self.nodes, self.width);
        for node in 0..self.nodes as u32 {
            for (place, from) in layer.list_mut(node).iter_mut().zip(self.slots(node)) {
                *place = from.load(Ordering::Relaxed);
            }
        }
        layer
    }

    fn slots(&self, node: u32) -> &[AtomicU32] {
        &self.lists[node as usize * self.width..][..self.width]
    }
}

impl Links for GrowingLayer {
    #[inline]
    fn each(&self, node: u32, mut visit: impl FnMut(u32)) {
        for place in self.slots(node) {
            match place.load(Ordering::Relaxed) {
                NONE => break,
                neighbour => visit(neighbour),
            }
        }
    }

    #[inline]
    fn prefetch(&self, node: u32) {
        prefetch(self.slots(node));
    }

    #[inline]
    fn width(&self) -> usize {
        self.width
    }
}

/// How many nodes stand on each layer, lowest first: each layer has a `1 / m` of the one below, the highest a few.
pub(crate) fn layer_nodes(rows: usize, m: usize) -> Vec<usize> {
    let mut counts = vec![rows];
    let mut left = rows / m.max(2);
    while left > 1 && counts.len() < LAYERS_MAX {
        counts.push(left);
        left /= m.max(2);
    }
    counts
}
