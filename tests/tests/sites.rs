//! Sites that go, come back, fill up and rot under the whole engine: what is served, what is refused, and what is said of it.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use proximadb_model::{CollectionName, CollectionRef, CollectionSpec, Dimension, Metadata, MetricKind, RecordId};
use proximadb_ports::{Change, Clock, Database, Fault, NewRecord, Result, WriteOutcome, WriteRequest};
use proximadb_sim::{Effect, Injection, SimClock, SimFilesystem};
use proximadb_tests::{Log, World, WorldPlan, small_settings};
use proximadb_viper::Compression;
use proximadb_wal::BincodeCodec;

fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime").block_on(test);
}

async fn world(sites: u64, mirrored: bool) -> World {
    let (compression, settings) = (Compression::None, small_settings());
    World::new(11, WorldPlan { sites, log: Log::Files, codec: Arc::new(BincodeCodec), mirrored, compression, settings }).await
}

fn named(name: &str) -> CollectionRef {
    CollectionRef::Name(CollectionName::new(name).expect("a name"))
}

fn spec(name: &str) -> CollectionSpec {
    CollectionSpec::new(CollectionName::new(name).expect("a name"), Dimension::new(2).expect("in range"), MetricKind::Euclidean)
}

async fn put(world: &World, name: &str, ids: std::ops::Range<u32>) -> Result<WriteOutcome> {
    let record = |id: u32| {
        let id_text = RecordId::new(&id.to_string()).expect("valid");
        Change::Upsert(NewRecord { id: id_text, vector: vec![id as f32, 1.0], metadata: Metadata::default(), expires: None })
    };
    let changes = ids.map(record).collect();
    world.engine().write(&named(name), WriteRequest { changes, ..WriteRequest::default() }).await
}

async fn delete(world: &World, name: &str, id: u32) -> Result<WriteOutcome> {
    let changes = vec![Change::Delete(RecordId::new(&id.to_string()).expect("valid"))];
    world.engine().write(&named(name), WriteRequest { changes, ..WriteRequest::default() }).await
}

async fn count(world: &World, name: &str) -> Result<u64> {
    world.engine().count(&named(name), None).await
}

async fn problems(world: &World) -> Vec<String> {
    world.engine().health().await.problems
}

async fn pass(seconds: u64) {
    SimClock::of_tokio().sleep(Duration::from_secs(seconds)).await;
}

async fn restart(world: &mut World) {
    world.cut().await;
    world.reopen().await;
}

/// Two collections on two sites, one on each, with ten records each.
async fn one_on_each(world: &World) {
    for name in ["first", "second"] {
        assert!(world.engine().create_collection(spec(name)).await.expect("created").new);
        put(world, name, 0..10).await.expect("written");
    }
    let homes: std::collections::BTreeSet<_> = world.engine().assignments().await.iter().filter_map(|a| a.site).collect();
    assert_eq!(homes.len(), 2, "one on each");
}

#[test]
fn a_disk_that_is_missing_at_a_start_is_listed_never_made_anew_and_served_again_when_it_is_back() {
    run(async {
        let mut world = world(2, false).await;
        one_on_each(&world).await;
        world.cut().await;
        world.sites[1].gone.store(true, Ordering::Relaxed);
        world.reopen().await;
        let engine = world.engine();
        assert_eq!(engine.list_collections().await.expect("listed").len(), 2, "the card on the other site tells of it");
        assert_eq!(count(&world, "first").await.expect("served"), 10);
        let error = count(&world, "second").await.expect_err("its disk is away");
        assert_eq!(error.fault, Fault::Unavailable, "{error:?}");
        assert!(!engine.create_collection(spec("second")).await.expect("it is known").new);
        let mut other = spec("second");
        other.shards = 2;
        assert_eq!(engine.create_collection(other).await.expect_err("the name is taken").fault, Fault::Conflict);
        assert!(engine.drop_collection(&named("second")).await.is_err());
        assert!(problems(&world).await.iter().any(|p| p.contains("sim 1")), "{:?}", problems(&world).await);
        let sites = engine.sites().await;
        assert_eq!((sites[0].state.as_str(), sites[1].state.contains("gone")), ("ok", true), "{sites:?}");
        // New shards go where there is a site.
        engine.create_collection(spec("third")).await.expect("created");
        world.sites[1].gone.store(false, Ordering::Relaxed);
        pass(3).await;
        assert_eq!(count(&world, "second").await.expect("served again"), 10);
        put(&world, "second", 10..12).await.expect("written");
        assert_eq!(problems(&world).await, Vec::<String>::new());
    });
}

