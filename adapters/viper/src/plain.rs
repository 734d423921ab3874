//! Reading Parquet files that are no segments: a column `id`, a column `vector`, and whatever else as metadata.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Float32Type;
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::DataType;
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use proximadb_model::{Metadata, RecordId, Rows, Sequence};
use proximadb_ports::{Fault, PortError, Result};

use crate::column::value_at;
use crate::error::ViperError;

const OP: &str = "parquet.read";
const ID: &str = "id";
const VECTOR: &str = "vector";

/// The rows of a Parquet file with an `id` of text and a `vector` of 32-bit floats, all of one length; columns of the types that
/// segments have become metadata. Rows have no sequence and do not expire.
///
/// # Errors
/// `Invalid` for a file that is not such.
pub fn read_plain(file: Bytes) -> Result<Rows> {
    let refused = |e: ViperError| PortError::new(Fault::Invalid, OP, "the file", e.to_string()).with_source(e);
    read(file).map_err(refused)
}

fn read(file: Bytes) -> std::result::Result<Rows, ViperError> {
    let mut rows = Rows::default();
    for batch in ParquetRecordBatchReaderBuilder::try_new(file)?.build()? {
        take(&batch?, &mut rows)?;
    }
    Ok(rows)
}

fn take(batch: &RecordBatch, rows: &mut Rows) -> std::result::Result<(), ViperError> {
    let column = |name: &str| batch.column_by_name(name).ok_or_else(|| ViperError::Layout(format!("there is no column {name}")));
    let wrong = |name: &str, wanted: &str| ViperError::Layout(format!("column {name} must be {wanted}"));
    let ids = column(ID)?.as_string_opt::<i32>().ok_or_else(|| wrong(ID, "text"))?;
    let vectors = column(VECTOR)?;
    let others: Vec<(&str, &ArrayRef)> = batch
        .schema_ref()
        .fields()
        .iter()
        .zip(batch.columns())
        .filter(|(field, _)| field.name() != ID && field.name() != VECTOR)
        .map(|(field, array)| (field.name().as_str(), array))
        .collect();
    for row in 0..batch.num_rows() {
        let vector = vector_at(vectors, row).ok_or_else(|| wrong(VECTOR, "a list of 32-bit floats"))?;
        let components = vector.as_primitive_opt::<Float32Type>().ok_or_else(|| wrong(VECTOR, "a list of 32-bit floats"))?;
        if rows.is_empty() {
            rows.dimension = components.len();
        }
        if components.len() != rows.dimension || components.null_count() > 0 {
            return Err(wrong(VECTOR, "of one length, without gaps"));
        }
        let fields: BTreeMap<_, _> = others.iter().filter_map(|(name, array)| Some(((*name).to_owned(), value_at(array, row)?))).collect();
        let id = if ids.is_null(row) { "" } else { ids.value(row) };
        rows.push(RecordId::new(id)?, components.values(), Arc::new(Metadata::new(fields)?), Sequence(0), None);
    }
    Ok(())
}

fn vector_at(array: &ArrayRef, row: usize) -> Option<ArrayRef> {
    if array.is_null(row) {
        return None;
    }
    match array.data_type() {
        DataType::FixedSizeList(..) => Some(array.as_fixed_size_list_opt()?.value(row)),
        DataType::List(_) => Some(array.as_list_opt::<i32>()?.value(row)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proximadb_model::Value;

    #[test]
    fn the_sample_is_read_with_its_metadata() {
        let file = Bytes::from_static(include_bytes!("../../../tests/testdata/sample/sample.parquet"));
        let rows = read_plain(file).expect("the sample is such a file");
        assert!(rows.len() >= 1_000 && rows.dimension == 384, "{} rows of {}", rows.len(), rows.dimension);
        assert!(rows.metadata.iter().all(|m| matches!(m.get("year"), Some(Value::Int(1_900..=2_100)))));
        assert!(rows.metadata.iter().all(|m| matches!(m.get("text"), Some(Value::String(text)) if !text.is_empty())));
    }

    #[test]
    fn other_bytes_are_refused() {
        assert_eq!(read_plain(Bytes::from_static(b"PAR1 is not enough PAR1")).expect_err("not Parquet").fault, Fault::Invalid);
    }
}
