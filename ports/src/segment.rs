//! Immutable files of rows, and reading them by row, by column and by condition.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use proximadb_model::{FileId, Filter, Metadata, Projection, RowSet, Rows, Schema, SegmentMeta, ShardId, Value};

use crate::error::Result;

/// Segments of one site.
///
/// Guarantees:
/// - G1 what `write` was given is what `scan`, `vectors`, `vectors_of`, `fetch` and `metadata` give back, row for row, bit for bit, in the same order;
/// - G2 once `write` has returned the file is whole and durable; a failed or dropped write leaves nothing that lists as a segment;
/// - G3 `open` fails with `Corrupt` when size or checksum differ from the meta, and never serves such bytes;
/// - G4 `select` answers exactly `Filter::matches` for every row, with or without pruning;
/// - G5 the file is plain Parquet that other readers open without us;
/// - G6 `values` gives what `Metadata::get` gives for every path in every row that has something there, each once.
#[async_trait]
pub trait SegmentStore: Send + Sync + 'static {
    /// Writes the rows of a stream as one segment.
    ///
    /// # Errors
    /// `Invalid` for no rows or rows of differing dimension; `Exhausted`; `Unavailable`; any error of the stream.
    async fn write(&self, shard: ShardId, id: FileId, schema: &Schema, rows: &mut dyn RowStream) -> Result<SegmentMeta>;

    /// Opens a segment.
    ///
    /// # Errors
    /// `NotFound`; `Corrupt`; `Unavailable`.
    async fn open(&self, shard: ShardId, meta: &SegmentMeta) -> Result<Arc<dyn SegmentReader>>;

    /// Bytes that the store keeps in memory of what its readers have decoded.
    fn cached_bytes(&self) -> usize;

    /// The key of a segment's file on the site's filesystem, for whoever copies or checks whole files.
    fn key(&self, shard: ShardId, id: FileId) -> String;

    /// Removes a segment; succeeds when it is not there.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn delete(&self, shard: ShardId, id: FileId) -> Result<()>;
}

/// Rows in blocks of at most some thousands.
#[async_trait]
pub trait RowStream: Send {
    /// The next rows, never none of them, or `None` at the end.
    ///
    /// # Errors
    /// Those of the source.
    async fn next(&mut self) -> Result<Option<Rows>>;
}

/// An open segment; cheap to share.
#[async_trait]
pub trait SegmentReader: Send + Sync + 'static {
    /// Number of rows.
    fn rows(&self) -> usize;

    /// Every row in order, with the columns of the projection.
    ///
    /// # Errors
    /// `Corrupt`; `Unavailable`.
    async fn scan(&self, projection: Projection) -> Result<Box<dyn RowStream>>;

    /// Bytes resident of the open segment, without what the store's cache holds of it.
    fn resident_bytes(&self) -> usize;

    /// The vectors of a range of rows in order, component after component, and nothing else.
    ///
    /// # Errors
    /// `Invalid` for rows beyond the end; `Corrupt`; `Unavailable`.
    async fn vectors(&self, rows: Range<usize>) -> Result<Vec<f32>>;

    /// The vectors of the given rows, in the order asked, component after component: what each search does whose originals are on
    /// disk.
    ///
    /// # Errors
    /// As of [`SegmentReader::fetch`].
    async fn vectors_of(&self, rows: &[u32]) -> Result<Vec<f32>>;

    /// The given rows, in the order asked.
    ///
    /// # Errors
    /// `Invalid` for a row beyond the end; `Corrupt`; `Unavailable`.
    async fn fetch(&self, rows: &[u32], projection: Projection) -> Result<Rows>;

    /// Shows the values at some paths, those of one path with rows ascending, until the visitor has enough. Whoever wants them for
    /// good keeps them; reading what few rows need is what `fetch` is for.
    ///
    /// # Errors
    /// `Corrupt`; `Unavailable`.
    async fn values(&self, paths: &[String], visitor: &mut dyn ValueVisitor) -> Result<()>;

    /// The metadata of the given rows, in the order asked: what every search does for its hits, and so is kept in memory as far as
    /// there is room for it.
    ///
    /// # Errors
    /// As of [`SegmentReader::fetch`].
    async fn metadata(&self, rows: &[u32]) -> Result<Vec<Arc<Metadata>>>;

    /// The rows for which the filter holds, and how that was found out.
    ///
    /// # Errors
    /// `Corrupt`; `Unavailable`.
    async fn select(&self, filter: &Filter) -> Result<Selection>;
}

/// Is shown values by [`SegmentReader::values`].
pub trait ValueVisitor: Send {
    /// The value at the path with this place among those asked for, in this row.
    fn value(&mut self, path: usize, row: usize, value: &Value);

    /// Whether to go on; asked now and then.
    fn wants_more(&self) -> bool;
}

/// The answer of [`SegmentReader::select`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// The rows for which the filter holds.
    pub rows: RowSet,
    /// Rows whose values were looked at; the others were ruled out by statistics or bloom filters.
    pub rows_examined: u64,
}