#[test]
fn an_empty_place_where_a_site_was_is_not_made_a_new_one() {
    run(async {
        let mut world = world(2, false).await;
        one_on_each(&world).await;
        world.cut().await;
        let mounted = std::mem::replace(&mut world.sites[1].filesystem, SimFilesystem::new(99));
        world.reopen().await;
        let sites = world.engine().sites().await;
        assert!(sites[1].state.contains("is its disk mounted?"), "{sites:?}");
        assert_eq!(world.sites[1].filesystem.keys(), Vec::<String>::new(), "nothing is written there");
        world.cut().await;
        world.sites[1].filesystem = mounted.crash();
        world.reopen().await;
        assert_eq!(count(&world, "second").await.expect("served again"), 10);
    });
}

#[test]
fn a_disk_that_dies_while_serving_leaves_the_others_alone_and_is_served_again_once_it_answers() {
    run(async {
        let world = world(2, false).await;
        one_on_each(&world).await;
        let dead = || Injection::next(Effect::Fail(Fault::Unavailable)).times(u64::MAX);
        world.sites[1].filesystem.inject(dead());
        world.sites[1].disk.inject(dead());
        let refused = put(&world, "second", 10..11).await.expect_err("its log is dead");
        assert_eq!(refused.fault, Fault::Unavailable);
        pass(4).await;
        assert_eq!(count(&world, "second").await.expect_err("it is gone").fault, Fault::Unavailable);
        put(&world, "first", 10..20).await.expect("the other site is well");
        assert_eq!(count(&world, "first").await.expect("served"), 20);
        let told = problems(&world).await;
        assert!(told.iter().any(|p| p.contains("sim 1")) && !told.iter().any(|p| p.contains("sim 0")), "{told:?}");
        world.sites[1].filesystem.heal();
        world.sites[1].disk.heal();
        pass(4).await;
        let there = count(&world, "second").await.expect("served again, without a restart");
        assert!(there == 10 || there == 11, "what was refused may be there or not: {there}");
        put(&world, "second", 20..25).await.expect("written");
        assert_eq!(problems(&world).await, Vec::<String>::new());
    });
}

#[test]
fn a_disk_that_answers_no_more_is_refused_quickly_and_named() {
    run(async {
        let world = world(2, false).await;
        one_on_each(&world).await;
        world.sites[1].filesystem.inject(Injection::next(Effect::Hang).times(u64::MAX));
        pass(8).await;
        let refused = put(&world, "second", 10..11).await.expect_err("it hangs");
        assert_eq!(refused.fault, Fault::Unavailable, "{refused:?}");
        assert_eq!(world.engine().sites().await[1].state, "does not answer");
        assert_eq!(count(&world, "second").await.expect("what is in memory is read"), 10);
        put(&world, "first", 10..20).await.expect("the other site is well");
    });
}

#[test]
fn a_full_disk_refuses_records_before_it_is_full_and_takes_deletes() {
    run(async {
        let world = world(2, false).await;
        one_on_each(&world).await;
        let used = world.sites[1].filesystem.used_bytes();
        world.sites[1].filesystem.set_capacity_bytes(Some(used + used / 50));
        pass(2).await;
        let refused = put(&world, "second", 10..11).await.expect_err("no room");
        assert_eq!(refused.fault, Fault::Exhausted, "{refused:?}");
        assert_eq!(count(&world, "second").await.expect("read"), 10);
        assert_eq!(delete(&world, "second", 3).await.expect("deletes go on").deleted, 1);
        put(&world, "first", 10..20).await.expect("the other disk has room");
        assert!(world.engine().sites().await[1].state.contains("takes no more records"));
        world.sites[1].filesystem.set_capacity_bytes(Some(used * 100));
        pass(2).await;
        put(&world, "second", 10..12).await.expect("there is room again, without a restart");
        assert_eq!(count(&world, "second").await.expect("read"), 11);
        assert_eq!(problems(&world).await, Vec::<String>::new());
    });
}

