//! `ObjectWal` on a simulated bucket, alone and beside another one.

use proptest::prelude::*;
use proximadb_model::{Epoch, Sequence};
use proximadb_ports::Fault;
use proximadb_ports::conformance::wal::{self, WalHarness, batch, replayed, shard};

use crate::world::{ObjectWorld, run};

macro_rules! suite {
    ($($name:ident($($more:expr),*);)*) => {$(
        #[test]
        fn $name() {
            for seed in 0..3 {
                for bincode in [false, true] {
                    run(|| async move { wal::$name(&mut ObjectWorld::new(seed, bincode), $($more),*).await });
                }
            }
        }
    )*};
}

suite! {
    g1_g2_synced_batches_survive_whole();
    g3_replay_is_in_order_and_complete();
    g4_g5_a_failure_kills_every_open_writer();
    g6_an_older_epoch_is_fenced();
    g7_truncation_frees_only_what_nobody_needs();
    g8_encoded_operations_are_logged_as_they_came();
    g9_damage_is_noticed(37);
    refused_batches_change_nothing();
    restarts_without_writes_grow_nothing();
    what_was_replayed_stays();
}

#[test]
fn any_changed_byte_is_noticed() {
    run(|| async { wal::g9_damage_is_noticed(&mut ObjectWorld::new(9, true), 1).await });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn any_course_keeps_to_the_model(seed in any::<u64>(), bincode in any::<bool>(), steps in wal::steps(40)) {
        run(|| async move { wal::keeps_to_the_model(&mut ObjectWorld::new(seed, bincode), &steps).await });
    }
}

#[test]
fn a_later_log_fences_the_earlier_one() {
    run(|| async {
        let mut world = ObjectWorld::new(1, false);
        let old = world.open_beside().await;
        let mut old_writer = old.open(shard(0), Epoch(1)).await.expect("opens");
        let first = batch(shard(0), Epoch(1), Sequence(1), 1);
        old_writer.append(&first).await.expect("appends");
        old_writer.sync().await.expect("syncs");
        let new = world.open_beside().await;
        // After the new log has listed the bucket, and before it opens a shard, the old one still writes.
        let second = batch(shard(0), Epoch(1), Sequence(3), 1);
        old_writer.append(&second).await.expect("appends");
        old_writer.sync().await.expect("syncs");
        let mut new_writer = new.open(shard(0), Epoch(2)).await.expect("opens");
        assert_eq!(replayed(&*new, shard(0), Sequence(0)).await.expect("readable"), [first.clone(), second.clone()]);
        let lost = batch(shard(0), Epoch(1), Sequence(5), 1);
        old_writer.append(&lost).await.expect("appends");
        assert_eq!(old_writer.sync().await.expect_err("fenced").fault, Fault::Fenced);
        assert_eq!(old.open(shard(0), Epoch(1)).await.err().map(|e| e.fault), None, "the epoch of a log that wrote nothing is not in it");
        let third = batch(shard(0), Epoch(2), Sequence(5), 2);
        new_writer.append(&third).await.expect("appends");
        // The old log's open put a mark of its own; now the new one has been replaced.
        assert_eq!(new_writer.sync().await.expect_err("fenced").fault, Fault::Fenced);
        let mut new_writer = new.open(shard(0), Epoch(3)).await.expect("opens");
        let third = wal::batch(shard(0), Epoch(3), third.first, 2);
        new_writer.append(&third).await.expect("appends");
        new_writer.sync().await.expect("syncs");
        let wal = world.open().await;
        assert_eq!(replayed(&*wal, shard(0), Sequence(0)).await.expect("readable"), [first, second, third]);
        assert_eq!(wal.open(shard(0), Epoch(2)).await.err().map(|e| e.fault), Some(Fault::Fenced));
    });
}

#[test]
fn a_lost_reply_is_not_taken_for_a_fence() {
    run(|| async {
        let mut world = ObjectWorld::new(1, false);
        let wal = world.open().await;
        let mut writer = wal.open(shard(0), Epoch(1)).await.expect("opens");
        let mut written = Vec::new();
        for _ in 0..5 {
            let next = written.last().map_or(Sequence(1), |b: &proximadb_model::WriteBatch| b.last().plus(1));
            let batch = batch(shard(0), Epoch(1), next, 1);
            world.fail_next_sync();
            writer.append(&batch).await.expect("appends");
            writer.sync().await.expect("the object is there, and is this one");
            written.push(batch);
        }
        let wal = world.open().await;
        assert_eq!(replayed(&*wal, shard(0), Sequence(0)).await.expect("readable"), written);
    });
}
