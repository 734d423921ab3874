//! The log of one prefix of a bucket: one create-only object for whatever is written together.

use std::sync::Arc;

use async_trait::async_trait;
use proximadb_model::{Epoch, Sequence, ShardId};
use proximadb_ports::{BatchStream, Filesystem, Result, Wal, WalCodec, WalHolders, WalStats, WalWriter};

use crate::file_wal::WalContext;
use crate::log::Log;
use crate::medium::Medium;
use crate::object_tail::ObjectTail;
use crate::recovery::recover;
use crate::settings::WalSettings;

/// A [`Wal`] in the objects below a prefix. Several may be open on one prefix: the first `open` of a shard after another one has
/// written puts an object without batches, and every writer of the other one is fenced from then on.
pub struct ObjectWal(Log);

impl ObjectWal {
    /// Reads the whole log once. Puts nothing: the first `open` of a shard does.
    ///
    /// `prefix` is a key without a slash at either end, or empty for the root of `objects`.
    ///
    /// # Errors
    /// `Unavailable` when the bucket cannot be listed.
    pub async fn open(
        objects: Arc<dyn Filesystem>,
        prefix: &str,
        codec: Arc<dyn WalCodec>,
        settings: WalSettings,
        context: WalContext,
    ) -> Result<Self> {
        let medium = Medium::Bucket { objects: Arc::clone(&objects), prefix: prefix.to_owned() };
        let index = recover(&medium, None).await?.index;
        let tail = ObjectTail::new(medium.clone(), objects, Arc::clone(&context.entropy), index.last_file().unwrap_or(0));
        Ok(Self(Log::start(medium, None, index, Box::new(tail), codec, settings, &context)))
    }
}

#[async_trait]
impl Wal for ObjectWal {
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
