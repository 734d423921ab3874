//! Records and vectors as they are once they have passed every check. Knows no wire format.

use std::sync::Arc;

use crate::invalid::Invalid;
use crate::limits::DIMENSION_MAX;
use crate::metric::MetricKind;
use crate::name::RecordId;
use crate::time::Timestamp;
use crate::value::Metadata;

/// Number of components of a collection's vectors, 1..=65,536.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Dimension(u32);

impl Dimension {
    /// Checks and takes a dimension.
    ///
    /// # Errors
    /// [`Invalid`] on `dimension` when it is 0 or above 65,536.
    pub fn new(components: u64) -> Result<Self, Invalid> {
        match u32::try_from(components) {
            Ok(n) if n >= 1 && n as usize <= DIMENSION_MAX => Ok(Self(n)),
            _ => Err(Invalid::new("dimension", format!("must be 1 to {DIMENSION_MAX}, got {components}"))),
        }
    }

    /// The number of components.
    pub fn get(self) -> usize {
        self.0 as usize
    }
}

/// A vector that its collection accepts: right dimension, finite components and squared norm, not zero for cosine.
#[derive(Clone, Debug, PartialEq)]
pub struct Vector(Vec<f32>);

impl Vector {
    /// Checks and takes the components of a record or a query.
    ///
    /// # Errors
    /// [`Invalid`] on `vector`, with the place of the first bad component where there is one.
    pub fn new(components: Vec<f32>, dimension: Dimension, metric: &MetricKind) -> Result<Self, Invalid> {
        check_vector(&components, dimension, metric)?;
        Ok(Self(components))
    }

    /// The components.
    pub fn as_slice(&self) -> &[f32] {
        &self.0
    }

    /// The components, given up.
    pub fn into_vec(self) -> Vec<f32> {
        self.0
    }
}

/// Checks components as [`Vector::new`] does, without taking them.
///
/// # Errors
/// [`Invalid`] on `vector`.
pub fn check_vector(components: &[f32], dimension: Dimension, metric: &MetricKind) -> Result<(), Invalid> {
    if components.len() != dimension.get() {
        return Err(Invalid::new(
            "vector",
            format!("has {} components, the collection's dimension is {}", components.len(), dimension.get()),
        ));
    }
    if let Some(i) = components.iter().position(|x| !x.is_finite()) {
        return Err(Invalid::new(format!("vector[{i}]"), "must be a finite 32-bit number"));
    }
    let norm = components.iter().map(|x| x * x).sum::<f32>();
    if !norm.is_finite() {
        return Err(Invalid::new("vector", "its squared norm must be finite in 32 bits"));
    }
    // Below the smallest normal number the quotient that makes a unit vector is no longer exact, or not finite at all.
    if *metric == MetricKind::Cosine && norm < f32::MIN_POSITIVE {
        return Err(Invalid::new("vector", "its norm must not be zero for the cosine metric"));
    }
    Ok(())
}

/// A record as it is written.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Unique in its collection.
    pub id: RecordId,
    /// The f32 original.
    pub vector: Vector,
    /// What filters see.
    pub metadata: Arc<Metadata>,
    /// From this moment on the record is gone.
    pub expires: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_are_checked_for_their_collection() {
        let two = Dimension::new(2).expect("valid");
        let field = |v: &[f32], metric: MetricKind| check_vector(v, two, &metric).err().map(|e| e.field);
        assert_eq!(field(&[1.0, 2.0], MetricKind::Cosine), None);
        assert_eq!(field(&[1.0], MetricKind::Cosine).as_deref(), Some("vector"));
        assert_eq!(field(&[1.0, f32::NAN], MetricKind::Euclidean).as_deref(), Some("vector[1]"));
        assert_eq!(field(&[1e39_f64 as f32, 0.0], MetricKind::Euclidean).as_deref(), Some("vector[0]"));
        assert_eq!(field(&[1e30, 1e30], MetricKind::Euclidean).as_deref(), Some("vector"));
        assert_eq!(field(&[0.0, 0.0], MetricKind::Cosine).as_deref(), Some("vector"));
        assert_eq!(field(&[1e-30, 0.0], MetricKind::Cosine).as_deref(), Some("vector"));
        assert_eq!(field(&[0.0, 0.0], MetricKind::Euclidean), None);
    }

    #[test]
    fn dimensions_have_bounds() {
        assert!(Dimension::new(1).is_ok() && Dimension::new(65_536).is_ok());
        for bad in [0, 65_537, u64::MAX] {
            assert_eq!(Dimension::new(bad).expect_err("out of range").field, "dimension");
        }
    }
}
