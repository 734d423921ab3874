//! Strict JSON: reading that refuses what it does not understand and names the place, and the JSON form of values and vectors.

mod components;
mod list;
mod object;
mod text;
mod value;

use proximadb_model::Invalid;
use serde::Deserialize;

pub(crate) use components::{Components, VectorOut, VectorFormat};
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
    let parsed = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        // The root's path is a dot.
        Invalid::new(if path == "." { String::new() } else { path }, error.inner().to_string())
    })?;
    reader.end().map_err(|e| Invalid::new("", e.to_string()))?;
    Ok(parsed)
}

#[cfg(test)]
mod tests;
