//! Filters over the whole engine: from files and from memory alike, within the bound, and what the plan makes of them.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use proximadb_engine::EngineSettings;
use proximadb_model::{
    CollectionName, CollectionRef, CollectionSpec, Dimension, Filter, Metadata, MetricKind, RecordId, Test, Timestamp, Value,
};
use proximadb_ports::conformance::database::DatabaseHarness;
use proximadb_ports::{Change, Clock, Database, NewRecord, Query, SearchRequest, SearchResponse, SegmentExplain, WriteRequest};
use proximadb_sim::SimClock;
use proximadb_tests::{Log, World, WorldPlan, small_settings};
use proximadb_viper::Compression;
use proximadb_wal::BincodeCodec;

const ROWS: u64 = 2_000;
const DIMENSION: u64 = 8;
const READING: &str = "file: its fields are being read into memory";
const NO_ROOM: &str = "file: the memory for filters is used up (memory.filter_bytes_max)";

fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime").block_on(test);
}

fn collection() -> CollectionRef {
    CollectionRef::Name(CollectionName::new("filtered").expect("a name"))
}

fn vector(row: u64) -> Vec<f32> {
    (0..DIMENSION).map(|component| ((row * 37 + component * 101) % 97) as f32 - 48.0).collect()
}

fn metadata(row: u64) -> Metadata {
    let tags = (0..row % 4).map(|tag| Value::String(format!("t{tag}"))).collect();
    let inner = BTreeMap::from([("deep".to_owned(), Value::Int((row % 7) as i64))]);
    let mut fields = BTreeMap::from([
        ("number".to_owned(), if row.is_multiple_of(2) { Value::Int(row as i64) } else { Value::Float(row as f64 + 0.5) }),
        ("text".to_owned(), Value::String(format!("text {}", row % 10))),
        ("tags".to_owned(), Value::Array(tags)),
        ("inner".to_owned(), Value::Object(inner)),
    ]);
    if row.is_multiple_of(3) {
        fields.insert("flag".to_owned(), Value::Bool(row.is_multiple_of(2)));
    }
    Metadata::new(fields).expect("small")
}

fn record(row: u64) -> NewRecord {
    // The world begins in 2026; the sooner ones are gone ten seconds later.
    let expires = (row.is_multiple_of(100)).then(|| "2026-01-01T00:00:30Z".parse::<Timestamp>().expect("a moment"));
    NewRecord { id: RecordId::new(&format!("row-{row}")).expect("an id"), vector: vector(row), metadata: metadata(row), expires }
}

async fn write(world: &World, changes: Vec<Change>) {
    world.engine().write(&collection(), WriteRequest { changes, ..WriteRequest::default() }).await.expect("written");
}

/// A database with one segment, of which every seventh row is deleted and every hundredth will expire.
async fn world(filter_bytes_max: usize) -> World {
    let mut settings = small_settings();
    settings.flush = EngineSettings::default().flush;
    settings.maintenance.graph_rows_min = 1_000_000;
    settings.filter_bytes_max = filter_bytes_max;
    let compression = Compression::Zstd { level: 1 };
    let plan = WorldPlan { sites: 1, log: Log::Files, codec: Arc::new(BincodeCodec), mirrored: false, compression, settings };
    let world = World::new(5, plan).await;
    let CollectionRef::Name(name) = collection() else { unreachable!("it is named above") };
    let spec = CollectionSpec::new(name, Dimension::new(DIMENSION).expect("in range"), MetricKind::Euclidean);
    world.engine().create_collection(spec).await.expect("created");
    write(&world, (0..ROWS).map(|row| Change::Upsert(record(row))).collect()).await;
    world.engine().flush(&collection()).await.expect("flushed");
    write(&world, (0..ROWS).filter(|row| row % 7 == 3).map(|row| Change::Delete(record(row).id)).collect()).await;
    world
}

fn on(path: &str, test: Test) -> Filter {
    Filter::Field { path: path.to_owned(), test }
}

async fn search(world: &World, filter: &Filter) -> SearchResponse {
    let mut request = SearchRequest::nearest(Query::Vector(vector(ROWS)), ROWS as usize);
    request.filter = Some(filter.clone());
    request.explain = true;
    world.engine().search(&collection(), vec![request]).await.expect("an answer").remove(0)
}

fn found(response: &SearchResponse) -> Vec<String> {
    let mut ids: Vec<String> = response.hits.iter().map(|hit| hit.id.to_string()).collect();
    ids.sort_unstable();
    ids
}

/// How the one segment was searched.
fn segment(response: &SearchResponse) -> &SegmentExplain {
    let mut lines = response.stats.explain.iter().filter(|line| line.index != "memtable");
    let line = lines.next().expect("there is a segment");
    assert!(lines.next().is_none(), "there is one segment");
    line
}

/// The rows that a filter should find.
fn expected(filter: &Filter, expired: bool) -> Vec<String> {
    let is_there = |row: &u64| row % 7 != 3 && !(expired && row.is_multiple_of(100)) && filter.matches(&metadata(*row));
    let mut ids: Vec<String> = (0..ROWS).filter(is_there).map(|row| record(row).id.to_string()).collect();
    ids.sort_unstable();
    ids
}

async fn pass(time: Duration) {
    SimClock::of_tokio().sleep(time).await;
}

