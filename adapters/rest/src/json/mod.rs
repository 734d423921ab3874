//! Strict JSON: reading that refuses what it does not understand and names the place, and the JSON form of values and vectors.

mod components;
mod list;
mod object;
mod text;
mod value;

use proximadb_model::Invalid;
use serde::Deserialize;
use serde_path_to_error::{Path, Segment};

pub(crate) use components::{Components, VectorFormat, VectorOut};
pub(crate) use list::List;
pub(crate) use object::{Key, Once, Unknown, strict_object};
pub(crate) use text::{FromText, Id};
pub(crate) use value::{Dictionary, Fields, Json, MetadataOut};

/// Reads one JSON text.
///
/// # Errors
/// [`Invalid`] naming the place, as far as there is one: for `{"k": "x"}` that is `k`.
pub(crate) fn parse<'a, T: Deserialize<'a>>(text: &'a [u8]) -> Result<T, Invalid> {
    let mut reader = serde_json::Deserializer::from_slice(text);
    let parsed =
        serde_path_to_error::deserialize(&mut reader).map_err(|error| Invalid::new(place(error.path()), error.inner().to_string()))?;
    reader.end().map_err(|e| Invalid::new("", e.to_string()))?;
    Ok(parsed)
}

/// The path in the form of the model's errors; the root is empty, and a key that was not read to its end is left out.
fn place(path: &Path) -> String {
    path.iter().fold(String::new(), |place, segment| match segment {
        Segment::Seq { index } => format!("{place}[{index}]"),
        Segment::Map { key } if place.is_empty() => key.clone(),
        Segment::Map { key } => format!("{place}.{key}"),
        Segment::Enum { .. } | Segment::Unknown => place,
    })
}

#[cfg(test)]
mod tests;
