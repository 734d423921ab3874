//! The manifest of a shard: which files hold its rows, and how much of the log they cover.
//! Says what must hold of one; how it is written is [`crate::manifest_codec`]'s affair.

use std::collections::BTreeSet;

use crate::collection::Collection;
use crate::ids::{Epoch, FileId, ManifestNumber, Sequence, ShardId, SiteId, Uid};
use crate::invalid::Invalid;
use crate::limits::{IDEMPOTENCY_KEYS_MAX, SEGMENT_ROWS_MAX};
use crate::time::Timestamp;

/// What a manifest records of a segment's Parquet file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentMeta {
    /// The segment's identity and its file's name.
    pub id: FileId,
    /// Rows in the file, dead ones counted.
    pub rows: u32,
    /// Bytes of the file.
    pub bytes: u64,
    /// CRC-32C of the file.
    pub checksum: u32,
    /// Smallest and largest sequence of its rows.
    pub sequences: (Sequence, Sequence),
    /// When it was written.
    pub created: Timestamp,
}

/// What a manifest records of a file that stands beside a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SidecarMeta {
    /// The file's identity and name.
    pub id: FileId,
    /// Bytes of the file.
    pub bytes: u64,
    /// CRC-32C of the file.
    pub checksum: u32,
}

/// A segment as the manifest lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentEntry {
    /// The Parquet file.
    pub meta: SegmentMeta,
    /// The deletion vector with the number of dead rows, once there is one.
    pub dead: Option<(SidecarMeta, u32)>,
    /// The index sidecar with the kind of index, once there is one.
    pub index: Option<(SidecarMeta, String)>,
}

/// Whether the shard is in use here, has been dropped and only waits for its files to go, or is being moved away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShardState {
    /// In use.
    Live,
    /// Dropped; never to be served again.
    Dropped,
    /// Handed over to the site named here. Where that site has a manifest of a later epoch, the shard lives there and this copy
    /// is a leftover; where it has none, the move was cut off and the shard still lives here.
    Moving(SiteId),
}

/// A keyed write that a shard remembers, with the answer it gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RememberedWrite {
    /// The client's key.
    pub key: String,
    /// Digest of the request.
    pub fingerprint: u64,
    /// Sequence of the write's last operation.
    pub sequence: Sequence,
    /// Records put.
    pub put: u32,
    /// Records deleted.
    pub deleted: u32,
}

/// The state of a shard as of one moment; each change is a new manifest with the next number.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// Grows by one with each manifest of the shard.
    pub number: ManifestNumber,
    /// The shard.
    pub shard: ShardId,
    /// The site it lies on.
    pub site: SiteId,
    /// The epoch of the writer that made this manifest.
    pub epoch: Epoch,
    /// The collection, so that it can be rebuilt from any of its shards.
    pub collection: Collection,
    /// Whether the shard is in use.
    pub state: ShardState,
    /// Every operation up to here is in the segments or undone by them; replay starts after it.
    pub flushed_through: Sequence,
    /// The segments, oldest first.
    pub segments: Vec<SegmentEntry>,
    /// Keyed writes up to `flushed_through`, oldest first.
    pub remembered: Vec<RememberedWrite>,
    /// When this manifest was written.
    pub written: Timestamp,
    /// Drawn anew for each manifest, so that a writer whose reply was lost can tell its own file from another writer's.
    pub put_id: Uid,
}

impl Manifest {
    /// Checks what must hold of every manifest.
    ///
    /// # Errors
    /// [`Invalid`] naming the part that contradicts itself.
    pub fn check(&self) -> Result<(), Invalid> {
        if self.shard.collection != self.collection.id {
            return Err(Invalid::new("shard", "belongs to another collection"));
        }
        if self.shard.index >= self.collection.spec.shards {
            return Err(Invalid::new("shard", "is beyond the collection's number of shards"));
        }
        self.collection.check().map_err(|e| e.within("collection"))?;
        let mut files = BTreeSet::new();
        for (i, segment) in self.segments.iter().enumerate() {
            segment.check(self.flushed_through).map_err(|e| e.within(&format!("segments[{i}]")))?;
            let sidecars = segment.dead.iter().map(|(m, _)| m.id).chain(segment.index.iter().map(|(m, _)| m.id));
            for file in sidecars.chain([segment.meta.id]) {
                if !files.insert(file) {
                    return Err(Invalid::new(format!("segments[{i}]"), format!("file {file} is listed twice")));
                }
            }
        }
        if self.remembered.len() > IDEMPOTENCY_KEYS_MAX {
            return Err(Invalid::new("remembered", format!("has more than {IDEMPOTENCY_KEYS_MAX} entries")));
        }
        if self.state == ShardState::Dropped && !self.segments.is_empty() {
            return Err(Invalid::new("segments", "a dropped shard has none"));
        }
        Ok(())
    }

    /// Every file that this manifest names.
    pub fn files(&self) -> impl Iterator<Item = FileId> + '_ {
        self.segments.iter().flat_map(|s| {
            let sidecars = s.dead.iter().map(|(m, _)| m.id).chain(s.index.iter().map(|(m, _)| m.id));
            sidecars.chain([s.meta.id])
        })
    }
}

impl SegmentEntry {
    fn check(&self, flushed_through: Sequence) -> Result<(), Invalid> {
        let (low, high) = self.meta.sequences;
        if self.meta.rows == 0 || self.meta.rows as usize > SEGMENT_ROWS_MAX {
            return Err(Invalid::new("rows", "must be at least one and within the limit"));
        }
        if low > high || low == Sequence(0) || high > flushed_through {
            return Err(Invalid::new("sequences", "must be a range within what was flushed"));
        }
        match &self.dead {
            Some((_, count)) if *count == 0 || *count > self.meta.rows => {
                Err(Invalid::new("dead", "must count at least one row and no more than all"))
            }
            _ => Ok(()),
        }
    }
}
