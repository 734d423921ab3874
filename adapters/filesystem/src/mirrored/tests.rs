//! The suites of the store and of the mirror over pairs of sites, and what only this adapter decides.

use std::sync::atomic::Ordering;

use proximadb_ports::conformance::{filesystem, mirror};
use proximadb_sim::{Effect, Injection, SimClock, SimFilesystem};

use super::*;
use crate::local::LocalFilesystem;
use crate::unreliable::{Mood, Other, Unreliable};

const DEADLINE: Duration = Duration::from_secs(2);

/// A site of either kind, and how it begins its next life.
enum Site {
    Sim(SimFilesystem),
    Tree(tempfile::TempDir),
}

impl Site {
    fn open(&self) -> Arc<dyn Filesystem> {
        match self {
            Self::Sim(store) => Arc::new(store.clone()),
            Self::Tree(root) => Arc::new(LocalFilesystem::open(root.path()).expect("open")),
        }
    }

    fn crash(&mut self) {
        if let Self::Sim(store) = self {
            *store = store.crash();
        }
    }
}

struct Pair {
    sites: [Site; 2],
    other: Arc<Other>,
    mirrored: Arc<MirroredFilesystem>,
}

impl Pair {
    fn new(sites: [Site; 2]) -> Self {
        let other = Other::with(sites[1].open());
        let partner = Arc::clone(&other) as Arc<dyn Partner>;
        let mirrored = MirroredFilesystem::new(sites[0].open(), partner, "", Arc::new(SimClock::of_tokio()), DEADLINE);
        Self { sites, other, mirrored }
    }

    fn sim(seed: u64) -> Self {
        Self::new([seed, seed + 1_000].map(|seed| Site::Sim(SimFilesystem::new(seed))))
    }

    fn trees() -> Self {
        Self::new([(); 2].map(|()| Site::Tree(tempfile::tempdir().expect("tempdir"))))
    }

    /// The simulated sites.
    fn stores(&self) -> [&SimFilesystem; 2] {
        self.sites.each_ref().map(|site| match site {
            Site::Sim(store) => store,
            Site::Tree(_) => panic!("the sites are directories"),
        })
    }

    fn crash(&mut self) {
        self.other.store.set(Mood::Dead);
        let mut sites = std::mem::replace(&mut self.sites, [0, 1].map(|seed| Site::Sim(SimFilesystem::new(seed))));
        sites.iter_mut().for_each(Site::crash);
        let gone = self.other.gone.load(Ordering::SeqCst);
        *self = Self::new(sites);
        self.other.gone.store(gone, Ordering::SeqCst);
    }
}

impl filesystem::Harness for Pair {
    fn filesystem(&self) -> Arc<dyn Filesystem> {
        Arc::clone(&self.mirrored) as Arc<dyn Filesystem>
    }

    fn crash(&mut self) {
        Pair::crash(self);
    }
}

impl mirror::Harness for Pair {
    fn mirrored(&self) -> (Arc<dyn Filesystem>, Arc<dyn Mirror>) {
        (Arc::clone(&self.mirrored) as Arc<dyn Filesystem>, Arc::clone(&self.mirrored) as Arc<dyn Mirror>)
    }

    fn own(&self) -> Arc<dyn Filesystem> {
        self.sites[0].open()
    }

    fn second(&self) -> Arc<dyn Filesystem> {
        self.sites[1].open()
    }

    fn set_partner(&mut self, presence: mirror::Presence) {
        use mirror::Presence;
        self.other.gone.store(presence == Presence::Gone, Ordering::SeqCst);
        self.other.store.set(match presence {
            Presence::There | Presence::Gone => Mood::Well,
            Presence::Failing => Mood::Failing,
            Presence::Silent => Mood::Silent,
        });
    }

    fn crash(&mut self) {
        Pair::crash(self);
    }
}

#[tokio::test(start_paused = true)]
async fn two_simulated_sites_conform() {
    for seed in 0..40 {
        mirror::run(&mut Pair::sim(seed), seed).await;
    }
}

