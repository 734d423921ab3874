//! Reading batches of a log, each checked again, from whichever copy has them whole.

use std::sync::Arc;

use bytes::Bytes;
use proximadb_model::ShardId;
use proximadb_model::frame::{Frame, Header, Kind};
use proximadb_ports::{Fault, PortError, Result};

use crate::index::Entry;
use crate::medium::{Medium, file_name};
use crate::mirror::Mirror;
use crate::tail::Pending;

pub(crate) struct Reader {
    medium: Medium,
    mirror: Option<Arc<Mirror>>,
    own: Option<Chunk>,
    second: Option<Chunk>,
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

/// The bytes of a batch are not what they were when the log was opened.
pub(crate) fn corrupt(shard: ShardId, entry: &Entry) -> PortError {
    let message =
        format!("log file {} at {} does not hold the batch that was there when the log was opened", entry.place.file, entry.place.offset);
    PortError::new(Fault::Corrupt, "wal.replay", shard, message)
}

impl Reader {
    pub(crate) fn new(medium: Medium, mirror: Option<Arc<Mirror>>) -> Self {
        Self { medium, mirror, own: None, second: None }
    }

    /// The frame of a batch, whole. What follows it in its file up to `ahead` is read with it, for the next ones.
    ///
    /// # Errors
    /// `Corrupt` when no copy has it; `Unavailable` when that cannot be told now.
    pub(crate) async fn frame(&mut self, shard: ShardId, entry: &Entry, ahead: u64) -> Result<Bytes> {
        let own = self.own_frame(shard, entry, ahead).await;
        match (own, &self.mirror) {
            (Err(own), Some(mirror)) => match second_frame(mirror, &mut self.second, shard, entry, ahead).await {
                Ok(bytes) => Ok(bytes),
                Err(second) if matches!(second.fault, Fault::Corrupt | Fault::NotFound) => Err(own),
                Err(second) => {
                    let message = format!("the batch is not whole in the log's own copy ({own}), and the second copy cannot be read");
                    Err(PortError::new(second.fault, "wal.replay", shard, message).with_source(second))
                }
            },
            (own, _) => own,
        }
    }

    async fn own_frame(&mut self, shard: ShardId, entry: &Entry, ahead: u64) -> Result<Bytes> {
        if let Some(frame) = self.own.as_ref().and_then(|chunk| chunk.frame(entry)) {
            return checked(shard, entry, frame);
        }
        let (file, offset) = (entry.place.file, u64::from(entry.place.offset));
        let bytes = self.medium.read_at(file, offset, ahead.max(entry.end()) - offset).await?;
        let chunk = self.own.insert(Chunk { file, offset, bytes });
        checked(shard, entry, chunk.frame(entry).ok_or_else(|| corrupt(shard, entry))?)
    }

    /// The batches as they are to be written once more.
    pub(crate) async fn copy(&mut self, shard: ShardId, entry: &Entry) -> Result<Pending> {
        let bytes = self.frame(shard, entry, 0).await?;
        let frame = Frame::decode(&bytes).map_err(|bad| corrupt(shard, entry).with_source(bad))?;
        Ok(Pending {
            header: Header { kind: Kind::Copy, ..frame.header },
            key: frame.key.to_owned(),
            payload: bytes.slice_ref(frame.payload),
        })
    }
}

async fn second_frame(mirror: &Mirror, chunk: &mut Option<Chunk>, shard: ShardId, entry: &Entry, ahead: u64) -> Result<Bytes> {
    if let Some(frame) = chunk.as_ref().and_then(|chunk| chunk.frame(entry)) {
        return checked(shard, entry, frame);
    }
    let (file, offset) = (entry.place.file, u64::from(entry.place.offset));
    let bytes = mirror.disk()?.read_at(&file_name(file), offset, ahead.max(entry.end()) - offset).await?;
    let chunk = chunk.insert(Chunk { file, offset, bytes });
    checked(shard, entry, chunk.frame(entry).ok_or_else(|| corrupt(shard, entry))?)
}

fn checked(shard: ShardId, entry: &Entry, bytes: Bytes) -> Result<Bytes> {
    let header = Frame::decode(&bytes).map_err(|bad| corrupt(shard, entry).with_source(bad))?.header;
    let is_it = header.shard == shard && header.place == entry.place;
    if is_it && (header.epoch, header.first, header.last()) == (entry.epoch, entry.first, entry.last) {
        return Ok(bytes);
    }
    Err(corrupt(shard, entry))
}
