//! Values that are written as text: record ids, and everything that reads from a string.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use proximadb_model::{Invalid, RecordId};
use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// A record id: a string, or an integer that means its decimal text.
#[derive(Debug)]
pub(crate) struct Id(pub(crate) RecordId);

struct IdText;

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(IdText)
    }
}

impl Visitor<'_> for IdText {
    type Value = Id;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or an integer")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Id, E> {
        RecordId::new(text).map(Id).map_err(|e| E::custom(e.reason))
    }

    fn visit_u64<E: Error>(self, n: u64) -> Result<Id, E> {
        self.visit_str(&n.to_string())
    }

    fn visit_i64<E: Error>(self, n: i64) -> Result<Id, E> {
        self.visit_str(&n.to_string())
    }
}

/// A value that reads from a string.
#[derive(Debug)]
pub(crate) struct FromText<T>(pub(crate) T);

struct Text<T>(PhantomData<T>);

impl<'de, T: FromStr<Err = Invalid>> Deserialize<'de> for FromText<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text(PhantomData)).map(FromText)
    }
}

impl<T: FromStr<Err = Invalid>> Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(|e: Invalid| E::custom(e.reason))
    }
}
