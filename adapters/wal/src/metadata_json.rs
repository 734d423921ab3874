//! Metadata as JSON text. Exact over i64, u64 and f64; a point in time becomes text and stays text until the collection's
//! schema is applied again.

use std::collections::BTreeMap;
use std::fmt;

use proximadb_model::{Metadata, Value};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, Serializer};

use crate::bad_payload::BadPayload;

/// Appends the text to `out`.
pub(crate) fn write(metadata: &Metadata, out: &mut Vec<u8>) -> Result<(), serde_json::Error> {
    serde_json::to_writer(out, &Fields(metadata.fields()))
}

pub(crate) fn read(text: &str) -> Result<Metadata, BadPayload> {
    let Object(fields) = serde_json::from_str(text).map_err(BadPayload::Metadata)?;
    Ok(Metadata::new(fields)?)
}

struct Fields<'a>(&'a BTreeMap<String, Value>);

impl Serialize for Fields<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self.0.iter().map(|(key, value)| (key, Json(value))))
    }
}

struct Json<'a>(&'a Value);

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Null => to.serialize_unit(),
            Value::Bool(b) => to.serialize_bool(*b),
            Value::Int(n) => to.serialize_i64(*n),
            Value::UInt(n) => to.serialize_u64(*n),
            Value::Float(n) => to.serialize_f64(*n),
            Value::String(text) => to.serialize_str(text),
            Value::DateTime(time) => to.collect_str(time),
            Value::Array(items) => to.collect_seq(items.iter().map(Json)),
            Value::Object(fields) => Fields(fields).serialize(to),
        }
    }
}

struct Object(BTreeMap<String, Value>);

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        match from.deserialize_map(AnyValue)? {
            Value::Object(fields) => Ok(Self(fields)),
            _ => Err(D::Error::custom("not an object")),
        }
    }
}

struct Parsed(Value);

impl<'de> Deserialize<'de> for Parsed {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(AnyValue).map(Parsed)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, b: bool) -> Result<Value, E> {
        Ok(Value::Bool(b))
    }

    fn visit_i64<E>(self, n: i64) -> Result<Value, E> {
        Ok(Value::Int(n))
    }

    fn visit_u64<E>(self, n: u64) -> Result<Value, E> {
        Ok(Value::from_u64(n))
    }

    fn visit_f64<E>(self, n: f64) -> Result<Value, E> {
        Ok(Value::Float(n))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::String(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(Parsed(item)) = from.next_element()? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        let mut fields = BTreeMap::new();
        while let Some((key, Parsed(value))) = from.next_entry()? {
            fields.insert(key, value);
        }
        Ok(Value::Object(fields))
    }
}
