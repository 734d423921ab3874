//! Objects whose keys are all known, each given at most once.

use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, Visitor};

/// Makes a struct of optional fields that reads from a JSON object: an unknown key and a repeated one are errors at that key,
/// and null means the same as absent. What is required is decided where the twin is converted, which knows its full path.
macro_rules! strict_object {
    ($(#[$doc:meta])* $name:ident $(<const $at:ident>)? { $($field:ident: $type:ty),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Default)]
        pub(crate) struct $name $(<const $at: usize>)? {
            $(pub(crate) $field: Option<$type>,)*
        }

        impl $(<const $at: usize>)? $name $(<$at>)? {
            /// The keys that are understood.
            pub(crate) const FIELDS: &'static [&'static str] = &[$(stringify!($field)),*];
        }

        impl<'de $(, const $at: usize)?> serde::Deserialize<'de> for $name $(<$at>)? {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Keys $(<const $at: usize>)?;

                impl<'de $(, const $at: usize)?> serde::de::Visitor<'de> for Keys $(<$at>)? {
                    type Value = $name $(<$at>)?;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str("an object")
                    }

                    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                        $(let mut $field = $crate::json::Once::<$type>::default();)*
                        let known = Self::Value::FIELDS;
                        while let Some(key) = map.next_key_seed($crate::json::Key(known))? {
                            match key {
                                $(Some(stringify!($field)) => map.next_value_seed(&mut $field)?,)*
                                _ => map.next_value_seed($crate::json::Unknown(known))?,
                            }
                        }
                        Ok($name { $($field: $field.into_value(),)* })
                    }
                }

                deserializer.deserialize_map(Keys $(::<$at>)?)
            }
        }
    };
}
pub(crate) use strict_object;

/// Reads a key as one of the known ones, or `None`.
pub(crate) struct Key(pub(crate) &'static [&'static str]);

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Option<&'static str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for Key {
    type Value = Option<&'static str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.0.iter().find(|known| **known == key).copied())
    }
}

/// A value that may be given once.
pub(crate) struct Once<T> {
    seen: bool,
    value: Option<T>,
}

impl<T> Once<T> {
    pub(crate) fn into_value(self) -> Option<T> {
        self.value
    }
}

impl<T> Default for Once<T> {
    fn default() -> Self {
        Self { seen: false, value: None }
    }
}

impl<'de, T: Deserialize<'de>> DeserializeSeed<'de> for &mut Once<T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        if self.seen {
            return Err(D::Error::custom("is given twice"));
        }
        self.seen = true;
        self.value = Option::deserialize(deserializer)?;
        Ok(())
    }
}

/// Stands for the value of a key that is not known, and refuses it unread.
pub(crate) struct Unknown(pub(crate) &'static [&'static str]);

impl<'de> DeserializeSeed<'de> for Unknown {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, _: D) -> Result<(), D::Error> {
        Err(D::Error::custom(format_args!("unknown field; known are: {}", self.0.join(", "))))
    }
}
