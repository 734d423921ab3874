//! Metadata values: JSON's, with exact 64-bit integers and points in time. Knows no JSON text; the edges do.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use crate::invalid::Invalid;
use crate::limits::{METADATA_BYTES_MAX, METADATA_DEPTH_MAX, METADATA_KEYS_MAX};
use crate::time::Timestamp;

/// One metadata value. Numbers compare by value over all three kinds; other kinds only among themselves.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// JSON's null.
    Null,
    /// A truth value.
    Bool(bool),
    /// An integer within i64.
    Int(i64),
    /// An integer above `i64::MAX`; smaller ones are always [`Value::Int`], see [`Value::from_u64`].
    UInt(u64),
    /// A finite number that was not written as an integer.
    Float(f64),
    /// Text.
    String(String),
    /// A point in time; only a declared schema makes one, and it prints as RFC 3339 text.
    DateTime(Timestamp),
    /// A list.
    Array(Vec<Value>),
    /// A nested object.
    Object(BTreeMap<String, Value>),
}

impl Value {
    /// The integer `n` in its one representation.
    pub fn from_u64(n: u64) -> Self {
        i64::try_from(n).map_or(Self::UInt(n), Self::Int)
    }

    /// The kind's name in error messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "bool",
            Self::Int(_) | Self::UInt(_) => "integer",
            Self::Float(_) => "number",
            Self::String(_) => "string",
            Self::DateTime(_) => "datetime",
            Self::Array(_) => "array",
            Self::Object(_) => "object",
        }
    }

    /// The order of two values of comparable kinds, exact over i64, u64 and f64; `None` for kinds that have no order together.
    /// Text compares with a point in time when it reads as one.
    pub fn compare(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Bool(a), Self::Bool(b)) => Some(a.cmp(b)),
            (Self::String(a), Self::String(b)) => Some(a.cmp(b)),
            (Self::DateTime(a), Self::DateTime(b)) => Some(a.cmp(b)),
            (Self::DateTime(a), Self::String(b)) => b.parse().ok().map(|b| a.cmp(&b)),
            (Self::String(a), Self::DateTime(b)) => a.parse().ok().map(|a: Timestamp| a.cmp(b)),
            (Self::Float(a), Self::Float(b)) => a.partial_cmp(b),
            (Self::Float(a), b) => b.integer().and_then(|b| compare_integer_float(b, *a).map(Ordering::reverse)),
            (a, Self::Float(b)) => a.integer().and_then(|a| compare_integer_float(a, *b)),
            (a, b) => Some(a.integer()?.cmp(&b.integer()?)),
        }
    }

    /// Equality as filters mean it: by value over number kinds, element by element in lists and objects.
    pub fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Array(a), Self::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.same(b)),
            (Self::Object(a), Self::Object(b)) => a.len() == b.len() && a.iter().zip(b).all(|((ka, a), (kb, b))| ka == kb && a.same(b)),
            (a, b) => a.compare(b) == Some(Ordering::Equal),
        }
    }

    fn integer(&self) -> Option<i128> {
        match self {
            Self::Int(n) => Some(i128::from(*n)),
            Self::UInt(n) => Some(i128::from(*n)),
            _ => None,
        }
    }
}

/// Compares without rounding the integer: the float's integral part decides, then its fraction.
fn compare_integer_float(integer: i128, float: f64) -> Option<Ordering> {
    if float.is_nan() {
        return None;
    }
    // Beyond 2^65 every integer of ours is nearer to zero; within, the truncated float fits i128 exactly.
    if float.abs() >= 3.7e19 {
        return Some(if float > 0.0 { Ordering::Less } else { Ordering::Greater });
    }
    let whole = float.trunc();
    Some(integer.cmp(&(whole as i128)).then_with(|| 0.0.partial_cmp(&(float - whole)).unwrap_or(Ordering::Equal)))
}

/// A record's metadata: named values within the limits of [`crate::limits`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metadata(BTreeMap<String, Value>);

impl Metadata {
    /// Checks and takes named values.
    ///
    /// # Errors
    /// [`Invalid`] naming the key that is too deep or not finite, or `metadata` as a whole when it is too large.
    pub fn new(fields: BTreeMap<String, Value>) -> Result<Self, Invalid> {
        let mut size = Size::default();
        size.object(&fields, 1).map_err(|e| e.within("metadata"))?;
        if size.keys > METADATA_KEYS_MAX {
            return Err(Invalid::new("metadata", format!("has {} keys, at most {METADATA_KEYS_MAX} are allowed", size.keys)));
        }
        if size.bytes > METADATA_BYTES_MAX {
            return Err(Invalid::new("metadata", format!("takes {} bytes, at most {METADATA_BYTES_MAX} are allowed", size.bytes)));
        }
        Ok(Self(fields))
    }

    /// The values by name, in the order of their names.
    pub fn fields(&self) -> &BTreeMap<String, Value> {
        &self.0
    }

    /// The values by name, given up.
    pub fn into_fields(self) -> BTreeMap<String, Value> {
        self.0
    }

    /// The value at `path`: the key of that very name, or else, where the path has dots, the value inside nested objects.
    pub fn get(&self, path: &str) -> Option<&Value> {
        lookup(&self.0, path)
    }

    /// These values with those of `patch` on top; a null in the patch removes its key (RFC 7396, JSON merge patch).
    ///
    /// # Errors
    /// [`Invalid`] when the result is beyond a limit.
    pub fn patched(&self, patch: &BTreeMap<String, Value>) -> Result<Self, Invalid> {
        let mut fields = self.0.clone();
        merge(&mut fields, patch);
        Self::new(fields)
    }

