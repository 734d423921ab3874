//! A log on any medium: opening shards, replay, truncation. Groups are made by the group writer, a task of its own.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use proximadb_model::limits::{LOG_QUEUE_BYTES_MAX, LOG_QUEUE_FRAMES_MAX};
use proximadb_model::{Epoch, Sequence, ShardId};
use proximadb_ports::{BatchStream, Executor, Fault, PortError, Result, WalCodec, WalHolders, WalStats, WalWriter};
use tokio::sync::{Notify, Semaphore, watch};

use crate::codecs::Codecs;
use crate::file_wal::WalContext;
use crate::group_writer::GroupWriter;
use crate::index::Index;
use crate::medium::Medium;
use crate::mirror::Mirror;
use crate::reader::Reader;
use crate::replay::Replay;
use crate::settings::WalSettings;
use crate::state::{State, Ticket};
use crate::tail::Tail;
use crate::writer::Writer;

/// What the log, its writers, its readers and its group writer have in common.
pub(crate) struct Shared {
    pub(crate) medium: Medium,
    /// Where the second copy goes, if there is to be one.
    pub(crate) mirror: Option<Arc<Mirror>>,
    pub(crate) codecs: Codecs,
    /// Room in the queue, in bytes.
    pub(crate) room: Arc<Semaphore>,
    /// Wakes the group writer.
    pub(crate) work: Notify,
    state: Mutex<State>,
}

impl Shared {
    pub(crate) fn new(medium: Medium, mirror: Option<Arc<Mirror>>, codecs: Codecs, state: State) -> Self {
        let room = Arc::new(Semaphore::new(LOG_QUEUE_BYTES_MAX));
        Self { medium, mirror, codecs, room, work: Notify::new(), state: Mutex::new(state) }
    }

    pub(crate) fn reader(&self) -> Reader {
        Reader::new(self.medium.clone(), self.mirror.clone())
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a batch of this many bytes takes of the queue's room; a share of its frames at least.
    pub(crate) fn charge(bytes: usize) -> u32 {
        u32::try_from(bytes.clamp(LOG_QUEUE_BYTES_MAX / LOG_QUEUE_FRAMES_MAX, LOG_QUEUE_BYTES_MAX)).unwrap_or(u32::MAX)
    }

    /// Deletes the files that nobody needs, oldest first; stops at the first that cannot be deleted. A second copy that cannot be
    /// deleted stays until it can, and so does the last own file: without one the disk would be taken for a new one, and the second
    /// copies for what it has lost.
    pub(crate) async fn free(&self) -> Result<()> {
        let mut unneeded = {
            let state = self.state();
            state.index.unneeded(state.active)
        };
        let Some(mirror) = self.mirror.as_ref().filter(|_| !unneeded.is_empty()) else { return self.delete(&unneeded).await };
        let own = self.medium.list().await?;
        let last = own.keys().next_back().and_then(|last| unneeded.iter().position(|file| file == last));
        let kept = last.map_or_else(Vec::new, |at| unneeded.split_off(at));
        let mut freed = self.delete(&unneeded).await;
        if freed.is_ok() {
            mirror.owe(kept.iter().copied());
        }
        if mirror.free().await && freed.is_ok() {
            freed = self.delete(&kept).await;
        }
        unneeded.extend(kept);
        self.state().index.forget_hurt(&unneeded);
        freed
    }

    async fn delete(&self, files: &[u32]) -> Result<()> {
        for file in files {
            self.medium.delete(*file).await?;
            self.state().index.forget_file(*file);
            if let Some(mirror) = &self.mirror {
                mirror.owe([*file]);
            }
        }
        Ok(())
    }

    /// Tries a second copy that has failed again, beside everything else, when it is time.
    pub(crate) fn try_mirror_again(self: &Arc<Self>, executor: &dyn Executor) {
        let Some(mirror) = self.mirror.clone().filter(|mirror| mirror.is_due()) else { return };
        let shared = Arc::clone(self);
        let task = async move {
            let oldest = shared.state().index.oldest_file();
            mirror.try_again(oldest).await;
            shared.work.notify_one();
        };
        executor.spawn("wal.mirror", Box::pin(task));
    }
}

/// Ends the group writer when the log and all its writers are gone.
pub(crate) struct Guard(pub(crate) Arc<Shared>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.state().closing = true;
        self.0.work.notify_one();
    }
}

