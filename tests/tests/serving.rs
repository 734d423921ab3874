//! Where searches run: a short one where it is asked for, everything else on the threads for computations.

use std::sync::Arc;

use proximadb_engine::EngineSettings;
use proximadb_model::{CollectionName, CollectionRef, CollectionSpec, Dimension, Metadata, MetricKind, RecordId};
use proximadb_ports::{Change, Database, NewRecord, Query, SearchRequest, WriteRequest};
use proximadb_tests::{Log, World, WorldPlan};
use proximadb_viper::Compression;
use proximadb_wal::BincodeCodec;

const DIMENSION: usize = 4_096;
/// With so many components, more rows than a short search compares.
const MANY: usize = 600;

async fn world() -> World {
    let (compression, settings) = (Compression::None, EngineSettings::default());
    World::new(5, WorldPlan { sites: 1, log: Log::Files, codec: Arc::new(BincodeCodec), mirrored: false, compression, settings }).await
}

async fn write(world: &World, collection: &CollectionRef, rows: std::ops::Range<usize>) {
    let record = |row: usize| {
        let vector = (0..DIMENSION).map(|i| if i == row { 2.0 } else { 1.0 / (row + 1) as f32 }).collect();
        let id = RecordId::new(&row.to_string()).expect("valid");
        Change::Upsert(NewRecord { id, vector, metadata: Metadata::default(), expires: None })
    };
    let rows: Vec<usize> = rows.collect();
    for rows in rows.chunks(200) {
        let changes = rows.iter().map(|row| record(*row)).collect();
        world.engine().write(collection, WriteRequest { changes, ..Default::default() }).await.expect("write");
    }
}

fn near(row: usize) -> SearchRequest {
    SearchRequest::nearest(Query::Vector((0..DIMENSION).map(|i| f32::from(u8::from(i == row))).collect()), 1)
}

#[tokio::test(start_paused = true)]
async fn a_short_search_is_not_handed_over_and_finds_the_same() {
    let world = world().await;
    let name = CollectionName::new("c").expect("a name");
    let spec = CollectionSpec::new(name.clone(), Dimension::new(DIMENSION as u64).expect("in range"), MetricKind::Cosine);
    let collection = CollectionRef::Name(name);
    world.engine().create_collection(spec).await.expect("created");
    let asked = async |queries: Vec<usize>| {
        let before = world.process.executor.computations();
        let requests = queries.iter().map(|row| near(*row)).collect();
        let found = world.engine().search(&collection, requests).await.expect("an answer");
        let ids: Vec<_> = found.iter().map(|answer| answer.hits[0].id.to_string()).collect();
        assert_eq!(ids, queries.iter().map(ToString::to_string).collect::<Vec<_>>());
        world.process.executor.computations() - before
    };
    write(&world, &collection, 0..20).await;
    assert_eq!(asked(vec![7]).await, 0, "twenty rows in memory");
    world.engine().flush(&collection).await.expect("flush");
    assert_eq!(asked(vec![7]).await, 0, "twenty rows of a segment");
    assert_eq!(asked(vec![7, 8]).await, 1, "two searches, one thread");
    write(&world, &collection, 20..MANY).await;
    assert_eq!(asked(vec![500]).await, 1, "more rows than a short search compares");
    assert_eq!(world.process.executor.panics(), 0);
}
