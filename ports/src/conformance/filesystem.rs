//! The suite of [`Filesystem`]: one property a guarantee. Knows no store; the harness brings one and can restart it.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;
use proptest::prelude::Rng;
use proptest::test_runner::{RngAlgorithm, TestRng};

use crate::error::{Fault, Result};
use crate::filesystem::{Filesystem, ObjectInfo, PutMode};

/// A store under test, empty at first.
pub trait Harness: Send {
    /// The store, as the present process holds it.
    fn filesystem(&self) -> Arc<dyn Filesystem>;

    /// Ends the process, and the power where the harness can cut it; from then on `filesystem` is what the next one finds.
    fn crash(&mut self);
}

/// Runs every property, each below a prefix of its own, and prints the seed.
///
/// # Panics
/// Where the store breaks a guarantee.
pub async fn run(harness: &mut dyn Harness, seed: u64) {
    println!("filesystem conformance: seed {seed}");
    g1_a_put_is_atomic(harness, seed).await;
    g2_puts_and_deletes_survive_a_crash(harness, seed).await;
    g3_one_of_many_creators_wins(harness).await;
    g4_reads_see_the_last_write(harness, seed).await;
    g5_lists_are_whole_and_in_order(harness).await;
    g6_absent_keys(harness).await;
    g7_ranges_beyond_the_end(harness).await;
    malformed_keys_are_refused(harness).await;
}