    /// Bytes this metadata takes, about as JSON text; the memtable counts with it.
    pub fn bytes(&self) -> usize {
        let mut size = Size::default();
        // Depth was checked when the metadata was made.
        let _ = size.object(&self.0, 1);
        size.bytes
    }
}

fn lookup<'a>(fields: &'a BTreeMap<String, Value>, path: &str) -> Option<&'a Value> {
    if let Some(value) = fields.get(path) {
        return Some(value);
    }
    let (head, rest) = path.split_once('.')?;
    match fields.get(head)? {
        Value::Object(inner) => lookup(inner, rest),
        _ => None,
    }
}

fn merge(into: &mut BTreeMap<String, Value>, patch: &BTreeMap<String, Value>) {
    for (key, value) in patch {
        match value {
            Value::Null => {
                into.remove(key);
            }
            Value::Object(inner) => {
                let slot = into.entry(key.clone()).or_insert(Value::Null);
                if !matches!(slot, Value::Object(_)) {
                    *slot = Value::Object(BTreeMap::new());
                }
                if let Value::Object(target) = slot {
                    merge(target, inner);
                }
            }
            other => {
                into.insert(key.clone(), other.clone());
            }
        }
    }
}

#[derive(Default)]
struct Size {
    bytes: usize,
    keys: usize,
}

impl Size {
    fn object(&mut self, fields: &BTreeMap<String, Value>, depth: usize) -> Result<(), Invalid> {
        self.bytes += 2;
        for (key, value) in fields {
            self.keys += 1;
            self.bytes += key.len() + 4;
            self.value(value, depth).map_err(|e| e.within(key))?;
        }
        Ok(())
    }

    fn value(&mut self, value: &Value, depth: usize) -> Result<(), Invalid> {
        if depth > METADATA_DEPTH_MAX {
            return Err(Invalid::new("", format!("is nested deeper than {METADATA_DEPTH_MAX} levels")));
        }
        self.bytes += match value {
            Value::Null | Value::Bool(_) => 5,
            Value::Int(_) | Value::UInt(_) | Value::Float(_) => 12,
            Value::DateTime(_) => 29,
            Value::String(text) => text.len() + 2,
            Value::Array(_) | Value::Object(_) => 2,
        };
        match value {
            Value::Float(n) if !n.is_finite() => Err(Invalid::new("", "must be a finite number")),
            Value::Array(items) => {
                self.bytes += items.len();
                items.iter().enumerate().try_for_each(|(i, item)| self.value(item, depth + 1).map_err(|e| e.within(&format!("[{i}]"))))
            }
            Value::Object(fields) => self.object(fields, depth + 1),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object<const N: usize>(fields: [(&str, Value); N]) -> BTreeMap<String, Value> {
        fields.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()
    }

    #[test]
    fn numbers_compare_exactly_over_their_kinds() {
        let big = i64::MAX;
        assert_eq!(Value::Int(big).compare(&Value::Float(big as f64)), Some(Ordering::Less), "2^63 is one above i64::MAX");
        assert_eq!(Value::from_u64(1 << 63).compare(&Value::Float((1u64 << 63) as f64)), Some(Ordering::Equal));
        assert_eq!(Value::Int(3).compare(&Value::Float(3.5)), Some(Ordering::Less));
        assert_eq!(Value::Int(-3).compare(&Value::Float(-3.5)), Some(Ordering::Greater));
        assert_eq!(Value::Float(1e300).compare(&Value::UInt(u64::MAX)), Some(Ordering::Greater));
        assert_eq!(Value::Int(1).compare(&Value::String("1".into())), None);
        assert!(Value::Int(1).same(&Value::Float(1.0)));
    }

    #[test]
    fn paths_reach_into_objects_and_prefer_the_literal_key() {
        let inner = object([("b", Value::Int(1))]);
        let metadata = Metadata::new(object([("a", Value::Object(inner)), ("a.b", Value::Int(2)), ("c.d", Value::Int(3))])).expect("valid");
        assert_eq!(metadata.get("a.b"), Some(&Value::Int(2)));
        assert_eq!(metadata.get("c.d"), Some(&Value::Int(3)));
        assert_eq!(metadata.get("a.x"), None);
    }

    #[test]
    fn patch_sets_removes_and_reaches_inside() {
        let start =
            Metadata::new(object([("a", Value::Int(1)), ("b", Value::Object(object([("x", Value::Int(1)), ("y", Value::Int(2))])))]))
                .expect("valid");
        let patch = object([
            ("a", Value::Null),
            ("b", Value::Object(object([("x", Value::Null), ("z", Value::Int(3))]))),
            ("c", Value::Bool(true)),
        ]);
        let end = start.patched(&patch).expect("within limits");
        assert_eq!(
            end.fields(),
            &object([("b", Value::Object(object([("y", Value::Int(2)), ("z", Value::Int(3))]))), ("c", Value::Bool(true))])
        );
    }

    #[test]
    fn limits_name_the_place() {
        let mut deep = Value::Int(1);
        for _ in 0..METADATA_DEPTH_MAX {
            deep = Value::Array(vec![deep]);
        }
        assert!(Metadata::new(object([("a", deep)])).expect_err("too deep").field.starts_with("metadata.a[0]"));
        assert_eq!(Metadata::new(object([("x", Value::Float(f64::NAN))])).expect_err("nan").field, "metadata.x");
        assert_eq!(Metadata::new(object([("x", Value::String("a".repeat(METADATA_BYTES_MAX)))])).expect_err("large").field, "metadata");
        let many = (0..=METADATA_KEYS_MAX).map(|i| (i.to_string(), Value::Null)).collect();
        assert_eq!(Metadata::new(many).expect_err("many").field, "metadata");
    }
}
