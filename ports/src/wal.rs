//! The write-ahead log of a site, shared by the shards on it, and the codecs of its payloads.

use async_trait::async_trait;
use bytes::BytesMut;
use proximadb_model::{CodecId, Epoch, Lsn, Operation, Sequence, ShardId, WriteBatch};

use crate::error::Result;

/// The log of one site.
///
/// Guarantees:
/// - G1 a batch is atomic: replay gives the whole of it or nothing;
/// - G2 once `sync` has returned a position, every batch appended up to it survives any crash;
/// - G3 replay gives the batches of a shard in the order of their sequences, each once, with what was appended;
/// - G4 a batch whose `sync` failed or never returned may be replayed or not, but whole;
/// - G5 a writer whose `sync` or `append` failed is dead: every later call on it fails, and the shard needs a new one;
/// - G6 after `open` with an epoch, a writer of an older epoch of that shard fails with `Fenced`;
/// - G7 `truncate(shard, through)` frees what no shard needs; batches with a later operation stay;
/// - G8 a batch that carries encoded operations is logged with those very bytes;
/// - G9 damage among durable frames fails the replay of the shards it may touch with `Corrupt`; a torn tail does not;
/// - G10 where two copies were asked for and `degraded` is `None`, the loss of either of them loses nothing acknowledged; a copy
///   that cannot be written holds nothing up for long.
#[async_trait]
pub trait Wal: Send + Sync + 'static {
    /// Opens a shard for writing.
    ///
    /// # Errors
    /// `Fenced` when a later epoch has been opened; `Unavailable`.
    async fn open(&self, shard: ShardId, epoch: Epoch) -> Result<Box<dyn WalWriter>>;

    /// The batches of a shard that have an operation after `after`, in order; each carries its bytes in the log as `encoded`.
    ///
    /// # Errors
    /// `Corrupt`; `Unavailable`.
    async fn replay(&self, shard: ShardId, after: Sequence) -> Result<Box<dyn BatchStream>>;

    /// Says that the shard no longer needs its operations up to `through`.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn truncate(&self, shard: ShardId, through: Sequence) -> Result<()>;

    /// The shards of which the log holds a batch, with the last sequence of each.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn shards(&self) -> Result<Vec<(ShardId, Sequence)>>;

    /// Gives up, for a shard, whatever batches of it damage has taken: from then on, for as long as the log is open, its replay
    /// passes over the damage that nobody can tell the owner of, and over its own. Where no other shard that the log knows may
    /// have lost something there, the damage is forgotten, and truncation frees its file.
    ///
    /// For an operator who has made up for the loss or accepts it.
    ///
    /// # Errors
    /// `Unavailable` when a file that nobody needs any more cannot be deleted; the damage is accepted all the same.
    async fn accept_damage(&self, shard: ShardId) -> Result<()>;

    /// The shards that keep the oldest file of the log from being freed; flushing them lets `truncate` free it.
    fn oldest_holders(&self) -> WalHolders;

    /// What the log takes and does.
    fn stats(&self) -> WalStats;

    /// Why the log keeps fewer copies than it should, in one line for people; `None` while everything that is still needed is
    /// in as many copies as the log was told.
    fn degraded(&self) -> Option<String>;
}

/// What keeps the oldest file of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WalHolders {
    /// Bytes that freeing the file gives back; 0 while the log has no file that could be freed.
    pub bytes: u64,
    /// The shards with a batch in it that they still need.
    pub shards: Vec<ShardId>,
}

/// What a log takes and has done since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WalStats {
    /// Bytes of all its files.
    pub bytes: u64,
    /// Files it has.
    pub files: u32,
    /// Frames appended.
    pub frames: u64,
    /// Groups made durable; each cost one fsync, or one object.
    pub groups: u64,
    /// Those of them that were made durable in two copies.
    pub mirrored_groups: u64,
    /// Mean time of making a group durable over the last groups, in microseconds; 0 before the first.
    pub sync_micros: u32,
}

/// The place of one shard in the log, for its single writer.
#[async_trait]
pub trait WalWriter: Send + 'static {
    /// Hands a batch to the log; it is not durable yet, but ordered after all earlier ones of this writer.
    ///
    /// # Errors
    /// `Fenced`; `Invalid` for a batch of another shard, without operations or too large; `Exhausted`; `Unavailable`.
    async fn append(&mut self, batch: &WriteBatch) -> Result<Lsn>;

    /// Waits until everything this writer appended is durable; writers of one log share the fsync.
    ///
    /// # Errors
    /// `Fenced`; `Exhausted`; `Unavailable`. Nothing since the last successful sync may be acknowledged then.
    ///
    /// # Cancellation
    /// A dropped sync leaves the batches where they are; another sync waits for them again.
    async fn sync(&mut self) -> Result<Lsn>;
}

/// Batches, one after the other.
#[async_trait]
pub trait BatchStream: Send {
    /// The next batch, or `None` at the end.
    ///
    /// # Errors
    /// `Corrupt`; `Unavailable`.
    async fn next(&mut self) -> Result<Option<WriteBatch>>;
}

/// How the operations of a batch are written.
///
/// Guarantees:
/// - G1 `decode(encode(operations)) == operations`, exactly, for all operations that the model can hold;
/// - G2 `decode` of any bytes ends in a value or `Corrupt`: no panic, and memory in proportion to the bytes;
/// - G3 `decode` accepts nothing that the model's constructors refuse.
pub trait WalCodec: Send + Sync + 'static {
    /// The number that stands in the frame.
    fn id(&self) -> CodecId;

    /// Appends the operations to `out`.
    ///
    /// # Errors
    /// `Internal` when the codec cannot express them, which is a bug.
    fn encode(&self, operations: &[Operation], out: &mut BytesMut) -> Result<()>;

    /// Reads what `encode` wrote.
    ///
    /// # Errors
    /// `Corrupt`.
    fn decode(&self, payload: &[u8]) -> Result<Vec<Operation>>;
}
