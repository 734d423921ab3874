//! Reading vectors and nothing else: all of them, which a restart does, or those of a few rows, which searches do whose originals are
//! on disk. Knows where plain vectors lie in the file, and leaves other forms to the library's decoder.

use std::ops::Range;

use arrow_array::cast::AsArray;
use arrow_array::types::Float32Type;
use bytes::Bytes;
use parquet::basic::{Compression, Encoding};
use proximadb_kernels::ask_for_huge_pages;
use proximadb_model::Projection;
use proximadb_ports::Result;

use crate::error::ViperError;
use crate::footer::Footer;
use crate::layout::VECTOR;
use crate::pages::{Pages, Wanted};
use crate::reader::ViperReader;

/// Bytes of vectors that are read at once, about.
const WINDOW_BYTES: usize = 1 << 20;
/// Rows that the library decodes at once.
const BATCH_ROWS: usize = 1_024;

/// Where each row's components lie, in a file whose vectors are plain and not compressed.
///
/// Pages begin with a row wherever there is an offset index (Parquet, `PageIndex.md`), and the values are the last that a page has. So
/// they begin their own length before the page's end, whatever its header and its levels take.
pub(crate) struct Places {
    row_bytes: u64,
    rows: usize,
    /// The first row of each page that has rows, and where its values begin.
    pages: Vec<(usize, u64)>,
}

impl Places {
    /// The places in a file with this footer; `None` where its vectors have another form.
    pub(crate) fn of(footer: &Footer) -> Option<Self> {
        let parquet = footer.arrow.metadata();
        let row_bytes = (footer.layout.dimension * size_of::<f32>()) as u64;
        let mut pages: Vec<(usize, u64)> = Vec::new();
        let mut first = 0;
        for (number, (group, rows)) in parquet.row_groups().iter().zip(&footer.group_rows).enumerate() {
            let column = group.columns().get(VECTOR)?;
            let is_plain = column.encodings().all(|encoding| matches!(encoding, Encoding::PLAIN | Encoding::RLE))
                && column.compression() == Compression::UNCOMPRESSED
                && column.dictionary_page_offset().is_none();
            let index = parquet.page_index_for_row_group(number);
            let locations = index.page_locations(VECTOR).filter(|_| is_plain)?;
            for (at, page) in locations.iter().enumerate() {
                let begin = usize::try_from(page.first_row_index).ok()?;
                let end = locations.get(at + 1).map_or(Some(*rows), |next| usize::try_from(next.first_row_index).ok())?;
                // The first page begins with the first row, and each of the others after the one before.
                if (at == 0 && begin != 0) || begin > end || end > *rows {
                    return None;
                }
                if begin < end {
                    let page_end = u64::try_from(page.offset).ok()?.checked_add(u64::try_from(page.compressed_page_size).ok()?)?;
                    let values = ((end - begin) as u64).checked_mul(row_bytes)?;
                    pages.push((first + begin, page_end.checked_sub(values).filter(|start| *start > page.offset as u64)?));
                }
            }
            first += rows;
        }
        (pages.first().map_or(0, |(row, _)| *row) == 0).then_some(Self { row_bytes, rows: first, pages })
    }

    /// Bytes resident.
    pub(crate) fn bytes(&self) -> usize {
        size_of_val(&*self.pages)
    }

    /// The bytes of a row, which is there, and of those that follow it in its page: how many they are, and where they lie.
    fn from(&self, row: usize) -> Option<(usize, Range<u64>)> {
        let page = self.pages.partition_point(|(first, _)| *first <= row).checked_sub(1)?;
        let (first, values) = *self.pages.get(page)?;
        let end = self.pages.get(page + 1).map_or(self.rows, |(next, _)| *next);
        let rows = end.checked_sub(row).filter(|rows| *rows > 0)?;
        let start = values + (row - first) as u64 * self.row_bytes;
        Some((rows, start..start + rows as u64 * self.row_bytes))
    }
}

/// The components of a range of rows in order.
pub(crate) async fn read(reader: &ViperReader, rows: Range<usize>) -> Result<Vec<f32>> {
    let dimension = reader.footer.layout.dimension;
    let components = rows.len() * dimension;
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    // Of the right size at once: memory that grows is paid for several times. Searches pick rows from all over it.
    let mut vectors = Vec::with_capacity(components);
    ask_for_huge_pages(vectors.spare_capacity_mut());
    match &reader.places {
        Some(places) => {
            let window_rows = (WINDOW_BYTES / (dimension * size_of::<f32>())).max(1);
            let mut next = rows.start;
            while next < rows.end {
                let window = next..rows.end.min(next + window_rows);
                let mut parts = Vec::new();
                while next < window.end {
                    let (count, bytes) = places.from(next).ok_or_else(|| reader.beyond(next))?;
                    let count = count.min(window.end - next);
                    parts.push(bytes.start..bytes.start + count as u64 * places.row_bytes);
                    next += count;
                }
                for bytes in reader.file.read(&parts).await? {
                    append(&bytes, &mut vectors);
                }
            }
        }
        None => decoded(reader, rows, &mut vectors).await?,
    }
    if vectors.len() == components { Ok(vectors) } else { Err(missing(reader, vectors.len(), components)) }
}

/// The components of some rows, in the order asked: by one read of their bytes and a little around them where vectors are plain.
pub(crate) async fn read_some(reader: &ViperReader, rows: &[u32]) -> Result<Vec<f32>> {
    let Some(places) = &reader.places else {
        return Ok(reader.read_rows(rows, Projection { vectors: true, metadata: false }).await?.vectors);
    };
    let place = |row: &u32| {
        let (_, bytes) = places.from(*row as usize).ok_or_else(|| reader.beyond(*row as usize))?;
        Ok(bytes.start..bytes.start + places.row_bytes)
    };
    let ranges = rows.iter().map(place).collect::<Result<Vec<_>>>()?;
    let mut vectors = Vec::with_capacity(rows.len() * reader.footer.layout.dimension);
    for bytes in reader.file.read(&ranges).await? {
        append(&bytes, &mut vectors);
    }
    Ok(vectors)
}

fn append(bytes: &Bytes, into: &mut Vec<f32>) {
    let (values, _) = bytes.as_chunks::<{ size_of::<f32>() }>();
    into.extend(values.iter().map(|value| f32::from_le_bytes(*value)));
}

fn missing(reader: &ViperReader, found: usize, expected: usize) -> proximadb_ports::PortError {
    let what = format!("its vectors have {found} components, {expected} were expected");
    ViperError::Layout(what).corrupt("segment.read", reader.file.key())
}

/// Appends the components of pages in any form.
async fn decoded(reader: &ViperReader, rows: Range<usize>, into: &mut Vec<f32>) -> Result<()> {
    let wanted = if rows.len() == reader.footer.group_rows.iter().sum::<usize>() { Wanted::Every } else { Wanted::Ranges(vec![rows]) };
    let mut pages = Pages::new(&reader.file, &reader.footer, &[VECTOR], wanted, BATCH_ROWS)?;
    let strange = || ViperError::Layout("its vectors have another type".to_owned()).corrupt("segment.read", reader.file.key());
    while let Some(batch) = pages.next().await? {
        let lists = batch.columns().first().and_then(|column| column.as_fixed_size_list_opt()).ok_or_else(strange)?;
        into.extend_from_slice(lists.values().as_primitive_opt::<Float32Type>().ok_or_else(strange)?.values());
    }
    Ok(())
}
