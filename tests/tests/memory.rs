//! The memory that the whole engine may take: what is let go for it, what searches give without, what is refused, and what comes back.

use std::future::Future;
use std::sync::Arc;

use proximadb_engine::EngineSettings;
use proximadb_model::plan::{self, MemorySettings, OriginalsPlace};
use proximadb_model::{
    CollectionName, CollectionPatch, CollectionRef, CollectionSpec, Dimension, Filter, IndexKind, IndexSettings, Metadata, MetricKind,
    RecordId, Test, Value,
};
use proximadb_ports::conformance::database::DatabaseHarness;
use proximadb_ports::{
    Change, Database, Fault, MemoryStatus, NewRecord, Query, ReadOptions, Result, SearchRequest, SearchResponse, WriteRequest,
};
use proximadb_tests::{Log, World, WorldPlan, small_settings};
use proximadb_viper::Compression;
use proximadb_wal::BincodeCodec;

const ROWS: u64 = 2_800;
const DIMENSION: u64 = 96;
/// Bytes of the originals of one collection.
const ORIGINALS: u64 = ROWS * DIMENSION * 4;

fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime").block_on(test);
}

fn named(name: &str) -> CollectionRef {
    CollectionRef::Name(CollectionName::new(name).expect("a name"))
}

fn vector(row: u64) -> Vec<f32> {
    // SplitMix64; only its noise matters here.
    let noise = |n: u64| {
        let bits = (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ n >> 7).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        ((bits ^ bits >> 31) >> 40) as f32 / (1u64 << 24) as f32 - 0.5
    };
    (0..DIMENSION).map(|component| noise(row * DIMENSION + component + 1)).collect()
}

fn record(row: u64) -> NewRecord {
    let metadata = Metadata::new([("row".to_owned(), Value::Int(row as i64))].into()).expect("small");
    NewRecord { id: RecordId::new(&format!("row-{row}")).expect("an id"), vector: vector(row), metadata, expires: None }
}

fn within(budget_bytes: u64) -> MemorySettings {
    MemorySettings { budget_bytes, originals: OriginalsPlace::Auto }
}

const ON_DISK: MemorySettings = MemorySettings { budget_bytes: u64::MAX, originals: OriginalsPlace::Disk };

async fn world(memory: MemorySettings) -> World {
    let mut settings = small_settings();
    settings.flush = EngineSettings::default().flush;
    settings.maintenance.graph_rows_min = 1_000;
    settings.maintenance.graph_components_min = 0;
    settings.memory = memory;
    let compression = Compression::Zstd { level: 1 };
    World::new(7, WorldPlan { sites: 1, log: Log::Files, codec: Arc::new(BincodeCodec), mirrored: false, compression, settings }).await
}

/// Makes a collection of one segment, which has a graph unless it must not.
async fn fill(world: &mut World, name: &str, kind: IndexKind) {
    let CollectionRef::Name(of) = named(name) else { unreachable!("it is named above") };
    let mut spec = CollectionSpec::new(of, Dimension::new(DIMENSION).expect("in range"), MetricKind::Cosine);
    spec.index.kind = kind;
    world.engine().create_collection(spec).await.expect("created");
    upsert(world, name, 0..ROWS).await.expect("written");
    world.engine().flush(&named(name)).await.expect("flushed");
    world.settle().await;
}

async fn upsert(world: &World, name: &str, rows: std::ops::Range<u64>) -> Result<()> {
    let changes = rows.map(|row| Change::Upsert(record(row))).collect();
    world.engine().write(&named(name), WriteRequest { changes, ..WriteRequest::default() }).await.map(drop)
}

async fn search(world: &World, name: &str, request: SearchRequest) -> SearchResponse {
    let request = SearchRequest { explain: true, ..request };
    world.engine().search(&named(name), vec![request]).await.expect("an answer").remove(0)
}

fn nearest(number: u64) -> SearchRequest {
    SearchRequest::nearest(Query::Vector(vector(ROWS + number)), 10)
}

/// Rows above this one.
fn above(row: u64) -> Option<Filter> {
    Some(Filter::Field { path: "row".to_owned(), test: Test::Gt(Value::Int(row as i64)) })
}

/// Searches of every kind: by the graph, row by row, of few rows and of many, by a record, with vectors.
fn questions() -> Vec<SearchRequest> {
    let mut all = Vec::new();
    for number in 0..5 {
        all.push(nearest(number));
        all.push(SearchRequest { exact: true, ..nearest(number) });
        all.push(SearchRequest { exact: true, filter: above(ROWS - 20), ..nearest(number) });
        all.push(SearchRequest { filter: above(ROWS - 6), ..nearest(number) });
        all.push(SearchRequest { filter: above(ROWS / 2), ..nearest(number) });
        all.push(SearchRequest { query: Query::Record(RecordId::new("row-3").expect("an id")), offset: 2, ..nearest(number) });
        all.push(SearchRequest { read: ReadOptions { vector: true, metadata: true }, ..nearest(number) });
    }
    all
}

