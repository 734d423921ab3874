//! Disks that do not answer, many shards on one log, and damage that an operator accepts.

use std::sync::Arc;

use proximadb_model::{Epoch, Sequence};
use proximadb_ports::conformance::wal::{WalHarness, batch, replayed, shard};
use proximadb_ports::{Clock, Fault};
use proximadb_sim::{Effect, Injection};

use crate::world::{FileWorld, SMALL_FILES, run};

#[test]
fn a_disk_that_hangs_fails_the_group_and_works_again_once_it_is_back() {
    for op in ["create", "append", "sync"] {
        run(|| async move {
            let mut world = FileWorld::new(1, true);
            let wal = world.open().await;
            let mut writer = wal.open(shard(0), Epoch(1)).await.expect("opens");
            let first = batch(shard(0), Epoch(1), Sequence(1), 3);
            if op != "create" {
                writer.append(&first).await.expect("appends");
                writer.sync().await.expect("syncs");
            }
            world.disk.inject(Injection::next(Effect::Hang).on(op));
            let lost = batch(shard(0), Epoch(1), first.last().plus(1), 3);
            writer.append(&lost).await.expect("only the group fails");
            let failure = writer.sync().await.expect_err("the disk hangs");
            assert_eq!((failure.fault, failure.message.as_str()), (Fault::Unavailable, "the disk does not answer"), "{op}");
            // The next ones fail without asking the disk for anything.
            let trace = world.disk.trace_digest();
            for epoch in 2..6 {
                let mut writer = wal.open(shard(0), Epoch(epoch)).await.expect("opens");
                writer.append(&batch(shard(0), Epoch(epoch), lost.first, 3)).await.expect("only the group fails");
                assert_eq!(writer.sync().await.expect_err("still").fault, Fault::Unavailable);
            }
            assert_eq!(world.disk.trace_digest(), trace, "{op}");
            world.disk.heal();
            world.process.clock.sleep(SMALL_FILES.deadline).await;
            let mut writer = wal.open(shard(0), Epoch(6)).await.expect("opens");
            let again = batch(shard(0), Epoch(6), lost.first, 3);
            writer.append(&again).await.expect("appends");
            writer.sync().await.expect("the disk is back");
            world.crash().await;
            let wal = world.open().await;
            let shown = replayed(&*wal, shard(0), lost.first).await.expect("readable");
            assert_eq!(shown, [again], "{op}");
        });
    }
}

#[test]
fn a_thousand_shards_share_few_syncs() {
    run(|| async {
        let mut world = FileWorld::new(1, true);
        let wal = world.open().await;
        let mut tasks = Vec::new();
        for index in 0..1_000 {
            let wal = Arc::clone(&wal);
            tasks.push(tokio::spawn(async move {
                let mut writer = wal.open(shard(index), Epoch(1)).await?;
                writer.append(&batch(shard(index), Epoch(1), Sequence(1), 1)).await?;
                writer.sync().await
            }));
        }
        for task in tasks {
            task.await.expect("no panic").expect("durable");
        }
        let stats = wal.stats();
        assert!(stats.groups <= 3 && stats.frames >= 1_000, "{stats:?}");
        world.crash().await;
        let wal = world.open().await;
        for index in 0..1_000 {
            assert_eq!(replayed(&*wal, shard(index), Sequence(0)).await.expect("readable").len(), 1);
        }
        // Every shard has to let go of it before the file is freed.
        for index in 0..1_000 {
            assert!(wal.stats().files > 0, "{index}");
            wal.truncate(shard(index), Sequence(2)).await.expect("truncates");
        }
        assert_eq!((wal.stats().files, world.files().await.len()), (0, 0));
    });
}

#[test]
fn accepted_damage_is_passed_over_and_freed_when_no_shard_objects() {
    run(|| async {
        let mut world = FileWorld::new(3, true);
        let wal = world.open().await;
        let mut kept = Vec::new();
        for round in 0..3 {
            for index in 0..2 {
                let mut writer = wal.open(shard(index), Epoch(1)).await.expect("opens");
                let batch = batch(shard(index), Epoch(1), Sequence(1 + 2 * round), 1);
                writer.append(&batch).await.expect("appends");
                writer.sync().await.expect("syncs");
                kept.push(batch);
            }
        }
        world.idle().await;
        drop(wal);
        // The headers of the last batches of both: nobody can read any more whose they were.
        let (name, bytes) = world.files().await.swap_remove(0);
        let magic: Vec<_> = bytes.windows(8).enumerate().filter(|(_, w)| *w == proximadb_model::frame::MAGIC).map(|(at, _)| at).collect();
        assert!(world.disk.flip(&name, magic[5] as u64 + 30) && world.disk.flip(&name, magic[6] as u64 + 30));
        let wal = world.open().await;
        for index in 0..2 {
            assert_eq!(replayed(&*wal, shard(index), Sequence(0)).await.expect_err("may have lost a batch").fault, Fault::Corrupt);
        }
        wal.accept_damage(shard(0)).await.expect("accepts");
        assert_eq!(replayed(&*wal, shard(0), Sequence(0)).await.expect("accepted"), [kept[0].clone(), kept[2].clone()]);
        assert_eq!(replayed(&*wal, shard(1), Sequence(0)).await.expect_err("has accepted nothing").fault, Fault::Corrupt);
        wal.truncate(shard(0), Sequence(6)).await.expect("truncates");
        wal.truncate(shard(1), Sequence(6)).await.expect("truncates");
        assert_eq!(wal.stats().files, 1, "shard 1 objects");
        assert_eq!(replayed(&*wal, shard(1), Sequence(4)).await.expect_err("may have lost a batch").fault, Fault::Corrupt);
        wal.accept_damage(shard(1)).await.expect("accepts");
        assert_eq!(replayed(&*wal, shard(1), Sequence(0)).await.expect("accepted"), []);
        assert_eq!((wal.stats().files, world.files().await.len()), (0, 0));
    });
}
