//! What reading costs: bytes read for a few rows, rows looked at for a filter, and what the cache saves.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use proximadb_model::{
    CollectionId, FileId, Filter, Metadata, Projection, RecordId, Rows, Schema, SegmentMeta, Sequence, ShardId, Test, Uid, Value,
};
use proximadb_ports::{Filesystem, ObjectInfo, PutMode, Result, RowStream, SegmentReader, SegmentStore, Space};
use proximadb_sim::{SimClock, SimFilesystem};
use proximadb_viper::{ViperOptions, ViperStore};

/// Counts the bytes that are read.
struct Counting {
    inner: SimFilesystem,
    bytes_read: AtomicU64,
}

impl Counting {
    fn new() -> Arc<Self> {
        Arc::new(Self { inner: SimFilesystem::new(1), bytes_read: AtomicU64::new(0) })
    }

    fn take(&self) -> u64 {
        self.bytes_read.swap(0, Ordering::Relaxed)
    }
}

#[async_trait]
impl Filesystem for Counting {
    async fn put(&self, key: &str, body: Bytes, mode: PutMode) -> Result<()> {
        self.inner.put(key, body, mode).await
    }

    async fn get(&self, key: &str) -> Result<Bytes> {
        let bytes = self.inner.get(key).await?;
        self.bytes_read.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok(bytes)
    }

    async fn get_ranges(&self, key: &str, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let parts = self.inner.get_ranges(key, ranges).await?;
        self.bytes_read.fetch_add(parts.iter().map(|part| part.len() as u64).sum(), Ordering::Relaxed);
        Ok(parts)
    }

