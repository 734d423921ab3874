//! The suite of [`Disk`]: one property a guarantee. Knows no disk; the harness brings one and cuts its power.

use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::Rng;
use proptest::test_runner::{RngAlgorithm, TestRng};

use crate::disk::Disk;
use crate::error::{Fault, Result};

/// A disk under test, empty at first.
pub trait Harness: Send {
    /// The disk, as the present process holds it.
    fn disk(&self) -> Arc<dyn Disk>;

    /// Ends the process, and the power where the harness can cut it; from then on `disk` is what the next one finds.
    fn crash(&mut self);

    /// Lets the next sync fail; false where the harness cannot, and then G5 is not tested.
    fn fail_next_sync(&mut self) -> bool;
}

/// Runs every property and prints the seed.
///
/// # Panics
/// Where the disk breaks a guarantee.
pub async fn run(harness: &mut dyn Harness, seed: u64) {
    println!("disk conformance: seed {seed}");
    g1_synced_bytes_survive(harness, seed).await;
    g2_unsynced_bytes_never_come_back_as_more(harness, seed).await;
    g3_created_files_survive(harness).await;
    g4_deleted_files_stay_deleted(harness).await;
    g5_a_failed_sync_kills_the_handle(harness).await;
    reads_and_lists_answer_as_promised(harness).await;
}

