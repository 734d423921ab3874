//! The floor under the graph's recall, at the settings that users get without asking.

use std::sync::Arc;

use proximadb_axis::{BuiltinMetric, FlatFactory, GraphFactory, OwnGraphFactory, RerankedFactory};
use proximadb_model::{IndexSettings, MetricKind, RowSet};
use proximadb_ports::conformance::index::{ForeignMetric, Form, Sample, endless, recall};
use proximadb_ports::{IndexFactory, IndexSpec, Metric, SearchCounters, SearchParams, Traverse, VectorIndex, Vectors};

const K: usize = 10;
const FLOOR: f64 = 0.95;

fn check(form: Form, kind: MetricKind, threads: usize) {
    let settings = IndexSettings::default();
    let metric: Arc<dyn Metric> = Arc::new(BuiltinMetric::new(kind.clone()).expect("a built-in metric"));
    let spec = IndexSpec { metric, m: settings.m as usize, ef_construction: settings.ef_construction as usize, seed: 0xa15, threads };
    let sample = Sample { form, rows: 20_000, dimension: 64, seed: 0x5eed };
    let queries: Vec<_> = (0..200).map(|number| sample.query(number)).collect();
    let graph = GraphFactory.build(&spec, sample.vectors(), &endless()).expect("a graph");
    let flat = FlatFactory.build(&spec, sample.vectors(), &endless()).expect("a flat index");
    let (recall, counters) = recall(&*graph, &*flat, &queries, K, settings.ef_search as usize);
    assert!(recall >= FLOOR, "{form:?} by {kind}: recall {recall} with {counters:?}, seed {:#x}", sample.seed);
    assert_eq!(counters.graph_walks, queries.len() as u64);
    let told = graph.recall_at(settings.ef_search as usize).expect("it was measured at the build");
    assert!((f64::from(told) - recall).abs() < 0.03, "{form:?} by {kind}: {recall}, told {told}");
    let breadth = graph.breadth_for(0.95, K).expect("it can be reached");
    let (reached, _) = proximadb_ports::conformance::index::recall(&*graph, &*flat, &queries, K, breadth);
    assert!(reached >= 0.93, "{form:?} by {kind}: {reached} at the breadth for 0.95, {breadth}");
    assert_eq!(graph.breadth_for(1.0, K).is_some(), graph.recall_at(512) == Some(1.0), "all that was tried found it, or nobody knows");
    assert!(counters.distances + counters.code_distances < (queries.len() * sample.rows / 2) as u64, "a scan: {counters:?}");
}

/// A metric that no graph walks by, reached by one that orders much alike: its recall is measured against its own exact order.
#[test]
fn rows_are_found_by_a_detour() {
    let traverse = Traverse::By { metric: MetricKind::Euclidean, widen: 3 };
    let metric: Arc<dyn Metric> = Arc::new(ForeignMetric::walking_by(traverse));
    let settings = IndexSettings::default();
    let spec = IndexSpec { metric, m: settings.m as usize, ef_construction: settings.ef_construction as usize, seed: 0xa15, threads: 2 };
    let sample = Sample { form: Form::Clustered, rows: 8_000, dimension: 64, seed: 0x5eed };
    let queries: Vec<_> = (0..200).map(|number| sample.query(number)).collect();
    let graph = RerankedFactory(GraphFactory).build(&spec, sample.vectors(), &endless()).expect("a graph");
    let flat = FlatFactory.build(&spec, sample.vectors(), &endless()).expect("a flat index");
    let (recall, counters) = recall(&*graph, &*flat, &queries, K, settings.ef_search as usize);
    assert!(recall >= FLOOR, "recall {recall} with {counters:?}, seed {:#x}", sample.seed);
    assert_eq!(counters.graph_walks, queries.len() as u64);
    assert!(counters.distances <= (queries.len() * settings.ef_search as usize * 3) as u64, "more was ordered: {counters:?}");
}

