//! What a search is asked for, and what it does about it: a recall instead of a breadth, a time that it may take, many at once.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use proximadb_axis::{BuiltinMetric, GraphFactory};
use proximadb_engine::{EngineSettings, MetricSource};
use proximadb_model::{
    Candidate, CollectionName, CollectionRef, CollectionSpec, Dimension, Filter, Metadata, MetricKind, RecordId, RowSet, Test, Value,
};
use proximadb_ports::conformance::database::DatabaseHarness;
use proximadb_ports::{
    Budget, Change, Database, Fault, IndexFactory, IndexSpec, Metric, MetricDescriptor, NewRecord, Originals, Query, Result, Scorer,
    SearchCounters, SearchParams, SearchRequest, SearchResponse, VectorIndex, Vectors, WriteRequest,
};
use proximadb_sim::{Effect, Injection, SimClock};
use proximadb_tests::{Doubles, Log, World, WorldPlan, small_settings};
use proximadb_viper::Compression;
use proximadb_wal::BincodeCodec;

const ROWS: u64 = 5_000;
const DIMENSION: u64 = 16;

fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime").block_on(test);
}

/// A graph that claims to have been calibrated: a breadth of `n` reaches a recall of `n / 200`, and more than 0.96 is never reached.
struct CalibratedFactory;

struct Calibrated(Arc<dyn VectorIndex>);

impl IndexFactory for CalibratedFactory {
    fn kind(&self) -> &'static str {
        GraphFactory.kind()
    }

    fn supports(&self, metric: &MetricDescriptor) -> bool {
        GraphFactory.supports(metric)
    }

    fn build(&self, spec: &IndexSpec, vectors: Vectors, budget: &Budget) -> Result<Arc<dyn VectorIndex>> {
        Ok(Arc::new(Calibrated(GraphFactory.build(spec, vectors, budget)?)))
    }

    fn load(&self, spec: &IndexSpec, originals: Originals, segment_checksum: u32, sidecar: Bytes) -> Result<Arc<dyn VectorIndex>> {
        Ok(Arc::new(Calibrated(GraphFactory.load(spec, originals, segment_checksum, sidecar)?)))
    }
}

#[deny(clippy::missing_trait_methods)]
impl VectorIndex for Calibrated {
    fn kind(&self) -> &'static str {
        self.0.kind()
    }

    fn rows(&self) -> usize {
        self.0.rows()
    }

    fn resident_bytes(&self) -> usize {
        self.0.resident_bytes()
    }

    fn originals(&self) -> Option<&Originals> {
        self.0.originals()
    }

    fn has_originals(&self) -> bool {
        self.0.has_originals()
    }

    fn walks_without_originals(&self) -> bool {
        self.0.walks_without_originals()
    }

    fn breadth_for(&self, recall: f32, _k: usize) -> Option<usize> {
        (recall <= 0.96).then_some((recall * 200.0) as usize)
    }

    fn recall_at(&self, ef: usize) -> Option<f32> {
        Some(ef as f32 / 200.0)
    }

    fn shortlist(
        &self,
        query: &[f32],
        params: &SearchParams,
        allow: Option<&RowSet>,
        budget: &Budget,
        counters: &mut SearchCounters,
    ) -> Result<Option<Vec<u32>>> {
        self.0.shortlist(query, params, allow, budget, counters)
    }

    fn met(
        &self,
        query: &[f32],
        params: &SearchParams,
        allow: Option<&RowSet>,
        budget: &Budget,
        counters: &mut SearchCounters,
    ) -> Result<Option<Vec<u32>>> {
        self.0.met(query, params, allow, budget, counters)
    }

    fn search(
        &self,
        query: &[f32],
        params: &SearchParams,
        allow: Option<&RowSet>,
        budget: &Budget,
        counters: &mut SearchCounters,
    ) -> Result<Vec<Candidate>> {
        self.0.search(query, params, allow, budget, counters)
    }

    fn save(&self, segment_checksum: u32) -> Option<Bytes> {
        self.0.save(segment_checksum)
    }
}