fn own_segments(of: &SimFilesystem) -> Vec<String> {
    of.keys().into_iter().filter(|key| key.starts_with("shards/") && key.contains("/segments/")).collect()
}

/// A collection of twenty flushed and five logged records, whose segment is damaged then.
async fn with_a_damaged_segment(world: &mut World) {
    world.engine().create_collection(spec("rotten")).await.expect("created");
    put(world, "rotten", 0..20).await.expect("written");
    world.engine().flush(&named("rotten")).await.expect("flushed");
    put(world, "rotten", 20..25).await.expect("written");
    pass(20).await;
    let mut damaged = 0;
    for site in &world.sites {
        for segment in own_segments(&site.filesystem) {
            assert!(site.filesystem.flip(&segment, 200));
            damaged += 1;
        }
    }
    assert_eq!(damaged, 1);
    restart(world).await;
}

#[test]
fn what_is_damaged_for_good_is_refused_until_somebody_accepts_the_loss() {
    run(async {
        let mut world = world(1, false).await;
        with_a_damaged_segment(&mut world).await;
        assert_eq!(count(&world, "rotten").await.expect_err("not silently less").fault, Fault::Corrupt);
        let losses = world.engine().accept_loss(&named("rotten")).await.expect("accepted");
        assert_eq!((losses.len(), losses[0].shard, losses[0].rows), (1, 0, 20), "{losses:?}");
        assert_eq!(count(&world, "rotten").await.expect("the rest is served"), 5);
        put(&world, "rotten", 25..27).await.expect("written");
        assert_eq!(problems(&world).await, Vec::<String>::new());
        restart(&mut world).await;
        assert_eq!(count(&world, "rotten").await.expect("and stays so"), 7);
        assert_eq!(world.engine().accept_loss(&named("rotten")).await.expect("nothing is damaged"), []);
    });
}

#[test]
fn what_has_a_second_copy_is_repaired_at_the_start() {
    run(async {
        let mut world = world(2, true).await;
        with_a_damaged_segment(&mut world).await;
        assert_eq!(count(&world, "rotten").await.expect("repaired"), 25);
        assert_eq!(problems(&world).await, Vec::<String>::new());
    });
}

#[test]
fn scrubbing_puts_either_copy_right_while_the_other_is_whole() {
    run(async {
        let world = world(2, true).await;
        world.engine().create_collection(spec("kept")).await.expect("created");
        put(&world, "kept", 0..40).await.expect("written");
        world.engine().flush(&named("kept")).await.expect("flushed");
        pass(10).await;
        let places = |part: &str| {
            let keys = world.sites.iter().enumerate().flat_map(|(i, s)| s.filesystem.keys().into_iter().map(move |key| (i, key)));
            keys.filter(|(_, key)| key.contains("/segments/") && key.starts_with(part)).collect::<Vec<_>>()
        };
        for part in ["shards/", "mirrors/"] {
            let copies = places(part);
            assert!(!copies.is_empty(), "{part}");
            for (site, key) in &copies {
                assert!(world.sites[*site].filesystem.flip(key, 150));
            }
            pass(7 * 3_600).await;
            let bytes = |site: usize, key: &str| {
                let mut copy = Vec::new();
                world.sites[site].filesystem.damage(key, |bytes| copy = bytes.clone());
                copy
            };
            for (own, second) in places("shards/").iter().zip(places("mirrors/")) {
                assert_eq!(bytes(own.0, &own.1), bytes(second.0, &second.1), "both copies are the same again");
            }
            assert_eq!(count(&world, "kept").await.expect("served"), 40);
            assert_eq!(problems(&world).await, Vec::<String>::new());
        }
    });
}
