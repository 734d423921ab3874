//! Players of one port over players of another, and the engine's own player, which no adapter's tests can put together.

use std::collections::BTreeMap;
use std::sync::Arc;

use proximadb_engine::BuiltinAssigner;
use proximadb_filesystem::LocalDisk;
use proximadb_model::{Epoch, Sequence, Strategy};
use proximadb_ports::conformance::wal::{batch, replayed, shard};
use proximadb_ports::{Wal, WalCodec};
use proximadb_sim::{SimClock, SimEntropy, SimExecutor};
use proximadb_wal::{AvroCodec, BincodeCodec, FileWal, WalContext, WalSettings};
use tempfile::TempDir;

async fn open(folder: &TempDir, codec: Arc<dyn WalCodec>, executor: &Arc<SimExecutor>, seed: u64) -> FileWal {
    let context =
        WalContext { clock: Arc::new(SimClock::of_tokio()), entropy: Arc::new(SimEntropy::new(seed)), executor: executor.clone() };
    let settings = WalSettings { file_bytes_max: 4_096, ..WalSettings::default() };
    FileWal::open(Arc::new(LocalDisk::open(folder.path()).expect("a folder")), None, codec, settings, context).await.expect("opens")
}

#[tokio::test]
async fn the_log_keeps_its_promises_on_a_real_disk() {
    for codec in [Arc::new(AvroCodec) as Arc<dyn WalCodec>, Arc::new(BincodeCodec)] {
        let folder = TempDir::new().expect("a folder");
        let executor = Arc::new(SimExecutor::current());
        let wal = open(&folder, codec.clone(), &executor, 1).await;
        let mut written = Vec::new();
        for number in 0..2 {
            let mut writer = wal.open(shard(number), Epoch(1)).await.expect("opens");
            let mut first = Sequence(1);
            for _ in 0..20 {
                let next = batch(shard(number), Epoch(1), first, 3);
                first = next.last().plus(1);
                writer.append(&next).await.expect("appends");
                writer.sync().await.expect("durable");
                written.push(next);
            }
        }
        executor.shutdown().await;
        drop(wal);
        let executor = Arc::new(SimExecutor::current());
        let wal = open(&folder, codec, &executor, 2).await;
        assert!(wal.stats().files > 1, "the log rolled over");
        for number in 0..2 {
            let found = replayed(&wal, shard(number), Sequence(0)).await.expect("replays");
            let expected: Vec<_> = written.iter().filter(|b| b.shard == shard(number)).collect();
            assert_eq!(found.len(), expected.len());
            for (found, expected) in found.iter().zip(expected) {
                assert_eq!((found.first, &found.operations), (expected.first, &expected.operations));
            }
        }
        executor.shutdown().await;
    }
}

#[test]
fn built_in_placement_keeps_the_promises_of_its_port() {
    for strategy in
        [Strategy::RoundRobin, Strategy::Hash, Strategy::LoadBalanced, Strategy::PerformanceBased, Strategy::Manual(BTreeMap::new())]
    {
        proximadb_ports::conformance::assigner::run(&BuiltinAssigner::new(format!("{strategy:?}"), strategy));
    }
}
