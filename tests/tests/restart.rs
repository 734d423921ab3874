//! A restart over the whole engine: what is answered before everything is loaded, and what becomes of damaged files.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use proximadb_engine::EngineSettings;
use proximadb_model::{CollectionName, CollectionRef, CollectionSpec, Dimension, Metadata, MetricKind, RecordId};
use proximadb_ports::conformance::database::DatabaseHarness;
use proximadb_ports::{Change, Clock, Database, Fault, NewRecord, Query, Result, SearchRequest, SearchResponse, WriteRequest};
use proximadb_sim::{Effect, Injection, SimClock};
use proximadb_tests::{Log, World, WorldPlan, small_settings};
use proximadb_viper::Compression;
use proximadb_wal::BincodeCodec;

const ROWS: u64 = 2_500;
const DIMENSION: u64 = 24;

fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime").block_on(test);
}

fn collection() -> CollectionRef {
    CollectionRef::Name(CollectionName::new("restarted").expect("a name"))
}

fn vector(row: u64) -> Vec<f32> {
    // SplitMix64; only its noise matters here.
    let noise = |n: u64| {
        let bits = (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ n >> 7).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        ((bits ^ bits >> 31) >> 40) as f32 / (1u64 << 24) as f32 - 0.5
    };
    (0..DIMENSION).map(|component| noise(row * DIMENSION + component + 1)).collect()
}

/// A database with one segment, which has a graph.
async fn with_a_graph() -> World {
    let mut settings = small_settings();
    settings.flush = EngineSettings::default().flush;
    settings.maintenance.graph_rows_min = 1_000;
    settings.maintenance.graph_components_min = 0;
    let compression = Compression::Zstd { level: 1 };
    let plan = WorldPlan { sites: 1, log: Log::Files, codec: Arc::new(BincodeCodec), mirrored: false, compression, settings };
    let mut world = World::new(7, plan).await;
    let CollectionRef::Name(name) = collection() else { unreachable!("it is named above") };
    let spec = CollectionSpec::new(name, Dimension::new(DIMENSION).expect("in range"), MetricKind::Cosine);
    world.engine().create_collection(spec).await.expect("created");
    let record = |row: u64| NewRecord {
        id: RecordId::new(&format!("row-{row}")).expect("an id"),
        vector: vector(row),
        metadata: Metadata::default(),
        expires: None,
    };
    let changes = (0..ROWS).map(|row| Change::Upsert(record(row))).collect();
    world.engine().write(&collection(), WriteRequest { changes, ..WriteRequest::default() }).await.expect("written");
    world.engine().flush(&collection()).await.expect("flushed");
    world.settle().await;
    let status = world.engine().index_status(&collection()).await.expect("a status");
    assert_eq!((status.status, status.kind, status.segments.len()), ("ready", "graph", 1));
    world
}

async fn search(world: &World, number: u64, exact: bool) -> Result<SearchResponse> {
    let request = SearchRequest { exact, explain: true, ..SearchRequest::nearest(Query::Vector(vector(ROWS + number)), 10) };
    Ok(world.engine().search(&collection(), vec![request]).await?.remove(0))
}

fn found(response: &SearchResponse) -> Vec<(String, f32)> {
    response.hits.iter().map(|hit| (hit.id.as_str().to_owned(), hit.score)).collect()
}

async fn status(world: &World) -> &'static str {
    world.engine().index_status(&collection()).await.expect("a status").status
}

/// Restarts, and lets the first reading of vectors fail, which is tried again some seconds later.
async fn restarted_without_originals() -> World {
    let mut world = with_a_graph().await;
    world.cut().await;
    world.reopen().await;
    world.sites[0].filesystem.inject(Injection::next(Effect::Fail(Fault::Unavailable)).on("get_ranges").about("/segments/"));
    while world.engine().health().await.problems.is_empty() {
        tokio::task::yield_now().await;
    }
    world
}

#[test]
fn searches_are_answered_before_the_originals_come() {
    run(async {
        let world = restarted_without_originals().await;
        let mut early = Vec::new();
        for number in 0..20 {
            early.push(search(&world, number, false).await.expect("an answer"));
            assert_eq!(status(&world).await, "loading");
        }
        SimClock::of_tokio().sleep(Duration::from_secs(60)).await;
        assert_eq!(status(&world).await, "ready");
        assert_eq!(world.engine().health().await.problems, Vec::<String>::new(), "what was tried again with success is no problem");
        for (number, early) in (0..).zip(&early) {
            let late = search(&world, number, false).await.expect("an answer");
            assert_eq!(found(early), found(&late), "the same rows with the same scores");
            assert_eq!((early.stats.counters.graph_walks, late.stats.counters.graph_walks), (1, 1));
            assert_eq!(early.stats.explain[0].counters, early.stats.counters, "the explanation counts the rows that were fetched");
            assert!(early.stats.counters.distances >= 10);
        }
    });
}