fn chance(seed: u64, salt: u8) -> TestRng {
    let mut bytes = [salt; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    TestRng::from_seed(RngAlgorithm::ChaCha, &bytes)
}

fn fault<T>(result: Result<T>) -> Fault {
    match result {
        Ok(_) => panic!("must fail"),
        Err(error) => error.fault,
    }
}

/// A few parts of random bytes, some of them empty.
fn parts(rng: &mut TestRng) -> Vec<Bytes> {
    let count = rng.next_u32() % 5;
    let lengths: Vec<u32> = (0..count).map(|_| rng.next_u32() % 1_500).collect();
    let mut part = |length: u32| {
        let mut bytes = vec![0; if length.is_multiple_of(7) { 0 } else { length as usize }];
        rng.fill_bytes(&mut bytes);
        Bytes::from(bytes)
    };
    lengths.into_iter().map(&mut part).collect()
}

/// G1: everything appended before a returned sync is read back whole and in order, crash after crash.
///
/// # Panics
/// Where it does not hold.
pub async fn g1_synced_bytes_survive(harness: &mut dyn Harness, seed: u64) {
    let mut rng = chance(seed, 1);
    for round in 0..20 {
        let name = format!("g1-{round}");
        let mut file = harness.disk().create(&name).await.expect("create");
        let mut synced = Vec::new();
        for _ in 0..rng.next_u32() % 4 {
            let appended = parts(&mut rng);
            file.append(appended.clone()).await.expect("append");
            appended.iter().for_each(|p| synced.extend_from_slice(p));
            if rng.next_u32().is_multiple_of(2) {
                file.append(vec![Bytes::from_static(b"more")]).await.expect("append");
                synced.extend_from_slice(b"more");
            }
            file.sync().await.expect("sync");
        }
        for _ in 0..rng.next_u32() % 3 {
            file.append(parts(&mut rng)).await.expect("append");
        }
        harness.crash();
        drop(file);
        for _ in 0..2 {
            let found = harness.disk().read(&name).await.expect("read");
            assert!(found.len() >= synced.len() && found[..synced.len()] == synced, "round {round}: synced bytes are gone");
            harness.crash();
        }
    }
}

/// G2: of what was never synced at most as much comes back as was appended, and a second crash changes nothing more.
///
/// # Panics
/// Where it does not hold.
pub async fn g2_unsynced_bytes_never_come_back_as_more(harness: &mut dyn Harness, seed: u64) {
    let mut rng = chance(seed, 2);
    for round in 0..20 {
        let name = format!("g2-{round}");
        let mut file = harness.disk().create(&name).await.expect("create");
        let appended = parts(&mut rng);
        let length: usize = appended.iter().map(Bytes::len).sum();
        file.append(appended).await.expect("append");
        harness.crash();
        let found = harness.disk().read(&name).await.expect("read");
        assert!(found.len() <= length, "round {round}");
        harness.crash();
        assert_eq!(harness.disk().read(&name).await.expect("read"), found, "round {round}: it settled");
    }
}

/// G3: a created file exists after a crash, and its name is taken.
///
/// # Panics
/// Where it does not hold.
pub async fn g3_created_files_survive(harness: &mut dyn Harness) {
    drop(harness.disk().create("g3").await.expect("create"));
    harness.crash();
    let disk = harness.disk();
    assert_eq!(disk.read("g3").await.expect("read"), "");
    assert!(disk.list().await.expect("list").contains(&("g3".to_owned(), 0)));
    assert_eq!(fault(disk.create("g3").await), Fault::Conflict);
}

/// G4: a deleted file does not come back, and its name is free.
///
/// # Panics
/// Where it does not hold.
pub async fn g4_deleted_files_stay_deleted(harness: &mut dyn Harness) {
    let disk = harness.disk();
    let mut file = disk.create("g4").await.expect("create");
    file.append(vec![Bytes::from_static(b"old")]).await.expect("append");
    file.sync().await.expect("sync");
    drop(file);
    disk.delete("g4").await.expect("delete");
    disk.delete("g4").await.expect("delete of nothing");
    harness.crash();
    let disk = harness.disk();
    assert_eq!(fault(disk.read("g4").await), Fault::NotFound);
    assert!(disk.list().await.expect("list").iter().all(|(name, _)| name != "g4"));
    disk.create("g4").await.expect("free again");
    assert_eq!(disk.read("g4").await.expect("read"), "");
}

/// G5: after a failed sync every append and sync of the handle fails, other files live on, and what was synced before stays.
///
/// # Panics
/// Where it does not hold.
pub async fn g5_a_failed_sync_kills_the_handle(harness: &mut dyn Harness) {
    let disk = harness.disk();
    let mut file = disk.create("g5").await.expect("create");
    file.append(vec![Bytes::from_static(b"kept")]).await.expect("append");
    file.sync().await.expect("sync");
    file.append(vec![Bytes::from(vec![7; 4_000])]).await.expect("append");
    if !harness.fail_next_sync() {
        println!("disk conformance: g5 SKIPPED, this harness cannot fail a sync");
        return;
    }
    assert_eq!(fault(file.sync().await), Fault::Unavailable);
    for _ in 0..2 {
        assert_eq!(fault(file.sync().await), Fault::Unavailable, "never reported as written");
        assert_eq!(fault(file.append(vec![Bytes::from_static(b"x")]).await), Fault::Unavailable);
    }
    let mut other = disk.create("g5-other").await.expect("create");
    other.append(vec![Bytes::from_static(b"fine")]).await.expect("append");
    other.sync().await.expect("sync");
    harness.crash();
    assert!(harness.disk().read("g5").await.expect("read").starts_with(b"kept"));
    assert_eq!(harness.disk().read("g5-other").await.expect("read"), "fine");
}

/// Reads give what was appended before any sync too, lists are in order, absent files are `NotFound`, bad names `Invalid`.
///
/// # Panics
/// Where they do not.
pub async fn reads_and_lists_answer_as_promised(harness: &mut dyn Harness) {
    let disk = harness.disk();
    for name in ["r-b", "r-a", "r-c"] {
        let mut file = disk.create(name).await.expect("create");
        file.append(vec![Bytes::from_static(b"0123"), Bytes::new(), Bytes::from_static(b"456789")]).await.expect("append");
        file.append(Vec::new()).await.expect("append of nothing");
    }
    let listed: Vec<(String, u64)> = disk.list().await.expect("list").into_iter().filter(|(name, _)| name.starts_with("r-")).collect();
    assert_eq!(listed, [("r-a".to_owned(), 10), ("r-b".to_owned(), 10), ("r-c".to_owned(), 10)]);
    assert!(disk.list().await.expect("list").is_sorted());
    for (offset, length, expected) in
        [(0, 10, "0123456789"), (3, 4, "3456"), (8, 100, "89"), (10, 1, ""), (u64::MAX, u64::MAX, ""), (4, u64::MAX, "456789"), (5, 0, "")]
    {
        assert_eq!(disk.read_at("r-a", offset, length).await.expect("read_at"), expected, "{offset} {length}");
    }
    assert_eq!(fault(disk.read("absent").await), Fault::NotFound);
    assert_eq!(fault(disk.read_at("absent", 0, 1).await), Fault::NotFound);
    for name in ["", ".", "..", "a/b", "../a", "a b", "a\0", "ä", "a~", &"x".repeat(129)] {
        assert_eq!(fault(disk.create(name).await), Fault::Invalid, "create {name:?}");
        assert_eq!(fault(disk.read(name).await), Fault::Invalid, "read {name:?}");
        assert_eq!(fault(disk.delete(name).await), Fault::Invalid, "delete {name:?}");
    }
}
