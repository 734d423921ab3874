//! The log of one disk: numbered files that only grow, shared by the shards on it, one fsync for whatever is written together.

use std::sync::Arc;

use async_trait::async_trait;
use proximadb_model::limits::LOG_FILE_BYTES_MAX;
use proximadb_model::{Epoch, Sequence, ShardId};
use proximadb_ports::{BatchStream, Clock, Disk, Entropy, Executor, Partner, Result, Wal, WalCodec, WalHolders, WalStats, WalWriter};

use crate::deadline::Deadline;
use crate::file_tail::FileTail;
use crate::index::{Entry, Index};
use crate::log::Log;
use crate::medium::Medium;
use crate::mirror::Mirror;
use crate::reader::Reader;
use crate::recovery::{Recovered, recover};
use crate::settings::WalSettings;
use crate::tail::{Outcome, Pending};
use crate::timed_disk::TimedDisk;

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
    /// Reads the whole log once; the first append begins a new file.
    ///
    /// With a `mirror` every file is written on both disks at the same time, and a group is acknowledged when both have made it
    /// durable. Damaged, unreadable and missing files are read from the other disk. While the mirror fails or does not answer,
    /// the log goes on with one copy and says so in `degraded`; once it is back, batches that are still needed and are in one
    /// copy are written again, in both. A mirror that cannot be read now is not needed for opening: it matters where the own
    /// disk has lost files, and then what was only on the mirror is missing.
    ///
    /// Batches that can be read and were not yet proven durable, as after a crash right behind a write, are written once more to a
    /// new file: whoever sees a batch in a replay may rely on it.
    ///
    /// Damaged and unreadable files do not fail this; they fail the replay of the shards they may touch.
    ///
    /// # Errors
    /// `Unavailable` when the disk cannot be listed or does not answer; `Exhausted` or `Unavailable` when it lacks files that the
    /// mirror has, and their places cannot be taken on it.
    pub async fn open(
        disk: Arc<dyn Disk>,
        mirror: Option<Arc<dyn Partner>>,
        codec: Arc<dyn WalCodec>,
        settings: WalSettings,
        context: WalContext,
    ) -> Result<Self> {
        let deadline = |limit| Deadline::new(Arc::clone(&context.clock), Arc::clone(&context.executor), limit);
        let disk = TimedDisk::new(disk, deadline(settings.deadline));
        let mirror = mirror.map(|partner| {
            let within = deadline(settings.mirror_deadline);
            Arc::new(Mirror::new(partner, within, Arc::clone(&context.clock), settings.mirror_retry))
        });
        let medium = Medium::Disk(disk.clone());
        let Recovered { mut index, missing, leftovers } = recover(&medium, mirror.as_deref()).await?;
        for missing in missing {
            index.set_hurt(missing.file);
            missing.take_place(&disk).await?;
        }
        if let Some(mirror) = mirror.as_ref().filter(|_| !leftovers.is_empty()) {
            mirror.owe(leftovers);
            mirror.free().await;
        }
        let bytes_max = settings.file_bytes_max.min(LOG_FILE_BYTES_MAX);
        let mut tail = FileTail::new(disk, mirror.clone(), Arc::clone(&context.entropy), bytes_max, index.last_file().unwrap_or(0));
        settle(Reader::new(medium.clone(), mirror.clone()), &mut index, &mut tail, mirror.is_some()).await;
        Ok(Self(Log::start(medium, mirror, index, Box::new(tail), codec, settings, &context)))
    }
}

/// A full or failing disk must not keep the log from being read, so a failure only leaves things as they are.
async fn settle(mut reader: Reader, index: &mut Index, tail: &mut FileTail, two_copies: bool) {
    let entries = index.doubtful();
    if entries.is_empty() {
        return;
    }
    let settled = match copies(&mut reader, &entries).await {
        Ok(doubtful) => tail.settle(&doubtful).await,
        Err(failure) => Outcome { failure: Some(failure), ..Outcome::default() },
    };
    if let Some(failure) = settled.failure {
        tracing::warn!(error = ?failure, batches = entries.len(), "the last batches of the log could not be made durable again");
    }
    if let Some((file, bytes)) = settled.file {
        index.add_group(file, bytes, &settled.headers, two_copies && !settled.mirrored);
    }
}

async fn copies(reader: &mut Reader, entries: &[(ShardId, Entry)]) -> Result<Vec<Pending>> {
    let mut all = Vec::with_capacity(entries.len());
    for (shard, entry) in entries {
        all.push(reader.copy(*shard, entry).await?);
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

    async fn accept_damage(&self, shard: ShardId) -> Result<()> {
        self.0.accept_damage(shard).await
    }

    fn oldest_holders(&self) -> WalHolders {
        self.0.oldest_holders()
    }

    fn stats(&self) -> WalStats {
        self.0.stats()
    }

    fn degraded(&self) -> Option<String> {
        self.0.degraded()
    }
}
