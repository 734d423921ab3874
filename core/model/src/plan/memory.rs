//! Which originals stay in memory, within one budget for everything that the process holds.

use std::time::Duration;

/// The bound, and whether it decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemorySettings {
    /// Bytes that memtables, segments, indexes, caches and work in the background may take together.
    pub budget_bytes: u64,
    /// Where the originals of approximate indexes are.
    pub originals: OriginalsPlace,
}

impl Default for MemorySettings {
    /// Without a bound.
    fn default() -> Self {
        Self { budget_bytes: u64::MAX, originals: OriginalsPlace::Auto }
    }
}

/// Where originals are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OriginalsPlace {
    /// In memory where there is room for them.
    #[default]
    Auto,
    /// On disk, whatever room there is.
    Disk,
}

/// Originals come back only where this share of the budget is left free afterwards, one part in so many, so that they do not go to and
/// fro with every write.
const KEPT_FREE: u64 = 8;
/// What was not searched for so long makes room for what was.
const IDLE_FOR: Duration = Duration::from_secs(60);
/// Bytes of the graph for each component of a row: its code, the signs, and what of them stands beside neighbours. With those below they
/// make 80 MB of 100,000 x 384, which took 71 (docs/evidence/memory.adoc): an estimate should not be too small.
const CODE_BYTES: f64 = 1.25;
/// Bytes of each link, of which a node has twice as many as it keeps on upper layers, and of all those upper layers.
const LINK_BYTES: f64 = 8.5;
/// Bytes of a row whatever its dimension.
const ROW_BYTES: f64 = 48.0;
/// While a graph is built its lists stand in a form that grows too, and then its sidecar is written: so many times what it takes later.
const BUILD_FACTOR: f64 = 2.5;

/// The originals of one segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Residence {
    /// Bytes that they take in memory.
    pub bytes: u64,
    /// Whether they are there.
    pub resident: bool,
    /// Whether searches find nearly all without them; those of others are read from the file from end to end.
    pub approximate: bool,
    /// Time since the segment was searched last.
    pub idle: Duration,
}

/// What to do, by places in the list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryPlan {
    /// Let these go.
    pub let_go: Vec<usize>,
    /// Then bring these.
    pub bring: Vec<usize>,
    /// Whether the rest is beyond the budget all the same.
    pub is_over: bool,
}

/// Decides over the originals of all segments, beside `others` bytes of whatever else there is and is about to be.
///
/// Beyond the budget those of approximate indexes go first, what was searched least recently before the rest; then those of segments
/// that are compared row by row. They come back in the opposite order.
pub fn plan_memory(others: u64, segments: &[Residence], settings: &MemorySettings) -> MemoryPlan {
    let budget = settings.budget_bytes;
    let stays_on_disk = |s: &Residence| s.approximate && settings.originals == OriginalsPlace::Disk;
    let unwanted = (0..segments.len()).filter(|&at| segments[at].resident && stays_on_disk(&segments[at]));
    let mut plan = MemoryPlan { let_go: unwanted.collect(), ..MemoryPlan::default() };
    let resident = segments.iter().filter(|s| s.resident && !stays_on_disk(s));
    let mut used = resident.fold(others, |sum, s| sum.saturating_add(s.bytes));
    let mut by_worth: Vec<usize> = (0..segments.len()).filter(|&at| !stays_on_disk(&segments[at])).collect();
    // Least worth first.
    by_worth.sort_by_key(|&at| (!segments[at].approximate, std::cmp::Reverse(segments[at].idle)));
    for &at in by_worth.iter().filter(|&&at| segments[at].resident && segments[at].bytes > 0) {
        if used <= budget {
            break;
        }
        used -= segments[at].bytes;
        plan.let_go.push(at);
    }
    plan.is_over = used > budget;
    if by_worth.iter().any(|at| plan.let_go.contains(at)) || plan.is_over {
        return plan;
    }
    let roomy = budget - budget / KEPT_FREE;
    for &at in by_worth.iter().rev().filter(|&&at| !segments[at].resident) {
        let wanted = segments[at];
        let fits = |used: u64| used.checked_add(wanted.bytes).is_some_and(|sum| sum <= roomy);
        let mut idle = by_worth
            .iter()
            .filter(|&&other| segments[other].resident && segments[other].approximate && segments[other].idle >= IDLE_FOR)
            .filter(|_| wanted.idle < IDLE_FOR)
            .filter(|other| !plan.let_go.contains(other))
            .copied()
            .collect::<Vec<_>>()
            .into_iter();
        let (mut left, mut gone) = (used, Vec::new());
        while !fits(left)
            && let Some(other) = idle.next()
        {
            left -= segments[other].bytes;
            gone.push(other);
        }
        if fits(left) {
            used = left + wanted.bytes;
            plan.let_go.extend(gone);
            plan.bring.push(at);
        }
    }
    plan
}

