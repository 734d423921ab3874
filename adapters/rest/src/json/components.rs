//! Vectors in JSON: arrays of numbers, or base64 of little-endian f32.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use proximadb_model::Invalid;
use proximadb_model::limits::DIMENSION_MAX;
use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};
use serde::ser::{Serialize, Serializer};

/// Characters of the longest vector in base64.
const BASE64_BYTES_MAX: usize = (DIMENSION_MAX * 4).div_ceil(3) * 4;

/// Components as f32; finite when they came as numbers. A number is read as f64, as JSON's usually are, and cast: the same f32
/// that a client gets that casts before it sends.
#[derive(Debug)]
pub(crate) struct Components(pub(crate) Vec<f32>);

struct ComponentsVisitor;

impl<'de> Deserialize<'de> for Components {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ComponentsVisitor).map(Components)
    }
}

impl<'de> Visitor<'de> for ComponentsVisitor {
    type Value = Vec<f32>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of numbers or base64 of little-endian 32-bit floats")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Vec<f32>, A::Error> {
        let mut components = Vec::new();
        while let Some(Component(component)) = elements.next_element()? {
            if components.len() == DIMENSION_MAX {
                return Err(A::Error::custom(format_args!("has more than {DIMENSION_MAX} components")));
            }
            components.push(component);
        }
        Ok(components)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Vec<f32>, E> {
        if text.len() > BASE64_BYTES_MAX {
            return Err(E::custom(format_args!("has more than {DIMENSION_MAX} components")));
        }
        let bytes = STANDARD.decode(text).map_err(|e| E::custom(format_args!("is not base64: {e}")))?;
        let (components, rest) = bytes.as_chunks::<4>();
        if !rest.is_empty() {
            return Err(E::custom(format_args!("decodes to {} bytes, not to a multiple of 4", bytes.len())));
        }
        Ok(components.iter().map(|c| f32::from_le_bytes(*c)).collect())
    }
}

struct Component(f32);

struct ComponentVisitor;

impl<'de> Deserialize<'de> for Component {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_f64(ComponentVisitor).map(Component)
    }
}

impl Visitor<'_> for ComponentVisitor {
    type Value = f32;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number")
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<f32, E> {
        let component = number as f32;
        if component.is_finite() { Ok(component) } else { Err(E::custom("must be a finite 32-bit number")) }
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<f32, E> {
        Ok(number as f32)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<f32, E> {
        Ok(number as f32)
    }
}

/// How an answer writes its vectors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum VectorFormat {
    /// A list of numbers, each the shortest that reads back as the same f32.
    #[default]
    Array,
    /// Base64 of little-endian f32.
    Base64,
}

impl FromStr for VectorFormat {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text {
            "array" => Ok(Self::Array),
            "base64" => Ok(Self::Base64),
            _ => Err(Invalid::new("vector_format", "must be array or base64")),
        }
    }
}

/// A vector in an answer.
pub(crate) struct VectorOut<'a> {
    pub(crate) components: &'a [f32],
    pub(crate) format: VectorFormat,
}

impl Serialize for VectorOut<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.format {
            VectorFormat::Array => self.components.serialize(serializer),
            VectorFormat::Base64 => {
                let bytes: Vec<u8> = self.components.iter().flat_map(|c| c.to_le_bytes()).collect();
                serializer.collect_str(&Base64Display::new(&bytes, &STANDARD))
            }
        }
    }
}