async fn answers(world: &World, name: &str) -> Vec<SearchResponse> {
    let mut answers = Vec::new();
    for question in questions() {
        answers.push(search(world, name, question).await);
    }
    answers
}

/// What a caller sees of hits: ids, scores to the bit, metadata and vectors.
fn seen(responses: &[SearchResponse]) -> Vec<String> {
    responses.iter().map(|response| format!("{:?}", response.hits)).collect()
}

async fn memory(world: &World) -> MemoryStatus {
    world.engine().health().await.memory
}

fn part(memory: &MemoryStatus, name: &str) -> u64 {
    memory.parts.iter().find(|(part, _)| *part == name).map(|(_, bytes)| *bytes).expect("a part")
}

async fn reopen(world: &mut World, memory: MemorySettings) {
    world.set_memory(memory);
    world.cut().await;
    world.reopen().await;
    world.settle().await;
}

/// Bytes that everything takes after a start, with all originals.
async fn bytes_after_a_start(world: &mut World) -> u64 {
    reopen(world, MemorySettings::default()).await;
    memory(world).await.used_bytes
}

#[test]
fn without_originals_in_memory_every_search_gives_the_same() {
    run(async {
        let mut world = world(MemorySettings::default()).await;
        fill(&mut world, "a", IndexKind::Auto).await;
        let roomy = memory(&world).await;
        assert_eq!((roomy.state, roomy.budget_bytes, part(&roomy, "originals")), ("roomy", None, ORIGINALS));
        let before = answers(&world, "a").await;
        assert!(before.iter().all(|answer| answer.stats.explain[0].originals == "memory"));
        assert_eq!(before[0].stats.counters.graph_walks, 1);

        // All but the originals, and half of these.
        let budget = roomy.used_bytes - ORIGINALS / 2;
        for (settings, why) in [(within(budget), "memory.budget_bytes"), (ON_DISK, "memory.originals")] {
            reopen(&mut world, settings).await;
            let status = world.engine().index_status(&named("a")).await.expect("a status");
            let segment = &status.segments[0];
            assert_eq!((status.status, status.kind, status.originals_bytes, segment.originals), ("ready", "graph", 0, "disk"));
            assert!(segment.originals_reason.contains(why), "{}", segment.originals_reason);
            let after = answers(&world, "a").await;
            assert_eq!(seen(&after), seen(&before));
            assert!(after.iter().all(|answer| answer.stats.explain[0].originals == "disk"));
            for (before, after) in before.iter().zip(&after) {
                assert_eq!(before.stats.counters.distances, after.stats.counters.distances, "as many rows were compared");
                assert_eq!(before.stats.counters.graph_walks, after.stats.counters.graph_walks);
            }
            let lean = memory(&world).await;
            assert_eq!((lean.state, part(&lean, "originals")), ("lean", 0));
            assert!(lean.used_bytes <= budget, "{lean:?} of {budget}");
            assert_eq!(world.engine().health().await.problems, Vec::<String>::new());
        }
        reopen(&mut world, MemorySettings::default()).await;
        assert_eq!(seen(&answers(&world, "a").await), seen(&before));
        assert_eq!(memory(&world).await.state, "roomy");
    });
}

#[test]
fn originals_come_back_when_others_make_room() {
    run(async {
        let mut world = world(MemorySettings::default()).await;
        fill(&mut world, "a", IndexKind::Auto).await;
        let one = bytes_after_a_start(&mut world).await;
        fill(&mut world, "b", IndexKind::Auto).await;
        let both = bytes_after_a_start(&mut world).await;
        // One of the two has room for its originals, with the eighth to spare that is kept free.
        reopen(&mut world, within(both - ORIGINALS / 2)).await;
        let lean = memory(&world).await;
        assert!(part(&lean, "originals") <= ORIGINALS, "{lean:?}");
        assert_eq!(lean.state, "lean");
        assert!(one < both - ORIGINALS / 2, "{one} of {both}");
        world.engine().drop_collection(&named("b")).await.expect("dropped");
        world.settle().await;
        let roomy = memory(&world).await;
        assert_eq!((roomy.state, part(&roomy, "originals")), ("roomy", ORIGINALS), "{roomy:?}");
        assert_eq!(search(&world, "a", nearest(1)).await.stats.explain[0].originals, "memory");
    });
}

#[test]
fn segments_that_are_compared_row_by_row_are_read_from_disk_when_nothing_else_helps() {
    run(async {
        let mut world = world(MemorySettings::default()).await;
        fill(&mut world, "a", IndexKind::Flat).await;
        let used = bytes_after_a_start(&mut world).await;
        let before = answers(&world, "a").await;
        reopen(&mut world, within(used - ORIGINALS / 2)).await;
        assert_eq!(world.engine().index_status(&named("a")).await.expect("a status").originals_bytes, 0);
        let after = answers(&world, "a").await;
        assert_eq!(seen(&after), seen(&before));
        assert!(after.iter().all(|answer| answer.stats.explain[0].originals == "disk" && answer.stats.counters.graph_walks == 0));
        reopen(&mut world, ON_DISK).await;
        assert_eq!(memory(&world).await.state, "roomy", "only those of graphs are meant");
    });
}