/// About the bytes that a graph over so many rows takes beside their originals, with `m` neighbours a node.
pub fn graph_bytes(rows: usize, dimension: usize, m: usize) -> u64 {
    (rows as f64 * (dimension as f64 * CODE_BYTES + m as f64 * LINK_BYTES + ROW_BYTES)) as u64
}

/// About the bytes that building it takes beside the originals.
pub fn build_bytes(rows: usize, dimension: usize, m: usize) -> u64 {
    (graph_bytes(rows, dimension, m) as f64 * BUILD_FACTOR) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(bytes: u64, resident: bool, idle: u64) -> Residence {
        Residence { bytes, resident, approximate: true, idle: Duration::from_secs(idle) }
    }

    fn flat(bytes: u64, resident: bool, idle: u64) -> Residence {
        Residence { approximate: false, ..graph(bytes, resident, idle) }
    }

    #[track_caller]
    fn check(others: u64, segments: &[Residence], let_go: &[usize], bring: &[usize], is_over: bool) {
        let plan = plan_memory(others, segments, &MemorySettings { budget_bytes: 800, ..MemorySettings::default() });
        assert_eq!(plan, MemoryPlan { let_go: let_go.to_vec(), bring: bring.to_vec(), is_over });
    }

    #[test]
    fn within_the_budget_everything_stays() {
        check(400, &[graph(200, true, 9), flat(200, true, 1)], &[], &[], false);
        check(400, &[], &[], &[], false);
    }

    #[test]
    fn graphs_go_before_what_is_compared_and_the_idle_before_the_rest() {
        let segments = [flat(200, true, 99), graph(200, true, 1), graph(200, true, 5), graph(100, false, 0)];
        check(300, &segments, &[2], &[], false);
        check(500, &segments, &[2, 1], &[], false);
        check(700, &segments, &[2, 1, 0], &[], false);
        check(801, &segments, &[2, 1, 0], &[], true);
    }

    #[test]
    fn they_come_back_where_an_eighth_is_left_free() {
        check(500, &[graph(200, false, 0)], &[], &[0], false);
        check(501, &[graph(200, false, 0)], &[], &[], false);
        // What is compared row by row needs them most; then what was searched last.
        check(100, &[graph(200, false, 1), graph(200, false, 0), flat(200, false, 9)], &[], &[2, 1, 0], false);
        check(300, &[graph(200, false, 1), graph(200, false, 0), flat(200, false, 9)], &[], &[2, 1], false);
    }

    #[test]
    fn nothing_comes_back_while_something_has_to_go() {
        check(700, &[graph(200, true, 0), graph(1, false, 0)], &[0], &[], false);
    }

    #[test]
    fn what_is_searched_takes_the_place_of_what_is_not() {
        check(400, &[graph(300, true, 60), graph(300, false, 0)], &[0], &[1], false);
        check(400, &[graph(300, true, 59), graph(300, false, 0)], &[], &[], false);
        check(400, &[graph(300, true, 60), graph(300, false, 60)], &[], &[], false);
        // Letting go of what is not enough helps nobody.
        check(600, &[graph(100, true, 60), graph(300, false, 0)], &[], &[], false);
    }

    #[test]
    fn what_is_to_be_on_disk_goes_there_whatever_room_there_is() {
        let settings = MemorySettings { budget_bytes: 800, originals: OriginalsPlace::Disk };
        let segments = [graph(100, true, 0), graph(100, false, 0), flat(100, false, 0), flat(100, true, 0)];
        let plan = plan_memory(100, &segments, &settings);
        assert_eq!(plan, MemoryPlan { let_go: vec![0], bring: vec![2], is_over: false });
    }

    #[test]
    fn without_a_bound_everything_comes() {
        let settings = MemorySettings::default();
        let plan = plan_memory(u64::MAX / 2, &[graph(1 << 40, false, 900), flat(1 << 40, true, 900)], &settings);
        assert_eq!(plan, MemoryPlan { let_go: vec![], bring: vec![0], is_over: false });
    }

    #[test]
    fn what_is_decided_twice_stays_decided() {
        let segments: Vec<_> = (0..9).map(|n| Residence { bytes: 90 + n, ..graph(0, n % 2 == 0, n * 20) }).collect();
        for others in (0..900).step_by(7) {
            let settings = MemorySettings { budget_bytes: 800, ..MemorySettings::default() };
            let mut now = segments.clone();
            for _ in 0..3 {
                let plan = plan_memory(others, &now, &settings);
                plan.let_go.iter().for_each(|at| now[*at].resident = false);
                plan.bring.iter().for_each(|at| now[*at].resident = true);
                let used: u64 = others + now.iter().filter(|s| s.resident).map(|s| s.bytes).sum::<u64>();
                assert!(plan.is_over == (used > settings.budget_bytes), "{others}: {used}");
            }
            assert_eq!(plan_memory(others, &now, &settings).let_go, Vec::<usize>::new(), "{others}: it has settled");
        }
    }
}
