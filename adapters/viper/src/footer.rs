//! What the end of a segment's file says: whose it is, its columns and where their pages lie. Reads no pages.

use std::collections::HashMap;
use std::sync::Arc;

use parquet::DecodeResult;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataPushDecoder};
use proximadb_model::{FileId, SegmentMeta, ShardId};
use proximadb_ports::Result;

use crate::error::ViperError;
use crate::file::VerifiedFile;
use crate::layout::Layout;
use crate::remainder::RemainderKeys;

/// The version of the format that is written, and the only one that is read.
const FORMAT: &str = "1";
const FORMAT_KEY: &str = "proximadb.format";
const SHARD_KEY: &str = "proximadb.shard";
const SEGMENT_KEY: &str = "proximadb.segment";
const DIMENSION_KEY: &str = "proximadb.dimension";
/// The key under which a footer lists what stands in the remainder.
pub(crate) const REMAINDER_KEYS: &str = "proximadb.remainder_keys";

/// What a footer says of whose it is.
pub(crate) fn identity(shard: ShardId, id: FileId, dimension: usize) -> [(&'static str, String); 4] {
    [(FORMAT_KEY, FORMAT.to_owned()), (SHARD_KEY, shard.to_string()), (SEGMENT_KEY, id.to_string()), (DIMENSION_KEY, dimension.to_string())]
}

/// A footer that was read.
pub(crate) struct Footer {
    /// The columns.
    pub(crate) layout: Layout,
    /// What may stand in the remainder.
    pub(crate) keys: RemainderKeys,
    /// Where everything lies, with the offset index.
    pub(crate) arrow: ArrowReaderMetadata,
    /// Rows of each row group.
    pub(crate) group_rows: Vec<usize>,
}

impl Footer {
    /// Reads the footer of a file that was verified.
    ///
    /// # Errors
    /// `Corrupt` when it is not the footer of that segment; those of the file.
    pub(crate) async fn read(file: &VerifiedFile, shard: ShardId, meta: &SegmentMeta) -> Result<Self> {
        let corrupt = |e: ViperError| e.corrupt("segment.open", file.key());
        let mut decoder = ParquetMetaDataPushDecoder::try_new(file.bytes())
            .map_err(|e| corrupt(e.into()))?
            .with_column_index_policy(PageIndexPolicy::Skip)
            .with_offset_index_policy(PageIndexPolicy::Required);
        let parquet = loop {
            match decoder.try_decode().map_err(|e| corrupt(e.into()))? {
                DecodeResult::NeedsData(ranges) => {
                    let data = file.read(&ranges).await?;
                    decoder.push_ranges(ranges, data).map_err(|e| corrupt(e.into()))?;
                }
                DecodeResult::Data(parquet) => break parquet,
                DecodeResult::Finished => return Err(corrupt(ViperError::Layout("its footer has no end".to_owned()))),
            }
        };
        Self::of(parquet, shard, meta).map_err(corrupt)
    }

    fn of(parquet: ParquetMetaData, shard: ShardId, meta: &SegmentMeta) -> std::result::Result<Self, ViperError> {
        let said: HashMap<String, String> = parquet
            .file_metadata()
            .key_value_metadata()
            .into_iter()
            .flatten()
            .filter_map(|pair| pair.value.clone().map(|value| (pair.key.clone(), value)))
            .collect();
        let keys = RemainderKeys::from_text(said.get(REMAINDER_KEYS).map(String::as_str))?;
        let arrow = ArrowReaderMetadata::try_new(Arc::new(parquet), ArrowReaderOptions::new())?;
        let layout = Layout::of_file(arrow.schema())?;
        for (key, expected) in identity(shard, meta.id, layout.dimension) {
            match said.get(key) {
                Some(value) if *value == expected => {}
                Some(value) => return Err(ViperError::Layout(format!("its {key} is {value:?}, {expected:?} was expected"))),
                None => return Err(ViperError::Layout(format!("it has no {key}"))),
            }
        }
        let groups = arrow.metadata().row_groups();
        let group_rows = groups
            .iter()
            .map(|group| usize::try_from(group.num_rows()).map_err(|_| ViperError::Layout("a row group has less than no rows".to_owned())))
            .collect::<std::result::Result<Vec<_>, _>>()?;
        if group_rows.iter().sum::<usize>() != meta.rows as usize {
            return Err(ViperError::Layout(format!("its rows are not {}", meta.rows)));
        }
        Ok(Self { layout, keys, arrow, group_rows })
    }
}