#[test]
fn records_are_refused_when_nothing_is_left_to_let_go_and_deletes_are_not() {
    run(async {
        let mut world = world(MemorySettings::default()).await;
        fill(&mut world, "a", IndexKind::Auto).await;
        let used = bytes_after_a_start(&mut world).await;
        reopen(&mut world, within(used - ORIGINALS - 1_000)).await;
        let refused = upsert(&world, "a", ROWS..ROWS + 1).await.expect_err("no memory");
        assert_eq!(refused.fault, Fault::Exhausted);
        assert!(refused.message.contains("memory.budget_bytes"), "{refused}");
        let health = world.engine().health().await;
        assert_eq!(health.memory.state, "over");
        assert!(health.ready && health.problems.iter().any(|problem| problem.contains("memory.budget_bytes")), "{:?}", health.problems);
        assert_eq!(search(&world, "a", nearest(1)).await.hits.len(), 10, "searches are answered");
        let gone = Change::Delete(RecordId::new("row-1").expect("an id"));
        let deleted = world.engine().write(&named("a"), WriteRequest { changes: vec![gone], ..WriteRequest::default() }).await;
        assert_eq!(deleted.expect("deletes bring nothing").deleted, 1);
        world.engine().drop_collection(&named("a")).await.expect("dropped");
        world.settle().await;
        assert_eq!(memory(&world).await.state, "roomy");
        assert_eq!(world.engine().health().await.problems, Vec::<String>::new());
    });
}

#[test]
fn a_build_waits_until_there_is_memory_for_it() {
    run(async {
        let mut world = world(MemorySettings::default()).await;
        fill(&mut world, "a", IndexKind::Flat).await;
        let one = bytes_after_a_start(&mut world).await;
        fill(&mut world, "b", IndexKind::Flat).await;
        let beside = bytes_after_a_start(&mut world).await - one - ORIGINALS;
        // Enough to build beside nothing else, and not beside what the other collection keeps when its originals have gone.
        let build = plan::build_bytes(ROWS as usize, DIMENSION as usize, IndexSettings::default().m as usize);
        reopen(&mut world, within(one + build + beside / 2)).await;
        let mut index = world.engine().describe_collection(&named("a")).await.expect("there").collection.spec.index;
        index.kind = IndexKind::Graph;
        let patch = CollectionPatch { index: Some(index), description: None };
        world.engine().update_collection(&named("a"), patch).await.expect("updated");
        world.settle().await;
        let problems = world.engine().health().await.problems;
        assert!(problems.len() == 1 && problems[0].contains("waits for") && problems[0].contains("memory.budget_bytes"), "{problems:?}");
        assert_eq!(world.engine().index_status(&named("a")).await.expect("a status").kind, "flat");
        assert_eq!(search(&world, "a", nearest(1)).await.hits.len(), 10);
        world.engine().drop_collection(&named("b")).await.expect("dropped");
        world.settle().await;
        assert_eq!(world.engine().index_status(&named("a")).await.expect("a status").kind, "graph");
        assert_eq!(world.engine().health().await.problems, Vec::<String>::new());
        assert_eq!(search(&world, "a", nearest(1)).await.stats.counters.graph_walks, 1);
    });
}

#[test]
fn merges_deletes_and_restarts_go_on_without_originals() {
    run(async {
        let mut world = world(ON_DISK).await;
        fill(&mut world, "a", IndexKind::Auto).await;
        let changes = (0..ROWS / 3).map(|row| Change::Delete(record(row * 3).id)).collect();
        world.engine().write(&named("a"), WriteRequest { changes, ..WriteRequest::default() }).await.expect("deleted");
        upsert(&world, "a", ROWS..ROWS + 400).await.expect("written");
        world.engine().flush(&named("a")).await.expect("flushed");
        world.settle().await;
        for restart in [false, true] {
            if restart {
                reopen(&mut world, ON_DISK).await;
            }
            let status = world.engine().index_status(&named("a")).await.expect("a status");
            assert_eq!((status.segments.len(), status.kind, status.originals_bytes), (1, "graph", 0), "{status:?}");
            let exact = search(&world, "a", SearchRequest { exact: true, ..nearest(9_000) }).await;
            let mut truth: Vec<(f32, u64)> = (0..ROWS + 400)
                .filter(|row| *row >= ROWS / 3 * 3 || row % 3 != 0)
                .map(|row| (cosine(&vector(ROWS + 9_000), &vector(row)), row))
                .collect();
            truth.sort_by(|a, b| b.0.total_cmp(&a.0));
            let ids: Vec<_> = exact.hits.iter().map(|hit| hit.id.as_str().to_owned()).collect();
            assert_eq!(ids, truth.iter().take(10).map(|(_, row)| format!("row-{row}")).collect::<Vec<_>>());
            let near = search(&world, "a", nearest(9_000)).await;
            assert_eq!((near.stats.counters.graph_walks, near.stats.explain[0].originals), (1, "disk"));
        }
    });
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    (dot(a, b) / (dot(a, a).sqrt() * dot(b, b).sqrt())) as f32
}
