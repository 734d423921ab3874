//! The metadata that has no typed column, as JSON text that gives every value back as it was. Knows no files.
//!
//! JSON has no points in time: one that stands in no typed column is written as `{"$datetime": microseconds}`, and an object of
//! a user's that looks like that gets one more `$` in front of its key.

use std::collections::{BTreeMap, BTreeSet};

use proximadb_model::{Timestamp, Value};
use serde_json::{Map, Value as Json};

use crate::error::ViperError;

const DATETIME: &str = "$datetime";
/// Keys that a footer lists as standing in the remainder; with more of them every key may stand there.
const KEYS_MAX: usize = 1_024;
/// Bytes of those keys.
const KEYS_BYTES_MAX: usize = 64 << 10;

/// The JSON text of an object with these fields.
pub(crate) fn to_text<'a>(fields: impl Iterator<Item = (&'a String, &'a Value)>) -> String {
    Json::Object(fields.map(|(key, value)| (key.clone(), to_json(value))).collect()).to_string()
}

/// The fields of an object that [`to_text`] wrote.
///
/// # Errors
/// [`ViperError`] when the text is something else.
pub(crate) fn from_text(text: &str) -> Result<BTreeMap<String, Value>, ViperError> {
    let object: Map<String, Json> = serde_json::from_str(text)?;
    object.into_iter().map(|(key, value)| Ok((key, from_json(value)?))).collect()
}

fn to_json(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Bool(b) => Json::Bool(*b),
        Value::Int(n) => Json::from(*n),
        Value::UInt(n) => Json::from(*n),
        Value::Float(n) => Json::from(*n),
        Value::String(text) => Json::String(text.clone()),
        Value::DateTime(at) => Json::Object(Map::from_iter([(DATETIME.to_owned(), Json::from(at.0))])),
        Value::Array(items) => Json::Array(items.iter().map(to_json).collect()),
        Value::Object(fields) => {
            let escape = fields.len() == 1 && fields.keys().all(|key| is_marked(key));
            let name = |key: &String| if escape { format!("${key}") } else { key.clone() };
            Json::Object(fields.iter().map(|(key, value)| (name(key), to_json(value))).collect())
        }
    }
}

fn from_json(json: Json) -> Result<Value, ViperError> {
    Ok(match json {
        Json::Null => Value::Null,
        Json::Bool(b) => Value::Bool(b),
        Json::Number(n) => match (n.as_i64(), n.as_u64(), n.as_f64()) {
            (Some(n), _, _) => Value::Int(n),
            (_, Some(n), _) => Value::from_u64(n),
            (_, _, Some(n)) => Value::Float(n),
            _ => return Err(ViperError::Layout("a number in the remainder has no value".to_owned())),
        },
        Json::String(text) => Value::String(text),
        Json::Array(items) => Value::Array(items.into_iter().map(from_json).collect::<Result<_, _>>()?),
        Json::Object(fields) => {
            let marked = fields.len() == 1 && fields.keys().all(|key| is_marked(key));
            let mut object = BTreeMap::new();
            for (key, json) in fields {
                if marked && key == DATETIME {
                    let at = json.as_i64().ok_or_else(|| ViperError::Layout("a point in time in the remainder has no value".to_owned()))?;
                    return Ok(Value::DateTime(Timestamp(at)));
                }
                let name = if marked { key.get(1..).unwrap_or_default().to_owned() } else { key };
                object.insert(name, from_json(json)?);
            }
            Value::Object(object)
        }
    })
}

/// Whether a key is `$datetime` with any number of further `$` in front.
fn is_marked(key: &str) -> bool {
    key.strip_suffix(DATETIME).is_some_and(|front| front.bytes().all(|b| b == b'$'))
}

/// The top-level keys that stand in the remainder of any row, as long as they are few.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RemainderKeys {
    keys: Option<BTreeSet<String>>,
    bytes: usize,
}

impl RemainderKeys {
    /// No key yet.
    pub(crate) fn none() -> Self {
        Self { keys: Some(BTreeSet::new()), bytes: 0 }
    }

    /// Notes a key.
    pub(crate) fn add(&mut self, key: &str) {
        let Some(keys) = &mut self.keys else { return };
        if !keys.contains(key) {
            self.bytes += key.len();
            keys.insert(key.to_owned());
        }
        if keys.len() > KEYS_MAX || self.bytes > KEYS_BYTES_MAX {
            self.keys = None;
        }
    }

    /// Whether the value at a path may stand in the remainder of some row.
    pub(crate) fn may_hold(&self, path: &str) -> bool {
        let Some(keys) = &self.keys else { return true };
        keys.contains(path) || path.split_once('.').is_some_and(|(head, _)| keys.contains(head))
    }

    /// A JSON list for the footer, or nothing when any key may stand there.
    pub(crate) fn to_text(&self) -> Option<String> {
        self.keys.as_ref().map(|keys| Json::from_iter(keys.iter().map(String::as_str)).to_string())
    }

    /// What a footer says; nothing means that any key may stand there.
    ///
    /// # Errors
    /// [`ViperError`] for anything but a list of texts.
    pub(crate) fn from_text(text: Option<&str>) -> Result<Self, ViperError> {
        let Some(text) = text else { return Ok(Self { keys: None, bytes: 0 }) };
        let list: Vec<Json> = serde_json::from_str(text)?;
        let keys = list.into_iter().map(|item| match item {
            Json::String(key) => Ok(key),
            _ => Err(ViperError::Layout("a key of the remainder is not text".to_owned())),
        });
        Ok(Self { keys: Some(keys.collect::<Result<_, _>>()?), bytes: 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(value: Value) {
        let fields = BTreeMap::from([("k".to_owned(), value)]);
        assert_eq!(format!("{:?}", from_text(&to_text(fields.iter())).expect("own text")), format!("{fields:?}"));
    }

    #[test]
    fn values_come_back_with_their_kinds() {
        for number in [0.0, -0.0, 1.0, 1e16, 1e300, -1.5e-300, 0.1 + 0.2, f64::MIN_POSITIVE / 3.0, 123_456_789_012_345_680.0] {
            check(Value::Float(number));
        }
        for value in
            [Value::Int(i64::MIN), Value::Int(i64::MAX), Value::UInt(u64::MAX), Value::Null, Value::String("\u{0}\"é\u{1F600}".into())]
        {
            check(value);
        }
    }

    #[test]
    fn points_in_time_are_told_from_objects_that_look_like_them() {
        check(Value::DateTime(Timestamp(i64::MIN)));
        for key in ["$datetime", "$$datetime", "datetime", "$$$datetime", "x$datetime"] {
            check(Value::Object(BTreeMap::from([(key.to_owned(), Value::Int(5))])));
            check(Value::Array(vec![Value::Object(BTreeMap::from([(key.to_owned(), Value::DateTime(Timestamp(1)))]))]));
        }
    }

    #[test]
    fn too_many_keys_mean_any_key() {
        let mut keys = RemainderKeys::none();
        keys.add("a");
        assert!(keys.may_hold("a") && keys.may_hold("a.b") && !keys.may_hold("b"));
        assert!(!RemainderKeys::from_text(keys.to_text().as_deref()).expect("own text").may_hold("b"));
        (0..=KEYS_MAX).for_each(|i| keys.add(&i.to_string()));
        assert!(keys.may_hold("b") && keys.to_text().is_none());
        assert!(RemainderKeys::from_text(None).expect("absent").may_hold("b"));
    }
}
