//! The suite of [`Mirror`]: one property a guarantee. Knows neither site; the harness brings both, and takes the partner away.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::{join, join_all};
use proptest::prelude::Rng;
use proptest::test_runner::{RngAlgorithm, TestRng};

use crate::error::{Fault, Result};
use crate::filesystem::{Filesystem, PutMode};
use crate::mirror::Mirror;

/// How the partner answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// As it should.
    There,
    /// It is not there to be asked.
    Gone,
    /// Some of what it is asked fails, whether it was done or not.
    Failing,
    /// It answers nothing while this lasts; what it was asked it does later.
    Silent,
}

/// Two sites under test, empty at first, of which the first has its second copies on the other.
pub trait Harness: Send {
    /// The objects of the first site and their mirror, as the present process holds them.
    fn mirrored(&self) -> (Arc<dyn Filesystem>, Arc<dyn Mirror>);

    /// The first site, past the mirror.
    fn own(&self) -> Arc<dyn Filesystem>;

    /// The place of the second copies, past the mirror and always there.
    fn second(&self) -> Arc<dyn Filesystem>;

    /// From now on the partner answers so.
    fn set_partner(&mut self, presence: Presence);

    /// Ends the process; from then on everything is what the next one finds.
    fn crash(&mut self);
}

/// Runs every property, each on the sites as the one before left them, and prints the seed.
///
/// # Panics
/// Where the mirror breaks a guarantee.
pub async fn run(harness: &mut dyn Harness, seed: u64) {
    println!("mirror conformance: seed {seed}");
    it_begins_behind(harness).await;
    g1_what_returned_is_on_both_sites(harness, seed).await;
    g1_a_taken_key_is_decided_by_the_own_site(harness).await;
    for presence in [Presence::Gone, Presence::Silent, Presence::Failing] {
        g2_a_partner_that_is_not_there_holds_nothing_up(harness, presence).await;
    }
    g3_catching_up_makes_both_sites_equal(harness, seed).await;
    g3_changes_beside_catching_up_are_neither_lost_nor_undone(harness, seed).await;
    g3_faults_and_crashes(harness, seed).await;
    damaged_copies_are_restored_from_the_other(harness).await;
}

fn chance(seed: u64, salt: u8) -> TestRng {
    let mut bytes = [salt; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    TestRng::from_seed(RngAlgorithm::ChaCha, &bytes)
}

fn below(rng: &mut TestRng, bound: usize) -> usize {
    rng.next_u32() as usize % bound
}

/// A body for this key; two of them with one length are one and the same, as of objects that are never changed.
fn body(key: &str, rng: &mut TestRng) -> Bytes {
    let number = below(rng, 200);
    Bytes::from(format!("{key} {number} ").repeat(1 + number))
}

/// One of few keys; some are those of manifests.
fn key(rng: &mut TestRng) -> String {
    let (shard, folder, number) = (below(rng, 2), ["manifest", "segment", "dead"][below(rng, 3)], below(rng, 4));
    format!("shards/{shard}/{folder}/{number}")
}

#[track_caller]
fn created_or_taken(outcome: Result<()>) {
    if let Err(error) = outcome {
        assert_eq!(error.fault, Fault::Conflict, "{error:?}");
    }
}

async fn objects(filesystem: &dyn Filesystem) -> BTreeMap<String, Bytes> {
    let mut found = BTreeMap::new();
    for object in filesystem.list("").await.expect("list") {
        let body = filesystem.get(&object.key).await.expect("get");
        assert_eq!(body.len() as u64, object.bytes, "{}", object.key);
        found.insert(object.key, body);
    }
    found
}

/// Whether both sites hold the same.
#[track_caller]
fn assert_equal(own: &BTreeMap<String, Bytes>, second: &BTreeMap<String, Bytes>, when: &str) {
    let keys = |objects: &BTreeMap<String, Bytes>| objects.keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(own), keys(second), "keys of the site and of the second copies, {when}");
    for (key, body) in own {
        assert!(second[key] == *body, "the copies of {key} differ, {when}");
    }
}

async fn assert_in_step(harness: &dyn Harness, when: &str) {
    assert_equal(&objects(&*harness.own()).await, &objects(&*harness.second()).await, when);
}

async fn in_step(harness: &mut dyn Harness) -> (Arc<dyn Filesystem>, Arc<dyn Mirror>) {
    harness.set_partner(Presence::There);
    let (filesystem, mirror) = harness.mirrored();
    mirror.catch_up().await.expect("catch up");
    assert_eq!(mirror.behind(), None);
    assert_in_step(harness, "after catching up").await;
    (filesystem, mirror)
}

/// Nobody has compared the sites when a process begins, and until then the partner gets nothing.
///
/// # Panics
/// Where it does not hold.
pub async fn it_begins_behind(harness: &mut dyn Harness) {
    let (filesystem, mirror) = harness.mirrored();
    assert!(mirror.behind().is_some());
    filesystem.put("begin/a", Bytes::from_static(b"a"), PutMode::CreateOnly).await.expect("put");
    assert_eq!(objects(&*harness.second()).await, BTreeMap::new());
    assert_eq!(mirror.catch_up().await.expect("catch up"), 1);
    assert_eq!(mirror.catch_up().await.expect("catch up"), 0, "nothing is copied twice");
    assert_in_step(harness, "after the first time").await;
    harness.crash();
    assert!(harness.mirrored().1.behind().is_some(), "another process knows nothing");
}