/// How far the group writer has come, and whether it still goes.
#[derive(Clone)]
pub(crate) struct Progress(pub(crate) watch::Receiver<Ticket>);

impl Progress {
    /// Waits until a ticket is done with, well or badly.
    pub(crate) async fn reach(&mut self, ticket: Ticket) -> Result<()> {
        let ended = |_| gone();
        self.0.wait_for(|done| *done >= ticket).await.map(|_| ()).map_err(ended)
    }
}

/// The group writer has ended; nothing is written any more.
pub(crate) fn gone() -> PortError {
    PortError::new(Fault::Unavailable, "wal.sync", "the log", "has been shut down")
}

pub(crate) struct Log {
    pub(crate) shared: Arc<Shared>,
    pub(crate) guard: Arc<Guard>,
    pub(crate) progress: Progress,
}

impl Log {
    /// Starts the group writer of a log whose index has been read.
    pub(crate) fn start(
        medium: Medium,
        mirror: Option<Arc<Mirror>>,
        index: Index,
        tail: Box<dyn Tail>,
        codec: Arc<dyn WalCodec>,
        settings: WalSettings,
        context: &WalContext,
    ) -> Self {
        let state = State::new(index, tail.active(), mirror.is_some());
        let shared = Arc::new(Shared::new(medium, mirror, Codecs::new(codec), state));
        let (sender, receiver) = watch::channel(Ticket(0));
        let task = GroupWriter::new(Arc::clone(&shared), tail, context, settings.idle, sender);
        context.executor.spawn("wal.groups", Box::pin(task.run()));
        Self { guard: Arc::new(Guard(Arc::clone(&shared))), shared, progress: Progress(receiver) }
    }

    /// Opens a shard; where others can write to the same log, puts a mark first that no other writer gets past unnoticed.
    pub(crate) async fn open(&self, shard: ShardId, epoch: Epoch) -> Result<Box<dyn WalWriter>> {
        if self.shared.medium.writes_whole() {
            self.claim().await?;
        }
        let (id, in_flight) = {
            let mut state = self.shared.state();
            (state.open(shard, epoch)?, state.in_flight())
        };
        // The new writer is to see whatever the old one still gets into the log.
        self.progress.clone().reach(in_flight).await?;
        Ok(Box::new(Writer::new(Arc::clone(&self.shared), Arc::clone(&self.guard), self.progress.clone(), id)))
    }

    async fn claim(&self) -> Result<()> {
        let (ticket, life) = {
            let mut state = self.shared.state();
            if state.claimed() {
                return Ok(());
            }
            (state.claim(), state.life())
        };
        self.shared.work.notify_one();
        self.progress.clone().reach(ticket).await?;
        self.shared.state().failure_since(life).map_or(Ok(()), Err)
    }

    pub(crate) fn replay(&self, shard: ShardId, after: Sequence) -> Result<Box<dyn BatchStream>> {
        let entries = self.shared.state().index.replay(shard, after)?;
        Ok(Box::new(Replay::new(Arc::clone(&self.shared), shard, entries)))
    }

    pub(crate) async fn truncate(&self, shard: ShardId, through: Sequence) -> Result<()> {
        self.shared.state().index.truncate(shard, through);
        self.shared.free().await
    }

    pub(crate) fn shards(&self) -> Vec<(ShardId, Sequence)> {
        self.shared.state().index.shards()
    }

    pub(crate) fn oldest_holders(&self) -> WalHolders {
        let state = self.shared.state();
        match state.index.oldest_holders() {
            Some((bytes, shards)) if state.index.oldest_file() != state.active => WalHolders { bytes, shards },
            _ => WalHolders::default(),
        }
    }

    pub(crate) fn stats(&self) -> WalStats {
        self.shared.state().stats()
    }

    pub(crate) async fn accept_damage(&self, shard: ShardId) -> Result<()> {
        tracing::warn!(%shard, "an operator has accepted what damage to the log took of a shard");
        self.shared.state().index.accept_damage(shard);
        self.shared.free().await
    }

    pub(crate) fn degraded(&self) -> Option<String> {
        let mirror = self.shared.mirror.as_ref()?;
        if let Some(why) = mirror.why_down() {
            return Some(format!("the log is written in one copy: {why}"));
        }
        let lacks = self.shared.state().index.lacks_copies();
        lacks.then(|| "the second copy of the log lacks batches that are still needed; they are being copied".to_owned())
    }
}
