//! The suite of the port over the simulated store.

use std::sync::Arc;

use proximadb_ports::conformance::segment::{self, Harness};
use proximadb_ports::{Filesystem, SegmentStore};
use proximadb_sim::{SimClock, SimFilesystem};
use proximadb_viper::{Compression, ViperOptions, ViperStore};

struct Viper {
    filesystem: Arc<SimFilesystem>,
    options: ViperOptions,
}

impl Harness for Viper {
    fn store(&self) -> Arc<dyn SegmentStore> {
        let filesystem: Arc<dyn Filesystem> = self.filesystem.clone();
        Arc::new(ViperStore::new(filesystem, Arc::new(SimClock::new()), self.options.clone()))
    }

    fn filesystem(&self) -> Arc<dyn Filesystem> {
        self.filesystem.clone()
    }
}

/// `PROXIMADB_SEED=<seed>` reproduces a run; its seed is printed.
fn seed() -> u64 {
    std::env::var("PROXIMADB_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(20_261_122)
}

async fn check(options: ViperOptions, cases: u32) {
    let mut harness = Viper { filesystem: Arc::new(SimFilesystem::new(seed())), options };
    segment::run(&mut harness, seed(), cases).await;
}

fn small() -> ViperOptions {
    ViperOptions { row_group_rows_max: 16, page_bytes_max: 64, sample_rows_max: 8, ..ViperOptions::default() }
}

#[tokio::test]
async fn small_row_groups_and_pages() {
    check(small(), 40).await;
}

#[tokio::test]
async fn default_options() {
    check(ViperOptions::default(), 20).await;
}

#[tokio::test]
async fn few_typed_columns_and_no_cache() {
    check(ViperOptions { metadata_columns_max: 2, cache_bytes_max: 0, compression: Compression::Lz4, ..small() }, 20).await;
}

#[tokio::test]
async fn a_row_group_a_row() {
    check(ViperOptions { row_group_rows_max: 0, page_bytes_max: 0, cache_bytes_max: 4_096, compression: Compression::None, ..small() }, 12)
        .await;
}