/// G1: whatever has returned is on both sites, at once and after a crash.
///
/// # Panics
/// Where it does not hold.
pub async fn g1_what_returned_is_on_both_sites(harness: &mut dyn Harness, seed: u64) {
    let mut rng = chance(seed, 1);
    for _ in 0..3 {
        let (filesystem, mirror) = in_step(harness).await;
        for _ in 0..8 {
            let changes: Vec<(String, Bytes, usize)> = (0..4)
                .map(|_| {
                    let key = key(&mut rng);
                    let body = body(&key, &mut rng);
                    (key, body, below(&mut rng, 4))
                })
                .collect();
            let change = async |(key, body, what): &(String, Bytes, usize)| match what {
                0 => filesystem.delete(key).await.expect("delete"),
                1 => filesystem.put(key, body.clone(), PutMode::Overwrite).await.expect("put"),
                _ => created_or_taken(filesystem.put(key, body.clone(), PutMode::CreateOnly).await),
            };
            join_all(changes.iter().map(change)).await;
            assert_eq!(mirror.behind(), None, "nothing failed");
            assert_in_step(harness, "after changes that returned").await;
        }
        harness.crash();
        assert_in_step(harness, "after a crash").await;
    }
}

/// G1: a key that is taken on the site is a conflict and changes nothing on either; one that only the second copies have is none.
///
/// # Panics
/// Where it does not hold.
pub async fn g1_a_taken_key_is_decided_by_the_own_site(harness: &mut dyn Harness) {
    let (filesystem, mirror) = in_step(harness).await;
    for key in ["taken/segment/1", "taken/manifest/1"] {
        let put = async |body: &'static str| filesystem.put(key, Bytes::from_static(body.as_bytes()), PutMode::CreateOnly).await;
        harness.second().put(key, Bytes::from_static(b"stray"), PutMode::Overwrite).await.expect("put");
        put("first").await.expect("free on the site");
        assert_eq!(put("other").await.expect_err("taken").fault, Fault::Conflict);
        assert_eq!(harness.second().get(key).await.expect("get"), "first");
        assert_eq!(mirror.behind(), None, "a conflict is an answer");
    }
    assert_in_step(harness, "after conflicts").await;
}

/// G2: changes go on with one copy, `behind` says so, and the partner is left alone until it is caught up.
///
/// # Panics
/// Where it does not hold.
pub async fn g2_a_partner_that_is_not_there_holds_nothing_up(harness: &mut dyn Harness, presence: Presence) {
    let (filesystem, mirror) = in_step(harness).await;
    harness.set_partner(presence);
    let mut number = 0;
    let mut put = async || {
        number += 1;
        let key = format!("away/segment/{presence:?}{number}");
        filesystem.put(&key, Bytes::from(key.clone()), PutMode::CreateOnly).await.expect("put");
        key
    };
    for _ in 0..1_000 {
        put().await;
        if mirror.behind().is_some() {
            break;
        }
    }
    let reason = mirror.behind().expect("nothing was noticed of a partner that was not there");
    assert!(!reason.is_empty() && !reason.contains('\n'), "{reason:?} is not one line");
    harness.set_partner(Presence::There);
    let late = put().await;
    filesystem.delete(&late).await.expect("delete");
    let late = put().await;
    assert!(mirror.behind().is_some(), "nobody has caught up");
    assert_eq!(harness.second().get(&late).await.expect_err("not asked").fault, Fault::NotFound);
    in_step(harness).await;
}

/// G3: whatever happened to either site meanwhile, they are the same afterwards.
///
/// # Panics
/// Where it does not hold.
pub async fn g3_catching_up_makes_both_sites_equal(harness: &mut dyn Harness, seed: u64) {
    let mut rng = chance(seed, 3);
    for round in 0..4 {
        harness.crash();
        for site in [harness.own(), harness.second()] {
            for _ in 0..6 {
                let key = key(&mut rng);
                if rng.next_u32() & 3 == 0 {
                    site.delete(&key).await.expect("delete");
                } else if site.size(&key).await.is_err() {
                    let body = Bytes::from(format!("{key} of round {round}").repeat(1 + round));
                    site.put(&key, body, PutMode::CreateOnly).await.expect("put");
                }
            }
        }
        let before = objects(&*harness.own()).await;
        in_step(harness).await;
        assert_equal(&objects(&*harness.own()).await, &before, "the site itself is the truth");
    }
}

