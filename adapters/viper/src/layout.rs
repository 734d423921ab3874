//! The columns of a segment: their order, names and types. Owns the Arrow schema; knows nothing of pages or bytes.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema as ArrowSchema, SchemaRef, TimeUnit};
use proximadb_model::limits::DIMENSION_MAX;
use proximadb_model::{Rows, Schema, Value};

use crate::column::{ColumnKind, UTC};
use crate::error::ViperError;

/// Place of the record ids.
pub(crate) const ID: usize = 0;
/// Place of the vectors.
pub(crate) const VECTOR: usize = 1;
/// Place of the sequences.
pub(crate) const SEQUENCE: usize = 2;
/// Place of the expiries.
pub(crate) const EXPIRES: usize = 3;
/// Place of the first metadata column; the remainder follows the last one.
pub(crate) const METADATA: usize = 4;

const KEY_PREFIX: &str = "m.";
const REMAINDER_NAME: &str = "metadata_json";
/// Bytes of a metadata key that may name a column.
const KEY_BYTES_MAX: usize = 256;

/// A metadata key that has a column of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MetadataColumn {
    /// The key.
    pub(crate) key: String,
    /// The type of the column.
    pub(crate) kind: ColumnKind,
}

/// The columns of one segment.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    /// Components of a vector.
    pub(crate) dimension: usize,
    /// The typed metadata columns, in the order of their keys.
    pub(crate) columns: Vec<MetadataColumn>,
    /// All columns as Arrow sees them.
    pub(crate) schema: SchemaRef,
    by_key: HashMap<String, usize>,
}

impl Layout {
    /// A layout with these metadata columns.
    pub(crate) fn new(dimension: usize, columns: Vec<MetadataColumn>) -> Self {
        let component = Arc::new(Field::new("element", DataType::Float32, false));
        // A dimension is at most DIMENSION_MAX, which fits.
        let vector = DataType::FixedSizeList(component, i32::try_from(dimension).unwrap_or(i32::MAX));
        let moment = DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into()));
        let mut fields = vec![
            Field::new("id", DataType::Utf8, false),
            Field::new("vector", vector, false),
            Field::new("sequence", DataType::UInt64, false),
            Field::new("expires", moment, true),
        ];
        fields.extend(columns.iter().map(|column| Field::new(format!("{KEY_PREFIX}{}", column.key), column.kind.data_type(), true)));
        fields.push(Field::new(REMAINDER_NAME, DataType::Utf8, true));
        let by_key = columns.iter().enumerate().map(|(i, column)| (column.key.clone(), i)).collect();
        Self { dimension, columns, schema: Arc::new(ArrowSchema::new(fields)), by_key }
    }

    /// The layout for a stream of rows that starts with `sample`: a column for each declared field, and for the keys whose
    /// values in the sample are all of one type, the commonest first, up to `columns_max` columns. Later values of another type
    /// go to the remainder.
    pub(crate) fn choose(dimension: usize, declared: &Schema, sample: &[Rows], columns_max: usize) -> Self {
        let mut chosen: BTreeMap<&str, ColumnKind> = declared
            .fields()
            .iter()
            .filter(|(key, _)| may_name_column(key))
            .map(|(key, kind)| (key.as_str(), ColumnKind::from(*kind)))
            .collect();
        let mut seen: BTreeMap<&str, Tally> = BTreeMap::new();
        for metadata in sample.iter().flat_map(|rows| &rows.metadata) {
            for (key, value) in metadata.fields() {
                if !matches!(value, Value::Null) && !chosen.contains_key(key.as_str()) {
                    seen.entry(key).or_default().add(value);
                }
            }
        }
        let mut candidates: Vec<(&str, usize, ColumnKind)> = seen
            .into_iter()
            .filter(|(key, _)| may_name_column(key))
            .filter_map(|(key, tally)| tally.kind.flatten().map(|kind| (key, tally.rows, kind)))
            .collect();
        candidates.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(b.0)));
        candidates.truncate(columns_max.saturating_sub(chosen.len()));
        chosen.extend(candidates.into_iter().map(|(key, _, kind)| (key, kind)));
        Self::new(dimension, chosen.into_iter().map(|(key, kind)| MetadataColumn { key: key.to_owned(), kind }).collect())
    }

    /// The layout of a file, from the schema that its footer gives.
    ///
    /// # Errors
    /// [`ViperError::Layout`] when the columns are not exactly those of a segment.
    pub(crate) fn of_file(schema: &ArrowSchema) -> Result<Self, ViperError> {
        let wrong = |what: &str| ViperError::Layout(what.to_owned());
        let fields = schema.fields();
        let vector = fields.get(VECTOR).ok_or_else(|| wrong("it has too few columns"))?;
        let DataType::FixedSizeList(_, dimension) = vector.data_type() else {
            return Err(wrong("its second column is not one of vectors"));
        };
        let dimension =
            usize::try_from(*dimension).ok().filter(|d| (1..=DIMENSION_MAX).contains(d)).ok_or_else(|| wrong("its dimension"))?;
        let metadata = fields.get(METADATA..fields.len().saturating_sub(1)).ok_or_else(|| wrong("it has too few columns"))?;
        let mut columns = Vec::new();
        for field in metadata {
            let key = field.name().strip_prefix(KEY_PREFIX).ok_or_else(|| wrong("a metadata column has another name"))?;
            let kind = ColumnKind::ALL.into_iter().find(|kind| kind.data_type() == *field.data_type());
            columns.push(MetadataColumn { key: key.to_owned(), kind: kind.ok_or_else(|| wrong("a metadata column has another type"))? });
        }
        let layout = Self::new(dimension, columns);
        if layout.schema.fields() != fields || layout.by_key.len() != layout.columns.len() {
            return Err(wrong("its columns have other names or types"));
        }
        Ok(layout)
    }

    /// The place among the metadata columns of the one for a key.
    pub(crate) fn column_of(&self, key: &str) -> Option<usize> {
        self.by_key.get(key).copied()
    }

    /// Whether a key's value is kept in a column rather than in the remainder.
    pub(crate) fn has_column_for(&self, key: &str, value: &Value) -> bool {
        self.column_of(key).and_then(|i| self.columns.get(i)).is_some_and(|column| column.kind.holds(value))
    }

    /// Place of the remainder.
    pub(crate) fn remainder(&self) -> usize {
        METADATA + self.columns.len()
    }
}

fn may_name_column(key: &str) -> bool {
    !key.is_empty() && key.len() <= KEY_BYTES_MAX && !key.chars().any(char::is_control)
}

/// How often a key was seen, and of which one kind its values were; `Some(None)` once there were two.
#[derive(Default)]
struct Tally {
    rows: usize,
    kind: Option<Option<ColumnKind>>,
}

impl Tally {
    fn add(&mut self, value: &Value) {
        self.rows += 1;
        let kind = ColumnKind::suggested_by(value);
        self.kind = Some(match self.kind {
            None => kind,
            Some(known) if known == kind => kind,
            Some(_) => None,
        });
    }
}
