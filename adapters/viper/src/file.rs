//! The bytes of a segment as they were when it was opened. Owns the checksums; knows nothing of Parquet.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use proximadb_model::SegmentMeta;
use proximadb_ports::{Fault, Filesystem, PortError, Result};

/// Bytes under one checksum of a [`VerifiedFile`]; every read is rounded to them. As much as disks read at least: what a search fetches
/// of single vectors is rounded to a page or two, and the checksums take a thousandth of the file.
const CHUNK_BYTES: u64 = 4 << 10;
/// Bytes that are read at once while a file is opened.
const PIECE_BYTES: u64 = 1_024 * CHUNK_BYTES;

/// A file whose whole checksum was right once, and whose every later read is held against checksums taken then.
///
/// What rots, is replaced or is read wrongly after the segment was opened is found out all the same.
pub(crate) struct VerifiedFile {
    filesystem: Arc<dyn Filesystem>,
    key: String,
    bytes: u64,
    chunks: Vec<u32>,
}

impl VerifiedFile {
    /// Reads the whole file once, keeping a checksum for each part of it.
    ///
    /// # Errors
    /// `Corrupt` when size or checksum are not those of the meta; those of the filesystem.
    pub(crate) async fn open(filesystem: Arc<dyn Filesystem>, key: String, meta: &SegmentMeta) -> Result<Self> {
        let bytes = filesystem.size(&key).await?;
        if bytes != meta.bytes {
            return Err(damaged(&key, format!("has {bytes} bytes, the manifest says {}", meta.bytes)));
        }
        let mut file =
            Self { filesystem, key, bytes, chunks: Vec::with_capacity(usize::try_from(bytes.div_ceil(CHUNK_BYTES)).unwrap_or(0)) };
        let mut checksum = 0;
        let mut start = 0;
        while start < bytes {
            let end = bytes.min(start + PIECE_BYTES);
            for piece in file.get(&[Range { start, end }]).await? {
                checksum = crc32c::crc32c_append(checksum, &piece);
                file.chunks.extend(piece.chunks(CHUNK_BYTES as usize).map(crc32c::crc32c));
            }
            start = end;
        }
        if checksum != meta.checksum {
            return Err(damaged(&file.key, format!("has checksum {checksum:08x}, the manifest says {:08x}", meta.checksum)));
        }
        Ok(file)
    }

    /// Bytes of the file.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Bytes that its checksums take.
    pub(crate) fn checksum_bytes(&self) -> usize {
        size_of_val(&*self.chunks)
    }

    /// Its key.
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// Reads ranges, answered in the order asked.
    ///
    /// # Errors
    /// `Corrupt` when the bytes are not those the file was opened with, or a range lies beyond them; those of the filesystem.
    pub(crate) async fn read(&self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        if let Some(range) = ranges.iter().find(|r| r.start > r.end || r.end > self.bytes) {
            return Err(damaged(&self.key, format!("its parts point to the bytes {range:?} of {}", self.bytes)));
        }
        let spans = self.spans(ranges);
        let parts = self.get(&spans).await?;
        for (span, part) in spans.iter().zip(&parts) {
            self.verify(span, part)?;
        }
        ranges.iter().map(|range| self.cut(range, &spans, &parts)).collect()
    }

    async fn get(&self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let parts = match self.filesystem.get_ranges(&self.key, ranges).await {
            // The ranges are within the size that the file had.
            Err(e) if e.fault == Fault::Invalid => return Err(damaged(&self.key, "has become shorter".to_owned()).with_source(e)),
            other => other?,
        };
        let whole = parts.len() == ranges.len() && ranges.iter().zip(&parts).all(|(r, part)| part.len() as u64 == r.end - r.start);
        if whole { Ok(parts) } else { Err(damaged(&self.key, "was read in part only".to_owned())) }
    }

    /// The whole chunks that cover the ranges, ascending, without gaps of less than a chunk.
    fn spans(&self, ranges: &[Range<u64>]) -> Vec<Range<u64>> {
        let mut wanted: Vec<Range<u64>> = ranges
            .iter()
            .filter(|r| r.start < r.end)
            .map(|r| r.start / CHUNK_BYTES * CHUNK_BYTES..self.bytes.min(r.end.div_ceil(CHUNK_BYTES) * CHUNK_BYTES))
            .collect();
        wanted.sort_unstable_by_key(|r| (r.start, r.end));
        let mut spans: Vec<Range<u64>> = Vec::new();
        for range in wanted {
            match spans.last_mut() {
                Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
                _ => spans.push(range),
            }
        }
        spans
    }

    fn verify(&self, span: &Range<u64>, part: &Bytes) -> Result<()> {
        let first = (span.start / CHUNK_BYTES) as usize;
        let known = self.chunks.get(first..).unwrap_or_default();
        let mut parts = part.chunks(CHUNK_BYTES as usize).zip(known);
        match parts.all(|(chunk, checksum)| crc32c::crc32c(chunk) == *checksum) {
            true => Ok(()),
            false => Err(damaged(&self.key, "has changed since it was opened".to_owned())),
        }
    }

    fn cut(&self, range: &Range<u64>, spans: &[Range<u64>], parts: &[Bytes]) -> Result<Bytes> {
        if range.start == range.end {
            return Ok(Bytes::new());
        }
        let i = spans.partition_point(|span| span.end <= range.start);
        let (Some(span), Some(part)) = (spans.get(i), parts.get(i)) else {
            return Err(PortError::new(Fault::Internal, "segment.read", &self.key, "a range was not read"));
        };
        let start = (range.start - span.start) as usize;
        Ok(part.slice(start..start + (range.end - range.start) as usize))
    }
}

fn damaged(key: &str, message: String) -> PortError {
    PortError::new(Fault::Corrupt, "segment.read", key, message)
}
