//! Giving batches back, one after the other.

use std::collections::VecDeque;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use proximadb_model::frame::Frame;
use proximadb_model::{EncodedOperations, ShardId, WriteBatch};
use proximadb_ports::{BatchStream, Result};

use crate::index::Entry;
use crate::log::Shared;
use crate::reader::{Reader, corrupt};

/// Bytes that one read asks for where batches lie close together.
const CHUNK_BYTES: u64 = 4 << 20;

pub(crate) struct Replay {
    shared: Arc<Shared>,
    shard: ShardId,
    entries: VecDeque<Entry>,
    reader: Reader,
}

impl Replay {
    pub(crate) fn new(shared: Arc<Shared>, shard: ShardId, entries: Vec<Entry>) -> Self {
        let reader = shared.reader();
        Self { shared, shard, entries: entries.into(), reader }
    }

    async fn read(&mut self, entry: &Entry) -> Result<Bytes> {
        let close = |next: &&Entry| next.place.file == entry.place.file && next.place > entry.place;
        let near = |next: &&Entry| next.end() - u64::from(entry.place.offset) <= CHUNK_BYTES;
        let ahead = self.entries.iter().take_while(close).take_while(near).last().map_or(0, Entry::end);
        self.reader.frame(self.shard, entry, ahead).await
    }
}

#[async_trait]
impl BatchStream for Replay {
    async fn next(&mut self) -> Result<Option<WriteBatch>> {
        let Some(mut entry) = self.entries.pop_front() else { return Ok(None) };
        let bytes = loop {
            let failure = match self.read(&entry).await {
                Ok(bytes) => break bytes,
                Err(failure) => failure,
            };
            // The batch may have been written once more meanwhile, and the file where it stood freed.
            let moved = self.shared.state().index.moved(self.shard, &entry);
            entry = moved.ok_or(failure)?;
        };
        let frame = Frame::decode(&bytes).map_err(|bad| corrupt(self.shard, &entry).with_source(bad))?;
        let header = frame.header;
        let operations = self.shared.codecs.decode(header.codec, frame.payload)?;
        if operations.len() != header.operations as usize {
            return Err(corrupt(self.shard, &entry));
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