/// The Euclidean metric, of which each block of rows takes a millisecond.
struct Slow {
    metric: Arc<dyn Metric>,
    descriptor: MetricDescriptor,
    clock: Arc<SimClock>,
    blocks: Arc<AtomicU64>,
}

struct SlowScorer {
    scorer: Box<dyn Scorer>,
    clock: Arc<SimClock>,
    blocks: Arc<AtomicU64>,
}

impl Metric for Slow {
    fn descriptor(&self) -> &MetricDescriptor {
        &self.descriptor
    }

    fn prepare(&self, query: &[f32]) -> Result<Box<dyn Scorer>> {
        let scorer = self.metric.prepare(query)?;
        Ok(Box::new(SlowScorer { scorer, clock: Arc::clone(&self.clock), blocks: Arc::clone(&self.blocks) }))
    }

    fn score(&self, key: f32) -> f32 {
        self.metric.score(key)
    }

    fn distance(&self, key: f32) -> f32 {
        self.metric.distance(key)
    }
}

impl Scorer for SlowScorer {
    fn keys(&mut self, block: &[f32], out: &mut [f32]) -> Result<()> {
        self.blocks.fetch_add(1, Ordering::Relaxed);
        self.clock.advance(Duration::from_millis(1));
        self.scorer.keys(block, out)
    }
}

struct SlowMetrics {
    clock: Arc<SimClock>,
    blocks: Arc<AtomicU64>,
}

impl MetricSource for SlowMetrics {
    fn metric(&self, kind: &MetricKind, _dimension: usize) -> Result<Arc<dyn Metric>> {
        let metric: Arc<dyn Metric> = Arc::new(BuiltinMetric::new(MetricKind::Euclidean).expect("built in"));
        let descriptor = MetricDescriptor { kind: kind.clone(), sha256: Some([7; 32]), ..metric.descriptor().clone() };
        Ok(Arc::new(Slow { metric, descriptor, clock: Arc::clone(&self.clock), blocks: Arc::clone(&self.blocks) }))
    }
}

fn collection() -> CollectionRef {
    CollectionRef::Name(CollectionName::new("asked").expect("a name"))
}

fn vector(row: u64) -> Vec<f32> {
    // SplitMix64; only its noise matters here.
    let noise = |n: u64| {
        let bits = (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ n >> 7).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        ((bits ^ bits >> 31) >> 40) as f32 / (1u64 << 24) as f32 - 0.5
    };
    (0..DIMENSION).map(|component| noise(row * DIMENSION + component + 1)).collect()
}

fn records(rows: std::ops::Range<u64>) -> WriteRequest {
    let record = |row: u64| NewRecord {
        id: RecordId::new(&format!("row-{row}")).expect("an id"),
        vector: vector(row),
        metadata: Metadata::new([("row".to_owned(), Value::Int(row as i64))].into()).expect("small"),
        expires: None,
    };
    WriteRequest { changes: rows.map(|row| Change::Upsert(record(row))).collect(), ..WriteRequest::default() }
}

/// A database with one segment, which has a graph from `graph_rows_min` rows on.
async fn world(doubles: Doubles, metric: MetricKind, graph_rows_min: usize) -> World {
    let mut settings = small_settings();
    settings.flush = EngineSettings::default().flush;
    settings.maintenance.graph_rows_min = graph_rows_min;
    settings.maintenance.graph_components_min = 0;
    let compression = Compression::Zstd { level: 1 };
    let plan = WorldPlan { sites: 1, log: Log::Files, codec: Arc::new(BincodeCodec), mirrored: false, compression, settings };
    let mut world = World::with(9, plan, doubles).await;
    let CollectionRef::Name(name) = collection() else { unreachable!("it is named above") };
    let spec = CollectionSpec::new(name, Dimension::new(DIMENSION).expect("in range"), metric);
    world.engine().create_collection(spec).await.expect("created");
    world.engine().write(&collection(), records(0..ROWS)).await.expect("written");
    world.engine().flush(&collection()).await.expect("flushed");
    world.settle().await;
    world
}

