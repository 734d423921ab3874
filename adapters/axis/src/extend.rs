//! Owns what of a graph is kept when its rows become part of more: the nodes that are still there, their codes, and their lists,
//! in which the neighbours of those that are gone take their places. Refuses to decide when that is worth it, and to insert
//! anything.

use std::convert::Infallible;

use proximadb_ports::{Fault, PortError, Result};

use crate::builder::shuffled;
use crate::codes::Codes;
use crate::graph::KIND;
use crate::layers::{GrowingLayer, Layer, Links, NONE};
use crate::select::Selector;

/// The nodes of a graph that stay, with their numbers in the one that it becomes part of.
pub(crate) struct Kept {
    /// The old number of each, in the order of the new ones.
    pub(crate) nodes: Vec<u32>,
    /// The new number of each old node; [`NONE`] of those that are gone.
    numbers: Vec<u32>,
}

impl Kept {
    /// Keeps the nodes for which `stays`. Their order is kept, so that upper layers hold the first ones still.
    pub(crate) fn new(nodes: usize, stays: impl Fn(u32) -> bool) -> Self {
        let kept: Vec<u32> = (0..nodes as u32).filter(|&node| stays(node)).collect();
        let mut numbers = vec![NONE; nodes];
        kept.iter().enumerate().for_each(|(number, &node)| numbers[node as usize] = number as u32);
        Self { nodes: kept, numbers }
    }

    /// The rows of a graph that goes on: those of the nodes that stay, in their order, then all others of `count`, shuffled.
    ///
    /// # Errors
    /// `Invalid` where a row stands twice or is not there.
    pub(crate) fn order(&self, old: &[u32], rows: &[Option<u32>], count: usize, seed: u64) -> Result<Vec<u32>> {
        let mut order: Vec<u32> = self.nodes.iter().filter_map(|&node| rows[old[node as usize] as usize]).collect();
        let mut is_new = vec![true; count];
        for &row in &order {
            match is_new.get_mut(row as usize) {
                Some(new) if *new => *new = false,
                _ => {
                    let message = "a row stands twice or lies outside";
                    return Err(PortError::new(Fault::Invalid, "index.extend", KIND, message).with_field("rows"));
                }
            }
        }
        order.extend(shuffled(count, seed).into_iter().filter(|&row| is_new[row as usize]));
        Ok(order)
    }

    /// Layers of the nodes that stay, with room for `nodes` on the lowest. `codes` are those of the new numbers.
    pub(crate) fn layers(&self, layers: &[Layer], codes: &Codes, nodes: usize) -> Vec<GrowingLayer> {
        let mut selector = Selector::new(codes);
        let chosen = self.layers_by(layers, nodes, |number, left, width| {
            let mut places: Vec<_> = codes.places(&codes.probe_node(number), &left, &mut Vec::new()).collect();
            places.sort_unstable();
            Ok::<_, Infallible>(selector.choose(&places, width).to_vec())
        });
        match chosen {
            Ok(layers) => layers,
            Err(never) => match never {},
        }
    }

    /// Layers of the nodes that stay, with room for `nodes` on the lowest. `choose` takes so many neighbours at most for a node, which
    /// has its new number as they have, out of more.
    ///
    /// # Errors
    /// Those of `choose`.
    pub(crate) fn layers_by<E>(
        &self,
        layers: &[Layer],
        nodes: usize,
        mut choose: impl FnMut(u32, Vec<u32>, usize) -> std::result::Result<Vec<u32>, E>,
    ) -> std::result::Result<Vec<GrowingLayer>, E> {
        let mut grown = Vec::with_capacity(layers.len());
        for (height, layer) in layers.iter().enumerate() {
            let count = self.nodes.partition_point(|&node| (node as usize) < layer.nodes());
            // A layer that has lost nearly all of its nodes leads nowhere.
            if height > 0 && count < 2 {
                break;
            }
            let growing = GrowingLayer::new(if height == 0 { nodes } else { count }, layer.width());
            for (number, &node) in self.nodes[..count].iter().enumerate() {
                growing.set(number as u32, &self.list(layer, node, number as u32, &mut choose)?);
            }
            grown.push(growing);
        }
        Ok(grown)
    }

    /// The neighbours that a node has left. Where some are gone, their neighbours stand for them, and the best of all are chosen.
    fn list<E>(
        &self,
        layer: &Layer,
        node: u32,
        number: u32,
        mut choose: impl FnMut(u32, Vec<u32>, usize) -> std::result::Result<Vec<u32>, E>,
    ) -> std::result::Result<Vec<u32>, E> {
        let here = |old: &u32| Some(self.numbers[*old as usize]).filter(|&new| new != NONE);
        let list = layer.list(node);
        let mut left: Vec<u32> = list.iter().filter_map(here).collect();
        if left.len() == list.len() {
            return Ok(left);
        }
        let beyond = list.iter().filter(|old| here(old).is_none()).flat_map(|&gone| layer.list(gone));
        left.extend(beyond.filter_map(here).filter(|&new| new != number));
        left.sort_unstable();
        left.dedup();
        choose(number, left, layer.width())
    }
}
