//! An open segment: scanning, fetching rows, and handing filters on. Owns no bytes and decodes no page itself.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use proximadb_model::{Filter, Metadata, Projection, Rows};
use proximadb_ports::{Fault, PortError, Result, RowStream, SegmentReader, Selection, ValueVisitor};

use crate::batch;
use crate::cache::{ChunkCache, Shelf};
use crate::file::VerifiedFile;
use crate::footer::Footer;
use crate::layout::{EXPIRES, ID, Layout, METADATA, SEQUENCE, VECTOR};
use crate::originals::Places;
use crate::pages::{Pages, Wanted};
use crate::{lookup, originals, select, values};

/// Rows of one block of a scan.
const BLOCK_ROWS_MAX: usize = 2_048;
/// Bytes of the vectors of one block.
const BLOCK_BYTES_MAX: usize = 8 << 20;

/// A segment whose checksum was right when it was opened.
pub(crate) struct ViperReader {
    pub(crate) file: Arc<VerifiedFile>,
    pub(crate) footer: Arc<Footer>,
    pub(crate) shelf: Shelf,
    /// Where vectors lie, if they are plain.
    pub(crate) places: Option<Places>,
    rows: usize,
    resident_bytes: usize,
}

impl ViperReader {
    /// A reader of a verified file with its footer.
    pub(crate) fn new(file: VerifiedFile, footer: Footer, cache: Arc<ChunkCache>) -> Self {
        let rows = footer.group_rows.iter().sum();
        let places = Places::of(&footer);
        let resident_bytes =
            size_of::<Self>() + file.checksum_bytes() + footer.arrow.metadata().memory_size() + places.as_ref().map_or(0, Places::bytes);
        Self { file: Arc::new(file), footer: Arc::new(footer), shelf: ChunkCache::shelf(cache), places, rows, resident_bytes }
    }

    /// Rows by their pages in the file, in the order asked.
    ///
    /// # Errors
    /// As of [`SegmentReader::fetch`].
    pub(crate) async fn read_rows(&self, rows: &[u32], projection: Projection) -> Result<Rows> {
        let mut found = Rows::new(self.footer.layout.dimension);
        let mut sorted: Vec<usize> = rows.iter().map(|row| *row as usize).collect();
        sorted.sort_unstable();
        sorted.dedup();
        match sorted.last() {
            None => return Ok(found),
            Some(last) if *last >= self.rows => return Err(self.beyond(*last)),
            Some(_) => {}
        }
        let mut blocks = self.blocks(projection, Wanted::Ranges(ranges(&sorted)))?;
        while blocks.append_next(&mut found).await? {}
        if found.len() != sorted.len() {
            return Err(PortError::new(Fault::Corrupt, "segment.fetch", self.file.key(), "rows are missing"));
        }
        if sorted.iter().copied().eq(rows.iter().map(|row| *row as usize)) {
            return Ok(found);
        }
        let mut asked = Rows::new(found.dimension);
        for row in rows {
            // Every asked row is among the sorted ones, which are as many as those found.
            asked.push_from(&found, sorted.partition_point(|known| *known < *row as usize));
        }
        Ok(asked)
    }

    /// The error of asking for a row that is not there.
    pub(crate) fn beyond(&self, row: usize) -> PortError {
        let message = format!("row {row} of a segment of {}", self.rows);
        PortError::new(Fault::Invalid, "segment.fetch", self.file.key(), message)
    }

    fn blocks(&self, projection: Projection, wanted: Wanted) -> Result<ViperScan> {
        let layout = &self.footer.layout;
        let mut places = vec![ID, SEQUENCE, EXPIRES];
        if projection.vectors {
            places.push(VECTOR);
        }
        if projection.metadata {
            places.extend(METADATA..=layout.remainder());
        }
        let block_rows = (BLOCK_BYTES_MAX / (layout.dimension * size_of::<f32>()).max(1)).clamp(1, BLOCK_ROWS_MAX);
        let pages = Pages::new(&self.file, &self.footer, &places, wanted, block_rows)?;
        Ok(ViperScan { pages, file: Arc::clone(&self.file), footer: Arc::clone(&self.footer), projection })
    }
}

#[async_trait]
impl SegmentReader for ViperReader {
    fn rows(&self) -> usize {
        self.rows
    }

    async fn scan(&self, projection: Projection) -> Result<Box<dyn RowStream>> {
        Ok(Box::new(self.blocks(projection, Wanted::Every)?))
    }

    fn resident_bytes(&self) -> usize {
        self.resident_bytes
    }

    async fn vectors(&self, rows: Range<usize>) -> Result<Vec<f32>> {
        if rows.start > rows.end || rows.end > self.rows {
            return Err(self.beyond(rows.start.max(rows.end)));
        }
        originals::read(self, rows).await
    }

    async fn vectors_of(&self, rows: &[u32]) -> Result<Vec<f32>> {
        originals::read_some(self, rows).await
    }

    async fn fetch(&self, rows: &[u32], projection: Projection) -> Result<Rows> {
        self.read_rows(rows, projection).await
    }

    async fn metadata(&self, rows: &[u32]) -> Result<Vec<Arc<Metadata>>> {
        lookup::metadata(self, rows).await
    }

    async fn values(&self, paths: &[String], visitor: &mut dyn ValueVisitor) -> Result<()> {
        values::visit(self, paths, visitor).await
    }

    async fn select(&self, filter: &Filter) -> Result<Selection> {
        select::select(self, filter).await
    }
}

/// Ascending distinct rows as ranges.
fn ranges(rows: &[usize]) -> Vec<Range<usize>> {
    let mut ranges: Vec<Range<usize>> = Vec::new();
    for &row in rows {
        match ranges.last_mut() {
            Some(last) if last.end == row => last.end = row + 1,
            _ => ranges.push(row..row + 1),
        }
    }
    ranges
}

/// Blocks of rows of a segment.
struct ViperScan {
    pages: Pages,
    file: Arc<VerifiedFile>,
    footer: Arc<Footer>,
    projection: Projection,
}

impl ViperScan {
    /// Appends the next block; says whether there was one.
    async fn append_next(&mut self, rows: &mut Rows) -> Result<bool> {
        let Some(batch) = self.pages.next().await? else { return Ok(false) };
        let layout: &Layout = &self.footer.layout;
        batch::decode(layout, &batch, self.projection.vectors, self.projection.metadata, rows)
            .map_err(|e| e.corrupt("segment.read", self.file.key()))?;
        Ok(true)
    }
}

#[async_trait]
impl RowStream for ViperScan {
    async fn next(&mut self) -> Result<Option<Rows>> {
        let mut rows = Rows::new(self.footer.layout.dimension);
        Ok(self.append_next(&mut rows).await?.then_some(rows))
    }
}
