//! What hangs ends in time, holds no more places than it may, and does not undo behind anybody's back what came after it.

use std::time::Duration;

use futures_util::future::join_all;
use proximadb_ports::Fault;
use proximadb_ports::conformance::filesystem::{Harness, run};
use proximadb_sim::{SimClock, SimFilesystem};

use super::*;
use crate::local::LocalFilesystem;
use crate::unreliable::{Mood, Unreliable};

const SETTINGS: DeadlineSettings = DeadlineSettings { base: Duration::from_secs(1), bytes_per_second: 1_000, operations: 4 };

fn with_deadlines(inner: Arc<dyn Filesystem>) -> (Arc<dyn Filesystem>, Arc<SimClock>) {
    let clock = Arc::new(SimClock::of_tokio());
    (deadlined(inner, Arc::clone(&clock) as Arc<dyn Clock>, SETTINGS), clock)
}

/// A store in memory, a store with deadlines around it, and the means to silence it in between.
struct World {
    store: SimFilesystem,
    unreliable: Arc<Unreliable>,
    timed: Arc<dyn Filesystem>,
    clock: Arc<SimClock>,
}

impl World {
    fn new(seed: u64) -> Self {
        Self::over(SimFilesystem::new(seed))
    }

    fn over(store: SimFilesystem) -> Self {
        let unreliable = Unreliable::around(Arc::new(store.clone()));
        let (timed, clock) = with_deadlines(Arc::clone(&unreliable) as Arc<dyn Filesystem>);
        Self { store, unreliable, timed, clock }
    }

    fn now(&self) -> Duration {
        self.clock.monotonic()
    }
}

impl Harness for World {
    fn filesystem(&self) -> Arc<dyn Filesystem> {
        Arc::clone(&self.timed)
    }

    fn crash(&mut self) {
        *self = Self::over(self.store.crash());
    }
}

struct Tree(tempfile::TempDir, Arc<dyn Filesystem>);

impl Harness for Tree {
    fn filesystem(&self) -> Arc<dyn Filesystem> {
        Arc::clone(&self.1)
    }

    fn crash(&mut self) {
        self.1 = with_deadlines(Arc::new(LocalFilesystem::open(self.0.path()).expect("open"))).0;
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_with_deadlines_conforms() {
    for seed in 0..10 {
        run(&mut World::new(seed), seed).await;
    }
    let root = tempfile::tempdir().expect("tempdir");
    let open = with_deadlines(Arc::new(LocalFilesystem::open(root.path()).expect("open"))).0;
    run(&mut Tree(root, open), 1).await;
}

fn silent<T: std::fmt::Debug>(outcome: Result<T>) {
    let error = outcome.expect_err("nothing answers");
    assert_eq!(error.fault, Fault::Unavailable);
    assert!(error.message.starts_with("does not answer"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn each_operation_has_the_time_of_its_bytes() {
    let world = World::new(1);
    world.timed.put("a", Bytes::from(vec![0; 3_000]), PutMode::CreateOnly).await.expect("put");
    let sleepy = [(0, 1), (3_000, 4)];
    for (bytes, seconds) in sleepy {
        world.unreliable.set(Mood::Silent);
        let before = world.now();
        silent(world.timed.put("b", Bytes::from(vec![0; bytes]), PutMode::CreateOnly).await);
        assert_eq!(world.now() - before, Duration::from_secs(seconds), "{bytes} bytes");
        world.unreliable.set(Mood::Well);
        world.timed.delete("b").await.expect("after the put has ended");
    }
    let before = world.now();
    world.unreliable.set(Mood::Silent);
    silent(world.timed.get_ranges("a", std::slice::from_ref(&(0..500))).await);
    assert_eq!(world.now() - before, Duration::from_millis(1_500));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_holds_so_many_operations_and_no_more() {
    let world = World::new(2);
    world.unreliable.set(Mood::Silent);
    let keys: Vec<String> = (0..10).map(|number| format!("k{number}")).collect();
    join_all(keys.iter().map(|key| world.timed.size(key))).await.into_iter().for_each(silent);
    assert_eq!(world.unreliable.take_log().len(), SETTINGS.operations, "the others waited for a place");
    let before = world.now();
    let error = world.timed.space().await.expect_err("no place");
    assert!(error.message.contains("4 earlier operations have not ended"), "{error}");
    silent(world.timed.put("a", Bytes::new(), PutMode::Overwrite).await);
    silent(world.timed.list("").await);
    assert_eq!(world.now(), before, "nothing waited");
    assert!(world.unreliable.take_log().is_empty(), "and nothing was asked");
    world.unreliable.set(Mood::Well);
    // The four that hung end now, and their places are free for more than four.
    world.clock.sleep(Duration::from_millis(1)).await;
    for key in &keys {
        world.timed.put(key, Bytes::new(), PutMode::CreateOnly).await.expect("it answers again");
    }
}

#[tokio::test(start_paused = true)]
async fn callers_that_left_are_no_reason_to_fail() {
    let world = World::new(3);
    world.unreliable.set(Mood::Silent);
    for number in 0..SETTINGS.operations {
        let key = format!("k{number}");
        let mut put = world.timed.put(&key, Bytes::new(), PutMode::CreateOnly);
        assert!(futures_util::poll!(&mut put).is_pending());
        drop(put);
    }
    let mut waits = world.timed.size("k0");
    assert!(futures_util::poll!(&mut waits).is_pending(), "for a place, not refused");
    world.unreliable.set(Mood::Well);
    assert_eq!(waits.await.expect("the puts went on"), 0);
}

#[tokio::test(start_paused = true)]
async fn what_ran_out_of_time_is_not_done_behind_a_later_change_or_listing() {
    let world = World::new(4);
    world.unreliable.set(Mood::Silent);
    silent(world.timed.put("a/b", Bytes::from_static(b"late"), PutMode::Overwrite).await);
    for outcome in [world.timed.delete("a/b").await.err(), world.timed.list("a").await.err(), world.timed.list("").await.err()] {
        assert_eq!(outcome.expect("the put may still come").fault, Fault::Unavailable);
    }
    assert_eq!(world.unreliable.take_log(), ["put a/b"], "they were not even asked");
    let mut delete = world.timed.delete("a/b");
    let mut list = world.timed.list("a");
    let mut elsewhere = world.timed.put("a/c", Bytes::new(), PutMode::Overwrite);
    assert!(futures_util::poll!(&mut delete).is_pending() && futures_util::poll!(&mut list).is_pending());
    assert!(futures_util::poll!(&mut elsewhere).is_pending());
    world.unreliable.set(Mood::Well);
    let (deleted, listed, put) = futures_util::join!(delete, list, elsewhere);
    deleted.expect("delete");
    listed.expect("list");
    put.expect("another key");
    assert_eq!(world.store.keys(), ["a/c"], "the delete came after the put");
}
