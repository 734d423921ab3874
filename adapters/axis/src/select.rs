//! Owns the choice of a node's neighbours among candidates. Refuses to know how candidates are found.

use crate::codes::Codes;
use crate::pool::Place;

/// Candidates compared with one in a call.
const COMPARED: usize = 8;
/// The share of a list that is filled with the nearest, though others stand between, when fewer are diverse: it keeps
/// duplicates and tight clusters linked.
const FILL_SHARE: usize = 2;

/// Chooses neighbours: from the nearest on, those to which no neighbour chosen before is nearer than the node itself
/// (Malkov and Yashunin, "Efficient and robust approximate nearest neighbor search using HNSW graphs", algorithm 4).
pub(crate) struct Selector<'a> {
    codes: &'a Codes,
    chosen: Vec<u32>,
    passed: Vec<u32>,
    products: Vec<i32>,
}

impl<'a> Selector<'a> {
    pub(crate) fn new(codes: &'a Codes) -> Self {
        Self { codes, chosen: Vec::new(), passed: Vec::new(), products: Vec::new() }
    }

    /// At most `room` of `candidates`, which come nearest first with their distances from the node.
    pub(crate) fn choose(&mut self, candidates: &[Place], room: usize) -> &[u32] {
        self.chosen.clear();
        self.passed.clear();
        for candidate in candidates {
            if self.chosen.len() == room {
                break;
            }
            let list = if self.is_diverse(*candidate) { &mut self.chosen } else { &mut self.passed };
            list.push(candidate.node());
        }
        let missing = (room / FILL_SHARE).saturating_sub(self.chosen.len());
        self.chosen.extend(self.passed.iter().take(missing));
        &self.chosen
    }

    fn is_diverse(&mut self, candidate: Place) -> bool {
        let probe = self.codes.probe_node(candidate.node());
        let distance = candidate.key();
        for group in self.chosen.chunks(COMPARED) {
            let nearest = self.codes.places(&probe, group, &mut self.products).min();
            // Not strictly: of duplicates one is enough to get to the others.
            if nearest.is_some_and(|nearest| nearest.key() <= distance) {
                return false;
            }
        }
        true
    }
}