/// A metric that no index knows, whose graph is built and walked by nothing else: its recall is measured against its own exact order.
#[test]
fn rows_are_found_by_a_metric_that_walks_by_itself() {
    let metric: Arc<dyn Metric> = Arc::new(ForeignMetric::walking_by(Traverse::Itself { digest: [7; 32] }));
    let settings = IndexSettings::default();
    let spec = IndexSpec { metric, m: settings.m as usize, ef_construction: settings.ef_construction as usize, seed: 0xa15, threads: 2 };
    let factory = OwnGraphFactory(RerankedFactory(GraphFactory));
    let sample = Sample { form: Form::Clustered, rows: 5_000, dimension: 64, seed: 0x5eed };
    let queries: Vec<_> = (0..200).map(|number| sample.query(number)).collect();
    let flat = FlatFactory.build(&spec, sample.vectors(), &endless()).expect("a flat index");
    let check = |graph: &dyn VectorIndex| {
        let (recall, counters) = recall(graph, &*flat, &queries, K, settings.ef_search as usize);
        assert!(recall >= FLOOR, "recall {recall} with {counters:?}, seed {:#x}", sample.seed);
        assert_eq!((counters.graph_walks, counters.code_distances), (queries.len() as u64, 0));
        assert!(counters.distances < (queries.len() * sample.rows / 3) as u64, "a scan: {counters:?}");
        let told = graph.recall_at(settings.ef_search as usize).expect("it was measured at the build");
        assert!((f64::from(told) - recall).abs() < 0.03, "{recall}, told {told}");
    };
    check(&*factory.build(&spec, sample.vectors(), &endless()).expect("a graph"));

    // One over three of four rows goes on to be one over all, and one that lost rows finds what is left.
    let vectors = sample.vectors();
    let part = Vectors { dimension: 64, data: Arc::new(vectors.data[..3_750 * 64].to_vec()) };
    let base = factory.build(&spec, part.clone(), &endless()).expect("a graph");
    let numbers: Vec<_> = (0..3_750).map(Some).collect();
    let extended = factory.extend(&spec, vectors, &*base, &numbers, &endless()).expect("no error").expect("it is worth it");
    check(&*extended);
    let left: Vec<_> = (0..3_750).map(|row: u32| (!row.is_multiple_of(8)).then_some(row - row.div_ceil(8))).collect();
    let rows = part.data.chunks(64).enumerate().filter(|(row, _)| row % 8 != 0).flat_map(|(_, row)| row.to_vec()).collect();
    let rows = Vectors { dimension: 64, data: Arc::new(rows) };
    let shrunk = factory.extend(&spec, rows.clone(), &*base, &left, &endless()).expect("no error").expect("it is worth it");
    let flat = FlatFactory.build(&spec, rows, &endless()).expect("a flat index");
    let (recall, counters) = recall(&*shrunk, &*flat, &queries, K, settings.ef_search as usize);
    assert!(recall >= FLOOR, "recall {recall} with {counters:?} of what is left");
}

#[test]
fn clustered_rows_are_found_by_cosine() {
    check(Form::Clustered, MetricKind::Cosine, 1);
}

#[test]
fn clustered_rows_are_found_by_euclidean() {
    check(Form::Clustered, MetricKind::Euclidean, 2);
}

#[test]
fn clustered_rows_are_found_by_dot_product() {
    check(Form::Clustered, MetricKind::DotProduct, 2);
}

#[test]
fn repeated_rows_are_found() {
    check(Form::Repeated, MetricKind::Euclidean, 2);
}

/// Recall under a filter, with how many of the searches walked.
fn filtered(rows: usize, allow: &RowSet, ef: usize) -> (f64, u64) {
    let metric: Arc<dyn Metric> = Arc::new(BuiltinMetric::new(MetricKind::Cosine).expect("a built-in metric"));
    let settings = IndexSettings::default();
    let spec = IndexSpec { metric, m: settings.m as usize, ef_construction: settings.ef_construction as usize, seed: 0xa15, threads: 2 };
    let sample = Sample { form: Form::Clustered, rows, dimension: 64, seed: 0x5eed };
    let graph = GraphFactory.build(&spec, sample.vectors(), &endless()).expect("a graph");
    let (mut hits, mut wanted, mut walks) = (0, 0, 0);
    for number in 0..100 {
        let search = |exact| {
            let (params, mut counters) = (SearchParams { k: K, ef, exact }, SearchCounters::default());
            let found = graph.search(&sample.query(number), &params, Some(allow), &endless(), &mut counters).expect("an answer");
            (found, counters)
        };
        let ((truth, _), (found, counters)) = (search(true), search(false));
        assert!(found.iter().all(|candidate| allow.contains(candidate.row as usize)), "what the filter leaves");
        hits += found.iter().filter(|candidate| truth.iter().any(|t| t.row == candidate.row)).count();
        wanted += truth.len();
        walks += counters.graph_walks;
    }
    (hits as f64 / wanted as f64, walks)
}

