//! How a segment is searched: by comparing every allowed row, or by its graph.

/// How one segment is searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// Compare every allowed row.
    Exact,
    /// Ask the segment's approximate index.
    Approximate {
        /// Breadth of the walk.
        ef: usize,
    },
    /// No row is allowed; there is nothing to search.
    Nothing,
}

impl Strategy {
    /// The word in `explain`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Approximate { .. } => "approximate",
            Self::Nothing => "skipped",
        }
    }
}

/// A strategy and its reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentPlan {
    /// What to do.
    pub strategy: Strategy,
    /// Why, for `explain`.
    pub reason: &'static str,
}

/// What is known of a segment before it is searched.
#[derive(Clone, Copy, Debug)]
pub struct SegmentFacts {
    /// Rows in it.
    pub rows: usize,
    /// Rows that deletes and the filter leave.
    pub allowed: usize,
    /// Whether it has an approximate index.
    pub approximate: bool,
}

/// Below this share of allowed rows a walk mostly meets rows that do not count, and comparing the allowed ones is cheaper
/// and exact (the peers' break-even lies near 1 to 3 %).
const SCAN_SHARE: usize = 33;

/// Decides how to search one segment for `k` hits with breadth `ef`.
pub fn plan_segment(facts: SegmentFacts, k: usize, ef: usize, exact: bool) -> SegmentPlan {
    let plan = |strategy, reason| SegmentPlan { strategy, reason };
    let SegmentFacts { rows, allowed, approximate } = facts;
    if allowed == 0 {
        return plan(Strategy::Nothing, "no row is left by deletes and the filter");
    }
    if exact {
        return plan(Strategy::Exact, "the request asks for it");
    }
    if !approximate {
        return plan(Strategy::Exact, "the segment has no approximate index");
    }
    let ef = ef.max(k);
    // A walk looks at some dozens of neighbours for each of its ef steps; where that is as much as a scan, the scan is exact.
    if allowed <= ef.saturating_mul(8) {
        return plan(Strategy::Exact, "few rows are allowed");
    }
    if allowed.saturating_mul(SCAN_SHARE) <= rows {
        return plan(Strategy::Exact, "the filter leaves a small share of the rows");
    }
    let widened = if allowed.saturating_mul(2) >= rows { ef } else { ef.saturating_mul(2) };
    plan(Strategy::Approximate { ef: widened }, if widened == ef { "graph" } else { "graph, walked wider because of the filter" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(rows: usize, allowed: usize, approximate: bool, exact: bool, expected: Strategy) {
        let plan = plan_segment(SegmentFacts { rows, allowed, approximate }, 10, 96, exact);
        assert_eq!(plan.strategy, expected, "{}", plan.reason);
    }

    #[test]
    fn the_strategy_follows_size_and_selectivity() {
        check(100_000, 100_000, true, false, Strategy::Approximate { ef: 96 });
        check(100_000, 50_000, true, false, Strategy::Approximate { ef: 96 });
        check(100_000, 10_000, true, false, Strategy::Approximate { ef: 192 });
        check(100_000, 1_000, true, false, Strategy::Exact);
        check(100_000, 0, true, false, Strategy::Nothing);
        check(500, 500, true, false, Strategy::Exact);
        check(100_000, 100_000, false, false, Strategy::Exact);
        check(100_000, 100_000, true, true, Strategy::Exact);
    }

    #[test]
    fn the_breadth_is_at_least_k() {
        let facts = SegmentFacts { rows: 1_000_000, allowed: 1_000_000, approximate: true };
        assert_eq!(plan_segment(facts, 500, 96, false).strategy, Strategy::Approximate { ef: 500 });
    }
}
