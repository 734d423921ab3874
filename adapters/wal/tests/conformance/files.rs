//! `FileWal` on a simulated disk.

use proptest::prelude::*;
use proximadb_model::{Epoch, Sequence};
use proximadb_ports::Fault;
use proximadb_ports::conformance::wal::{self, WalHarness, batch, replayed, shard};

use crate::world::{FileWorld, run};

macro_rules! suite {
    ($($name:ident($($more:expr),*);)*) => {$(
        #[test]
        fn $name() {
            for seed in 0..3 {
                for bincode in [false, true] {
                    run(|| async move { wal::$name(&mut FileWorld::new(seed, bincode), $($more),*).await });
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
    g9_a_torn_tail_is_no_damage();
    g9_damage_is_noticed(37);
    refused_batches_change_nothing();
    restarts_without_writes_grow_nothing();
    what_was_replayed_stays();
}

#[test]
fn any_changed_byte_is_noticed() {
    run(|| async { wal::g9_damage_is_noticed(&mut FileWorld::new(9, true), 1).await });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn any_course_keeps_to_the_model(seed in any::<u64>(), bincode in any::<bool>(), steps in wal::steps(40)) {
        run(|| async move { wal::keeps_to_the_model(&mut FileWorld::new(seed, bincode), &steps).await });
    }
}

/// A tail was in doubt twice: once before and once after the batches that followed it had been copied. Copies that replaced what
/// came after them lost acknowledged batches here.
#[test]
fn a_second_copy_cuts_off_nothing() {
    use wal::Step::{Append, FailWrite, Reopen, Sync};
    let append = |shard| Append { shard, count: 0 };
    let steps = [
        [Reopen; 3].as_slice(),
        &[append(0), append(0), append(2), Sync { shard: 2 }, FailWrite, Sync { shard: 0 }, Sync { shard: 0 }, Sync { shard: 0 }],
        &[append(0), append(0), append(0), append(0), FailWrite, append(0), Sync { shard: 0 }],
    ];
    for seed in (0..40).chain([1_049_276_329_529_386_429]) {
        run(|| async { wal::keeps_to_the_model(&mut FileWorld::new(seed, false), &steps.concat()).await });
    }
}

#[test]
fn writers_that_wait_together_share_one_sync() {
    run(|| async {
        let mut world = FileWorld::new(1, true);
        let wal = world.open().await;
        let mut writers = Vec::new();
        for index in 0..8 {
            writers.push(wal.open(shard(index), Epoch(1)).await.expect("opens"));
        }
        for (index, writer) in (0..).zip(&mut writers) {
            writer.append(&batch(shard(index), Epoch(1), Sequence(1), 2)).await.expect("appends");
        }
        let tasks: Vec<_> = writers.into_iter().map(|mut writer| tokio::spawn(async move { writer.sync().await })).collect();
        for task in tasks {
            task.await.expect("no panic").expect("syncs");
        }
        assert_eq!(wal.stats().groups, 1);
    });
}

#[test]
fn an_unsynced_batch_is_written_soon_and_marked_durable() {
    run(|| async {
        let mut world = FileWorld::new(1, true);
        let wal = world.open().await;
        let mut writer = wal.open(shard(0), Epoch(1)).await.expect("opens");
        let written = batch(shard(0), Epoch(1), Sequence(1), 2);
        writer.append(&written).await.expect("appends");
        world.idle().await;
        let files = world.files().await;
        world.idle().await;
        assert_eq!(world.files().await, files, "one mark, and then silence");
        let before = wal.stats();
        world.crash().await;
        let wal = world.open().await;
        assert_eq!(replayed(&*wal, shard(0), Sequence(0)).await.expect("readable"), [written]);
        assert!(before.groups == 1 && before.sync_micros == 0, "virtual time stands still: {before:?}");
    });
}

#[test]
fn a_full_queue_waits_for_room_and_goes_on() {
    run(|| async {
        let mut world = FileWorld::new(1, true);
        let wal = world.open().await;
        let mut writer = wal.open(shard(0), Epoch(1)).await.expect("opens");
        let mut next = Sequence(1);
        // More frames than the queue holds, without a single sync in between.
        for _ in 0..proximadb_model::limits::LOG_QUEUE_FRAMES_MAX + 100 {
            let batch = batch(shard(0), Epoch(1), next, 0);
            next = batch.last().plus(1);
            writer.append(&batch).await.expect("appends");
        }
        writer.sync().await.expect("syncs");
        assert_eq!(wal.shards().await.expect("readable"), [(shard(0), Sequence(next.0 - 1))]);
    });
}

#[test]
fn a_log_that_was_shut_down_says_so() {
    run(|| async {
        let mut world = FileWorld::new(1, true);
        let wal = world.open().await;
        let mut writer = wal.open(shard(0), Epoch(1)).await.expect("opens");
        writer.append(&batch(shard(0), Epoch(1), Sequence(1), 0)).await.expect("appends");
        world.process.end().await;
        assert_eq!(writer.sync().await.expect_err("ended").fault, Fault::Unavailable);
        assert_eq!(wal.open(shard(1), Epoch(1)).await.err().map(|e| e.fault), None, "a shard opens; its writes fail");
    });
}

#[test]
fn a_full_disk_fails_writes_and_recovers_without_a_restart() {
    run(|| async {
        let mut world = FileWorld::new(3, false);
        let wal = world.open().await;
        let mut writer = wal.open(shard(0), Epoch(1)).await.expect("opens");
        let first = batch(shard(0), Epoch(1), Sequence(1), 3);
        writer.append(&first).await.expect("appends");
        writer.sync().await.expect("syncs");
        world.disk.set_capacity_bytes(Some(1));
        let mut second = batch(shard(0), Epoch(1), first.last().plus(1), 3);
        writer.append(&second).await.expect("appends");
        assert_eq!(writer.sync().await.expect_err("full").fault, Fault::Exhausted);
        assert_eq!(replayed(&*wal, shard(0), Sequence(0)).await.expect("readable"), std::slice::from_ref(&first));
        world.disk.set_capacity_bytes(None);
        let mut writer = wal.open(shard(0), Epoch(2)).await.expect("opens");
        second = batch(shard(0), Epoch(2), second.first, 3);
        writer.append(&second).await.expect("appends");
        writer.sync().await.expect("syncs");
        world.crash().await;
        let wal = world.open().await;
        assert_eq!(replayed(&*wal, shard(0), Sequence(0)).await.expect("readable"), [first, second]);
    });
}

#[test]
fn a_shard_that_goes_on_after_damage_is_not_touched_by_it() {
    run(|| async {
        let mut world = FileWorld::new(3, true);
        let wal = world.open().await;
        let (mut a, mut b) = (wal.open(shard(0), Epoch(1)).await.expect("opens"), wal.open(shard(1), Epoch(1)).await.expect("opens"));
        let mut kept = Vec::new();
        let mut next = [Sequence(1); 2];
        for round in 0..4 {
            for (index, writer) in [(0, &mut a), (1, &mut b)] {
                if index == 1 && round == 3 {
                    continue;
                }
                let batch = batch(shard(index), Epoch(1), next[index as usize], 1);
                next[index as usize] = batch.last().plus(1);
                writer.append(&batch).await.expect("appends");
                writer.sync().await.expect("syncs");
                if index == 0 {
                    kept.push(batch);
                }
            }
        }
        drop((a, b, wal));
        world.idle().await;
        // The header of the last batch of shard 1: nobody can read any more whose it was.
        let (name, bytes) = world.files().await.swap_remove(0);
        let magic: Vec<_> = bytes.windows(8).enumerate().filter(|(_, w)| *w == proximadb_model::frame::MAGIC).map(|(at, _)| at).collect();
        assert!(world.disk.flip(&name, magic[6] as u64 + 30), "start, six batches of both in turn, one more of shard 0");
        let wal = world.open().await;
        assert_eq!(replayed(&*wal, shard(0), Sequence(0)).await.expect("goes on after the damage"), kept);
        assert_eq!(replayed(&*wal, shard(1), Sequence(0)).await.expect_err("may have lost a batch").fault, Fault::Corrupt);
        assert_eq!(replayed(&*wal, shard(2), Sequence(0)).await.expect_err("may have lost a batch").fault, Fault::Corrupt);
        // Whoever no longer needs what was there reads on: the shard's segments hold it, and it has written since.
        let mut b = wal.open(shard(1), Epoch(2)).await.expect("opens");
        let fresh = batch(shard(1), Epoch(2), next[1], 1);
        b.append(&fresh).await.expect("appends");
        b.sync().await.expect("syncs");
        assert_eq!(replayed(&*wal, shard(1), Sequence(next[1].0 - 1)).await.expect("readable"), [fresh]);
    });
}

#[test]
fn dropping_everything_ends_the_task() {
    run(|| async {
        let mut world = FileWorld::new(1, true);
        let wal = world.open().await;
        let writer = wal.open(shard(0), Epoch(1)).await.expect("opens");
        let tasks = world.process.executor();
        assert_eq!(tasks.tasks(), 1);
        drop((wal, writer));
        tokio::task::yield_now().await;
        assert_eq!(tasks.tasks(), 0);
    });
}
