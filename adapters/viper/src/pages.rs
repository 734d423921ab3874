//! Decoding chosen columns and rows of a segment, reading no more than their pages. Knows no metadata and no filters.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::RecordBatch;
use parquet::DecodeResult;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::RowSelection;
use parquet::arrow::push_decoder::{ParquetPushDecoder, ParquetPushDecoderBuilder};
use proximadb_ports::Result;

use crate::error::ViperError;
use crate::file::VerifiedFile;
use crate::footer::Footer;

/// Batches of some columns of a segment, one after another.
pub(crate) struct Pages {
    file: Arc<VerifiedFile>,
    decoder: ParquetPushDecoder,
}

/// Which rows are wanted.
pub(crate) enum Wanted {
    /// All.
    Every,
    /// All of one row group.
    Group(usize),
    /// Ranges of the segment's rows, ascending and apart.
    Ranges(Vec<Range<usize>>),
}

impl Pages {
    /// Batches of at most `batch_rows` rows with the columns at these places.
    ///
    /// # Errors
    /// `Corrupt` when the footer contradicts itself.
    pub(crate) fn new(file: &Arc<VerifiedFile>, footer: &Footer, places: &[usize], wanted: Wanted, batch_rows: usize) -> Result<Self> {
        let mask = ProjectionMask::roots(footer.arrow.parquet_schema(), places.iter().copied());
        let builder =
            ParquetPushDecoderBuilder::new_with_metadata(footer.arrow.clone()).with_projection(mask).with_batch_size(batch_rows.max(1));
        let builder = match wanted {
            Wanted::Every => builder,
            Wanted::Group(group) => builder.with_row_groups(vec![group]),
            Wanted::Ranges(ranges) => {
                builder.with_row_selection(RowSelection::from_consecutive_ranges(ranges.into_iter(), footer.group_rows.iter().sum()))
            }
        };
        let decoder = builder.build().map_err(|e| ViperError::from(e).corrupt("segment.read", file.key()))?;
        Ok(Self { file: Arc::clone(file), decoder })
    }

    /// The next batch.
    ///
    /// # Errors
    /// `Corrupt`; those of the file.
    pub(crate) async fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            let corrupt = |e| ViperError::Parquet(e).corrupt("segment.read", self.file.key());
            match self.decoder.try_decode().map_err(corrupt)? {
                DecodeResult::NeedsData(ranges) => {
                    let data = self.file.read(&ranges).await?;
                    self.decoder.push_ranges(ranges, data).map_err(corrupt)?;
                }
                DecodeResult::Data(batch) => return Ok(Some(batch)),
                DecodeResult::Finished => return Ok(None),
            }
        }
    }
}
