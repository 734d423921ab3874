//! The place of one shard in the log.

use std::sync::Arc;

use async_trait::async_trait;
use proximadb_model::frame::{Header, Kind, LogId, Place};
use proximadb_model::limits::{FRAME_BYTES_MAX, IDEMPOTENCY_KEY_BYTES_MAX};
use proximadb_model::{Invalid, Lsn, Sequence, WriteBatch};
use proximadb_ports::{PortError, Result, WalWriter};

use crate::log::{Guard, Progress, Shared, gone};
use crate::state::{Ticket, WriterId};
use crate::tail::Pending;

pub(crate) struct Writer {
    shared: Arc<Shared>,
    _guard: Arc<Guard>,
    progress: Progress,
    id: WriterId,
    appended: Ticket,
}

impl Writer {
    pub(crate) fn new(shared: Arc<Shared>, guard: Arc<Guard>, progress: Progress, id: WriterId) -> Self {
        Self { shared, _guard: guard, progress, id, appended: Ticket(0) }
    }

    fn pending(&self, batch: &WriteBatch) -> Result<Pending> {
        let refuse = |field: &str, reason: &str| Err(PortError::invalid("wal.append", Invalid::new(field, reason)));
        if batch.shard != self.id.shard {
            return refuse("shard", "is not the writer's");
        }
        if batch.epoch != self.id.epoch {
            return refuse("epoch", "is not the writer's");
        }
        let operations = u32::try_from(batch.operations.len()).unwrap_or(u32::MAX);
        if operations == 0 {
            return refuse("operations", "must be at least one");
        }
        if batch.first == Sequence(0) || batch.first.0.checked_add(u64::from(operations)).is_none() {
            return refuse("first", "must be at least 1 and leave room for the operations");
        }
        let key = batch.idempotency.as_ref().map_or("", |tag| tag.key.as_str());
        if key.len() > IDEMPOTENCY_KEY_BYTES_MAX || (key.is_empty() && batch.idempotency.is_some()) {
            return refuse("idempotency_key", "must be 1 to 255 bytes");
        }
        if batch.encoded.as_ref().is_some_and(|encoded| !self.shared.codecs.knows(encoded.codec)) {
            return refuse("encoded", "is in a codec that this log does not know");
        }
        let (codec, payload) = self.shared.codecs.encode(batch)?;
        let header = Header {
            codec,
            key_bytes: u8::try_from(key.len()).unwrap_or(u8::MAX),
            payload_bytes: u32::try_from(payload.len()).unwrap_or(u32::MAX),
            shard: batch.shard,
            operations,
            epoch: batch.epoch,
            first: batch.first,
            fingerprint: batch.idempotency.as_ref().map_or(0, |tag| tag.fingerprint),
            ..Header::bare(Kind::Batch, LogId(0), Place::default(), Place::default())
        };
        if header.frame_bytes() > FRAME_BYTES_MAX {
            return refuse("operations", &format!("take {} bytes of log, at most {FRAME_BYTES_MAX} are allowed", header.frame_bytes()));
        }
        Ok(Pending { header, key: key.to_owned(), payload })
    }
}

#[async_trait]
impl WalWriter for Writer {
    async fn append(&mut self, batch: &WriteBatch) -> Result<Lsn> {
        self.shared.state().check(&self.id, "wal.append")?;
        let pending = self.pending(batch)?;
        let charge = Shared::charge(pending.header.frame_bytes());
        let room = Arc::clone(&self.shared.room);
        let permit = match Arc::clone(&room).try_acquire_many_owned(charge) {
            Ok(permit) => permit,
            // Full: what is queued has to go first, whether or not anybody waits for it.
            Err(_) => {
                self.shared.state().want_all();
                self.shared.work.notify_one();
                room.acquire_many_owned(charge).await.map_err(|_| gone())?
            }
        };
        let first = {
            let mut state = self.shared.state();
            state.check(&self.id, "wal.append")?;
            self.appended = state.push(self.id, pending, permit);
            self.appended
        };
        // Not a request for a group; the group writer sets its timer.
        self.shared.work.notify_one();
        Ok(Lsn(first.0))
    }

    async fn sync(&mut self) -> Result<Lsn> {
        let through = self.appended;
        let waits = {
            let mut state = self.shared.state();
            state.check(&self.id, "wal.sync")?;
            state.want(through)
        };
        if waits {
            self.shared.work.notify_one();
            self.progress.reach(through).await?;
            self.shared.state().check(&self.id, "wal.sync")?;
        }
        Ok(Lsn(through.0))
    }
}
