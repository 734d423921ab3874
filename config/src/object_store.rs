//! What the buckets' clients are told: credentials, endpoints, timeouts, in the words of the `object_store` crate.
//! Knows none of the words itself; the adapter refuses those that it does not know.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// Options by scheme; those of a scheme hold for all of its buckets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ObjectStoreSettings {
    /// For `s3://`.
    pub s3: ObjectStoreOptions,
    /// For `adls://`, `abfs://` and `abfss://`.
    pub adls: ObjectStoreOptions,
    /// For `gcs://` and `gs://`.
    pub gcs: ObjectStoreOptions,
}

/// Options by name. They hold secrets, so that `Debug` shows the names alone.
#[derive(Clone, Default, PartialEq, Eq, Serialize)]
pub struct ObjectStoreOptions(BTreeMap<String, String>);

impl ObjectStoreOptions {
    /// Every option and its value, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl fmt::Debug for ObjectStoreOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl<'de> Deserialize<'de> for ObjectStoreOptions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(OptionsVisitor)
    }
}

struct OptionsVisitor;

impl<'de> Visitor<'de> for OptionsVisitor {
    type Value = ObjectStoreOptions;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table of options")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut options = BTreeMap::new();
        while let Some(name) = map.next_key::<String>()? {
            let OptionText(text) = map.next_value()?;
            options.insert(name.to_ascii_lowercase(), text);
        }
        Ok(ObjectStoreOptions(options))
    }
}

/// The clients take text for everything, while a file says `allow_http = true` and `retries = 3`.
struct OptionText(String);

impl<'de> Deserialize<'de> for OptionText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OptionTextVisitor)
    }
}

struct OptionTextVisitor;

impl Visitor<'_> for OptionTextVisitor {
    type Value = OptionText;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text, a whole number, true or false")
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(OptionText(text.to_owned()))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(OptionText(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(OptionText(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(OptionText(value.to_string()))
    }
}
