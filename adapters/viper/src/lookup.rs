//! The metadata of single rows, which every search asks for its hits: from memory where there is room to keep it, else from its
//! pages in the file.

use std::sync::Arc;

use proximadb_model::{Metadata, Projection};
use proximadb_ports::{Fault, PortError, Result};

use crate::cache::{Chunk, Part};
use crate::compact::CompactRows;
use crate::error::ViperError;
use crate::layout::METADATA;
use crate::pages::{Pages, Wanted};
use crate::reader::ViperReader;

/// Up to this share of the cache a segment's metadata takes the place of what was not used for longest; beyond it only as much is
/// kept as there is room for, since it would else drive itself out, and every search would decode row groups for a few rows each.
const CACHE_SHARE: usize = 2;

/// The metadata of the given rows, in the order asked.
pub(crate) async fn metadata(reader: &ViperReader, rows: &[u32]) -> Result<Vec<Arc<Metadata>>> {
    let mut found: Vec<Option<Arc<Metadata>>> = vec![None; rows.len()];
    let mut groups: Vec<(usize, Option<Arc<Chunk>>)> = Vec::new();
    let mut absent: Vec<(usize, u32)> = Vec::new();
    for (i, &row) in rows.iter().enumerate() {
        let (group, place) = place_of(reader, row)?;
        let kept = match groups.iter().find(|(known, _)| *known == group) {
            Some((_, kept)) => kept.clone(),
            None => {
                let kept = kept(reader, group).await?;
                groups.push((group, kept.clone()));
                kept
            }
        };
        match kept.as_deref() {
            Some(Chunk::Rows(rows)) => {
                let metadata = rows.metadata(&reader.footer.layout, place).map_err(|e| e.corrupt("segment.read", reader.file.key()))?;
                found[i] = Some(Arc::new(metadata));
            }
            _ => absent.push((i, row)),
        }
    }
    if !absent.is_empty() {
        let numbers: Vec<u32> = absent.iter().map(|(_, row)| *row).collect();
        let read = reader.read_rows(&numbers, Projection { vectors: false, metadata: true }).await?;
        for ((i, _), metadata) in absent.into_iter().zip(read.metadata) {
            found[i] = Some(metadata);
        }
    }
    let all: Option<Vec<_>> = found.into_iter().collect();
    all.ok_or_else(|| PortError::new(Fault::Corrupt, "segment.read", reader.file.key(), "rows are missing"))
}

/// The row group of a row of the segment, and its place there.
fn place_of(reader: &ViperReader, row: u32) -> Result<(usize, usize)> {
    let mut place = row as usize;
    for (group, rows) in reader.footer.group_rows.iter().enumerate() {
        match place.checked_sub(*rows) {
            Some(rest) => place = rest,
            None => return Ok((group, place)),
        }
    }
    Err(reader.beyond(row as usize))
}

/// The metadata of a row group from memory; read and kept where it is not there yet and may be, `None` otherwise.
async fn kept(reader: &ViperReader, group: usize) -> Result<Option<Arc<Chunk>>> {
    if let Some(kept) = reader.shelf.get(group, Part::Rows) {
        return Ok(Some(kept));
    }
    let (bytes, bytes_in_all) = decoded_bytes(reader, group);
    let may_replace = bytes_in_all <= reader.shelf.bytes_max() / CACHE_SHARE;
    if !may_replace && bytes > reader.shelf.bytes_free() {
        return Ok(None);
    }
    let places: Vec<usize> = (METADATA..=reader.footer.layout.remainder()).collect();
    let size = reader.footer.group_rows.get(group).copied().unwrap_or_default();
    let mut pages = Pages::new(&reader.file, &reader.footer, &places, Wanted::Group(group), size)?;
    let corrupt = |e: ViperError| e.corrupt("segment.read", reader.file.key());
    let batch = pages.next().await?.ok_or_else(|| corrupt(ViperError::Layout("a row group is empty".to_owned())))?;
    if batch.num_rows() != size {
        return Err(corrupt(ViperError::Layout(format!("a row group of {size} rows gave {}", batch.num_rows()))));
    }
    let rows = CompactRows::new(&reader.footer.layout, &batch).map_err(corrupt)?;
    Ok(Some(reader.shelf.put(group, Part::Rows, Chunk::Rows(rows))))
}

/// About the bytes that the metadata of a row group and of all of them takes once it is decoded: those that the file says it has
/// uncompressed.
fn decoded_bytes(reader: &ViperReader, group: usize) -> (usize, usize) {
    let of_group = |group: &parquet::file::metadata::RowGroupMetaData| {
        let columns = group.columns().iter().skip(METADATA).map(|column| usize::try_from(column.uncompressed_size()).unwrap_or(usize::MAX));
        columns.fold(0, usize::saturating_add)
    };
    let groups = reader.footer.arrow.metadata().row_groups();
    (groups.get(group).map_or(0, of_group), groups.iter().map(of_group).fold(0, usize::saturating_add))
}