#[tokio::test(start_paused = true)]
async fn two_directories_conform() {
    for seed in 0..2 {
        mirror::run(&mut Pair::trees(), seed).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_store_conforms_in_step_and_behind() {
    for seed in 0..10 {
        filesystem::run(&mut Pair::sim(seed), seed).await;
        let pair = &mut Pair::sim(seed);
        pair.mirrored.catch_up().await.expect("catch up");
        filesystem::run(pair, seed).await;
    }
    filesystem::run(&mut Pair::trees(), 1).await;
    let pair = &mut Pair::trees();
    pair.mirrored.catch_up().await.expect("catch up");
    filesystem::run(pair, 2).await;
}

async fn in_step(seed: u64) -> Pair {
    let pair = Pair::sim(seed);
    pair.mirrored.catch_up().await.expect("catch up");
    pair.other.store.take_log();
    pair
}

fn body() -> Bytes {
    Bytes::from_static(b"body")
}

#[tokio::test(start_paused = true)]
async fn objects_come_before_their_manifest_and_go_after_it() {
    let pair = Pair::sim(1);
    let [own, second] = pair.stores();
    for key in ["a/manifest/1", "a/segment/1", "b/manifest/1", "b/segment/1"] {
        own.put(key, body(), PutMode::CreateOnly).await.expect("put");
    }
    for key in ["c/manifest/1", "c/segment/1", "d/manifest/1", "a0/segment/1"] {
        second.put(key, body(), PutMode::CreateOnly).await.expect("put");
    }
    assert_eq!(pair.mirrored.catch_up().await.expect("catch up"), 8);
    let changes: Vec<String> =
        pair.other.store.take_log().into_iter().filter(|op| op.starts_with("put") || op.starts_with("delete")).collect();
    let expected = [
        "put a/segment/1",
        "put b/segment/1",
        "put a/manifest/1",
        "put b/manifest/1",
        "delete c/manifest/1",
        "delete d/manifest/1",
        "delete a0/segment/1",
        "delete c/segment/1",
    ];
    assert_eq!(changes, expected);
}

#[tokio::test(start_paused = true)]
async fn what_the_site_refuses_is_not_left_on_the_partner() {
    let pair = in_step(2).await;
    let [own, second] = pair.stores();
    own.set_capacity_bytes(Some(1));
    let refused = pair.mirrored.put("a/manifest/1", body(), PutMode::CreateOnly).await;
    assert_eq!(refused.expect_err("full").fault, Fault::Exhausted);
    assert!(pair.other.store.take_log().is_empty(), "a manifest goes to the site first");
    let refused = pair.mirrored.put("a/segment/1", body(), PutMode::CreateOnly).await;
    assert_eq!(refused.expect_err("full").fault, Fault::Exhausted);
    assert!(pair.mirrored.behind().expect("one copy too much").contains("the site itself failed"));
    pair.mirrored.catch_up().await.expect("catch up");
    assert!(second.keys().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_put_of_the_site_whose_reply_was_lost_is_put_right() {
    let pair = in_step(3).await;
    let [own, second] = pair.stores();
    own.inject(Injection::next(Effect::LoseReply).on("put"));
    pair.mirrored.put("a/manifest/1", body(), PutMode::CreateOnly).await.expect_err("the reply was lost");
    assert!(pair.mirrored.behind().is_some());
    pair.mirrored.catch_up().await.expect("catch up");
    assert_eq!((own.keys(), second.keys()), (vec!["a/manifest/1".to_owned()], vec!["a/manifest/1".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn a_silent_partner_costs_one_deadline_and_more_for_more_bytes() {
    for (bytes, limit) in [(0, DEADLINE), (32 << 20, DEADLINE + Duration::from_secs(2))] {
        let pair = in_step(4).await;
        pair.other.store.set(Mood::Silent);
        let before = pair.mirrored.shared.clock.monotonic();
        pair.mirrored.put("a/segment/1", Bytes::from(vec![0; bytes]), PutMode::CreateOnly).await.expect("put");
        assert_eq!(pair.mirrored.shared.clock.monotonic() - before, limit);
        pair.mirrored.put("a/segment/2", body(), PutMode::CreateOnly).await.expect("put");
        assert_eq!(pair.mirrored.shared.clock.monotonic() - before, limit, "nothing is asked again");
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_caught_up_before_what_was_asked_earlier_has_ended() {
    let pair = in_step(5).await;
    let [own, second] = pair.stores();
    pair.other.store.set(Mood::Silent);
    pair.mirrored.put("a/segment/1", body(), PutMode::CreateOnly).await.expect("put");
    pair.mirrored.delete("a/segment/1").await.expect("delete");
    let error = pair.mirrored.catch_up().await.expect_err("the put may still come");
    assert_eq!(error.fault, Fault::Unavailable);
    assert!(pair.mirrored.behind().expect("behind").contains("earlier changes have not ended"));
    pair.other.store.set(Mood::Well);
    pair.mirrored.catch_up().await.expect("it has come");
    assert!(own.keys().is_empty() && second.keys().is_empty(), "and is gone");
}

#[tokio::test(start_paused = true)]
async fn what_a_caller_leaves_goes_on_on_both_sites() {
    for polls in 0..4 {
        let pair = in_step(6).await;
        let mut put = pair.mirrored.put("a/segment/1", body(), PutMode::CreateOnly);
        for _ in 0..polls {
            assert!(futures_util::poll!(&mut put).is_pending() || polls > 1);
        }
        drop(put);
        let expected: &[&str] = if polls == 0 { &[] } else { &["a/segment/1"] };
        pair.mirrored.delete("another").await.expect("delete");
        pair.mirrored.shared.asked.idle().await;
        // The line of the key is free again once the put has ended.
        drop(pair.mirrored.shared.turns.take("a/segment/1").await);
        let [own, second] = pair.stores();
        assert_eq!(
            (own.keys(), second.keys()),
            (expected.iter().map(|k| (*k).to_owned()).collect(), expected.iter().map(|k| (*k).to_owned()).collect())
        );
    }
}

#[tokio::test(start_paused = true)]
async fn one_catches_up_at_a_time_and_one_who_leaves_has_not() {
    let pair = in_step(7).await;
    let mut first = Box::pin(pair.mirrored.catch_up());
    assert!(futures_util::poll!(&mut first).is_pending());
    assert_eq!(pair.mirrored.catch_up().await.expect_err("two at once").fault, Fault::Conflict);
    drop(first);
    assert!(pair.mirrored.behind().expect("behind").contains("broken off"));
    pair.mirrored.catch_up().await.expect("again");
    assert_eq!(pair.mirrored.behind(), None);
}

#[tokio::test(start_paused = true)]
async fn an_object_that_is_restored_while_its_second_copy_is_removed_has_both() {
    for turns in 0..40 {
        let pair = in_step(turns).await;
        let [own, second] = pair.stores();
        pair.mirrored.put("a/segment/1", body(), PutMode::CreateOnly).await.expect("put");
        own.delete("a/segment/1").await.expect("lost");
        let restore = async {
            for _ in 0..turns {
                tokio::task::yield_now().await;
            }
            pair.mirrored.restore("a/segment/1", body()).await
        };
        let (caught_up, restored) = join(pair.mirrored.catch_up(), restore).await;
        caught_up.expect("catch up");
        restored.expect("restore");
        assert_eq!((own.keys(), second.keys()), (vec!["a/segment/1".to_owned()], vec!["a/segment/1".to_owned()]), "{turns} turns");
    }
}

#[tokio::test(start_paused = true)]
async fn a_put_that_began_with_one_copy_is_waited_for() {
    let own = Unreliable::around(Arc::new(SimFilesystem::new(1)));
    let second = SimFilesystem::new(2);
    let (site, partner) = (Arc::clone(&own) as Arc<dyn Filesystem>, Other::with(Arc::new(second.clone())));
    let clock = Arc::new(SimClock::of_tokio());
    let mirrored = MirroredFilesystem::new(site, partner, "", Arc::clone(&clock) as Arc<dyn Clock>, DEADLINE);
    own.set(Mood::SilentAboutPuts);
    let mut put = mirrored.put("a/segment/1", body(), PutMode::CreateOnly);
    let mut catch_up = Box::pin(mirrored.catch_up());
    assert!(within(&*clock, DEADLINE, &mut put).await.is_none());
    assert!(within(&*clock, DEADLINE, &mut catch_up).await.is_none(), "what it would list is not all there is");
    own.set(Mood::Well);
    let (caught_up, put) = join(catch_up, put).await;
    caught_up.expect("catch up");
    put.expect("put");
    assert_eq!(mirrored.behind(), None);
    assert_eq!(second.keys(), ["a/segment/1"]);
}

#[tokio::test(start_paused = true)]
async fn a_change_that_fails_on_the_partner_ends_catching_up() {
    let pair = Pair::sim(8);
    let [own, second] = pair.stores();
    own.put("a/segment/1", body(), PutMode::CreateOnly).await.expect("put");
    second.inject(Injection::next(Effect::Fail(Fault::Exhausted)).on("put").about("beside"));
    let put = pair.mirrored.put("beside/1", body(), PutMode::CreateOnly);
    let (caught_up, put) = join(pair.mirrored.catch_up(), put).await;
    put.expect("the site took it");
    caught_up.expect_err("not everything is there twice");
    assert!(pair.mirrored.behind().expect("behind").contains("beside/1"));
    pair.mirrored.catch_up().await.expect("again");
    assert_eq!(second.keys(), ["a/segment/1", "beside/1"]);
}

#[tokio::test(start_paused = true)]
async fn who_sees_the_partner_go_ends_the_step_and_what_is_being_caught_up() {
    let pair = in_step(9).await;
    pair.mirrored.fall_behind("its disk was taken out");
    assert_eq!(pair.mirrored.behind().as_deref(), Some("its disk was taken out"));
    pair.mirrored.put("a/segment/1", body(), PutMode::CreateOnly).await.expect("put");
    assert!(pair.other.store.take_log().is_empty(), "the partner is left alone");
    let mut catch_up = Box::pin(pair.mirrored.catch_up());
    assert!(futures_util::poll!(&mut catch_up).is_pending());
    pair.mirrored.fall_behind("it was taken out again");
    assert!(catch_up.await.expect_err("in between").message.contains("taken out again"));
    assert!(pair.mirrored.behind().is_some());
}
