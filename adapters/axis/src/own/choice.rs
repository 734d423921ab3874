//! Owns the choice of a node's neighbours by a metric that is called for whole blocks. Refuses to know how candidates are found.

use proximadb_ports::Result;

use super::blocks::{Block, Space};
use crate::pool::Place;

/// The share of a list that is filled with the nearest, though others stand between, when fewer are diverse.
const FILL_SHARE: usize = 2;

/// Chooses at most `room` of `candidates`, which come nearest first with their keys to the node: from the nearest on, those to which no
/// neighbour chosen before is nearer than the node itself (Malkov and Yashunin, "Efficient and robust approximate nearest neighbor
/// search using HNSW graphs", algorithm 4).
///
/// Each that is chosen is compared with all candidates left, in one call, and those that it stands before are passed over.
///
/// # Errors
/// Those of the metric.
pub(crate) fn choose(space: &Space<'_>, candidates: &[Place], room: usize, block: &mut Block) -> Result<Vec<u32>> {
    let (mut chosen, mut passed, mut left) = (Vec::with_capacity(room), Vec::new(), candidates.to_vec());
    let mut nodes = Vec::with_capacity(left.len());
    while let Some((&nearest, others)) = left.split_first()
        && chosen.len() < room
    {
        chosen.push(nearest.node());
        if chosen.len() == room {
            break;
        }
        nodes.clear();
        nodes.extend(others.iter().map(|other| other.node()));
        let mut keys = space.keys(&mut *space.scorer(nearest.node())?, &nodes, block)?.iter();
        let mut kept = Vec::with_capacity(others.len());
        for &other in others {
            // Not strictly: of duplicates one is enough to get to the others.
            let is_passed = keys.next().is_some_and(|&key| key <= other.key());
            if is_passed { &mut passed } else { &mut kept }.push(other);
        }
        left = kept;
    }
    let missing = (room / FILL_SHARE).saturating_sub(chosen.len());
    passed.sort_unstable();
    chosen.extend(passed.iter().take(missing).map(|place| place.node()));
    Ok(chosen)
}