    async fn size(&self, key: &str) -> Result<u64> {
        self.inner.size(key).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>> {
        self.inner.list(prefix).await
    }

    async fn list_prefixes(&self, prefix: &str) -> Result<Vec<String>> {
        self.inner.list_prefixes(prefix).await
    }

    async fn delete(&self, key: &str) -> Result<()> {
        self.inner.delete(key).await
    }

    async fn space(&self) -> Result<Option<Space>> {
        self.inner.space().await
    }
}

/// `rows` records in blocks: `year` ascends, `lang` is one of two texts that no other block has, `note` stands in the remainder.
struct Records {
    next: u64,
    rows: u64,
    dimension: usize,
    state: u64,
}

impl Records {
    fn component(&mut self) -> f32 {
        // Knuth's MMIX generator; only its noise matters here.
        self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
    }
}

const BLOCK_ROWS: u64 = 4_096;
/// Bytes of a cache that the metadata of some of five row groups fits into, each of about 140 KB.
const CACHE_FOR_SOME_GROUPS: usize = 450 << 10;

#[async_trait]
impl RowStream for Records {
    async fn next(&mut self) -> Result<Option<Rows>> {
        let end = self.rows.min(self.next + BLOCK_ROWS);
        let mut rows = Rows::new(self.dimension);
        for n in self.next..end {
            let fields = BTreeMap::from([
                ("year".to_owned(), Value::Int(n as i64)),
                ("lang".to_owned(), Value::String(format!("{}-{}", if n % 2 == 0 { "a" } else { "z" }, n / BLOCK_ROWS))),
                ("note".to_owned(), Value::Object(BTreeMap::from([("n".to_owned(), Value::Int(n as i64))]))),
            ]);
            let vector: Vec<f32> = (0..self.dimension).map(|_| self.component()).collect();
            let metadata = Arc::new(Metadata::new(fields).expect("small"));
            rows.push(RecordId::new(&format!("record-{n}")).expect("valid"), &vector, metadata, Sequence(n + 1), None);
        }
        self.next = end;
        Ok((!rows.is_empty()).then_some(rows))
    }
}

async fn segment(filesystem: &Arc<Counting>, rows: u64, dimension: usize) -> (SegmentMeta, Arc<dyn SegmentReader>) {
    segment_with_cache(filesystem, rows, dimension, ViperOptions::default().cache_bytes_max).await
}

async fn segment_with_cache(
    filesystem: &Arc<Counting>,
    rows: u64,
    dimension: usize,
    cache_bytes_max: usize,
) -> (SegmentMeta, Arc<dyn SegmentReader>) {
    let port: Arc<dyn Filesystem> = filesystem.clone();
    let options = ViperOptions { row_group_rows_max: BLOCK_ROWS as usize, cache_bytes_max, ..ViperOptions::default() };
    let store = ViperStore::new(port, Arc::new(SimClock::new()), options);
    let shard = ShardId { collection: CollectionId(Uid::from_bytes([1; 16])), index: 0 };
    let mut records = Records { next: 0, rows, dimension, state: 1 };
    let meta = store.write(shard, FileId(Uid::from_bytes([2; 16])), &Schema::default(), &mut records).await.expect("write");
    let reader = store.open(shard, &meta).await.expect("open");
    (meta, reader)
}

fn field(path: &str, test: Test) -> Filter {
    Filter::Field { path: path.to_owned(), test }
}

#[tokio::test]
async fn a_few_rows_cost_a_small_part_of_the_file() {
    let filesystem = Counting::new();
    let (meta, reader) = segment(&filesystem, 100_000, 64).await;
    let opening = filesystem.take();
    assert!(opening >= meta.bytes && opening < meta.bytes + meta.bytes / 10, "opening reads the file once: {opening} of {}", meta.bytes);

    let asked: Vec<u32> = (0..10).map(|i| i * 9_973 + 17).collect();
    let rows = reader.fetch(&asked, Projection::ALL).await.expect("fetch");
    let all = filesystem.take();
    assert_eq!(
        rows.ids.iter().map(|id| id.to_string()).collect::<Vec<_>>(),
        asked.iter().map(|n| format!("record-{n}")).collect::<Vec<_>>()
    );
    reader.fetch(&asked, Projection::IDS).await.expect("fetch");
    let ids = filesystem.take();
    println!("file {} bytes; 10 rows read {all} bytes, without vectors and metadata {ids}", meta.bytes);
    assert!(all < meta.bytes / 8, "10 rows read {all} of {} bytes", meta.bytes);
    assert!(ids < all / 2, "fewer columns read {ids} bytes, all {all}");
}

#[tokio::test]
async fn what_can_be_ruled_out_is_not_looked_at() {
    let filesystem = Counting::new();
    let (meta, reader) = segment(&filesystem, 5 * BLOCK_ROWS, 4).await;
    filesystem.take();
    let check = async |filter: Filter, rows: u64, examined: u64| {
        let selection = reader.select(&filter).await.expect("select");
        assert_eq!((selection.rows.count() as u64, selection.rows_examined), (rows, examined), "{filter:?}");
        filesystem.take()
    };
    let above = |n: u64| Test::Gte(Value::Int(n as i64));
    assert_eq!(check(field("year", above(1 << 40)), 0, 0).await, 0);
    assert_eq!(check(field("year", above(0)), 5 * BLOCK_ROWS, 0).await, 0);
    assert_eq!(check(field("nobody", Test::Exists(false)), 5 * BLOCK_ROWS, 0).await, 0);
    assert_eq!(check(Filter::Not(Box::new(field("lang", Test::Exists(true)))), 0, 0).await, 0);
    let cold = check(field("year", above(5 * BLOCK_ROWS - 10)), 10, BLOCK_ROWS).await;
    assert!(cold > 0 && cold < meta.bytes / 4, "one row group's column, not the file: {cold}");
    assert_eq!(check(field("year", above(5 * BLOCK_ROWS - 20)), 20, BLOCK_ROWS).await, 0, "kept");
}

#[tokio::test]
async fn bloom_filters_rule_out_what_statistics_cannot() {
    let filesystem = Counting::new();
    let (_, reader) = segment(&filesystem, 5 * BLOCK_ROWS, 2).await;
    let check = async |filter: Filter, rows: u64, examined: u64| {
        let selection = reader.select(&filter).await.expect("select");
        assert_eq!((selection.rows.count() as u64, selection.rows_examined), (rows, examined), "{filter:?}");
    };
    let texts = |texts: &[&str]| texts.iter().map(|text| Value::String((*text).to_owned())).collect::<Vec<_>>();
    // All of these texts are within the range of the texts of every row group.
    check(field("lang", Test::In(texts(&["b", "lang", "m"]))), 0, 0).await;
    check(field("lang", Test::In(texts(&["b", "a-3", "a-9"]))), BLOCK_ROWS / 2, BLOCK_ROWS).await;
    let both =
        vec![field("lang", Test::Eq(Value::String("z-3".to_owned()))), field("note.n", Test::Lt(Value::Int(3 * BLOCK_ROWS as i64 + 6)))];
    check(Filter::And(both), 3, BLOCK_ROWS).await;
}

/// One row of each row group, one after the other: the bytes that each cost.
async fn metadata_costs(filesystem: &Counting, reader: &dyn SegmentReader) -> Vec<u64> {
    let mut costs = Vec::new();
    for group in 0..5 {
        let row = group * BLOCK_ROWS as u32 + 7;
        let found = reader.metadata(&[row]).await.expect("metadata");
        assert_eq!(found[0].get("year"), Some(&Value::Int(i64::from(row))));
        assert_eq!(found[0].get("note.n"), Some(&Value::Int(i64::from(row))));
        costs.push(filesystem.take());
    }
    costs
}

#[tokio::test]
async fn the_metadata_of_hits_is_read_once() {
    let filesystem = Counting::new();
    let (_, reader) = segment(&filesystem, 5 * BLOCK_ROWS, 4).await;
    filesystem.take();
    let cold = metadata_costs(&filesystem, reader.as_ref()).await;
    assert!(cold.iter().all(|bytes| *bytes > 0), "{cold:?}");
    assert_eq!(metadata_costs(&filesystem, reader.as_ref()).await, [0; 5]);
}

#[tokio::test]
async fn metadata_that_finds_no_room_drives_out_none_that_did() {
    let filesystem = Counting::new();
    let (_, reader) = segment_with_cache(&filesystem, 5 * BLOCK_ROWS, 4, CACHE_FOR_SOME_GROUPS).await;
    filesystem.take();
    let cold = metadata_costs(&filesystem, reader.as_ref()).await;
    for _ in 0..3 {
        let warm = metadata_costs(&filesystem, reader.as_ref()).await;
        let kept = warm.iter().filter(|bytes| **bytes == 0).count();
        assert!((1..5).contains(&kept), "some row groups fit, not all: {cold:?}, then {warm:?}");
        let others = warm.iter().zip(&cold).all(|(warm, cold)| *warm == 0 || warm == cold);
        assert!(others, "what was not kept costs its pages again, no row group: {cold:?}, then {warm:?}");
    }
}
