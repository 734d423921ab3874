//! What one shard logs and applies in one step. Filters, patches and conditions are resolved before it is made.

use bytes::Bytes;

use crate::ids::{Epoch, Sequence, ShardId};
use crate::name::RecordId;
use crate::record::Record;

/// One change of a shard, complete in itself, so that replaying it needs nothing else.
#[derive(Clone, Debug, PartialEq)]
pub enum Operation {
    /// The record is now this.
    Put(Record),
    /// The record is gone.
    Delete(RecordId),
}

impl Operation {
    /// The record it is about.
    pub fn id(&self) -> &RecordId {
        match self {
            Self::Put(record) => &record.id,
            Self::Delete(id) => id,
        }
    }
}

/// Which codec wrote a payload; the number stands in the frame, so a log may mix codecs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CodecId(pub u8);

impl CodecId {
    /// The Avro schema of `proto/avro/write_batch.avsc`, single datum, no container.
    pub const AVRO: Self = Self(1);
    /// Bincode 2, standard configuration.
    pub const BINCODE: Self = Self(2);
}

/// Operations that arrived already encoded and were checked; they go into the log as they came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedOperations {
    /// The codec they are in.
    pub codec: CodecId,
    /// The bytes.
    pub payload: Bytes,
}

/// The mark of a write that its client may repeat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyTag {
    /// The client's key, 1..=255 bytes.
    pub key: String,
    /// A digest of the request, so that the same key with another request is noticed.
    pub fingerprint: u64,
}

/// Operations of one shard, atomic and in order: the first has sequence `first`, each next one more.
#[derive(Clone, Debug, PartialEq)]
pub struct WriteBatch {
    /// The shard.
    pub shard: ShardId,
    /// The epoch of its writer.
    pub epoch: Epoch,
    /// The sequence of the first operation.
    pub first: Sequence,
    /// The operations, at least one.
    pub operations: Vec<Operation>,
    /// Set when the client gave an idempotency key.
    pub idempotency: Option<IdempotencyTag>,
    /// The same operations as bytes, when they came so.
    pub encoded: Option<EncodedOperations>,
}

impl WriteBatch {
    /// The sequence of the last operation.
    pub fn last(&self) -> Sequence {
        Sequence(self.first.0 + (self.operations.len() as u64).saturating_sub(1))
    }
}
