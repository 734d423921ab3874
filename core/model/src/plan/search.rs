//! How a segment is searched: by comparing every allowed row, or by walking its graph, narrowly or widely.
//!
//! Decides from counts alone; the numbers that it decides by stand in [`cost`] and nowhere else.

/// What the decision rests on, in one place: each is a ratio of costs, to be measured anew when walks or scans change.
pub mod cost {
    /// One place of a walk's breadth costs about as much as comparing so many rows by their originals: a node's neighbours are some
    /// dozens of codes, and a code costs a fraction of a row.
    pub const ROWS_A_PLACE: usize = 8;
    /// Where the filter leaves less than one row in so many, a walk is not tried, however large the segment: between rows that count
    /// it meets so many that do not that it ends far from some of the nearest.
    pub const WALKED_ROWS_MAX: usize = 200;
    /// Where the filter leaves less than one row in so many, a walk has the breadth of [`WIDENED`] times what was asked for: the rows
    /// that count are no longer neighbours of each other, and some are reached late.
    pub const SPARSE_ROWS: usize = 2;
    /// See [`SPARSE_ROWS`].
    pub const WIDENED: usize = 2;
    /// Comparing a row whose original is on disk costs about as much as so many whose originals are in memory.
    pub const ROWS_A_READ: usize = 16;
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
    let SegmentFacts { rows, allowed, approximate, originals } = facts;
    if allowed == 0 {
        return plan(Strategy::Nothing, "no row is left by deletes and the filter");
    }
    let ef = match effort {
        Effort::Exact => return plan(Strategy::Exact, "the request asks for it"),
        _ if !approximate => return plan(Strategy::Exact, "the segment has no approximate index"),
        Effort::OutOfReach => return plan(Strategy::Exact, "the index is not known to reach the recall that is asked for"),
        Effort::Breadth(ef) => ef.max(k),
    };
    let is_sparse = allowed.saturating_mul(cost::SPARSE_ROWS) < rows;
    let breadth = if is_sparse { ef.saturating_mul(cost::WIDENED) } else { ef };
    // For each row that counts a walk passes `rows / allowed` rows, so its cost grows as that of a scan shrinks.
    let places = breadth.saturating_mul(rows).div_ceil(allowed);
    let scan = allowed.saturating_mul(if originals { 1 } else { cost::ROWS_A_READ });
    if scan <= places.saturating_mul(cost::ROWS_A_PLACE) {
        let reason = if allowed == rows { "few rows" } else { "comparing the rows that are allowed costs less than a walk" };
        return plan(Strategy::Exact, reason);
    }
    if allowed.saturating_mul(cost::WALKED_ROWS_MAX) < rows {
        return plan(Strategy::Exact, "so few of the rows are allowed that a walk would miss some");
    }
    let reason = match (allowed == rows, is_sparse) {
        (true, _) => "graph",
        (false, false) => "graph, walked through rows that are not allowed",
        (false, true) => "graph, walked wider because few of the rows are allowed",
    };
    plan(Strategy::Approximate { ef: breadth }, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(rows: usize, allowed: usize, effort: Effort, expected: Strategy) {
        let facts = SegmentFacts { rows, allowed, approximate: true, originals: true };
        let plan = plan_segment(facts, 10, effort);
        assert_eq!(plan.strategy, expected, "{}", plan.reason);
    }

    const DEFAULT: Effort = Effort::Breadth(96);

    #[test]
    fn the_strategy_follows_size_and_selectivity() {
        check(100_000, 100_000, DEFAULT, Strategy::Approximate { ef: 96 });
        check(100_000, 50_000, DEFAULT, Strategy::Approximate { ef: 96 });
        check(100_000, 20_000, DEFAULT, Strategy::Approximate { ef: 192 });
        check(100_000, 1_000, DEFAULT, Strategy::Exact);
        check(100_000, 100, DEFAULT, Strategy::Exact);
        check(100_000, 0, DEFAULT, Strategy::Nothing);
        check(500, 500, DEFAULT, Strategy::Exact);
        check(100_000, 100_000, Effort::Exact, Strategy::Exact);
        check(100_000, 100_000, Effort::OutOfReach, Strategy::Exact);
    }

    #[test]
    fn the_larger_the_segment_the_smaller_the_share_that_is_walked() {
        let walked = |rows: usize, allowed: usize| {
            let facts = SegmentFacts { rows, allowed, approximate: true, originals: true };
            matches!(plan_segment(facts, 10, DEFAULT).strategy, Strategy::Approximate { .. })
        };
        let least = |rows: usize| {
            (1..=rows).step_by(rows / 1_000).find(|allowed| walked(rows, *allowed)).map(|allowed| allowed as f64 / rows as f64)
        };
        let shares = [100_000, 1_000_000, 10_000_000].map(|rows| least(rows).expect("all rows are walked"));
        assert!(shares.is_sorted_by(|a, b| a > b), "{shares:?}");
        // Once walking pays it goes on to pay: a search does not change back and forth as a filter lets more rows through.
        assert!((20_000..=100_000).step_by(500).all(|allowed| walked(100_000, allowed)));
        assert!((1..10_000).step_by(500).all(|allowed| !walked(100_000, allowed)));
    }

    #[test]
    fn what_is_on_disk_is_compared_only_where_it_is_little() {
        let plan =
            |originals, allowed| plan_segment(SegmentFacts { rows: 100_000, allowed, approximate: true, originals }, 10, DEFAULT).strategy;
        assert_eq!(plan(true, 5_000), Strategy::Exact);
        assert_eq!(plan(false, 5_000), Strategy::Approximate { ef: 192 });
        assert_eq!(plan(false, 400), Strategy::Exact);
    }

    #[test]
    fn the_breadth_is_at_least_k() {
        let facts = SegmentFacts { rows: 1_000_000, allowed: 1_000_000, approximate: true, originals: true };
        assert_eq!(plan_segment(facts, 500, DEFAULT).strategy, Strategy::Approximate { ef: 500 });
    }

    #[test]
    fn a_segment_without_a_graph_is_compared() {
        let facts = SegmentFacts { rows: 100_000, allowed: 100_000, approximate: false, originals: true };
        assert_eq!(plan_segment(facts, 10, DEFAULT).strategy, Strategy::Exact);
    }
}
