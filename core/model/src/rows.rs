//! Records by column: what flows from a memtable to a segment and back. Owns the layout, no IO.

use std::sync::Arc;

use crate::ids::Sequence;
use crate::name::RecordId;
use crate::time::Timestamp;
use crate::value::Metadata;

/// Records by column. All columns that are present have the same length; `vectors` is row after row.
///
/// A reader leaves `vectors` or `metadata` empty when its projection did not ask for them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rows {
    /// Components of one vector.
    pub dimension: usize,
    /// One id a row.
    pub ids: Vec<RecordId>,
    /// `ids.len() * dimension` components, or none when not read.
    pub vectors: Vec<f32>,
    /// One a row, or none when not read.
    pub metadata: Vec<Arc<Metadata>>,
    /// The sequence of the write that made the row; it is the record's version.
    pub sequences: Vec<Sequence>,
    /// When the row stops to exist.
    pub expires: Vec<Option<Timestamp>>,
}

/// Which costly columns a read brings; ids, sequences and expiries always come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Projection {
    /// The vectors.
    pub vectors: bool,
    /// The metadata.
    pub metadata: bool,
}

impl Projection {
    /// Ids, sequences and expiries only.
    pub const IDS: Self = Self { vectors: false, metadata: false };
    /// Every column.
    pub const ALL: Self = Self { vectors: true, metadata: true };
}

impl Rows {
    /// No rows, of vectors with `dimension` components.
    pub fn new(dimension: usize) -> Self {
        Self { dimension, ..Self::default() }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The vector of a row, where vectors were read.
    pub fn vector(&self, row: usize) -> Option<&[f32]> {
        self.vectors.get(row.checked_mul(self.dimension)?..)?.get(..self.dimension)
    }

    /// Appends one row.
    pub fn push(&mut self, id: RecordId, vector: &[f32], metadata: Arc<Metadata>, sequence: Sequence, expires: Option<Timestamp>) {
        debug_assert_eq!(vector.len(), self.dimension);
        self.ids.push(id);
        self.vectors.extend_from_slice(vector);
        self.metadata.push(metadata);
        self.sequences.push(sequence);
        self.expires.push(expires);
    }

    /// Appends row `row` of `other`, which has the same columns.
    pub fn push_from(&mut self, other: &Self, row: usize) {
        self.ids.push(other.ids[row].clone());
        if let Some(vector) = other.vector(row) {
            self.vectors.extend_from_slice(vector);
        }
        if let Some(metadata) = other.metadata.get(row) {
            self.metadata.push(Arc::clone(metadata));
        }
        self.sequences.push(other.sequences[row]);
        self.expires.push(other.expires[row]);
    }
}