fn chance(seed: u64, salt: u8) -> TestRng {
    let mut bytes = [salt; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    TestRng::from_seed(RngAlgorithm::ChaCha, &bytes)
}

fn below(rng: &mut TestRng, bound: usize) -> usize {
    rng.next_u32() as usize % bound
}

/// A body that says of itself who wrote it: `length` times one byte.
fn body(writer: u8, length: usize) -> Bytes {
    Bytes::from(vec![writer; length])
}

fn fault<T: std::fmt::Debug>(result: Result<T>) -> Fault {
    result.expect_err("must fail").fault
}

/// G1: readers beside writers see whole objects only, and a dropped put has happened whole or not at all.
///
/// # Panics
/// Where it does not hold.
pub async fn g1_a_put_is_atomic(harness: &mut dyn Harness, seed: u64) {
    let mut rng = chance(seed, 1);
    let fs = harness.filesystem();
    let key = "g1/object";
    let lengths: Vec<usize> = (0..8).map(|_| 1 + below(&mut rng, 200_000)).collect();
    let whole = |found: &Bytes| {
        let writer = usize::from(found[0]);
        assert_eq!(found.len(), lengths[writer], "an object of writer {writer}");
        assert!(found.iter().all(|&b| usize::from(b) == writer), "mixed bytes");
    };
    fs.put(key, body(0, lengths[0]), PutMode::Overwrite).await.expect("put");
    let writers = join_all((0..8).map(|writer| fs.put(key, body(writer, lengths[usize::from(writer)]), PutMode::Overwrite)));
    let readers = join_all((0..16).map(|_| fs.get(key)));
    let (written, read) = futures_util::future::join(writers, readers).await;
    written.into_iter().for_each(|w| w.expect("put"));
    read.iter().for_each(|r| whole(r.as_ref().expect("get")));

    // Polled a few times, then dropped: cancelled at whatever await it had reached.
    for polls in 0..6 {
        let writer = (polls % 8) as u8;
        let mut put = fs.put(key, body(writer, lengths[usize::from(writer)]), PutMode::Overwrite);
        let mut left = polls;
        std::future::poll_fn(|cx| {
            if left == 0 || put.as_mut().poll(cx).is_ready() {
                return std::task::Poll::Ready(());
            }
            left -= 1;
            cx.waker().wake_by_ref();
            std::task::Poll::Pending
        })
        .await;
        drop(put);
        whole(&fs.get(key).await.expect("get"));
    }
    harness.crash();
    whole(&harness.filesystem().get(key).await.expect("get after a crash"));
}

/// G2: what a returned put wrote is there after a crash, and what a returned delete removed is not.
///
/// # Panics
/// Where it does not hold.
pub async fn g2_puts_and_deletes_survive_a_crash(harness: &mut dyn Harness, seed: u64) {
    let mut rng = chance(seed, 2);
    let mut expected: BTreeMap<String, Bytes> = BTreeMap::new();
    for round in 0..4u8 {
        let fs = harness.filesystem();
        for _ in 0..6 {
            let key = format!("g2/d{}/o{}", below(&mut rng, 3), below(&mut rng, 3));
            if rng.next_u32() & 3 == 0 {
                fs.delete(&key).await.expect("delete");
                expected.remove(&key);
            } else {
                let bytes = body(round, below(&mut rng, 5_000));
                fs.put(&key, bytes.clone(), PutMode::Overwrite).await.expect("put");
                expected.insert(key, bytes);
            }
        }
        harness.crash();
        let fs = harness.filesystem();
        let listed: Vec<String> = fs.list("g2").await.expect("list").into_iter().map(|o| o.key).collect();
        assert_eq!(listed, expected.keys().cloned().collect::<Vec<_>>(), "after crash {round}");
        for (key, bytes) in &expected {
            assert_eq!(fs.get(key).await.expect("get"), bytes, "{key}");
        }
    }
}

/// G3: of many creators of one key exactly one wins, the others get `Conflict`, and the winner's body stays.
///
/// # Panics
/// Where it does not hold.
pub async fn g3_one_of_many_creators_wins(harness: &mut dyn Harness) {
    let fs = harness.filesystem();
    for round in 0..5 {
        let key = format!("g3/m{round}");
        let outcomes = join_all((0..16u8).map(|writer| fs.put(&key, body(writer, 1_000), PutMode::CreateOnly))).await;
        let winners: Vec<usize> = (0..16).filter(|&i| outcomes[i].is_ok()).collect();
        assert_eq!(winners.len(), 1, "winners of {key}: {winners:?}");
        for outcome in outcomes {
            assert!(outcome.is_ok() || fault(outcome) == Fault::Conflict);
        }
        assert_eq!(usize::from(fs.get(&key).await.expect("get")[0]), winners[0]);
        assert_eq!(fault(fs.put(&key, body(99, 1), PutMode::CreateOnly).await), Fault::Conflict, "later");
        fs.delete(&key).await.expect("delete");
        fs.put(&key, body(7, 1), PutMode::CreateOnly).await.expect("free again");
    }
}

/// G4: after any row of operations, every read answers as a map would.
///
/// # Panics
/// Where it does not hold.
pub async fn g4_reads_see_the_last_write(harness: &mut dyn Harness, seed: u64) {
    let mut rng = chance(seed, 4);
    let fs = harness.filesystem();
    let mut model: BTreeMap<String, Bytes> = BTreeMap::new();
    for step in 0..60u8 {
        let key = format!("g4/{}/{}", below(&mut rng, 2), below(&mut rng, 4));
        match below(&mut rng, 6) {
            0 | 1 => {
                let bytes = body(step, below(&mut rng, 3_000));
                fs.put(&key, bytes.clone(), PutMode::Overwrite).await.expect("put");
                model.insert(key, bytes);
            }
            2 => {
                let bytes = body(step, below(&mut rng, 3_000));
                let outcome = fs.put(&key, bytes.clone(), PutMode::CreateOnly).await;
                match model.entry(key) {
                    Entry::Occupied(_) => assert_eq!(fault(outcome), Fault::Conflict, "step {step}"),
                    Entry::Vacant(free) => {
                        outcome.expect("create");
                        free.insert(bytes);
                    }
                }
            }
            3 => {
                fs.delete(&key).await.expect("delete");
                model.remove(&key);
            }
            4 => match model.get(&key) {
                Some(bytes) => {
                    assert_eq!(fs.get(&key).await.expect("get"), bytes, "step {step}");
                    assert_eq!(fs.size(&key).await.expect("size"), bytes.len() as u64);
                    check_ranges(&*fs, &key, bytes, &mut rng).await;
                }
                None => assert_eq!(fault(fs.get(&key).await), Fault::NotFound, "step {step}"),
            },
            _ => {
                let expected: Vec<ObjectInfo> =
                    model.iter().map(|(key, b)| ObjectInfo { key: key.clone(), bytes: b.len() as u64 }).collect();
                assert_eq!(fs.list("g4").await.expect("list"), expected, "step {step}");
            }
        }
    }
}

/// Ranges in any order, overlapping, touching, apart and empty.
async fn check_ranges(fs: &dyn Filesystem, key: &str, bytes: &Bytes, rng: &mut TestRng) {
    let ranges: Vec<Range<u64>> = (0..5)
        .map(|_| {
            let (a, b) = (below(rng, bytes.len() + 1) as u64, below(rng, bytes.len() + 1) as u64);
            a.min(b)..a.max(b)
        })
        .collect();
    let parts = fs.get_ranges(key, &ranges).await.expect("get_ranges");
    let expected: Vec<Bytes> = ranges.iter().map(|r| bytes.slice(r.start as usize..r.end as usize)).collect();
    assert_eq!(parts, expected, "{ranges:?} of {}", bytes.len());
}

/// G5: lists go by segments, give each object once, in the order of the keys; empty places do not show.
///
/// # Panics
/// Where it does not hold.
pub async fn g5_lists_are_whole_and_in_order(harness: &mut dyn Harness) {
    let fs = harness.filesystem();
    // `a-` and `a.b` sort before `a/…` and `a0` after it, whatever a directory walk says.
    let keys = ["g5/a-/x", "g5/a.b", "g5/a/b/c", "g5/a/b0", "g5/a/z", "g5/a0/y", "g5/ab", "g5/b/deep/er/still"];
    for key in keys.iter().rev() {
        fs.put(key, Bytes::from_static(b"12345"), PutMode::Overwrite).await.expect("put");
    }
    fs.put("g5/gone/x", Bytes::new(), PutMode::Overwrite).await.expect("put");
    fs.delete("g5/gone/x").await.expect("delete");
    let listed = async |prefix: &str| -> Vec<String> { fs.list(prefix).await.expect("list").into_iter().map(|o| o.key).collect() };
    assert_eq!(listed("g5").await, keys);
    assert_eq!(listed("g5/a").await, ["g5/a/b/c", "g5/a/b0", "g5/a/z"], "segments, not letters");
    assert_eq!(listed("g5/nothing").await, [""; 0]);
    assert!(fs.list("g5").await.expect("list").iter().all(|o| o.bytes == 5));
    let everything = listed("").await;
    assert!(everything.is_sorted() && keys.iter().all(|k| everything.contains(&(*k).to_owned())));
    assert_eq!(fs.list_prefixes("g5").await.expect("prefixes"), ["a", "a-", "a0", "b"]);
    assert_eq!(fs.list_prefixes("g5/a").await.expect("prefixes"), ["b"]);
    assert_eq!(fs.list_prefixes("g5/nothing").await.expect("prefixes"), [""; 0]);
    assert!(fs.list_prefixes("").await.expect("prefixes").contains(&"g5".to_owned()));

    let many: Vec<String> = (0..40).map(|i| format!("g5many/{i:03}")).collect();
    for outcome in join_all(many.iter().map(|key| fs.put(key, Bytes::new(), PutMode::CreateOnly))).await {
        outcome.expect("create");
    }
    assert_eq!(listed("g5many").await, many);
}

/// G6: reads of what is not there say so, deletes of it succeed.
///
/// # Panics
/// Where it does not hold.
pub async fn g6_absent_keys(harness: &mut dyn Harness) {
    let fs = harness.filesystem();
    fs.put("g6/there/below", Bytes::from_static(b"x"), PutMode::Overwrite).await.expect("put");
    for key in ["g6/absent", "g6/no/such/place", "g6/there", "g6absent"] {
        assert_eq!(fault(fs.get(key).await), Fault::NotFound, "get {key}");
        assert_eq!(fault(fs.size(key).await), Fault::NotFound, "size {key}");
        assert_eq!(fault(fs.get_ranges(key, std::slice::from_ref(&(0..1))).await), Fault::NotFound, "ranges {key}");
        fs.delete(key).await.expect(key);
    }
    assert_eq!(fs.get("g6/there/below").await.expect("still there"), "x");
}

/// G7: ranges beyond the end, or turned around, are invalid, however large.
///
/// # Panics
/// Where it does not hold.
pub async fn g7_ranges_beyond_the_end(harness: &mut dyn Harness) {
    let fs = harness.filesystem();
    fs.put("g7/ten", Bytes::from_static(b"0123456789"), PutMode::Overwrite).await.expect("put");
    #[allow(clippy::reversed_empty_ranges, reason = "a range that is turned around is what is tested")]
    let wrong = [0..11, 10..11, 11..11, 11..12, 5..3, 0..u64::MAX, u64::MAX - 1..u64::MAX, 0..1 << 40];
    for range in wrong {
        for ranges in [vec![range.clone()], vec![0..2, range.clone()], vec![range.clone(), 3..4]] {
            assert_eq!(fault(fs.get_ranges("g7/ten", &ranges).await), Fault::Invalid, "{ranges:?}");
        }
    }
    assert_eq!(fs.get_ranges("g7/ten", &[10..10, 0..10, 3..3, 9..10]).await.expect("within"), ["", "0123456789", "", "9"]);
    assert!(fs.get_ranges("g7/ten", &[]).await.expect("none").is_empty());
}

/// Keys that are no keys are refused before anything is touched.
///
/// # Panics
/// Where they are not.
pub async fn malformed_keys_are_refused(harness: &mut dyn Harness) {
    let fs = harness.filesystem();
    let before = fs.list("").await.expect("list");
    for key in ["", "/", "/a", "a/", "a//b", ".", "..", "a/../b", "a/./b", "../a", "a b", "a\\b", "a\0b", "ä", "a#1", "a%2e", "a~b", "a:b"]
    {
        assert_eq!(fault(fs.put(key, Bytes::new(), PutMode::Overwrite).await), Fault::Invalid, "put {key:?}");
        assert_eq!(fault(fs.get(key).await), Fault::Invalid, "get {key:?}");
        assert_eq!(fault(fs.size(key).await), Fault::Invalid, "size {key:?}");
        assert_eq!(fault(fs.delete(key).await), Fault::Invalid, "delete {key:?}");
        assert_eq!(fault(fs.get_ranges(key, &[]).await), Fault::Invalid, "ranges {key:?}");
        if !key.is_empty() {
            assert_eq!(fault(fs.list(key).await), Fault::Invalid, "list {key:?}");
            assert_eq!(fault(fs.list_prefixes(key).await), Fault::Invalid, "prefixes {key:?}");
        }
    }
    assert_eq!(fs.list("").await.expect("list"), before);
}
