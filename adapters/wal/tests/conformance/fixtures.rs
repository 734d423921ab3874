//! Log files of released formats, read for ever. `UPDATE_GOLDEN=1` writes the file of the present format anew.

use std::path::PathBuf;
use std::sync::Arc;

use proximadb_model::{
    Dimension, Epoch, IdempotencyTag, Metadata, MetricKind, Operation, Record, RecordId, Sequence, Timestamp, Value, Vector, WriteBatch,
};
use proximadb_ports::conformance::wal::{WalHarness, replayed, shard};

use crate::world::{FileWorld, run};

const FIRST_FILE: &str = "00000000000000000001.wal";

fn path(codec: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/testdata/wal").join(format!("{codec}-v1.wal"))
}

fn put(id: &str, vector: &[f32], metadata: &[(&str, Value)], expires: Option<i64>) -> Operation {
    let dimension = Dimension::new(vector.len() as u64).expect("short");
    let fields = metadata.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
    Operation::Put(Record {
        id: RecordId::new(id).expect("an id"),
        vector: Vector::new(vector.to_vec(), dimension, &MetricKind::Euclidean).expect("finite"),
        metadata: Arc::new(Metadata::new(fields).expect("small")),
        expires: expires.map(Timestamp),
    })
}

/// What the fixtures hold; `datetime` is a point in time as the codec gives it back.
fn batches(datetime: Value) -> Vec<WriteBatch> {
    let nested = Value::Object([("list".to_owned(), Value::Array(vec![Value::Null, Value::Bool(true), datetime]))].into_iter().collect());
    let numbers = [("big", Value::UInt(u64::MAX)), ("small", Value::Int(i64::MIN)), ("tenth", Value::Float(0.1)), ("nested", nested)];
    let batch = |index, first, operations, idempotency| WriteBatch {
        shard: shard(index),
        epoch: Epoch(7),
        first: Sequence(first),
        operations,
        idempotency,
        encoded: None,
    };
    let key = IdempotencyTag { key: "request-1".to_owned(), fingerprint: 0xfeed_f00d };
    let delete = Operation::Delete(RecordId::new("doc_0").expect("an id"));
    vec![
        batch(
            0,
            1,
            vec![put("doc_0", &[1.0, -2.5, 1e-40], &numbers, None), put("größe", &[0.5], &[], Some(1_795_336_200_250_000))],
            Some(key),
        ),
        batch(1, 41, vec![put("other shard", &[3.25; 5], &[("text", Value::String("\"quoted\"\n".to_owned()))], None)], None),
        batch(0, 3, vec![delete], None),
    ]
}

async fn write(world: &mut FileWorld) -> Vec<u8> {
    let wal = world.open().await;
    for batch in batches(Value::DateTime(Timestamp(951_825_600_000_000))) {
        let mut writer = wal.open(batch.shard, batch.epoch).await.expect("opens");
        writer.append(&batch).await.expect("appends");
        writer.sync().await.expect("syncs");
    }
    world.idle().await;
    world.files().await.swap_remove(0).1
}

fn check(codec: &str, bincode: bool, datetime: Value) {
    run(|| async move {
        let bytes = write(&mut FileWorld::new(5, bincode)).await;
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(path(codec), &bytes).expect("writable");
        }
        let kept = std::fs::read(path(codec)).expect("the fixture is there; UPDATE_GOLDEN=1 writes it");
        assert!(bytes == kept, "the format has changed without a new version");
        // Whichever codec a log writes with, it reads both.
        for writes_bincode in [false, true] {
            let mut world = FileWorld::new(6, writes_bincode);
            world.set_file(FIRST_FILE, kept.clone()).await;
            let wal = world.open().await;
            let expected = batches(datetime.clone());
            assert_eq!(replayed(&*wal, shard(0), Sequence(0)).await.expect("readable"), [expected[0].clone(), expected[2].clone()]);
            assert_eq!(replayed(&*wal, shard(1), Sequence(0)).await.expect("readable"), [expected[1].clone()]);
        }
    });
}

#[test]
fn a_log_of_avro_payloads_is_read() {
    check("avro", false, Value::String("2000-02-29T12:00:00Z".to_owned()));
}

#[test]
fn a_log_of_bincode_payloads_is_read() {
    check("bincode", true, Value::DateTime(Timestamp(951_825_600_000_000)));
}
