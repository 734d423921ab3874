//! The values at some paths over all rows: typed columns and remainder together, as filters see them. Keeps nothing of them.

use std::sync::Arc;

use arrow_array::Array;
use proximadb_ports::{Result, ValueVisitor};

use crate::cache::{Chunk, Part};
use crate::column::value_at;
use crate::reader::ViperReader;
use crate::select::{Parts, load};
use crate::verdict::Source;

/// Shows the values at the paths, one row group after the other.
pub(crate) async fn visit(reader: &ViperReader, paths: &[String], visitor: &mut dyn ValueVisitor) -> Result<()> {
    let sources: Vec<Source> = paths.iter().map(|path| Source::of(&reader.footer, path)).collect();
    let mut parts: Vec<Part> = sources.iter().filter_map(|source| source.column.map(Part::Column)).collect();
    parts.sort_unstable_by_key(|part| if let Part::Column(column) = part { *column } else { 0 });
    parts.dedup();
    if sources.iter().any(|source| source.remainder) {
        parts.push(Part::Remainder);
    }
    if parts.is_empty() {
        return Ok(());
    }
    let mut start = 0;
    for (group, &rows) in reader.footer.group_rows.iter().enumerate() {
        if !visitor.wants_more() {
            return Ok(());
        }
        let loaded = load(reader, group, rows, &parts).await?;
        for (place, (path, source)) in paths.iter().zip(&sources).enumerate() {
            visit_group(&loaded, path, *source, rows, &mut |row, value| visitor.value(place, start + row, value));
        }
        start += rows;
    }
    Ok(())
}

fn visit_group(parts: &Parts, path: &str, source: Source, rows: usize, visit: &mut dyn FnMut(usize, &proximadb_model::Value)) {
    let column = match source.column.and_then(|column| parts.get(&Part::Column(column))).map(Arc::as_ref) {
        Some(Chunk::Column(array)) => Some(array.as_ref() as &dyn Array),
        _ => None,
    };
    let remainder = match parts.get(&Part::Remainder).map(Arc::as_ref) {
        Some(Chunk::Remainder(rows)) if source.remainder => Some(rows.as_slice()),
        _ => None,
    };
    for row in 0..rows {
        if let Some(value) = column.and_then(|array| value_at(array, row)) {
            visit(row, &value);
        } else if let Some(value) = remainder.and_then(|r| r.get(row)).and_then(Option::as_ref).and_then(|metadata| metadata.get(path)) {
            visit(row, value);
        }
    }
}
