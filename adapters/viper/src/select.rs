//! Answering filters over a segment: what can be ruled out is, the rest is decoded once, kept, and compared column by column.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, RecordBatch};
use arrow_buffer::{BooleanBuffer, BooleanBufferBuilder};
use parquet::bloom_filter::Sbbf;
use proximadb_model::{Filter, Metadata, RowSet, Test, filter_paths};
use proximadb_ports::{Result, Selection};

use crate::cache::{Chunk, Part};
use crate::column::ColumnKind;
use crate::error::ViperError;
use crate::evaluate;
use crate::layout::METADATA;
use crate::pages::{Pages, Wanted};
use crate::reader::ViperReader;
use crate::remainder;
use crate::verdict::{self, Source, Verdict};

/// The decoded parts of one row group that a filter looks at.
pub(crate) type Parts = HashMap<Part, Arc<Chunk>>;

/// The rows of a segment for which a filter holds.
pub(crate) async fn select(reader: &ViperReader, filter: &Filter) -> Result<Selection> {
    let parts = parts_of(reader, filter);
    let blooms = blooms_of(reader, filter);
    let mut answer = BooleanBufferBuilder::new(0);
    let mut rows_examined = 0;
    for (group, &rows) in reader.footer.group_rows.iter().enumerate() {
        match judge(reader, filter, group, &parts, &blooms).await? {
            Verdict::Never => answer.append_n(rows, false),
            Verdict::Always => answer.append_n(rows, true),
            Verdict::Undecided => {
                let loaded = load(reader, group, rows, &parts).await?;
                answer.append_buffer(&evaluate_group(reader, filter, rows, &loaded));
                rows_examined += rows as u64;
            }
        }
    }
    let len = answer.len();
    let mut words = answer.finish().into_inner().as_slice().to_vec();
    words.resize(len.div_ceil(64) * 8, 0);
    let rows = RowSet::from_bytes(&words, len).map_err(|e| ViperError::from(e).internal("segment.select", reader.file.key()))?;
    Ok(Selection { rows, rows_examined })
}

/// The parts of each row group that the paths of a filter lead to.
fn parts_of(reader: &ViperReader, filter: &Filter) -> Vec<Part> {
    let sources: Vec<Source> = filter_paths(filter).into_iter().map(|path| Source::of(&reader.footer, path)).collect();
    let mut parts: Vec<Part> = sources.iter().filter_map(|source| source.column.map(Part::Column)).collect();
    if sources.iter().any(|source| source.remainder) {
        parts.push(Part::Remainder);
    }
    parts
}

/// The text columns that a filter compares for equality, whose bloom filters may rule out a row group.
fn blooms_of(reader: &ViperReader, filter: &Filter) -> Vec<usize> {
    fn walk(reader: &ViperReader, filter: &Filter, columns: &mut Vec<usize>) {
        match filter {
            Filter::And(list) | Filter::Or(list) => list.iter().for_each(|part| walk(reader, part, columns)),
            Filter::Not(inner) => walk(reader, inner, columns),
            Filter::Field { path, test: Test::Eq(_) | Test::Ne(_) | Test::In(_) | Test::Nin(_) } => {
                let layout = &reader.footer.layout;
                let text =
                    |column: &usize| layout.columns.get(*column).is_some_and(|c| matches!(c.kind, ColumnKind::Text | ColumnKind::TextList));
                columns.extend(layout.column_of(path).filter(text));
            }
            Filter::Field { .. } => {}
        }
    }
    let mut columns = Vec::new();
    walk(reader, filter, &mut columns);
    columns.sort_unstable();
    columns.dedup();
    columns
}

/// The verdict on a row group by its statistics and, as long as its columns are not decoded anyway, by its bloom filters.
async fn judge(reader: &ViperReader, filter: &Filter, group: usize, parts: &[Part], blooms: &[usize]) -> Result<Verdict> {
    let verdict = verdict::filter(filter, &reader.footer, group, &|_, _| true);
    let decoded = || parts.iter().all(|part| reader.shelf.get(group, *part).is_some());
    if verdict != Verdict::Undecided || blooms.is_empty() || decoded() {
        return Ok(verdict);
    }
    let mut loaded: HashMap<usize, Arc<Chunk>> = HashMap::new();
    for &column in blooms {
        loaded.insert(column, bloom(reader, group, column).await?);
    }
    let may_hold = |column: usize, text: &str| match loaded.get(&column).map(Arc::as_ref) {
        Some(Chunk::Bloom(Some(filter))) => filter.check(text),
        _ => true,
    };
    Ok(verdict::filter(filter, &reader.footer, group, &may_hold))
}