/// G3: a put that begins while somebody catches up is not taken for an object too much, and what is deleted is not left behind.
///
/// # Panics
/// Where it does not hold.
pub async fn g3_changes_beside_catching_up_are_neither_lost_nor_undone(harness: &mut dyn Harness, seed: u64) {
    let mut rng = chance(seed, 4);
    for round in 0..6 {
        harness.crash();
        harness.set_partner(Presence::There);
        let (filesystem, mirror) = harness.mirrored();
        for site in [harness.own(), harness.second()] {
            for number in 0..8 {
                let key = format!("beside/{}/{number}", ["manifest", "segment"][number % 2]);
                if rng.next_u32() & 1 == 0 {
                    site.put(&key, Bytes::from(key.clone()), PutMode::Overwrite).await.expect("put");
                } else {
                    site.delete(&key).await.expect("delete");
                }
            }
        }
        let changes = (0..24).map(|_| {
            let number = below(&mut rng, 12);
            let key = format!("beside/{}/{number}", ["manifest", "segment"][number % 2]);
            (key, below(&mut rng, 3))
        });
        let changes: Vec<(String, usize)> = changes.collect();
        let change = async |(key, what): &(String, usize)| match what {
            0 => filesystem.delete(key).await.expect("delete"),
            1 => filesystem.put(key, Bytes::from(key.clone()), PutMode::Overwrite).await.expect("put"),
            _ => created_or_taken(filesystem.put(key, Bytes::from(key.clone()), PutMode::CreateOnly).await),
        };
        let one_after_another = async {
            for pair in changes.chunks(3) {
                join_all(pair.iter().map(change)).await;
            }
        };
        let (caught_up, ()) = join(mirror.catch_up(), one_after_another).await;
        caught_up.expect("nothing failed");
        assert_eq!(mirror.behind(), None);
        assert_in_step(harness, &format!("after changes beside catching up, round {round}")).await;
    }
}

/// G1 and G3 together: through faults, absences and crashes, `behind` is `None` only while both sites hold the same.
///
/// # Panics
/// Where it does not hold.
pub async fn g3_faults_and_crashes(harness: &mut dyn Harness, seed: u64) {
    let mut rng = chance(seed, 5);
    let mut expected = objects(&*harness.own()).await;
    for step in 0..40 {
        match below(&mut rng, 12) {
            0 => harness.set_partner(Presence::Gone),
            1 => harness.set_partner(Presence::Failing),
            2 => harness.set_partner(Presence::Silent),
            3 | 4 => harness.set_partner(Presence::There),
            5 => harness.crash(),
            _ => {}
        }
        let (filesystem, mirror) = harness.mirrored();
        if rng.next_u32() & 1 == 0 {
            let outcome = mirror.catch_up().await;
            assert_eq!(outcome.is_ok(), mirror.behind().is_none(), "step {step}: {outcome:?} but {:?}", mirror.behind());
        }
        for _ in 0..2 {
            let key = key(&mut rng);
            if below(&mut rng, 3) == 0 {
                filesystem.delete(&key).await.expect("the partner's faults are none of the site");
                expected.remove(&key);
            } else if let Entry::Vacant(free) = expected.entry(key) {
                let body = body(free.key(), &mut rng);
                let put = filesystem.put(free.key(), body.clone(), PutMode::CreateOnly).await;
                put.expect("the partner's faults are none of the site");
                free.insert(body);
            }
        }
        assert_equal(&objects(&*harness.own()).await, &expected, "the site itself");
        if mirror.behind().is_none() {
            assert_in_step(harness, &format!("in step {step}")).await;
        }
    }
    in_step(harness).await;
    assert_equal(&objects(&*harness.own()).await, &expected, "the site itself");
}

/// A copy that is damaged, on either site, is put anew from the other.
///
/// # Panics
/// Where it is not.
pub async fn damaged_copies_are_restored_from_the_other(harness: &mut dyn Harness) {
    let (filesystem, mirror) = in_step(harness).await;
    let (key, good, bad) = ("restore/segment/1", Bytes::from_static(b"good"), Bytes::from_static(b"evil"));
    filesystem.put(key, good.clone(), PutMode::CreateOnly).await.expect("put");
    assert_eq!(mirror.second_copy("restore/absent").await.expect_err("absent").fault, Fault::NotFound);

    harness.own().put(key, bad.clone(), PutMode::Overwrite).await.expect("damage");
    assert_eq!(mirror.second_copy(key).await.expect("second copy"), good);
    mirror.restore(key, good.clone()).await.expect("restore");
    assert_eq!(filesystem.get(key).await.expect("get"), good);

    harness.second().put(key, bad, PutMode::Overwrite).await.expect("damage");
    mirror.restore_second(key, good.clone()).await.expect("restore");
    assert_eq!(mirror.second_copy(key).await.expect("second copy"), good);
    assert_eq!(mirror.behind(), None);
    assert_in_step(harness, "after both were restored").await;

    harness.set_partner(Presence::Gone);
    assert_eq!(mirror.second_copy(key).await.expect_err("gone").fault, Fault::Unavailable);
    assert_eq!(mirror.restore_second(key, good.clone()).await.expect_err("gone").fault, Fault::Unavailable);
    mirror.restore(key, good).await.expect("the site itself is there");
    harness.set_partner(Presence::There);
}
