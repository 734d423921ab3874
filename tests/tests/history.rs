//! Random histories with crashes over the real engine, log, segments and indexes on simulated disks, beside a plain map.

use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::Config;
use proximadb_model::plan::OriginalsPlace;
use proximadb_ports::WalCodec;
use proximadb_ports::conformance::database::{Step, check_history, histories};
use proximadb_tests::{Log, World, WorldPlan, small_settings};
use proximadb_viper::Compression;
use proximadb_wal::{AvroCodec, BincodeCodec};

fn play(seed: u64, sites: u64, shards: u32, mirrored: bool, codec: Arc<dyn WalCodec>, steps: Vec<Step>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
    runtime.block_on(async {
        let compression = Compression::Zstd { level: 1 };
        let mut settings = small_settings();
        if seed.is_multiple_of(2) {
            settings.memory.originals = OriginalsPlace::Disk;
        }
        let plan = WorldPlan { sites, log: Log::Files, codec, compression, mirrored, settings };
        let mut world = World::new(seed, plan).await;
        check_history(&mut world, shards, steps).await;
    });
}

proptest! {
    #![proptest_config(Config { cases: 64, max_shrink_iters: 400, failure_persistence: None, ..Config::default() })]

    #[test]
    fn one_shard_behaves_like_a_map(seed in any::<u64>(), steps in histories(40)) {
        play(seed, 1, 1, false, Arc::new(BincodeCodec), steps);
    }

    #[test]
    fn shards_on_two_sites_behave_like_a_map(seed in any::<u64>(), steps in histories(40)) {
        play(seed, 2, 3, false, Arc::new(AvroCodec), steps);
    }

    #[test]
    fn shards_on_mirrored_sites_behave_like_a_map(seed in any::<u64>(), steps in histories(40)) {
        play(seed, 3, 4, true, Arc::new(BincodeCodec), steps);
    }
}
