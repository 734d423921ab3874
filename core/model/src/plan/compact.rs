//! What to do next for a shard's segments: merge some, index one, or nothing.

use crate::collection::IndexKind;

/// When to merge and when to index.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MaintenanceSettings {
    /// Rows from which on a graph may beat comparing every row.
    pub graph_rows_min: usize,
    /// Components of all rows together from which on it does: what is compared is as long as rows and dimension make it
    /// (docs/evidence/axis.adoc).
    pub graph_components_min: usize,
    /// Rows beyond which segments are no longer merged into one.
    pub segment_rows_max: usize,
    /// Share of dead rows from which on a segment is rewritten.
    pub dead_share_max: f32,
}

impl Default for MaintenanceSettings {
    fn default() -> Self {
        Self { graph_rows_min: 1_000, graph_components_min: 500_000, segment_rows_max: 4_000_000, dead_share_max: 0.2 }
    }
}

/// Comparing a row costs at least as much as so many components of it.
const SHORT_ROW: usize = 64;

impl MaintenanceSettings {
    /// The settings for vectors of so many components: `graph_rows_min` is then the rows from which on a graph pays.
    pub fn for_dimension(self, dimension: usize) -> Self {
        let graph_rows_min = self.graph_rows_min.max(self.graph_components_min.div_ceil(dimension.max(SHORT_ROW)));
        Self { graph_rows_min, ..self }
    }
}

/// A segment as maintenance sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentView {
    /// Rows in the file.
    pub rows: usize,
    /// Dead and expired rows among them.
    pub dead: usize,
    /// Whether it has a graph.
    pub graph: bool,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Work {
    /// Write the live rows of these segments (places in the list, ascending) as one, and index it.
    Merge(Vec<usize>),
    /// Build a graph for this segment.
    Index(usize),
    /// Drop this segment, no row of which is live.
    Drop(usize),
}

/// The most useful work, or none. `quiet` says that no write arrived for a while: then leftovers are merged too, and
/// segments are indexed that would otherwise soon be merged into a larger one.
pub fn next(segments: &[SegmentView], kind: IndexKind, quiet: bool, settings: &MaintenanceSettings) -> Option<Work> {
    if let Some(place) = segments.iter().position(|s| s.dead >= s.rows) {
        return Some(Work::Drop(place));
    }
    if let Some(places) = similar_run(segments, settings) {
        return Some(Work::Merge(places));
    }
    if let Some(place) = segments.iter().position(|s| s.dead as f32 > s.rows as f32 * settings.dead_share_max) {
        return Some(Work::Merge(vec![place]));
    }
    if !quiet {
        return None;
    }
    if let Some(places) = leftovers(segments, settings) {
        return Some(Work::Merge(places));
    }
    let wants_graph = |s: &SegmentView| !s.graph && wants_graph(s.rows, kind, settings);
    segments.iter().position(wants_graph).map(Work::Index)
}

/// Whether a segment of this size should have a graph.
pub fn wants_graph(rows: usize, kind: IndexKind, settings: &MaintenanceSettings) -> bool {
    match kind {
        IndexKind::Flat => false,
        IndexKind::Graph => true,
        IndexKind::Auto => rows >= settings.graph_rows_min,
    }
}

/// Four or more segments within a factor of four in size: merging them costs each row a rewrite only when its segment
/// has grown fourfold (size-tiered compaction).
fn similar_run(segments: &[SegmentView], settings: &MaintenanceSettings) -> Option<Vec<usize>> {
    const RUN: usize = 4;
    let mut by_size: Vec<_> = (0..segments.len()).collect();
    by_size.sort_by_key(|place| segments[*place].rows);
    by_size.windows(RUN).find_map(|window| {
        let (small, large) = (segments[window[0]].rows, segments[window[RUN - 1]].rows);
        let fits = window.iter().map(|p| segments[*p].rows).sum::<usize>() <= settings.segment_rows_max;
        (fits && large <= small.saturating_mul(4).max(1_000)).then(|| ascending(window))
    })
}

/// Two or more segments that together still fit into one: few large segments search faster than many small ones.
fn leftovers(segments: &[SegmentView], settings: &MaintenanceSettings) -> Option<Vec<usize>> {
    let mut by_size: Vec<_> = (0..segments.len()).collect();
    by_size.sort_by_key(|place| segments[*place].rows);
    let mut rows = 0usize;
    let mut places: Vec<usize> = Vec::new();
    for place in by_size {
        // A large graph is not rebuilt for a few rows; they wait until they are worth a tenth of it.
        let worth = places.is_empty() || segments[place].rows <= rows.saturating_mul(10) || segments[place].rows < settings.graph_rows_min;
        if !worth || rows + segments[place].rows > settings.segment_rows_max {
            break;
        }
        rows += segments[place].rows;
        places.push(place);
    }
    (places.len() >= 2).then(|| ascending(&places))
}

fn ascending(places: &[usize]) -> Vec<usize> {
    let mut places = places.to_vec();
    places.sort_unstable();
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(rows: usize) -> SegmentView {
        SegmentView { rows, dead: 0, graph: false }
    }

    #[track_caller]
    fn check(segments: &[SegmentView], quiet: bool, expected: Option<Work>) {
        assert_eq!(next(segments, IndexKind::Auto, quiet, &MaintenanceSettings::default()), expected);
    }

    #[test]
    fn similar_segments_are_merged_even_under_load() {
        check(&[view(20_000); 4], false, Some(Work::Merge(vec![0, 1, 2, 3])));
        check(&[view(20_000); 3], false, None);
        check(&[view(1), view(1_000_000), view(2), view(3), view(4)], false, Some(Work::Merge(vec![0, 2, 3, 4])));
    }

    #[test]
    fn a_quiet_shard_is_tidied_and_indexed() {
        check(&[view(40_000), view(30_000)], true, Some(Work::Merge(vec![0, 1])));
        check(&[view(40_000)], true, Some(Work::Index(0)));
        check(&[SegmentView { graph: true, ..view(40_000) }], true, None);
        check(&[view(400)], true, None);
        check(&[SegmentView { graph: true, ..view(400_000) }, view(12_000)], true, Some(Work::Index(1)));
    }

    #[test]
    fn wide_rows_pay_sooner() {
        let settings = MaintenanceSettings { graph_rows_min: 1_000, graph_components_min: 800_000, ..MaintenanceSettings::default() };
        let rows = |dimension| settings.for_dimension(dimension).graph_rows_min;
        assert_eq!([rows(1), rows(64), rows(100), rows(384), rows(800), rows(4_096)], [12_500, 12_500, 8_000, 2_084, 1_000, 1_000]);
    }

    #[test]
    fn dead_rows_are_cleared() {
        check(&[SegmentView { dead: 10, ..view(10) }], false, Some(Work::Drop(0)));
        check(&[SegmentView { dead: 3_000, graph: true, ..view(10_000) }], false, Some(Work::Merge(vec![0])));
        check(&[SegmentView { dead: 100, graph: true, ..view(10_000) }], true, None);
    }

    #[test]
    fn nothing_grows_beyond_the_limit() {
        check(&[SegmentView { graph: true, ..view(3_000_000) }, SegmentView { graph: true, ..view(3_000_000) }], true, None);
    }
}
