//! A segment of format 1, kept for ever: what was written once must be read by every later release, and by others.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use proximadb_model::{
    CollectionId, FieldType, FileId, Metadata, Projection, RecordId, Rows, Schema, SegmentMeta, Sequence, ShardId, Timestamp, Uid, Value,
};
use proximadb_ports::{Filesystem, PutMode, Result, RowStream, SegmentStore};
use proximadb_sim::{SimClock, SimFilesystem};
use proximadb_viper::{ViperOptions, ViperStore};

const SHARD: ShardId = ShardId { collection: CollectionId(Uid::from_bytes([0x11; 16])), index: 0 };
const ID: FileId = FileId(Uid::from_bytes([0x22; 16]));

/// Vectors split by byte and compressed, as they were written at first.
const SPLIT: &str = "segment-1.parquet";
/// Vectors plain, as they are written now.
const PLAIN: &str = "segment-1-plain.parquet";

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn text(text: &str) -> Value {
    Value::String(text.to_owned())
}

fn object<const N: usize>(fields: [(&str, Value); N]) -> BTreeMap<String, Value> {
    fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

fn schema() -> Schema {
    Schema::new(BTreeMap::from([("when".to_owned(), FieldType::DateTime), ("price".to_owned(), FieldType::Float)])).expect("valid")
}

/// Rows with every kind of value, in typed columns and in the remainder.
fn rows() -> Rows {
    let metadata = [
        object([
            ("title", text("Größe 日本 😀")),
            ("year", Value::Int(i64::MIN)),
            ("price", Value::Float(-0.5)),
            ("flag", Value::Bool(true)),
            ("when", Value::DateTime(Timestamp(1_795_336_200_250_000))),
            ("tags", Value::Array(vec![text("a"), text("")])),
        ]),
        object([]),
        object([
            ("title", Value::Null),
            ("year", Value::UInt(u64::MAX)),
            ("price", Value::Int(3)),
            ("tags", Value::Array(vec![])),
            ("nested", Value::Object(object([("list", Value::Array(vec![Value::Null, Value::Float(1.0), Value::Int(1)]))]))),
            ("like", Value::Object(object([("$datetime", Value::Int(5))]))),
        ]),
        object([("title", text("")), ("mixed", Value::Array(vec![text("x"), Value::Int(1)])), ("a.b", Value::Float(1e300))]),
    ];
    let mut rows = Rows::new(3);
    for (n, fields) in metadata.into_iter().enumerate() {
        let expires = (n == 2).then_some(Timestamp(4_102_444_800_000_000));
        let id = RecordId::new(&format!("record {n} ü")).expect("valid");
        rows.push(
            id,
            &[n as f32, -0.0, f32::MIN_POSITIVE],
            Arc::new(Metadata::new(fields).expect("small")),
            Sequence(n as u64 + 10),
            expires,
        );
    }
    rows
}

struct Once(Option<Rows>);

#[async_trait]
impl RowStream for Once {
    async fn next(&mut self) -> Result<Option<Rows>> {
        Ok(self.0.take())
    }
}

fn store() -> (Arc<SimFilesystem>, ViperStore) {
    let filesystem = Arc::new(SimFilesystem::new(1));
    let port: Arc<dyn Filesystem> = filesystem.clone();
    (filesystem, ViperStore::new(port, Arc::new(SimClock::new()), ViperOptions::default()))
}

async fn check(bytes: Bytes) {
    let (filesystem, store) = store();
    let key = format!("shards/{SHARD}/segments/{ID}.parquet");
    filesystem.put(&key, bytes.clone(), PutMode::CreateOnly).await.expect("put");
    let (checksum, len) = (crc32c::crc32c(&bytes), bytes.len() as u64);
    let meta = SegmentMeta { id: ID, rows: 4, bytes: len, checksum, sequences: (Sequence(10), Sequence(13)), created: Timestamp(0) };
    let reader = store.open(SHARD, &meta).await.expect("open");
    let found = reader.fetch(&[0, 1, 2, 3], Projection::ALL).await.expect("fetch");
    assert_eq!(format!("{found:?}"), format!("{:?}", rows()));
    assert_eq!(format!("{:?}", reader.vectors(0..rows().len()).await.expect("vectors")), format!("{:?}", rows().vectors));
}

#[tokio::test]
async fn the_first_format_is_read() {
    check(Bytes::from(std::fs::read(path(SPLIT)).expect("the fixture is there"))).await;
}

/// `UPDATE_GOLDEN=1` writes the fixture anew; a released one is never rewritten, a new version gets a new one.
#[tokio::test]
async fn plain_vectors_are_read() {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        let (filesystem, store) = store();
        store.write(SHARD, ID, &schema(), &mut Once(Some(rows()))).await.expect("write");
        let key = filesystem.keys().swap_remove(0);
        std::fs::write(path(PLAIN), filesystem.get(&key).await.expect("get")).expect("write the fixture");
    }
    check(Bytes::from(std::fs::read(path(PLAIN)).expect("the fixture is there"))).await;
}

/// A reader that knows nothing of us finds the columns that docs/formats/segment.adoc names.
#[test]
fn the_columns_are_those_of_the_docs() {
    for name in [SPLIT, PLAIN] {
        check_columns(Bytes::from(std::fs::read(path(name)).expect("the fixture is there")));
    }
}

fn check_columns(bytes: Bytes) {
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).expect("plain Parquet");
    let columns: Vec<String> =
        reader.schema().fields().iter().map(|f| format!("{} {} {}", f.name(), f.data_type(), f.is_nullable())).collect();
    let expected = [
        "id Utf8 false",
        "vector FixedSizeList(3 x non-null Float32, field: 'element') false",
        "sequence UInt64 false",
        "expires Timestamp(µs, \"UTC\") true",
        "m.a.b Float64 true",
        "m.flag Boolean true",
        "m.price Float64 true",
        "m.tags List(non-null Utf8, field: 'element') true",
        "m.title Utf8 true",
        "m.when Timestamp(µs, \"UTC\") true",
        "m.year Int64 true",
        "metadata_json Utf8 true",
    ];
    assert_eq!(columns, expected);
    let group = reader.metadata().row_group(0);
    assert!(group.columns().iter().all(|column| column.offset_index_offset().is_some()), "every column has an offset index");
    assert!(group.column(0).bloom_filter_offset().is_some() && group.column(8).bloom_filter_offset().is_some());
    assert!(group.column(4).column_index_offset().is_some() && group.column(4).statistics().is_some());
    assert_eq!(reader.build().expect("reader").map(|batch| batch.expect("batch").num_rows()).sum::<usize>(), 4);
}
