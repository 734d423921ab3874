//! Vectors as bytes: components as IEEE 754 binary32, little-endian, one after the other.

use bytes::BufMut;
use proximadb_model::{Dimension, Invalid, MetricKind, Vector};

pub(crate) fn put(vector: &Vector, out: &mut impl BufMut) {
    for component in vector.as_slice() {
        out.put_slice(&component.to_le_bytes());
    }
}

/// Takes what holds of every vector, whatever its collection: the log does not know the collection's dimension and metric.
pub(crate) fn read(bytes: &[u8]) -> Result<Vector, Invalid> {
    let (components, rest) = bytes.as_chunks::<4>();
    if !rest.is_empty() {
        return Err(Invalid::new("vector", format!("takes {} bytes, which is no multiple of 4", bytes.len())));
    }
    let dimension = Dimension::new(components.len() as u64)?;
    Vector::new(components.iter().map(|c| f32::from_le_bytes(*c)).collect(), dimension, &MetricKind::Euclidean)
}
