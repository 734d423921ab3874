//! Fetching rows without their vectors from the columns that are kept decoded: what every search does for its hits.
//! Leaves alone what is too large to keep.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::{TimestampMicrosecondType, UInt64Type};
use proximadb_model::{Metadata, RecordId, Rows, Sequence, Timestamp};
use proximadb_ports::Result;

use crate::cache::{Chunk, Part};
use crate::column::value_at;
use crate::error::ViperError;
use crate::layout::{EXPIRES, ID, METADATA, SEQUENCE};
use crate::reader::ViperReader;
use crate::select::{Parts, load};

/// The share of the cache that one segment's columns may take to be kept for this.
const CACHE_SHARE: usize = 4;

/// The given rows, which are all in range, in the order asked; `None` when the segment's columns are too large to keep.
pub(crate) async fn lookup(reader: &ViperReader, rows: &[u32], metadata: bool) -> Result<Option<Rows>> {
    if decoded_bytes(reader, metadata) > reader.shelf.bytes_max() / CACHE_SHARE {
        return Ok(None);
    }
    let parts = parts_of(reader, metadata);
    let mut groups: HashMap<usize, Parts> = HashMap::new();
    let mut found = Rows::new(reader.footer.layout.dimension);
    let nothing = Arc::new(Metadata::default());
    for &row in rows {
        let (group, row) = place_of(reader, row as usize);
        let loaded = match groups.entry(group) {
            Entry::Occupied(loaded) => loaded.into_mut(),
            Entry::Vacant(absent) => {
                let size = reader.footer.group_rows.get(group).copied().unwrap_or_default();
                absent.insert(load(reader, group, size, &parts).await?)
            }
        };
        append(reader, loaded, row, metadata, &nothing, &mut found).map_err(|e| e.corrupt("segment.fetch", reader.file.key()))?;
    }
    Ok(Some(found))
}

/// About the bytes that the columns take once they are decoded: those that the file says they have uncompressed.
fn decoded_bytes(reader: &ViperReader, metadata: bool) -> usize {
    let places = [ID, SEQUENCE, EXPIRES].into_iter().chain(if metadata { METADATA..reader.footer.layout.remainder() + 1 } else { 0..0 });
    let places: Vec<usize> = places.collect();
    let groups = reader.footer.arrow.metadata().row_groups().iter();
    let bytes =
        groups.flat_map(|group| places.iter().filter_map(|place| group.columns().get(*place)).map(|column| column.uncompressed_size()));
    bytes.map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX)).fold(0, usize::saturating_add)
}

fn parts_of(reader: &ViperReader, metadata: bool) -> Vec<Part> {
    let mut parts = vec![Part::Fixed(ID), Part::Fixed(SEQUENCE), Part::Fixed(EXPIRES)];
    if metadata {
        parts.extend((0..reader.footer.layout.columns.len()).map(Part::Column));
        parts.push(Part::Remainder);
    }
    parts
}

/// The row group of a row of the segment, and its place there.
fn place_of(reader: &ViperReader, mut row: usize) -> (usize, usize) {
    for (group, rows) in reader.footer.group_rows.iter().enumerate() {
        match row.checked_sub(*rows) {
            Some(rest) => row = rest,
            None => return (group, row),
        }
    }
    (reader.footer.group_rows.len(), row)
}

fn append(
    reader: &ViperReader,
    parts: &Parts,
    row: usize,
    metadata: bool,
    nothing: &Arc<Metadata>,
    into: &mut Rows,
) -> std::result::Result<(), ViperError> {
    let wrong = |place: usize| ViperError::Layout(format!("column {} has another type", reader.footer.layout.schema.field(place).name()));
    let fixed = |place: usize| match parts.get(&Part::Fixed(place)).map(Arc::as_ref) {
        Some(Chunk::Column(array)) if row < array.len() => Ok(array),
        _ => Err(wrong(place)),
    };
    into.ids.push(RecordId::new(fixed(ID)?.as_string_opt::<i32>().ok_or_else(|| wrong(ID))?.value(row))?);
    let sequence = fixed(SEQUENCE)?.as_primitive_opt::<UInt64Type>().ok_or_else(|| wrong(SEQUENCE))?.value(row);
    into.sequences.push(Sequence(sequence));
    let expires = fixed(EXPIRES)?.as_primitive_opt::<TimestampMicrosecondType>().ok_or_else(|| wrong(EXPIRES))?;
    into.expires.push((!expires.is_null(row)).then(|| Timestamp(expires.value(row))));
    if metadata {
        let rest = match parts.get(&Part::Remainder).map(Arc::as_ref) {
            Some(Chunk::Remainder(rows)) => rows.get(row).and_then(Option::as_ref),
            _ => None,
        };
        let mut fields = rest.map_or_else(BTreeMap::new, |metadata| metadata.fields().clone());
        for (i, column) in reader.footer.layout.columns.iter().enumerate() {
            if let Some(Chunk::Column(array)) = parts.get(&Part::Column(i)).map(Arc::as_ref)
                && let Some(value) = value_at(array.as_ref(), row)
            {
                fields.insert(column.key.clone(), value);
            }
        }
        into.metadata.push(if fields.is_empty() { Arc::clone(nothing) } else { Arc::new(Metadata::new(fields)?) });
    }
    Ok(())
}