#[test]
fn a_filter_is_answered_alike_from_the_file_and_from_memory() {
    run(async {
        let world = world(64 << 20).await;
        let filters = [
            on("number", Test::Gte(Value::Float(1_200.5))),
            on("text", Test::In(vec![Value::String("text 3".to_owned()), Value::String("text 4".to_owned())])),
            on("tags", Test::Contains(Value::String("t1".to_owned()))),
            on("inner.deep", Test::Lt(Value::Int(3))),
            on("flag", Test::Exists(false)),
            Filter::And(vec![
                on("flag", Test::Ne(Value::Bool(true))),
                Filter::Not(Box::new(on("text", Test::Prefix("text 1".to_owned())))),
            ]),
        ];
        let before = world.engine().index_status(&collection()).await.expect("a status");
        assert_eq!(before.filter_bytes, 0);
        for filter in &filters {
            let first = search(&world, filter).await;
            pass(Duration::from_millis(1)).await;
            let second = search(&world, filter).await;
            assert_eq!(found(&first), expected(filter, false), "{filter:?}");
            assert_eq!(found(&second), expected(filter, false), "{filter:?}");
            assert_eq!((segment(&second).filter, second.stats.rows_filtered), ("memory", 0), "{filter:?}");
            assert_eq!(segment(&second).allowed, found(&second).len() as u64);
        }
        let first = search(&world, &on("elsewhere", Test::Exists(true))).await;
        assert_eq!((segment(&first).filter, found(&first).len()), (READING, 0));
        let after = world.engine().index_status(&collection()).await.expect("a status");
        assert!((40 * ROWS..400 * ROWS).contains(&after.filter_bytes), "{} bytes", after.filter_bytes);
        // What has expired meanwhile is left out though the fields stay as they are.
        pass(Duration::from_secs(31)).await;
        let later = search(&world, &filters[0]).await;
        assert_eq!((found(&later), segment(&later).filter), (expected(&filters[0], true), "memory"));
        let counted = world.engine().count(&collection(), Some(filters[2].clone())).await.expect("counted");
        assert_eq!(counted, expected(&filters[2], true).len() as u64);
    });
}

#[test]
fn lists_as_wholes_are_compared_in_the_file() {
    run(async {
        let world = world(64 << 20).await;
        let filter = on("tags", Test::Eq(Value::Array(vec![Value::String("t0".to_owned())])));
        for _ in 0..3 {
            assert_eq!(found(&search(&world, &filter).await), expected(&filter, false));
            pass(Duration::from_millis(1)).await;
        }
        assert_eq!(segment(&search(&world, &filter).await).filter, "file: it compares lists or objects as wholes");
    });
}

#[test]
fn without_room_the_file_is_read_and_explain_says_so() {
    run(async {
        for bytes in [0, 10_000] {
            let world = world(bytes).await;
            let filter = on("number", Test::Lt(Value::Int(500)));
            for expected_filter in [READING, NO_ROOM, NO_ROOM] {
                let response = search(&world, &filter).await;
                assert_eq!((found(&response), segment(&response).filter), (expected(&filter, false), expected_filter));
                assert!(response.stats.rows_filtered > 0, "rows of the file were looked at");
                pass(Duration::from_millis(1)).await;
            }
            assert_eq!(world.engine().index_status(&collection()).await.expect("a status").filter_bytes, 0);
        }
    });
}

#[test]
fn what_is_used_keeps_its_room_and_what_is_not_makes_room() {
    run(async {
        // Room for one of the two.
        let world = world(52_000).await;
        let (number, text) = (on("number", Test::Lt(Value::Int(500))), on("text", Test::Gt(Value::String("text 5".to_owned()))));
        search(&world, &number).await;
        pass(Duration::from_secs(1)).await;
        assert_eq!(segment(&search(&world, &number).await).filter, "memory");
        for _ in 0..3 {
            assert_eq!(found(&search(&world, &text).await), expected(&text, false));
            pass(Duration::from_secs(1)).await;
        }
        assert_eq!(segment(&search(&world, &text).await).filter, NO_ROOM);
        assert_eq!(segment(&search(&world, &number).await).filter, "memory", "it is not driven out while it is used");
        pass(Duration::from_secs(120)).await;
        search(&world, &text).await;
        pass(Duration::from_secs(1)).await;
        let response = search(&world, &text).await;
        assert_eq!((found(&response), segment(&response).filter), (expected(&text, true), "memory"));
        assert_eq!(segment(&search(&world, &number).await).filter, READING, "it has made room, and asks for it again");
        let bytes = world.engine().index_status(&collection()).await.expect("a status").filter_bytes;
        assert!((1..=52_000).contains(&bytes), "{bytes}");
    });
}

#[test]
fn a_merge_takes_along_what_filters_asked_for() {
    run(async {
        let mut world = world(64 << 20).await;
        let filter = on("number", Test::Gte(Value::Int(300)));
        search(&world, &filter).await;
        pass(Duration::from_millis(1)).await;
        assert_eq!(segment(&search(&world, &filter).await).filter, "memory");
        // More than a fifth of the rows die, so that the rest is written anew.
        write(&world, (0..ROWS).filter(|row| row % 7 < 3).map(|row| Change::Delete(record(row).id)).collect()).await;
        world.engine().flush(&collection()).await.expect("flushed");
        world.settle().await;
        let response = search(&world, &filter).await;
        assert_eq!((segment(&response).filter, segment(&response).rows < ROWS), ("memory", true));
        let expected: Vec<String> =
            expected(&filter, false).into_iter().filter(|id| id[4..].parse::<u64>().expect("a row") % 7 > 3).collect();
        assert_eq!(found(&response), expected);
    });
}