#[test]
fn filters_lose_no_recall_whatever_share_they_leave() {
    const ROWS: usize = 20_000;
    for (modulus, ef, walks) in [(2, 24, 100), (2, 96, 100), (4, 96, 0), (10, 96, 0), (100, 96, 0), (1_000, 96, 0)] {
        let allow = RowSet::from_fn(ROWS, |row| row % modulus == 0);
        let (recall, walked) = filtered(ROWS, &allow, ef);
        assert!(recall >= if ef == 24 { 0.9 } else { 0.98 }, "one in {modulus}: recall {recall}");
        assert_eq!(walked, walks, "one in {modulus}");
    }
}

#[test]
fn rows_that_are_few_around_the_query_are_found_by_a_wider_walk() {
    const ROWS: usize = 20_000;
    let sample = Sample { form: Form::Clustered, rows: ROWS, dimension: 64, seed: 0x5eed };
    let (vectors, query, settings) = (sample.vectors(), sample.query(0), IndexSettings::default());
    let metric: Arc<dyn Metric> = Arc::new(BuiltinMetric::new(MetricKind::Euclidean).expect("a built-in metric"));
    let spec = IndexSpec { metric, m: settings.m as usize, ef_construction: settings.ef_construction as usize, seed: 0xa15, threads: 2 };
    let graph = GraphFactory.build(&spec, vectors, &endless()).expect("a graph");
    let search = |params: SearchParams, allow: Option<&RowSet>| {
        let mut counters = SearchCounters::default();
        (graph.search(&query, &params, allow, &endless(), &mut counters).expect("an answer"), counters)
    };
    // Half of all rows, but a fifth of those around the query.
    let (near, _) = search(SearchParams { k: 300, ef: 300, exact: true }, None);
    let mut allow = RowSet::from_fn(ROWS, |row| row % 2 == 0);
    for (at, candidate) in near.iter().enumerate() {
        allow.remove(candidate.row as usize);
        if at % 5 == 0 {
            allow.insert(candidate.row as usize);
        }
    }
    let (truth, _) = search(SearchParams { k: K, ef: 12, exact: true }, Some(&allow));
    let (found, counters) = search(SearchParams { k: K, ef: 12, exact: false }, Some(&allow));
    assert_eq!(counters.graph_walks, 2, "the first was too narrow");
    assert!(counters.code_distances < allow.count() as u64, "a scan compares each: {counters:?}");
    assert!(found.iter().filter(|candidate| truth.iter().any(|t| t.row == candidate.row)).count() >= K - 1);
}

#[test]
fn rows_that_lie_far_from_the_query_are_found_though_a_walk_does_not_meet_them() {
    const ROWS: usize = 20_000;
    let sample = Sample { form: Form::Clustered, rows: ROWS, dimension: 64, seed: 0x5eed };
    // The half of the rows that is farther from the first query than the other half.
    let vectors = sample.vectors();
    let query = sample.query(0);
    let dot = |row: usize| vectors.data[row * 64..][..64].iter().zip(&query).map(|(a, b)| a * b).sum::<f32>();
    let mut order: Vec<usize> = (0..ROWS).collect();
    order.sort_by(|&a, &b| dot(a).total_cmp(&dot(b)));
    let mut allow = RowSet::none(ROWS);
    order[..ROWS / 2].iter().for_each(|&row| {
        allow.insert(row);
    });
    let (recall, walked) = filtered(ROWS, &allow, 24);
    assert!(walked > 0, "the walk was tried");
    assert!(recall >= 0.9, "recall {recall}");
}

/// Of the old rows one in ten is gone, the others are moved by as many places as were there before them.
fn moved(row: usize) -> Option<u32> {
    (!row.is_multiple_of(10)).then(|| (row - row / 10 - 1) as u32)
}

