//! `FileWal` on two simulated disks.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use proximadb_model::{Epoch, Sequence, ShardId, WriteBatch};
use proximadb_ports::conformance::wal::{self, WalHarness, batch, replayed, shard};
use proximadb_ports::{Disk, Fault, Wal, WalWriter};
use proximadb_sim::{Effect, Injection, SimDisk};
use proximadb_wal::FileWal;

use crate::mirrored_world::{MirroredWorld, Weather, wait};
use crate::world::{SMALL_FILES, codec, run};

macro_rules! suite {
    ($($name:ident($($more:expr),*);)*) => {$(
        #[test]
        fn $name() {
            for seed in 0..3 {
                for bincode in [false, true] {
                    run(|| async move { wal::$name(&mut MirroredWorld::new(seed, bincode, Weather::Fair), $($more),*).await });
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
    g9_damage_is_noticed(97);
    refused_batches_change_nothing();
    restarts_without_writes_grow_nothing();
    what_was_replayed_stays();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn any_course_keeps_to_the_model(seed in any::<u64>(), bincode in any::<bool>(), steps in wal::steps(40)) {
        run(|| async move { wal::keeps_to_the_model(&mut MirroredWorld::new(seed, bincode, Weather::Fair), &steps).await });
    }

    #[test]
    fn any_course_with_losses_keeps_to_the_model(seed in any::<u64>(), bincode in any::<bool>(), steps in wal::steps(60)) {
        run(|| async move { wal::keeps_to_the_model(&mut MirroredWorld::new(seed, bincode, Weather::Losses), &steps).await });
    }

    #[test]
    fn any_course_with_one_rotting_disk_keeps_to_the_model(
        seed in any::<u64>(), bincode in any::<bool>(), own in any::<bool>(), steps in wal::steps(50),
    ) {
        run(|| async move { wal::keeps_to_the_model(&mut MirroredWorld::new(seed, bincode, Weather::Rot { own }), &steps).await });
    }
}

/// Two batches failed on the own disk and stood on the second one; the batch that replaced both was copied, and lost where it first
/// stood. The copy overlaps only the first of them: the second one came back behind it here.
#[test]
fn a_copy_keeps_away_what_it_does_not_overlap() {
    use wal::Step::{Append, FailSync, FailWrite, Idle, Reopen, Sync, Trouble};
    let append = |shard, count| Append { shard, count };
    let failed = [append(2, 0), Sync { shard: 2 }, Reopen, append(2, 5), append(2, 0), append(0, 0), FailWrite, Idle];
    let then = [Trouble(5_306_266_605_448_899_639), FailSync, FailSync, Sync { shard: 2 }, append(2, 0), Sync { shard: 0 }, FailSync, Idle];
    let steps = [failed, then].concat();
    for seed in (0..40).chain([8_652_645_733_725_198_373]) {
        for weather in [Weather::Fair, Weather::Losses] {
            run(|| async { wal::keeps_to_the_model(&mut MirroredWorld::new(seed, true, weather), &steps).await });
        }
    }
}

/// Appends batches after `written`, each synced, until there are this many.
async fn write(writer: &mut dyn WalWriter, of: ShardId, epoch: u64, written: &mut Vec<WriteBatch>, count: usize) {
    while written.len() < count {
        let next = written.last().map_or(Sequence(1), |b| b.last().plus(1));
        let batch = batch(of, Epoch(epoch), next, 3);
        writer.append(&batch).await.expect("appends");
        writer.sync().await.expect("syncs");
        written.push(batch);
    }
}

async fn contents(disk: &SimDisk) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for (name, _) in disk.list().await.expect("lists").into_iter().filter(|(name, _)| name.ends_with(".wal")) {
        let bytes = disk.read(&name).await.expect("reads").to_vec();
        files.push((name, bytes));
    }
    files
}

/// The log of one disk alone, as another site would open it.
async fn alone(world: &mut MirroredWorld, disk: &SimDisk) -> FileWal {
    world.own.process.end().await;
    let disk = Arc::new(disk.clone());
    FileWal::open(disk, None, codec(true), SMALL_FILES, world.process().context()).await.expect("the disk can be listed")
}

#[test]
fn every_group_is_on_both_disks_byte_for_byte() {
    run(|| async {
        let mut world = MirroredWorld::new(1, true, Weather::Fair);
        let wal = world.open().await;
        let mut writer = wal.open(shard(0), Epoch(1)).await.expect("opens");
        let mut written = Vec::new();
        write(&mut *writer, shard(0), 1, &mut written, 30).await;
        world.idle().await;
        let stats = wal.stats();
        assert!(stats.mirrored_groups == stats.groups && stats.groups >= 30 && stats.files > 2, "{stats:?}");
        assert_eq!(wal.degraded(), None);
        assert_eq!(contents(&world.own.disk).await, contents(&world.second).await);
        // The folder of the second copies is a log of its own.
        drop((writer, wal));
        let second = world.second.clone();
        let copy = alone(&mut world, &second).await;
        assert_eq!(replayed(&copy, shard(0), Sequence(0)).await.expect("readable"), written);
    });
}

#[test]
fn a_lost_disk_loses_nothing_even_when_the_next_start_is_cut_short() {
    for seed in 0..20 {
        run(|| async move {
            let mut world = MirroredWorld::new(seed, true, Weather::Fair);
            let wal = world.open().await;
            let mut writer = wal.open(shard(0), Epoch(1)).await.expect("opens");
            let mut written = Vec::new();
            write(&mut *writer, shard(0), 1, &mut written, 40).await;
            drop((writer, wal));
            world.crash().await;
            world.own.disk.wipe();
            // A new disk; the process writes once and ends before the old batches are in two copies again.
            let wal = world.open().await;
            assert_eq!(replayed(&*wal, shard(0), Sequence(0)).await.expect("readable"), written);
            let mut writer = wal.open(shard(0), Epoch(2)).await.expect("opens");
            write(&mut *writer, shard(0), 2, &mut written, 41).await;
            drop((writer, wal));
            world.crash().await;
            let wal = world.open().await;
            assert_eq!(replayed(&*wal, shard(0), Sequence(0)).await.expect("readable"), written);
            // Once they are, the second disk may go too.
            world.until_mirrored().await;
            let (own, second) = (contents(&world.own.disk).await, contents(&world.second).await);
            assert_eq!(own, second, "what was on one disk only has been freed");
            drop(wal);
            world.crash().await;
            world.second.wipe();
            let wal = world.open().await;
            assert_eq!(replayed(&*wal, shard(0), Sequence(0)).await.expect("readable"), written);
        });
    }
}

#[test]
fn a_lost_disk_whose_second_copy_is_lost_too_is_noticed() {
    run(|| async {
        let mut world = MirroredWorld::new(1, true, Weather::Fair);
        let wal = world.open().await;
        let mut writer = wal.open(shard(0), Epoch(1)).await.expect("opens");
        let mut written = Vec::new();
        write(&mut *writer, shard(0), 1, &mut written, 40).await;
        drop((writer, wal));
        world.idle().await;
        world.crash().await;
        world.own.disk.wipe();
        drop(world.open_as_it_is().await);
        assert!(world.degraded().is_some());
        world.crash().await;
        world.second.wipe();
        let wal = world.open().await;
        assert_eq!(replayed(&*wal, shard(0), Sequence(0)).await.expect_err("lost").fault, Fault::Corrupt);
    });
}

#[test]
fn a_second_disk_that_hangs_is_left_and_asked_for_nothing_more() {
    run(|| async {
        let mut world = MirroredWorld::new(1, true, Weather::Fair);
        let wal = world.open().await;
        let mut writer = wal.open(shard(0), Epoch(1)).await.expect("opens");
        let mut written = Vec::new();
        write(&mut *writer, shard(0), 1, &mut written, 3).await;
        world.second.inject(Injection::next(Effect::Hang).times(u64::MAX));
        write(&mut *writer, shard(0), 1, &mut written, 4).await;
        let told = wal.degraded().expect("one copy");
        assert!(told.contains("does not answer") && !told.contains('\n'), "{told}");
        let trace = world.second.trace_digest();
        let before = wal.stats();
        write(&mut *writer, shard(0), 1, &mut written, 20).await;
        world.rest().await;
        assert_eq!(world.second.trace_digest(), trace, "nothing was asked of a disk that does not answer");
        let after = wal.stats();
        assert_eq!((after.mirrored_groups, after.groups - before.groups), (before.mirrored_groups, 16));
        // It comes back: a new file has two copies, and so has what was written meanwhile.
        world.second.heal();
        world.until_mirrored().await;
        write(&mut *writer, shard(0), 1, &mut written, 21).await;
        assert!(wal.stats().mirrored_groups > before.mirrored_groups && wal.degraded().is_none());
        drop((writer, wal));
        world.crash().await;
        world.own.disk.wipe();
        let wal = world.open().await;
        assert_eq!(replayed(&*wal, shard(0), Sequence(0)).await.expect("readable"), written);
    });
}

#[test]
fn a_partner_that_is_away_at_the_start_gets_everything_when_it_comes() {
    for seed in 0..10 {
        run(|| async move {
            let mut world = MirroredWorld::new(seed, false, Weather::Fair);
            world.set_away(true);
            let wal = world.open().await;
            assert!(wal.degraded().expect("one copy").contains("is away"));
            let mut writer = wal.open(shard(0), Epoch(1)).await.expect("opens");
            let mut written = Vec::new();
            write(&mut *writer, shard(0), 1, &mut written, 20).await;
            assert!(contents(&world.second).await.is_empty() && wal.stats().mirrored_groups == 0);
            world.set_away(false);
            // Nobody writes: the log sees by itself that the partner is there.
            world.until_mirrored().await;
            drop((writer, wal));
            world.crash().await;
            world.own.disk.wipe();
            let wal = world.open().await;
            assert_eq!(replayed(&*wal, shard(0), Sequence(0)).await.expect("readable"), written);
        });
    }
}

#[test]
fn leftovers_of_a_partner_that_was_away_are_freed_and_never_shown() {
    run(|| async {
        let mut world = MirroredWorld::new(1, true, Weather::Fair);
        let wal = world.open().await;
        let mut writer = wal.open(shard(0), Epoch(1)).await.expect("opens");
        let mut written = Vec::new();
        write(&mut *writer, shard(0), 1, &mut written, 30).await;
        world.set_away(true);
        write(&mut *writer, shard(0), 1, &mut written, 60).await;
        wal.truncate(shard(0), written[49].last()).await.expect("truncates");
        let (oldest_own, oldest_second) = (contents(&world.own.disk).await[0].0.clone(), contents(&world.second).await[0].0.clone());
        assert!(oldest_second < oldest_own, "{oldest_second} {oldest_own}");
        drop((writer, wal));
        world.crash().await;
        world.set_away(false);
        let wal = world.open().await;
        let shown = replayed(&*wal, shard(0), Sequence(0)).await.expect("readable");
        assert!(shown.len() < 30 && written.ends_with(&shown), "{}", shown.len());
        world.until_mirrored().await;
        assert!(contents(&world.second).await[0].0 > oldest_second);
        wal.truncate(shard(0), written[59].last()).await.expect("truncates");
        assert!(contents(&world.own.disk).await.len() <= 1 && contents(&world.second).await.len() <= 1);
    });
}

#[test]
fn rot_after_the_start_is_healed_from_the_other_disk() {
    run(|| async {
        let mut world = MirroredWorld::new(1, true, Weather::Fair);
        let wal = world.open().await;
        let mut writer = wal.open(shard(0), Epoch(1)).await.expect("opens");
        let mut written = Vec::new();
        write(&mut *writer, shard(0), 1, &mut written, 30).await;
        for (name, bytes) in contents(&world.own.disk).await {
            for at in (0..bytes.len() as u64).step_by(64) {
                world.own.disk.flip(&name, at);
            }
        }
        assert_eq!(replayed(&*wal, shard(0), Sequence(0)).await.expect("healed"), written);
        world.set_away(true);
        assert_eq!(replayed(&*wal, shard(0), Sequence(0)).await.expect_err("not now").fault, Fault::Unavailable);
        world.set_away(false);
        world.second.wipe();
        assert_eq!(replayed(&*wal, shard(0), Sequence(0)).await.expect_err("nowhere").fault, Fault::Corrupt);
    });
}

#[test]
fn a_second_disk_that_stays_full_does_not_cost_a_file_each_time() {
    run(|| async {
        let mut world = MirroredWorld::new(1, true, Weather::Fair);
        let wal = world.open().await;
        let mut writer = wal.open(shard(0), Epoch(1)).await.expect("opens");
        let mut written = Vec::new();
        write(&mut *writer, shard(0), 1, &mut written, 2).await;
        let full = Injection::next(Effect::Fail(Fault::Exhausted)).on("append").about(".wal").times(u64::MAX);
        world.second.inject(full);
        for count in 3..63 {
            write(&mut *writer, shard(0), 1, &mut written, count).await;
            world.rest().await;
        }
        assert!(wal.degraded().is_some());
        let last = contents(&world.own.disk).await.pop().expect("a file").0;
        let number: u32 = last.trim_end_matches(".wal").parse().expect("a number");
        assert!(number < 40, "{number} files for 60 small groups in a quarter of an hour");
        // Room again, and in the end it is used.
        world.second.heal();
        world.rest().await;
        world.until_mirrored().await;
    });
}

#[test]
fn a_second_disk_that_hangs_does_not_keep_the_log_from_opening() {
    run(|| async {
        let mut world = MirroredWorld::new(1, true, Weather::Fair);
        let wal = world.open().await;
        let mut writer = wal.open(shard(0), Epoch(1)).await.expect("opens");
        let mut written = Vec::new();
        write(&mut *writer, shard(0), 1, &mut written, 5).await;
        drop((writer, wal));
        for op in ["list", "read"] {
            world.second.inject(Injection::next(Effect::Hang).on(op).times(u64::MAX));
            let wal = world.open_as_it_is().await;
            assert_eq!(replayed(&*wal, shard(0), Sequence(0)).await.expect("readable"), written);
            let mut writer = wal.open(shard(0), Epoch(1)).await.expect("opens");
            let count = written.len() + 1;
            write(&mut *writer, shard(0), 1, &mut written, count).await;
            assert!(wal.degraded().is_some(), "{op}");
            world.second.heal();
            wait(&world, Duration::from_secs(1)).await;
        }
        world.until_mirrored().await;
    });
}
