//! How a segment is searched: by comparing every allowed row, or by asking its index, which walks its graph or scans its codes.
//!
//! Decides from counts alone; the numbers that it decides by stand in [`cost`] and nowhere else.

/// What the decision rests on, in one place: to be measured anew when indexes or scans change.
pub mod cost {
    /// Comparing so many rows costs less than any index, whatever compares them.
    pub const EXACT_ROWS_MAX: usize = 128;
    /// Comparing originals of so many components in all costs a built-in metric no more than bringing a query into an index's codes,
    /// scanning those of the rows that a filter leaves, and having what that finds compared again (docs/evidence/axis.adoc).
    pub const EXACT_COMPONENTS_MAX: usize = 128 << 10;
    /// Shorter rows cost as much as if they had so many components.
    pub const DIMENSION_MIN: usize = 64;
    /// Rows whose originals are on disk: each is a read.
    pub const EXACT_READS_MAX: usize = 8;
    /// Where deletes and a filter leave less than one row in so many, searches are not those whose recall was measured.
    pub const SPARSE_ROWS: usize = 2;
}

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
    /// Components of a row.
    pub dimension: usize,
    /// Whether a plugin compares rows.
    pub foreign: bool,
    /// Whether it has an approximate index.
    pub approximate: bool,
    /// Whether the rows' originals are in memory.
    pub originals: bool,
}

/// How hard a search is to try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// Compare every row: the request says so.
    Exact,
    /// Walk with this breadth.
    Breadth(usize),
    /// Reach a recall that the segment's index was not seen to reach at any breadth.
    OutOfReach,
}

/// Decides how to search one segment for `k` hits.
pub fn plan_segment(facts: SegmentFacts, k: usize, effort: Effort) -> SegmentPlan {
    let plan = |strategy, reason| SegmentPlan { strategy, reason };
    let SegmentFacts { rows, allowed, dimension, foreign, approximate, originals } = facts;
    if allowed == 0 {
        return plan(Strategy::Nothing, "no row is left by deletes and the filter");
    }
    let ef = match effort {
        Effort::Exact => return plan(Strategy::Exact, "the request asks for it"),
        _ if !approximate => return plan(Strategy::Exact, "the segment has no approximate index"),
        Effort::OutOfReach => return plan(Strategy::Exact, "the index is not known to reach the recall that is asked for"),
        Effort::Breadth(ef) => ef.max(k),
    };
    let exact_max = match originals {
        false => cost::EXACT_READS_MAX,
        // Where all rows are asked for the index walks, which costs less than a scan of codes.
        true if foreign || allowed == rows => cost::EXACT_ROWS_MAX,
        true => cost::EXACT_COMPONENTS_MAX / dimension.max(cost::DIMENSION_MIN),
    };
    if allowed <= exact_max {
        return plan(Strategy::Exact, "few rows");
    }
    let reason = if allowed == rows { "graph" } else { "graph, walked wider for the rows that are not allowed, or a scan of codes" };
    plan(Strategy::Approximate { ef }, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(rows: usize, allowed: usize, effort: Effort, expected: Strategy) {
        let facts = SegmentFacts { rows, allowed, dimension: 384, foreign: false, approximate: true, originals: true };
        let plan = plan_segment(facts, 10, effort);
        assert_eq!(plan.strategy, expected, "{}", plan.reason);
    }

    const DEFAULT: Effort = Effort::Breadth(96);

    #[test]
    fn the_strategy_follows_what_is_left_and_what_is_asked_for() {
        for allowed in [100_000, 50_000, 1_000, 342] {
            check(100_000, allowed, DEFAULT, Strategy::Approximate { ef: 96 });
        }
        check(100_000, 341, DEFAULT, Strategy::Exact);
        check(100_000, 0, DEFAULT, Strategy::Nothing);
        check(100, 100, DEFAULT, Strategy::Exact);
        check(100_000, 100_000, Effort::Exact, Strategy::Exact);
        check(100_000, 100_000, Effort::OutOfReach, Strategy::Exact);
    }

    #[test]
    fn what_is_on_disk_is_compared_only_where_it_is_little() {
        let plan = |originals, allowed| {
            let facts = SegmentFacts { rows: 100_000, allowed, dimension: 384, foreign: false, approximate: true, originals };
            plan_segment(facts, 10, DEFAULT).strategy
        };
        assert_eq!(plan(true, 100), Strategy::Exact);
        assert_eq!(plan(false, 100), Strategy::Approximate { ef: 96 });
        assert_eq!(plan(false, 8), Strategy::Exact);
    }

    #[test]
    fn of_short_rows_more_are_compared() {
        for (dimension, most) in [(1, 2_048), (64, 2_048), (100, 1_310), (1_536, 85)] {
            let plan = |allowed| {
                let facts = SegmentFacts { rows: 100_000, allowed, dimension, foreign: false, approximate: true, originals: true };
                plan_segment(facts, 10, DEFAULT).strategy
            };
            assert_eq!((plan(most), plan(most + 1)), (Strategy::Exact, Strategy::Approximate { ef: 96 }), "{dimension}");
        }
        let all = SegmentFacts { rows: 129, allowed: 129, dimension: 64, foreign: false, approximate: true, originals: true };
        assert_eq!(plan_segment(all, 10, DEFAULT).strategy, Strategy::Approximate { ef: 96 }, "all rows are asked for");
        let by_plugin = SegmentFacts { rows: 100_000, foreign: true, ..all };
        assert_eq!(plan_segment(by_plugin, 10, DEFAULT).strategy, Strategy::Approximate { ef: 96 }, "a plugin takes longer");
    }

    #[test]
    fn the_breadth_is_at_least_k() {
        let facts =
            SegmentFacts { rows: 1_000_000, allowed: 1_000_000, dimension: 384, foreign: false, approximate: true, originals: true };
        assert_eq!(plan_segment(facts, 500, DEFAULT).strategy, Strategy::Approximate { ef: 500 });
    }

    #[test]
    fn a_segment_without_a_graph_is_compared() {
        let facts = SegmentFacts { rows: 100_000, allowed: 100_000, dimension: 384, foreign: false, approximate: false, originals: true };
        assert_eq!(plan_segment(facts, 10, DEFAULT).strategy, Strategy::Exact);
    }
}
