//! Which searches run where they are asked for: those that end sooner than another thread could have begun and answered.
//! Decides only how a search runs, never what it finds.

use std::sync::Arc;

use proximadb_model::{MetricKind, plan};

use super::{Job, params_of};
use crate::snapshot::{SegmentView, Snapshot};

/// Components that a search may compare to be short. A core compares some billions a second, so that this takes it a few hundred
/// microseconds; the tasks of other connections wait no longer than that.
pub(super) const COMPONENTS_MAX: usize = 1 << 21;
/// Rows of which the comparison costs as much as one step of a walk: each looks at some dozens of compact codes.
const ROWS_PER_STEP: usize = 16;

impl Job {
    /// Whether the search is surely short. What a plugin computes never is.
    pub(super) fn is_short(&self, shards: &[Arc<Snapshot>]) -> bool {
        let mut components = 0usize;
        for (shard, snapshot) in shards.iter().enumerate() {
            if matches!(snapshot.metric.descriptor().kind, MetricKind::Wasm(_)) {
                return false;
            }
            components = components.saturating_add(self.rows_compared(shard, snapshot).saturating_mul(snapshot.dimension()));
        }
        components <= COMPONENTS_MAX
    }

    fn rows_compared(&self, shard: usize, snapshot: &Snapshot) -> usize {
        let blocks = snapshot.memtables().flat_map(|memtable| memtable.blocks().iter());
        let in_memory = blocks.map(|block| block.rows().len()).fold(0, usize::saturating_add);
        let in_segments = snapshot.segments.iter().enumerate().map(|(source, view)| self.rows_of(shard, snapshot, source, view));
        in_segments.fold(in_memory, usize::saturating_add)
    }

    fn rows_of(&self, shard: usize, snapshot: &Snapshot, source: usize, view: &SegmentView) -> usize {
        let allow = self.allowed(shard, source);
        match params_of(&self.request, snapshot, view, allow).0.strategy {
            plan::SearchStrategy::Nothing => 0,
            plan::SearchStrategy::Exact => allow.map_or(view.rows(), |rows| rows.count()),
            plan::SearchStrategy::Approximate { ef } => {
                let allowed = allow.map_or(view.rows(), |rows| rows.count()).max(1);
                // Wider by what the filter leaves out, or else a scan of what it leaves.
                ef.saturating_mul(view.rows()).div_ceil(allowed).saturating_mul(ROWS_PER_STEP).min(allowed)
            }
        }
    }
}