async fn calibrated() -> World {
    let world = world(Doubles { graph: Arc::new(CalibratedFactory), ..Doubles::default() }, MetricKind::Euclidean, 1_000).await;
    let status = world.engine().index_status(&collection()).await.expect("a status");
    assert_eq!((status.status, status.kind, status.segments.len()), ("ready", "graph", 1));
    world
}

fn near(row: u64) -> SearchRequest {
    SearchRequest { explain: true, ..SearchRequest::nearest(Query::Vector(vector(ROWS + row)), 10) }
}

async fn search(world: &World, request: SearchRequest) -> Result<SearchResponse> {
    Ok(world.engine().search(&collection(), vec![request]).await?.remove(0))
}

fn found(response: &SearchResponse) -> Vec<String> {
    response.hits.iter().map(|hit| hit.id.to_string()).collect()
}

#[test]
fn a_recall_target_becomes_the_breadth_that_was_calibrated() {
    run(async {
        let world = calibrated().await;
        for (target, ef) in [(0.5, 100), (0.75, 150)] {
            let response = search(&world, SearchRequest { recall_target: Some(target), ..near(1) }).await.expect("an answer");
            let line = &response.stats.explain[0];
            assert_eq!((line.strategy, line.ef, line.recall_estimate), ("approximate", Some(ef), Some(target)));
            assert_eq!((response.stats.recall_estimate, response.stats.counters.graph_walks), (Some(target), 1));
        }
        let by_breadth = search(&world, SearchRequest { ef: Some(120), ..near(1) }).await.expect("an answer");
        assert_eq!((by_breadth.stats.explain[0].ef, by_breadth.stats.recall_estimate), (Some(120), Some(0.6)));
    });
}

#[test]
fn a_recall_that_the_index_does_not_reach_is_answered_exactly() {
    run(async {
        let world = calibrated().await;
        let exact = search(&world, SearchRequest { exact: true, ..near(2) }).await.expect("an answer");
        for (target, reason) in [(0.99, "the index is not known to reach the recall that is asked for"), (1.0, "the request asks for it")] {
            let response = search(&world, SearchRequest { recall_target: Some(target), ..near(2) }).await.expect("an answer");
            let line = &response.stats.explain[0];
            assert_eq!((line.strategy, line.reason, line.ef), ("exact", reason, None));
            assert_eq!((response.stats.recall_estimate, response.stats.counters.distances), (Some(1.0), ROWS));
            assert_eq!(found(&response), found(&exact));
        }
    });
}

#[test]
fn where_a_filter_leaves_few_rows_no_recall_is_promised() {
    run(async {
        let world = calibrated().await;
        let below = |row: u64| Some(Filter::Field { path: "row".to_owned(), test: Test::Lt(Value::Int(row as i64)) });
        // Most rows: as calibrated. Fewer than half: another walk than the calibrated one. A handful: exact.
        for (rows, strategy, recall) in [(4_000, "approximate", Some(0.1)), (2_100, "approximate", None), (40, "exact", Some(1.0))] {
            let response = search(&world, SearchRequest { filter: below(rows), ef: Some(20), ..near(3) }).await.expect("an answer");
            let line = &response.stats.explain[0];
            assert_eq!((line.strategy, line.recall_estimate, line.allowed), (strategy, recall, rows), "{}", line.reason);
            assert_eq!(response.stats.recall_estimate, recall);
            assert_eq!(response.hits.len(), 10);
        }
    });
}

#[test]
fn memtable_rows_are_compared_and_weigh_in_the_estimate() {
    run(async {
        let world = calibrated().await;
        world.engine().write(&collection(), records(ROWS..2 * ROWS)).await.expect("written");
        let response = search(&world, SearchRequest { ef: Some(100), ..near(4) }).await.expect("an answer");
        assert_eq!((response.stats.memtable_rows, response.stats.recall_estimate), (ROWS, Some(0.75)));
    });
}

