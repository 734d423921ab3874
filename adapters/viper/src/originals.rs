//! Reading all vectors of a segment and nothing else: what a restart reads most of. Knows the form in which vectors are written,
//! and leaves other forms to the library's decoder.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Float32Type;
use bytes::{Buf, Bytes};
use parquet::basic::Encoding;
use parquet::column::page::{Page, PageReader};
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::serialized_reader::SerializedPageReader;
use proximadb_ports::Result;

use crate::error::ViperError;
use crate::layout::VECTOR;
use crate::pages::{Pages, Wanted};
use crate::reader::ViperReader;

/// Bytes of pages that are read at once, about.
const WINDOW_BYTES: u64 = 1 << 20;
/// Rows that the library decodes at once.
const BATCH_ROWS: usize = 1_024;

/// The components of all rows in order.
pub(crate) async fn read(reader: &ViperReader) -> Result<Vec<f32>> {
    let corrupt = |e: ViperError| e.corrupt("segment.read", reader.file.key());
    let components = reader.footer.group_rows.iter().sum::<usize>() * reader.footer.layout.dimension;
    // Of the right size at once: memory that grows is paid for several times.
    let mut vectors = Vec::with_capacity(components);
    match windows(reader) {
        Some(windows) => {
            for window in windows {
                for bytes in reader.file.read(std::slice::from_ref(&window.bytes)).await? {
                    plain(window.column, bytes, &mut vectors).map_err(corrupt)?;
                }
            }
        }
        None => decoded(reader, &mut vectors).await?,
    }
    if vectors.len() == components {
        return Ok(vectors);
    }
    Err(corrupt(ViperError::Layout(format!("its vectors have {} components, {components} were expected", vectors.len()))))
}

/// Adjacent pages of one row group's vectors.
struct Window<'a> {
    column: &'a ColumnChunkMetaData,
    bytes: Range<u64>,
}

/// Where the vectors' pages lie, if all of them are plain.
fn windows(reader: &ViperReader) -> Option<Vec<Window<'_>>> {
    let parquet = reader.footer.arrow.metadata();
    let mut windows: Vec<Window<'_>> = Vec::new();
    for (number, group) in parquet.row_groups().iter().enumerate() {
        let column = group.columns().get(VECTOR)?;
        let is_plain = column.encodings().all(|encoding| matches!(encoding, Encoding::PLAIN | Encoding::RLE));
        if !is_plain || column.dictionary_page_offset().is_some() {
            return None;
        }
        let index = parquet.page_index_for_row_group(number);
        let mut open: Option<Range<u64>> = None;
        for page in index.page_locations(VECTOR)? {
            let start = u64::try_from(page.offset).ok()?;
            let end = start.checked_add(u64::try_from(page.compressed_page_size).ok()?)?;
            match &mut open {
                Some(bytes) if bytes.end == start && end - bytes.start <= WINDOW_BYTES => bytes.end = end,
                _ => windows.extend(open.replace(start..end).map(|bytes| Window { column, bytes })),
            }
        }
        windows.extend(open.map(|bytes| Window { column, bytes }));
    }
    Some(windows)
}

/// Appends the components of plain pages.
fn plain(column: &ColumnChunkMetaData, window: Bytes, into: &mut Vec<f32>) -> std::result::Result<(), ViperError> {
    // To the library the window is the column's whole file.
    let size = i64::try_from(window.len()).unwrap_or(i64::MAX);
    let column = column.clone().into_builder().set_data_page_offset(0).set_total_compressed_size(size).build()?;
    let mut pages = SerializedPageReader::new(Arc::new(window), &column, 0, None)?;
    while let Some(page) = pages.get_next_page()? {
        let strange = || ViperError::Layout("a page of vectors is not what was written".to_owned());
        let (values, count) = match page {
            Page::DataPage { mut buf, num_values, encoding: Encoding::PLAIN, .. } => {
                // Levels of repetition and of definition stand first, each after its length.
                for _ in 0..2 {
                    let levels = buf.try_get_u32_le().map_err(|_| strange())? as usize;
                    if levels > buf.len() {
                        return Err(strange());
                    }
                    buf.advance(levels);
                }
                (buf, num_values)
            }
            Page::DataPageV2 { mut buf, num_values, encoding: Encoding::PLAIN, def_levels_byte_len, rep_levels_byte_len, .. } => {
                let levels = def_levels_byte_len as usize + rep_levels_byte_len as usize;
                if levels > buf.len() {
                    return Err(strange());
                }
                buf.advance(levels);
                (buf, num_values)
            }
            _ => return Err(strange()),
        };
        let (values, rest) = values.as_chunks::<{ size_of::<f32>() }>();
        // Fewer would mean that some are missing, which no vector's are.
        if values.len() != count as usize || !rest.is_empty() {
            return Err(strange());
        }
        into.extend(values.iter().map(|value| f32::from_le_bytes(*value)));
    }
    Ok(())
}

/// Appends the components of pages in any form.
async fn decoded(reader: &ViperReader, into: &mut Vec<f32>) -> Result<()> {
    let mut pages = Pages::new(&reader.file, &reader.footer, &[VECTOR], Wanted::Every, BATCH_ROWS)?;
    let strange = || ViperError::Layout("its vectors have another type".to_owned()).corrupt("segment.read", reader.file.key());
    while let Some(batch) = pages.next().await? {
        let lists = batch.columns().first().and_then(|column| column.as_fixed_size_list_opt()).ok_or_else(strange)?;
        into.extend_from_slice(lists.values().as_primitive_opt::<Float32Type>().ok_or_else(strange)?.values());
    }
    Ok(())
}