async fn bloom(reader: &ViperReader, group: usize, column: usize) -> Result<Arc<Chunk>> {
    let part = Part::Bloom(column);
    if let Some(kept) = reader.shelf.get(group, part) {
        return Ok(kept);
    }
    let chunk = reader.footer.arrow.metadata().row_groups().get(group).and_then(|g| g.columns().get(METADATA + column));
    let place = chunk.and_then(|c| Some((u64::try_from(c.bloom_filter_offset()?).ok()?, u64::try_from(c.bloom_filter_length()?).ok()?)));
    let filter = match place {
        Some((start, len)) => {
            let data = reader.file.read(&[Range { start, end: start.saturating_add(len) }]).await?;
            let bytes = data.first().map(|bytes| bytes.as_ref()).unwrap_or_default();
            Some(Sbbf::from_bytes(bytes).map_err(|e| ViperError::from(e).corrupt("segment.select", reader.file.key()))?)
        }
        None => None,
    };
    Ok(reader.shelf.put(group, part, Chunk::Bloom(filter)))
}

/// The parts of a row group, from the cache or else from the file.
pub(crate) async fn load(reader: &ViperReader, group: usize, rows: usize, parts: &[Part]) -> Result<Parts> {
    let mut loaded: Parts = HashMap::new();
    let mut absent = Vec::new();
    for &part in parts {
        match reader.shelf.get(group, part) {
            Some(kept) => drop(loaded.insert(part, kept)),
            None => absent.push(part),
        }
    }
    if absent.is_empty() {
        return Ok(loaded);
    }
    let places: Vec<usize> = absent.iter().map(|part| place(reader, *part)).collect();
    let mut pages = Pages::new(&reader.file, &reader.footer, &places, Wanted::Group(group), rows)?;
    let corrupt = |e: ViperError| e.corrupt("segment.select", reader.file.key());
    let batch = pages.next().await?.ok_or_else(|| corrupt(ViperError::Layout("a row group is empty".to_owned())))?;
    if batch.num_rows() != rows {
        return Err(corrupt(ViperError::Layout(format!("a row group of {rows} rows gave {}", batch.num_rows()))));
    }
    for part in absent {
        let chunk = decode(reader, &batch, part).map_err(corrupt)?;
        loaded.insert(part, reader.shelf.put(group, part, chunk));
    }
    Ok(loaded)
}

/// The place of a part's column in the file.
fn place(reader: &ViperReader, part: Part) -> usize {
    match part {
        Part::Column(column) | Part::Bloom(column) => METADATA + column,
        Part::Remainder | Part::Rows => reader.footer.layout.remainder(),
    }
}

fn decode(reader: &ViperReader, batch: &RecordBatch, part: Part) -> std::result::Result<Chunk, ViperError> {
    let name = reader.footer.layout.schema.field(place(reader, part)).name();
    let array = batch.column_by_name(name).ok_or_else(|| ViperError::Layout(format!("column {name} was not read")))?;
    if part != Part::Remainder {
        return Ok(Chunk::Column(Arc::clone(array)));
    }
    let texts = array.as_string_opt::<i32>().ok_or_else(|| ViperError::Layout(format!("column {name} is not text")))?;
    let decode = |text: Option<&str>| text.map(|text| Ok(Metadata::new(remainder::from_text(text)?)?)).transpose();
    Ok(Chunk::Remainder(texts.iter().map(decode).collect::<std::result::Result<_, ViperError>>()?))
}

/// The rows of a row group for which the filter holds.
fn evaluate_group(reader: &ViperReader, filter: &Filter, rows: usize, parts: &Parts) -> BooleanBuffer {
    let fold = |list: &[Filter], start: bool, combine: fn(&BooleanBuffer, &BooleanBuffer) -> BooleanBuffer| {
        let masks = list.iter().map(|part| evaluate_group(reader, part, rows, parts));
        masks.reduce(|a, b| combine(&a, &b)).unwrap_or_else(|| evaluate::constant(rows, start))
    };
    match filter {
        Filter::And(all) => fold(all, true, |a, b| a & b),
        Filter::Or(any) => fold(any, false, |a, b| a | b),
        Filter::Not(inner) => !&evaluate_group(reader, inner, rows, parts),
        Filter::Field { path, test } => {
            let source = Source::of(&reader.footer, path);
            let column = match source.column.and_then(|column| parts.get(&Part::Column(column))).map(Arc::as_ref) {
                Some(Chunk::Column(array)) => Some(array.as_ref() as &dyn Array),
                _ => None,
            };
            let remainder = match parts.get(&Part::Remainder).map(Arc::as_ref) {
                Some(Chunk::Remainder(rows)) if source.remainder => Some(rows.as_slice()),
                _ => None,
            };
            evaluate::field(rows, path, test, column, remainder)
        }
    }
}
