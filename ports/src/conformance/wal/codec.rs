//! The suite of the codecs, and operations of every kind that the model can hold.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::BytesMut;
use proptest::prelude::*;
use proximadb_model::{Dimension, Metadata, MetricKind, Operation, Record, RecordId, Timestamp, Value, Vector};

use crate::error::Fault;
use crate::wal::WalCodec;

/// What a codec makes of points in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Datetimes {
    /// They stay what they are.
    Typed,
    /// They become their RFC 3339 text; the collection's schema makes points in time of them again.
    Text,
}

/// Any operations that the model can hold.
pub fn operations() -> impl Strategy<Value = Vec<Operation>> {
    proptest::collection::vec(operation(), 0..8)
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![4 => record().prop_map(Operation::Put), 1 => id().prop_map(Operation::Delete)]
}

fn id() -> impl Strategy<Value = RecordId> {
    prop_oneof!["[a-z0-9]{1,12}", "\\PC{1,40}"].prop_filter_map("no control characters", |text| RecordId::new(&text).ok())
}

fn record() -> impl Strategy<Value = Record> {
    let component = prop_oneof![any::<i16>().prop_map(f32::from), -1e15f32..1e15, Just(f32::MIN_POSITIVE), Just(-0.0), Just(1e-40)];
    let vector = proptest::collection::vec(component, 1..40).prop_filter_map("a valid vector", |components| {
        let dimension = Dimension::new(components.len() as u64).ok()?;
        Vector::new(components, dimension, &MetricKind::Euclidean).ok()
    });
    let metadata = proptest::collection::btree_map("\\PC{0,12}", value(), 0..6).prop_filter_map("within limits", |f| Metadata::new(f).ok());
    (id(), vector, metadata, proptest::option::of(any::<i64>())).prop_map(|(id, vector, metadata, expires)| Record {
        id,
        vector,
        metadata: Arc::new(metadata),
        expires: expires.map(Timestamp),
    })
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        any::<u64>().prop_map(Value::from_u64),
        any::<f64>().prop_filter("finite", |n| n.is_finite()).prop_map(Value::Float),
        (-1000i32..1000).prop_map(|n| Value::Float(f64::from(n))),
        any::<String>().prop_map(Value::String),
        // Years 1 to 9999, as their text can say.
        (-62_000_000_000_000_000i64..253_000_000_000_000_000).prop_map(|t| Value::DateTime(Timestamp(t))),
    ];
    leaf.prop_recursive(6, 40, 5, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::Array),
            proptest::collection::btree_map("\\PC{0,6}", inner, 0..5).prop_map(Value::Object),
        ]
    })
}

fn as_text(value: &Value) -> Value {
    match value {
        Value::DateTime(time) => Value::String(time.to_string()),
        Value::Array(items) => Value::Array(items.iter().map(as_text).collect()),
        Value::Object(fields) => Value::Object(texts(fields)),
        other => other.clone(),
    }
}

fn texts(fields: &BTreeMap<String, Value>) -> BTreeMap<String, Value> {
    fields.iter().map(|(key, value)| (key.clone(), as_text(value))).collect()
}

fn expected(operation: &Operation, datetimes: Datetimes) -> Operation {
    match operation {
        Operation::Put(record) if datetimes == Datetimes::Text => {
            let metadata = Metadata::new(texts(record.metadata.fields())).expect("text is no longer than what it stands for");
            Operation::Put(Record { metadata: Arc::new(metadata), ..record.clone() })
        }
        other => other.clone(),
    }
}

/// G1: what was encoded is decoded, exactly; points in time as the codec says.
///
/// # Errors
/// What proptest wants to hear when the codec breaks its promise.
pub fn codec_gives_back(codec: &dyn WalCodec, datetimes: Datetimes, operations: &[Operation]) -> Result<(), TestCaseError> {
    let mut payload = BytesMut::from(&b"before"[..]);
    codec.encode(operations, &mut payload).map_err(|e| TestCaseError::fail(e.to_string()))?;
    prop_assert_eq!(&payload[..6], b"before", "encode appends");
    let decoded = codec.decode(&payload[6..]).map_err(|e| TestCaseError::fail(format!("{e:?}")))?;
    let expected: Vec<_> = operations.iter().map(|o| expected(o, datetimes)).collect();
    prop_assert_eq!(&decoded, &expected);
    // Equality of floats does not see the sign of zero; the bits must be the same too.
    for (a, b) in decoded.iter().zip(operations) {
        if let (Operation::Put(a), Operation::Put(b)) = (a, b) {
            let bits = |v: &Vector| v.as_slice().iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            prop_assert_eq!(bits(&a.vector), bits(&b.vector));
        }
    }
    Ok(())
}

/// G2, G3: any bytes end in `Corrupt` or in operations that the model's constructors accept.
///
/// # Errors
/// What proptest wants to hear when the codec breaks its promise.
pub fn codec_answers_any_bytes(codec: &dyn WalCodec, payload: &[u8]) -> Result<(), TestCaseError> {
    let operations = match codec.decode(payload) {
        Ok(operations) => operations,
        Err(e) => {
            prop_assert_eq!(e.fault, Fault::Corrupt);
            return Ok(());
        }
    };
    for operation in operations {
        let id = match operation {
            Operation::Delete(id) => id,
            Operation::Put(record) => {
                let dimension = Dimension::new(record.vector.as_slice().len() as u64);
                let vector = dimension.and_then(|d| Vector::new(record.vector.as_slice().to_vec(), d, &MetricKind::Euclidean));
                prop_assert!(vector.is_ok() && Metadata::new(record.metadata.fields().clone()).is_ok());
                record.id
            }
        };
        prop_assert!(RecordId::new(id.as_str()).is_ok());
    }
    Ok(())
}
