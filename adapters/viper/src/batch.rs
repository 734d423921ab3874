//! Rows to Arrow record batches and back. Knows no pages, no bytes and no files.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use arrow_array::builder::StringBuilder;
use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, TimestampMicrosecondType, UInt64Type};
use arrow_array::{Array, ArrayRef, FixedSizeListArray, Float32Array, RecordBatch, StringArray, TimestampMicrosecondArray, UInt64Array};
use arrow_schema::DataType;
use proximadb_model::{Metadata, RecordId, Rows, Sequence, Timestamp};

use crate::column::{ColumnBuilder, UTC, value_at};
use crate::error::ViperError;
use crate::layout::{EXPIRES, ID, Layout, METADATA, SEQUENCE, VECTOR};
use crate::remainder::{self, RemainderKeys};

/// Encodes some of `rows`, which have every column and the layout's dimension; notes in `keys` what went to the remainder.
///
/// Also answers how many bytes of text the metadata took.
///
/// # Errors
/// [`ViperError`] when Arrow refuses, which well-formed rows give it no reason to do.
pub(crate) fn encode(
    layout: &Layout,
    rows: &Rows,
    range: Range<usize>,
    keys: &mut RemainderKeys,
) -> Result<(RecordBatch, usize), ViperError> {
    let short = || ViperError::Layout("the rows have columns of differing length".to_owned());
    let ids = rows.ids.get(range.clone()).ok_or_else(short)?;
    let components = range.start * layout.dimension..range.end * layout.dimension;
    let components = Float32Array::from(rows.vectors.get(components).ok_or_else(short)?.to_vec());
    let metadata = rows.metadata.get(range.clone()).ok_or_else(short)?;
    let sequences = rows.sequences.get(range.clone()).ok_or_else(short)?;
    let expires = rows.expires.get(range).ok_or_else(short)?;

    let vectors = match layout.schema.field(VECTOR).data_type() {
        DataType::FixedSizeList(component, size) => FixedSizeListArray::try_new(Arc::clone(component), *size, Arc::new(components), None)?,
        other => return Err(ViperError::Layout(format!("vectors are {other}"))),
    };
    let mut columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(ids.iter().map(RecordId::as_str))),
        Arc::new(vectors),
        Arc::new(UInt64Array::from_iter_values(sequences.iter().map(|s| s.0))),
        Arc::new(TimestampMicrosecondArray::from_iter(expires.iter().map(|e| e.map(|at| at.0))).with_timezone(UTC)),
    ];
    let mut text_bytes = 0;
    columns.extend(metadata_columns(layout, metadata, keys, &mut text_bytes));
    Ok((RecordBatch::try_new(Arc::clone(&layout.schema), columns)?, text_bytes))
}

/// The typed columns and, last, the remainder.
fn metadata_columns(layout: &Layout, metadata: &[Arc<Metadata>], keys: &mut RemainderKeys, text_bytes: &mut usize) -> Vec<ArrayRef> {
    let mut builders: Vec<ColumnBuilder> = layout.columns.iter().map(|column| ColumnBuilder::new(column.kind)).collect();
    let mut rest = StringBuilder::new();
    for metadata in metadata {
        let fields = metadata.fields();
        let mut placed = 0;
        for (builder, column) in builders.iter_mut().zip(&layout.columns) {
            placed += usize::from(builder.append(fields.get(&column.key)));
        }
        if placed == fields.len() {
            rest.append_null();
        } else {
            let left = || fields.iter().filter(|(key, value)| !layout.has_column_for(key, value));
            left().for_each(|(key, _)| keys.add(key));
            let text = remainder::to_text(left());
            *text_bytes += text.len();
            rest.append_value(text);
        }
        *text_bytes += if placed > 0 { metadata.bytes() } else { 0 };
    }
    let mut columns: Vec<ArrayRef> = builders.into_iter().map(ColumnBuilder::finish).collect();
    columns.push(Arc::new(rest.finish()));
    columns
}

/// Appends the rows of a batch whose columns are those of the layout, or fewer as the projection of the read said.
///
/// # Errors
/// [`ViperError`] when a column is missing or a value breaks a rule of the model.
pub(crate) fn decode(layout: &Layout, batch: &RecordBatch, vectors: bool, metadata: bool, into: &mut Rows) -> Result<(), ViperError> {
    let column = |place: usize| {
        let name = layout.schema.field(place).name();
        batch.column_by_name(name).ok_or_else(|| ViperError::Layout(format!("column {name} was not read")))
    };
    let another = |place: usize| ViperError::Layout(format!("column {} has another type", layout.schema.field(place).name()));

    let ids = column(ID)?.as_string_opt::<i32>().ok_or_else(|| another(ID))?;
    for id in ids.iter() {
        into.ids.push(RecordId::new(id.unwrap_or_default())?);
    }
    let sequences = column(SEQUENCE)?.as_primitive_opt::<UInt64Type>().ok_or_else(|| another(SEQUENCE))?;
    into.sequences.extend(sequences.values().iter().map(|n| Sequence(*n)));
    let expires = column(EXPIRES)?.as_primitive_opt::<TimestampMicrosecondType>().ok_or_else(|| another(EXPIRES))?;
    into.expires.extend(expires.iter().map(|at| at.map(Timestamp)));
    if vectors {
        let lists = column(VECTOR)?.as_fixed_size_list_opt().ok_or_else(|| another(VECTOR))?;
        let components = lists.values().as_primitive_opt::<Float32Type>().ok_or_else(|| another(VECTOR))?;
        if components.len() != batch.num_rows() * layout.dimension {
            return Err(another(VECTOR));
        }
        into.vectors.extend_from_slice(components.values());
    }
    if metadata {
        let typed = (0..layout.columns.len()).map(|i| column(METADATA + i)).collect::<Result<Vec<_>, _>>()?;
        let rest = column(layout.remainder())?.as_string_opt::<i32>().ok_or_else(|| another(layout.remainder()))?;
        let nothing = Arc::new(Metadata::default());
        for row in 0..batch.num_rows() {
            let mut fields = if rest.is_null(row) { BTreeMap::new() } else { remainder::from_text(rest.value(row))? };
            for (array, column) in typed.iter().zip(&layout.columns) {
                if let Some(value) = value_at(array.as_ref(), row) {
                    fields.insert(column.key.clone(), value);
                }
            }
            into.metadata.push(if fields.is_empty() { Arc::clone(&nothing) } else { Arc::new(Metadata::new(fields)?) });
        }
    }
    Ok(())
}
