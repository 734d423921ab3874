//! The log of one disk: numbered files that only grow, shared by the shards on it, one fsync for whatever is written together.

use std::sync::Arc;

use async_trait::async_trait;
use proximadb_model::frame::{Frame, Header, Kind};
use proximadb_model::limits::LOG_FILE_BYTES_MAX;
use proximadb_model::{Epoch, Sequence, ShardId};
use proximadb_ports::{
    BatchStream, Clock, Disk, Entropy, Executor, Fault, PortError, Result, Wal, WalCodec, WalHolders, WalStats, WalWriter,
};

use crate::file_tail::FileTail;
use crate::index::{Entry, Index};
use crate::log::Log;
use crate::medium::Medium;
use crate::recovery::recover;
use crate::settings::WalSettings;
use crate::tail::{Outcome, Pending};

/// What a log takes from its surroundings.
#[derive(Clone)]
pub struct WalContext {
    /// Tells time.
    pub clock: Arc<dyn Clock>,
    /// Draws the number that marks a file's frames as its own.
    pub entropy: Arc<dyn Entropy>,
    /// Runs the task that makes groups; ended early, the log fails every write from then on and loses nothing acknowledged.
    pub executor: Arc<dyn Executor>,
}

/// A [`Wal`] in the files of a disk. There must be one at a time for a disk.
pub struct FileWal(Log);

impl FileWal {
    /// Reads the whole log once and changes nothing of it; the first append begins a new file.
    ///
    /// Batches that can be read and were not yet proven durable, as after a crash right behind a write, are written once more to a
    /// new file: whoever sees a batch in a replay may rely on it.
    ///
    /// Damaged and unreadable files do not fail this; they fail the replay of the shards they may touch.
    ///
    /// # Errors
    /// `Unavailable` when the disk cannot be listed.
    pub async fn open(disk: Arc<dyn Disk>, codec: Arc<dyn WalCodec>, settings: WalSettings, context: WalContext) -> Result<Self> {
        let medium = Medium::Disk(Arc::clone(&disk));
        let mut index = recover(&medium).await?;
        let bytes_max = settings.file_bytes_max.min(LOG_FILE_BYTES_MAX);
        let mut tail = FileTail::new(disk, Arc::clone(&context.entropy), bytes_max, index.last_file().unwrap_or(0));
        settle(&medium, &mut index, &mut tail).await;
        Ok(Self(Log::start(medium, index, Box::new(tail), codec, settings, &context)))
    }
}

/// A full or failing disk must not keep the log from being read, so a failure only leaves things as they are.
async fn settle(medium: &Medium, index: &mut Index, tail: &mut FileTail) {
    let entries = index.doubtful();
    if entries.is_empty() {
        return;
    }
    let settled = match pending(medium, &entries).await {
        Ok(doubtful) => tail.settle(&doubtful).await,
        Err(failure) => Outcome { failure: Some(failure), ..Outcome::default() },
    };
    if let Some(failure) = settled.failure {
        tracing::warn!(error = ?failure, batches = entries.len(), "the last batches of the log could not be made durable again");
    }
    if let Some((file, bytes)) = settled.file {
        index.add_group(file, bytes, &settled.headers);
    }
}

async fn pending(medium: &Medium, entries: &[Entry]) -> Result<Vec<Pending>> {
    let mut all = Vec::with_capacity(entries.len());
    for entry in entries {
        let bytes = medium.read_at(entry.place.file, u64::from(entry.place.offset), u64::from(entry.bytes)).await?;
        let changed = || PortError::new(Fault::Corrupt, "wal.open", entry.place.file, "the log changed while it was read");
        let frame = Frame::decode(&bytes).map_err(|bad| changed().with_source(bad))?;
        all.push(Pending {
            header: Header { kind: Kind::Copy, ..frame.header },
            key: frame.key.to_owned(),
            payload: bytes.slice_ref(frame.payload),
        });
    }
    Ok(all)
}

#[async_trait]
impl Wal for FileWal {
    async fn open(&self, shard: ShardId, epoch: Epoch) -> Result<Box<dyn WalWriter>> {
        self.0.open(shard, epoch).await
    }

    async fn replay(&self, shard: ShardId, after: Sequence) -> Result<Box<dyn BatchStream>> {
        self.0.replay(shard, after)
    }

    async fn truncate(&self, shard: ShardId, through: Sequence) -> Result<()> {
        self.0.truncate(shard, through).await
    }

    async fn shards(&self) -> Result<Vec<(ShardId, Sequence)>> {
        Ok(self.0.shards())
    }

    fn oldest_holders(&self) -> WalHolders {
        self.0.oldest_holders()
    }

    fn stats(&self) -> WalStats {
        self.0.stats()
    }
}