#[test]
fn a_graph_that_was_extended_finds_as_much_as_one_built_anew() {
    let (old, kept, all) = (8_000, 7_200, 12_000);
    for kind in [MetricKind::Cosine, MetricKind::Euclidean] {
        let metric: Arc<dyn Metric> = Arc::new(BuiltinMetric::new(kind.clone()).expect("a built-in metric"));
        let spec = IndexSpec { metric, m: 16, ef_construction: 100, seed: 0xa15, threads: 2 };
        let sample = Sample { form: Form::Clustered, rows: old + all - kept, dimension: 64, seed: 0x5eed };
        let data = sample.vectors().data;
        let old_rows = Vectors { dimension: 64, data: Arc::new(data[..old * 64].to_vec()) };
        let stays = |&(row, _): &(usize, &[f32])| row >= old || moved(row).is_some();
        let all_rows: Vec<f32> = data.chunks(64).enumerate().filter(stays).flat_map(|(_, row)| row.iter().copied()).collect();
        let all_rows = Vectors { dimension: 64, data: Arc::new(all_rows) };
        assert_eq!(all_rows.rows(), all);
        let base = GraphFactory.build(&spec, old_rows, &endless()).expect("a graph");
        let places: Vec<Option<u32>> = (0..old).map(moved).collect();
        let extended = GraphFactory.extend(&spec, all_rows.clone(), &*base, &places, &endless()).expect("an extension");
        let extended = extended.expect("it is worth it");
        let anew = GraphFactory.build(&spec, all_rows.clone(), &endless()).expect("a graph");
        let flat = FlatFactory.build(&spec, all_rows.clone(), &endless()).expect("a flat index");
        let queries: Vec<_> = (0..200).map(|number| sample.query(number)).collect();
        let found = |index: &dyn VectorIndex| recall(index, &*flat, &queries, K, 64).0;
        let (extended_recall, anew_recall) = (found(&*extended), found(&*anew));
        assert!(extended_recall >= anew_recall - 0.02, "{kind}: {extended_recall}, anew {anew_recall}");
        // Written and read it is the same graph.
        let saved = extended.save(1).expect("a sidecar");
        let loaded = GraphFactory.load(&spec, all_rows.into(), 1, saved).expect("the graph again");
        assert_eq!(found(&*loaded), extended_recall);
    }
}

#[test]
fn a_graph_that_only_loses_rows_keeps_what_was_measured() {
    // Rows in tight clusters, whose signs tell little: what the build learnt of that must not be forgotten.
    let (old, kept) = (20_000, 18_000);
    let settings = IndexSettings::default();
    let metric: Arc<dyn Metric> = Arc::new(BuiltinMetric::new(MetricKind::Cosine).expect("a built-in metric"));
    let spec = IndexSpec { metric, m: settings.m as usize, ef_construction: settings.ef_construction as usize, seed: 0xa15, threads: 2 };
    let sample = Sample { form: Form::Clustered, rows: old, dimension: 64, seed: 0x5eed };
    let left =
        sample.vectors().data.chunks(64).enumerate().filter(|&(row, _)| moved(row).is_some()).flat_map(|(_, row)| row.to_vec()).collect();
    let left = Vectors { dimension: 64, data: Arc::new(left) };
    assert_eq!(left.rows(), kept);
    let base = GraphFactory.build(&spec, sample.vectors(), &endless()).expect("a graph");
    let places: Vec<Option<u32>> = (0..old).map(moved).collect();
    let extended = GraphFactory.extend(&spec, left.clone(), &*base, &places, &endless()).expect("an extension").expect("it is worth it");
    assert!(base.recall_at(64).is_some());
    assert_eq!(extended.recall_at(64), base.recall_at(64));
    let flat = FlatFactory.build(&spec, left, &endless()).expect("a flat index");
    let queries: Vec<_> = (0..200).map(|number| sample.query(number)).collect();
    let (found, _) = recall(&*extended, &*flat, &queries, K, settings.ef_search as usize);
    assert!(found >= FLOOR, "{found}");
}

#[test]
fn a_graph_that_would_lose_or_grow_too_much_is_not_extended() {
    let metric: Arc<dyn Metric> = Arc::new(BuiltinMetric::new(MetricKind::Cosine).expect("a built-in metric"));
    let spec = IndexSpec { metric, m: 8, ef_construction: 40, seed: 1, threads: 1 };
    let rows = |rows| Sample { form: Form::Clustered, rows, dimension: 16, seed: 3 }.vectors();
    let base = GraphFactory.build(&spec, rows(500), &endless()).expect("a graph");
    let extend =
        |all, places: Vec<Option<u32>>| GraphFactory.extend(&spec, rows(all), &*base, &places, &endless()).map(|index| index.is_some());
    let kept = |keep: usize| (0..500).map(|row| (row < keep).then_some(row as u32)).collect::<Vec<_>>();
    assert!(extend(600, kept(500)).expect("an answer"));
    assert!(!extend(600, kept(300)).expect("an answer"), "two of five are gone");
    assert!(!extend(5_000, kept(500)).expect("an answer"), "ten times the rows");
    let twice: Vec<_> = (0..500).map(|row| Some(row / 2)).collect();
    assert_eq!(extend(600, twice).expect_err("rows that are named twice").field.as_deref(), Some("rows"));
    let flat = FlatFactory.build(&spec, rows(500), &endless()).expect("a flat index");
    let of_flat = GraphFactory.extend(&spec, rows(600), &*flat, &kept(500), &endless()).expect("an answer");
    assert!(of_flat.is_none(), "there is no graph to extend");
}
