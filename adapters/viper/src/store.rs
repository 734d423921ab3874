//! Segments of one site as Parquet files under a filesystem. Owns their keys; encodes and decodes nothing itself.

use std::sync::Arc;

use async_trait::async_trait;
use proximadb_model::limits::{DIMENSION_MAX, SEGMENT_ROWS_MAX};
use proximadb_model::{FileId, Rows, Schema, SegmentMeta, ShardId};
use proximadb_ports::{Clock, Fault, Filesystem, PortError, PutMode, Result, RowStream, SegmentReader, SegmentStore};

use crate::cache::ChunkCache;
use crate::file::VerifiedFile;
use crate::footer::Footer;
use crate::layout::Layout;
use crate::options::ViperOptions;
use crate::reader::ViperReader;
use crate::writer::SegmentWriter;

/// Segments as plain Parquet files under `shards/<shard>/segments/<file>.parquet`.
///
/// A segment is encoded in memory and put at once. All readers of a store share one cache of decoded metadata.
pub struct ViperStore {
    filesystem: Arc<dyn Filesystem>,
    clock: Arc<dyn Clock>,
    options: ViperOptions,
    cache: Arc<ChunkCache>,
}

impl ViperStore {
    /// A store below the filesystem's root.
    pub fn new(filesystem: Arc<dyn Filesystem>, clock: Arc<dyn Clock>, options: ViperOptions) -> Self {
        let cache = Arc::new(ChunkCache::new(options.cache_bytes_max));
        Self { filesystem, clock, options, cache }
    }

    /// Reads rows until there are enough to choose columns by; answers with the dimension.
    async fn sample(&self, id: FileId, rows: &mut dyn RowStream) -> Result<(usize, Vec<Rows>)> {
        let mut sample: Vec<Rows> = Vec::new();
        let (mut count, mut bytes) = (0, 0);
        while count < self.options.sample_rows_max.max(1) && bytes < self.options.row_group_bytes_max.max(1) {
            let Some(block) = rows.next().await? else { break };
            check(id, &block, sample.first().map(|first| first.dimension))?;
            count += block.len();
            bytes += block.vectors.len() * size_of::<f32>();
            sample.push(block);
        }
        match sample.first() {
            Some(first) => Ok((first.dimension, sample)),
            None => Err(refused(id, "a segment must have rows")),
        }
    }
}

fn key(shard: ShardId, id: FileId) -> String {
    format!("shards/{shard}/segments/{id}.parquet")
}

fn refused(id: FileId, message: impl Into<String>) -> PortError {
    PortError::new(Fault::Invalid, "segment.write", id, message)
}

/// Checks what a block of rows must be before it is encoded.
fn check(id: FileId, block: &Rows, dimension: Option<usize>) -> Result<()> {
    let dimension = dimension.unwrap_or(block.dimension);
    if block.dimension != dimension || !(1..=DIMENSION_MAX).contains(&dimension) {
        return Err(refused(id, format!("rows of dimension {} among those of {dimension}", block.dimension)));
    }
    let rows = block.len();
    let lengths = [block.metadata.len(), block.sequences.len(), block.expires.len()];
    if block.vectors.len() != rows * dimension || lengths.iter().any(|len| *len != rows) {
        return Err(refused(id, "rows must have every column"));
    }
    Ok(())
}

#[async_trait]
impl SegmentStore for ViperStore {
    async fn write(&self, shard: ShardId, id: FileId, schema: &Schema, rows: &mut dyn RowStream) -> Result<SegmentMeta> {
        let internal = |e: crate::error::ViperError| e.internal("segment.write", &id.to_string());
        let (dimension, sample) = self.sample(id, rows).await?;
        let layout = Layout::choose(dimension, schema, &sample, self.options.metadata_columns_max);
        let mut writer = SegmentWriter::new(shard, id, layout, &self.options).map_err(internal)?;
        for block in sample {
            writer.push(&block).map_err(internal)?;
        }
        while let Some(block) = rows.next().await? {
            check(id, &block, Some(dimension))?;
            if writer.rows() + block.len() > SEGMENT_ROWS_MAX {
                return Err(refused(id, format!("a segment has at most {SEGMENT_ROWS_MAX} rows")));
            }
            writer.push(&block).map_err(internal)?;
        }
        let written = writer.finish().map_err(internal)?;
        let meta = SegmentMeta {
            id,
            rows: u32::try_from(written.rows).map_err(|_| refused(id, "too many rows"))?,
            bytes: written.bytes.len() as u64,
            checksum: crc32c::crc32c(&written.bytes),
            sequences: written.sequences,
            created: self.clock.now(),
        };
        if meta.rows == 0 {
            return Err(refused(id, "a segment must have rows"));
        }
        self.filesystem.put(&key(shard, id), written.bytes, PutMode::CreateOnly).await?;
        Ok(meta)
    }

    async fn open(&self, shard: ShardId, meta: &SegmentMeta) -> Result<Arc<dyn SegmentReader>> {
        let file = VerifiedFile::open(Arc::clone(&self.filesystem), key(shard, meta.id), meta).await?;
        let footer = Footer::read(&file, shard, meta).await?;
        Ok(Arc::new(ViperReader::new(file, footer, Arc::clone(&self.cache))))
    }

    fn cached_bytes(&self) -> usize {
        self.cache.bytes()
    }

    fn key(&self, shard: ShardId, id: FileId) -> String {
        key(shard, id)
    }

    async fn delete(&self, shard: ShardId, id: FileId) -> Result<()> {
        self.filesystem.delete(&key(shard, id)).await
    }
}