#[test]
fn an_exact_search_waits_for_the_originals() {
    run(async {
        let world = restarted_without_originals().await;
        let early = search(&world, 0, true).await.expect("an answer");
        assert_eq!(status(&world).await, "ready", "the search has brought them");
        assert_eq!(early.stats.counters.distances, ROWS, "every row was compared");
        assert_eq!(found(&early), found(&search(&world, 0, true).await.expect("an answer")));
    });
}

#[test]
fn originals_that_cannot_be_read_are_an_error_of_what_needs_them() {
    run(async {
        let world = restarted_without_originals().await;
        world.sites[0]
            .filesystem
            .inject(Injection::next(Effect::Fail(Fault::Unavailable)).on("get_ranges").about("/segments/").times(u64::MAX));
        for exact in [false, true] {
            assert_eq!(search(&world, 0, exact).await.expect_err("nothing can be read").fault, Fault::Unavailable);
        }
        world.sites[0].filesystem.heal();
        search(&world, 0, false).await.expect("an answer once the store is back");
    });
}

#[test]
fn a_damaged_sidecar_is_rebuilt() {
    run(async {
        let mut world = with_a_graph().await;
        let before = search(&world, 0, true).await.expect("an answer");
        let filesystem = world.sites[0].filesystem.clone();
        let sidecar = filesystem.keys().into_iter().find(|key| key.contains("/index/")).expect("a sidecar");
        assert!(filesystem.flip(&sidecar, 3_000));
        world.cut().await;
        world.reopen().await;
        let problems = world.engine().health().await.problems;
        assert!(problems.len() == 1 && problems[0].contains("rebuilt"), "{problems:?}");
        let scanned = search(&world, 0, false).await.expect("an answer");
        assert_eq!((found(&scanned), scanned.stats.counters.graph_walks), (found(&before), 0), "exact until it is there");
        world.settle().await;
        assert_eq!(status(&world).await, "ready");
        assert_eq!(search(&world, 0, false).await.expect("an answer").stats.counters.graph_walks, 1);
        assert_eq!(world.engine().health().await.problems, Vec::<String>::new(), "it has been rebuilt");
    });
}

/// What only tidies up decides nothing: the graph serves, its shard takes writes, and the next start clears what was left.
#[test]
fn an_old_sidecar_that_cannot_be_deleted_keeps_nobody_from_writing() {
    run(async {
        let mut world = with_a_graph().await;
        let filesystem = world.sites[0].filesystem.clone();
        let sidecars = || filesystem.keys().into_iter().filter(|key| key.contains("/index/")).collect::<Vec<_>>();
        let old = sidecars().remove(0);
        assert!(filesystem.flip(&old, 3_000));
        world.cut().await;
        world.reopen().await;
        filesystem.inject(Injection::next(Effect::Fail(Fault::Unavailable)).on("delete").about(&old));
        world.settle().await;
        assert!(sidecars().len() == 2 && sidecars().contains(&old), "it could not be deleted");
        assert_eq!(search(&world, 0, false).await.expect("an answer").stats.counters.graph_walks, 1);
        let delete = Change::Delete(RecordId::new("row-0").expect("an id"));
        let written = world.engine().write(&collection(), WriteRequest { changes: vec![delete], ..WriteRequest::default() }).await;
        assert_eq!(written.expect("takes writes").deleted, 1);
        world.engine().flush(&collection()).await.expect("flushes");
        assert_eq!(world.engine().health().await.problems, Vec::<String>::new());
        world.cut().await;
        world.reopen().await;
        let scanned = search(&world, 0, false).await.expect("an answer").stats.counters;
        assert_eq!(scanned.code_distances, ROWS - 1, "the new graph's codes, since few rows with one dead are scanned");
        world.settle().await;
        assert!(sidecars().len() == 1 && !sidecars().contains(&old), "{:?}", sidecars());
    });
}

#[test]
fn a_damaged_segment_takes_its_shard_out_of_service() {
    run(async {
        let mut world = with_a_graph().await;
        let filesystem = world.sites[0].filesystem.clone();
        let segment = filesystem.keys().into_iter().find(|key| key.contains("/segments/")).expect("a segment");
        assert!(filesystem.flip(&segment, 100_000));
        world.cut().await;
        world.reopen().await;
        assert!(world.engine().health().await.problems.iter().any(|problem| problem.contains("checksum")));
        assert_eq!(search(&world, 0, false).await.expect_err("the shard is not served").fault, Fault::Corrupt);
    });
}
