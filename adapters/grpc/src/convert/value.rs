//! Values, metadata and vectors.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use proximadb_model::limits::DIMENSION_MAX;
use proximadb_model::{Invalid, Metadata, Value};
use proximadb_proto::v1;
use v1::value::Kind;
use v1::vector::Components;

pub(super) fn read_value(value: v1::Value) -> Result<Value, Invalid> {
    Ok(match value.kind {
        None => return Err(Invalid::new("", "a value must have a kind")),
        Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::BoolValue(b)) => Value::Bool(b),
        Some(Kind::IntValue(n)) => Value::Int(n),
        Some(Kind::UintValue(n)) => Value::from_u64(n),
        Some(Kind::DoubleValue(n)) if n.is_finite() => Value::Float(n),
        Some(Kind::DoubleValue(_)) => return Err(Invalid::new("", "must be a finite number")),
        Some(Kind::StringValue(text)) => Value::String(text),
        Some(Kind::ListValue(list)) => Value::Array(super::each("", list.values, read_value)?),
        Some(Kind::StructValue(fields)) => Value::Object(read_fields(fields.fields)?),
    })
}

pub(super) fn read_fields(fields: BTreeMap<String, v1::Value>) -> Result<BTreeMap<String, Value>, Invalid> {
    let read = |(key, value): (String, v1::Value)| match read_value(value) {
        Ok(value) => Ok((key, value)),
        Err(e) => Err(e.within(&key)),
    };
    fields.into_iter().map(read).collect()
}

pub(super) fn read_metadata(fields: BTreeMap<String, v1::Value>) -> Result<Metadata, Invalid> {
    Metadata::new(read_fields(fields).map_err(|e| e.within("metadata"))?)
}

fn value(value: Value) -> v1::Value {
    let kind = match value {
        Value::Null => Kind::NullValue(v1::NullValue::Unspecified.into()),
        Value::Bool(b) => Kind::BoolValue(b),
        Value::Int(n) => Kind::IntValue(n),
        Value::UInt(n) => Kind::UintValue(n),
        Value::Float(n) => Kind::DoubleValue(n),
        Value::String(text) => Kind::StringValue(text),
        Value::DateTime(moment) => Kind::StringValue(moment.to_string()),
        Value::Array(items) => Kind::ListValue(v1::ListValue { values: items.into_iter().map(self::value).collect() }),
        Value::Object(inner) => Kind::StructValue(v1::StructValue { fields: fields(inner) }),
    };
    v1::Value { kind: Some(kind) }
}

fn fields(fields: BTreeMap<String, Value>) -> BTreeMap<String, v1::Value> {
    fields.into_iter().map(|(key, inner)| (key, value(inner))).collect()
}

/// Metadata for an answer; what nobody else holds is given over without a copy.
pub(super) fn metadata(metadata: Option<Arc<Metadata>>) -> BTreeMap<String, v1::Value> {
    metadata.map(|metadata| fields(Arc::unwrap_or_clone(metadata).into_fields())).unwrap_or_default()
}

/// The components of a vector that must be there, finite or not.
pub(super) fn read_vector(vector: Option<v1::Vector>) -> Result<Vec<f32>, Invalid> {
    let wrong = |reason: String| Err(Invalid::new("vector", reason));
    match vector.and_then(|v| v.components) {
        None => wrong("is required".to_owned()),
        Some(Components::Floats(floats)) => Ok(floats.values),
        Some(Components::Packed(bytes)) if bytes.len() > DIMENSION_MAX * 4 => wrong(format!("has more than {DIMENSION_MAX} components")),
        Some(Components::Packed(bytes)) => match bytes.as_chunks::<4>() {
            (components, []) => Ok(components.iter().map(|c| f32::from_le_bytes(*c)).collect()),
            _ => wrong(format!("has {} bytes, not a multiple of 4", bytes.len())),
        },
    }
}

pub(super) fn vector(components: &[f32]) -> v1::Vector {
    let mut bytes = BytesMut::with_capacity(components.len() * 4);
    components.iter().for_each(|c| bytes.put_f32_le(*c));
    v1::Vector { components: Some(Components::Packed(Bytes::from(bytes))) }
}
