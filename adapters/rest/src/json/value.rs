//! Metadata values: exact 64-bit integers, no key twice, nesting counted from the body's outermost object.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use proximadb_model::limits::JSON_DEPTH_MAX;
use proximadb_model::{Metadata, Value};
use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

/// Any value, inside an object that is the `AT`-th level of the body.
#[derive(Debug)]
pub(crate) struct Json<const AT: usize>(pub(crate) Value);

/// An object with any keys, inside an object that is the `AT`-th level of the body.
#[derive(Debug)]
pub(crate) struct Fields<const AT: usize>(pub(crate) BTreeMap<String, Value>);

/// An object with any keys, all values of one kind.
#[derive(Debug)]
pub(crate) struct Dictionary<T>(pub(crate) BTreeMap<String, T>);

/// Reads a value whose parent is `depth` levels deep.
#[derive(Clone, Copy)]
struct Nested {
    depth: usize,
}

struct FieldsVisitor<S>(S);

impl<'de, const AT: usize> Deserialize<'de> for Json<AT> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Nested { depth: AT }.deserialize(deserializer).map(Json)
    }
}

impl<'de, const AT: usize> Deserialize<'de> for Fields<AT> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor(Nested { depth: AT + 1 })).map(Fields)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Dictionary<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor(PhantomData::<T>)).map(Dictionary)
    }
}

impl Nested {
    fn deeper<E: Error>(self) -> Result<Self, E> {
        if self.depth >= JSON_DEPTH_MAX {
            return Err(E::custom(format_args!("the body is nested deeper than {JSON_DEPTH_MAX} levels")));
        }
        Ok(Self { depth: self.depth + 1 })
    }
}

impl<'de> DeserializeSeed<'de> for Nested {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Nested {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Int(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from_u64(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        Ok(Value::String(text.to_owned()))
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Value, E> {
        Ok(Value::String(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let seed = self.deeper()?;
        let mut list = Vec::new();
        while let Some(element) = elements.next_element_seed(seed)? {
            list.push(element);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Value, A::Error> {
        FieldsVisitor(self.deeper()?).visit_map(map).map(Value::Object)
    }
}

impl<'de, S: DeserializeSeed<'de> + Copy> Visitor<'de> for FieldsVisitor<S> {
    type Value = BTreeMap<String, S::Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = BTreeMap::new();
        while let Some(key) = map.next_key::<String>()? {
            let repeated = fields.contains_key(&key);
            let value = map.next_value_seed(Fresh { repeated, seed: self.0 })?;
            fields.insert(key, value);
        }
        Ok(fields)
    }
}

/// Refuses the value of a key that was there already; inside the seed, so that the error is blamed on the key.
struct Fresh<S> {
    repeated: bool,
    seed: S,
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Fresh<S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<S::Value, D::Error> {
        if self.repeated { Err(D::Error::custom("is given twice")) } else { self.seed.deserialize(deserializer) }
    }
}

/// A value in an answer.
struct ValueOut<'a>(&'a Value);

/// Metadata in an answer.
pub(crate) struct MetadataOut<'a>(pub(crate) &'a Metadata);

impl Serialize for MetadataOut<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        object(self.0.fields(), serializer)
    }
}

impl Serialize for ValueOut<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Null => serializer.serialize_unit(),
            Value::Bool(value) => serializer.serialize_bool(*value),
            Value::Int(value) => serializer.serialize_i64(*value),
            Value::UInt(value) => serializer.serialize_u64(*value),
            Value::Float(value) => serializer.serialize_f64(*value),
            Value::String(text) => serializer.serialize_str(text),
            Value::DateTime(moment) => serializer.collect_str(moment),
            Value::Array(items) => {
                let mut list = serializer.serialize_seq(Some(items.len()))?;
                for item in items {
                    list.serialize_element(&ValueOut(item))?;
                }
                list.end()
            }
            Value::Object(fields) => object(fields, serializer),
        }
    }
}

fn object<S: Serializer>(fields: &BTreeMap<String, Value>, serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(fields.len()))?;
    for (key, value) in fields {
        map.serialize_entry(key, &ValueOut(value))?;
    }
    map.end()
}
