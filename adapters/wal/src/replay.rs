//! Reading batches back, frame by frame, each checked again.

use std::collections::VecDeque;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use proximadb_model::frame::Frame;
use proximadb_model::{EncodedOperations, ShardId, WriteBatch};
use proximadb_ports::{BatchStream, Fault, PortError, Result};

use crate::index::Entry;
use crate::log::Shared;

/// Bytes that one read asks for where batches lie close together.
const CHUNK_BYTES: u64 = 4 << 20;

pub(crate) struct Replay {
    shared: Arc<Shared>,
    shard: ShardId,
    entries: VecDeque<Entry>,
    chunk: Option<Chunk>,
}

struct Chunk {
    file: u32,
    offset: u64,
    bytes: Bytes,
}

impl Chunk {
    fn frame(&self, entry: &Entry) -> Option<Bytes> {
        let from = u64::from(entry.place.offset).checked_sub(self.offset).filter(|_| self.file == entry.place.file)?;
        let (from, to) = (usize::try_from(from).ok()?, usize::try_from(entry.end() - self.offset).ok()?);
        (to <= self.bytes.len()).then(|| self.bytes.slice(from..to))
    }
}

impl Replay {
    pub(crate) fn new(shared: Arc<Shared>, shard: ShardId, entries: Vec<Entry>) -> Self {
        Self { shared, shard, entries: entries.into(), chunk: None }
    }

    fn corrupt(&self, entry: &Entry) -> PortError {
        let message = format!(
            "log file {} at {} does not hold the batch that was there when the log was opened",
            entry.place.file, entry.place.offset
        );
        PortError::new(Fault::Corrupt, "wal.replay", self.shard, message)
    }

    async fn frame(&mut self, entry: &Entry) -> Result<Bytes> {
        if let Some(frame) = self.chunk.as_ref().and_then(|chunk| chunk.frame(entry)) {
            return Ok(frame);
        }
        let offset = u64::from(entry.place.offset);
        // A batch that was copied may lie before its predecessor.
        let close = |next: &&Entry| next.place > entry.place && next.place.file == entry.place.file && next.end() - offset <= CHUNK_BYTES;
        let end = self.entries.iter().take_while(close).last().map_or(entry.end(), Entry::end);
        let bytes = self.shared.medium.read_at(entry.place.file, offset, end - offset).await?;
        let chunk = Chunk { file: entry.place.file, offset, bytes };
        let frame = chunk.frame(entry).ok_or_else(|| self.corrupt(entry))?;
        self.chunk = Some(chunk);
        Ok(frame)
    }
}

#[async_trait]
impl BatchStream for Replay {
    async fn next(&mut self) -> Result<Option<WriteBatch>> {
        let Some(entry) = self.entries.pop_front() else { return Ok(None) };
        let bytes = self.frame(&entry).await?;
        let frame = Frame::decode(&bytes).map_err(|bad| self.corrupt(&entry).with_source(bad))?;
        let header = frame.header;
        if header.shard != self.shard || header.place != entry.place || (header.first, header.last()) != (entry.first, entry.last) {
            return Err(self.corrupt(&entry));
        }
        let operations = self.shared.codecs.decode(header.codec, frame.payload)?;
        if operations.len() != header.operations as usize {
            return Err(self.corrupt(&entry));
        }
        Ok(Some(WriteBatch {
            shard: header.shard,
            epoch: header.epoch,
            first: header.first,
            operations,
            idempotency: frame.idempotency(),
            encoded: Some(EncodedOperations { codec: header.codec, payload: bytes.slice_ref(frame.payload) }),
        }))
    }
}