#[test]
fn a_target_beside_a_breadth_is_refused() {
    run(async {
        let world = calibrated().await;
        for (request, field) in [
            (SearchRequest { ef: Some(10), recall_target: Some(0.9), ..near(5) }, "recall_target"),
            (SearchRequest { recall_target: Some(0.0), ..near(5) }, "recall_target"),
            (SearchRequest { recall_target: Some(1.1), ..near(5) }, "recall_target"),
            (SearchRequest { recall_target: Some(f32::NAN), ..near(5) }, "recall_target"),
        ] {
            let refused = search(&world, request).await.expect_err("refused");
            assert_eq!((refused.fault, refused.field.as_deref()), (Fault::Invalid, Some(field)));
        }
    });
}

#[test]
fn the_time_is_over_inside_a_search() {
    run(async {
        let (clock, blocks) = (Arc::new(SimClock::of_tokio()), Arc::new(AtomicU64::new(0)));
        let metrics = Arc::new(SlowMetrics { clock: Arc::clone(&clock), blocks: Arc::clone(&blocks) });
        let doubles = Doubles { clock: Some(Arc::clone(&clock)), metrics, ..Doubles::default() };
        let world = world(doubles, MetricKind::Wasm("slow".to_owned()), 1_000_000).await;
        for part in 1..8 {
            world.engine().write(&collection(), records(part * ROWS..(part + 1) * ROWS)).await.expect("written");
        }
        world.engine().flush(&collection()).await.expect("flushed");
        let timed = |ms| SearchRequest { timeout: Some(Duration::from_millis(ms)), ..near(6) };
        blocks.store(0, Ordering::Relaxed);
        let whole = search(&world, timed(10_000)).await.expect("there is time for it");
        assert_eq!(whole.hits.len(), 10);
        let needed = blocks.swap(0, Ordering::Relaxed);
        assert!(needed > 60, "{needed} blocks of a millisecond each");
        let refused = search(&world, timed(5)).await.expect_err("it takes longer");
        assert_eq!(refused.fault, Fault::Deadline);
        let done = blocks.load(Ordering::Relaxed);
        // A scan looks at the time once in some thousand rows.
        assert!((5..needed / 2).contains(&done), "{done} of {needed} blocks were compared after the time was over");
    });
}

#[test]
fn a_disk_that_hangs_does_not_hold_a_search_beyond_its_time() {
    run(async {
        let world = calibrated().await;
        world.sites[0].filesystem.inject(Injection::next(Effect::Hang).on("get_ranges").about("/segments/"));
        let clock = SimClock::of_tokio();
        let filter = Some(Filter::Field { path: "row".to_owned(), test: Test::Lt(Value::Int(100)) });
        let request = SearchRequest { filter, timeout: Some(Duration::from_millis(200)), ..near(7) };
        let refused = search(&world, request).await.expect_err("the filter takes what the disk does not give");
        assert_eq!(refused.fault, Fault::Deadline);
        let took = proximadb_ports::Clock::monotonic(&clock);
        assert!(took >= Duration::from_millis(200) && took < Duration::from_millis(300), "{took:?}");
    });
}

#[test]
fn a_batch_answers_each_query_as_if_it_were_alone() {
    run(async {
        let world = calibrated().await;
        let below = |row: i64| Some(Filter::Field { path: "row".to_owned(), test: Test::Lt(Value::Int(row)) });
        let queries: Vec<SearchRequest> = (0..60u64)
            .map(|i| SearchRequest {
                filter: [None, below(900), below(900), below(20)][i as usize % 4].clone(),
                k: 1 + i as usize % 7,
                ..near(i)
            })
            .collect();
        let together = world.engine().search(&collection(), queries.clone()).await.expect("an answer");
        assert_eq!(together.len(), queries.len());
        for (query, response) in queries.into_iter().zip(together) {
            let k = query.k;
            let alone = search(&world, query).await.expect("an answer");
            assert_eq!((found(&response), response.hits.len()), (found(&alone), k));
        }
    });
}
