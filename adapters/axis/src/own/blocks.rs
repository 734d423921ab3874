//! Owns the comparison of nodes in blocks, by a metric of which only the port is known. Refuses to know links.

use proximadb_kernels::prefetch;
use proximadb_ports::{Metric, Result, Scorer, Vectors};

/// Rows asked for ahead of the one that is copied.
const AHEAD: usize = 4;

/// The rows of a segment as the nodes of a graph.
#[derive(Clone, Copy)]
pub(crate) struct Space<'a> {
    pub(crate) metric: &'a dyn Metric,
    pub(crate) vectors: &'a Vectors,
    /// The row of each node.
    pub(crate) order: &'a [u32],
}

/// Room for a block of rows and their keys.
#[derive(Debug, Default)]
pub(crate) struct Block {
    rows: Vec<f32>,
    keys: Vec<f32>,
}

impl<'a> Space<'a> {
    /// Nodes.
    pub(crate) fn count(&self) -> usize {
        self.order.len()
    }

    /// The vector of a node.
    pub(crate) fn vector(&self, node: u32) -> &'a [f32] {
        &self.vectors.data[self.order[node as usize] as usize * self.vectors.dimension..][..self.vectors.dimension]
    }

    /// What compares others with a node.
    ///
    /// # Errors
    /// Those of the metric.
    pub(crate) fn scorer(&self, node: u32) -> Result<Box<dyn Scorer>> {
        self.metric.prepare(self.vector(node))
    }

    /// The keys of nodes, in one call.
    ///
    /// # Errors
    /// Those of the metric.
    pub(crate) fn keys<'b>(&self, scorer: &mut dyn Scorer, nodes: &[u32], block: &'b mut Block) -> Result<&'b [f32]> {
        block.rows.clear();
        nodes.iter().take(AHEAD).for_each(|&node| prefetch(self.vector(node)));
        for (at, &node) in nodes.iter().enumerate() {
            if let Some(&later) = nodes.get(at + AHEAD) {
                prefetch(self.vector(later));
            }
            block.rows.extend_from_slice(self.vector(node));
        }
        block.keys.resize(nodes.len(), 0.0);
        if !nodes.is_empty() {
            scorer.keys(&block.rows, &mut block.keys)?;
        }
        Ok(&block.keys)
    }
}
