//! Whole objects under keys: segments, sidecars, manifests, site markers. Not for logs that grow; see [`crate::Disk`].

use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;

use crate::error::Result;

/// Whether a put may replace what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PutMode {
    /// Fails with [`crate::Fault::Conflict`] where the key is taken; the only way to coordinate.
    CreateOnly,
    /// Replaces the whole object at once.
    Overwrite,
}

/// An object in a listing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectInfo {
    /// Its key.
    pub key: String,
    /// Its bytes.
    pub bytes: u64,
}

/// Objects in a disk's directory tree or in a bucket, below a root that the adapter keeps to itself.
///
/// Keys are relative, made of `[A-Za-z0-9._-]` segments joined by `/`; no segment is empty, `.` or `..`. No key is another key's
/// prefix by segments: on a disk one would be a file and the other its directory.
///
/// Guarantees:
/// - G1 a put is atomic: a reader sees the whole old object, the whole new one, or none; so does a reader after a crash;
/// - G2 once a put or a delete has returned, it is durable (for a disk: file and directory are fsynced);
/// - G3 of many concurrent `CreateOnly` puts of one key exactly one succeeds, and the others get `Conflict`;
/// - G4 what a returned put wrote is what every later get sees (read after write);
/// - G5 `list` gives every object below the prefix exactly once, in the order of the keys, and nothing that was never put whole;
/// - G6 `get`, `get_ranges` and `size` of an absent key fail with `NotFound`; `delete` of an absent key succeeds;
/// - G7 a range beyond the object's end fails with `Invalid`, and memory is never sized by it.
#[async_trait]
pub trait Filesystem: Send + Sync + 'static {
    /// Writes a whole object.
    ///
    /// # Errors
    /// `Conflict` for a taken key under `CreateOnly`; `Exhausted` when full; `Unavailable`; `Invalid` for a malformed key.
    /// After `Unavailable` the put may have happened. An adapter that repeats a `CreateOnly` put by itself takes a taken key with
    /// the very same body for its own lost try, and a caller that repeats one must do likewise; so a body that coordinates
    /// carries an identity of its put.
    ///
    /// # Cancellation
    /// A dropped put has happened whole or not at all.
    async fn put(&self, key: &str, body: Bytes, mode: PutMode) -> Result<()>;

    /// Reads a whole object.
    ///
    /// # Errors
    /// `NotFound`; `Unavailable`.
    async fn get(&self, key: &str) -> Result<Bytes>;

    /// Reads byte ranges of an object, answered in the order asked.
    ///
    /// # Errors
    /// `NotFound`; `Invalid` for a range beyond the end; `Unavailable`.
    async fn get_ranges(&self, key: &str, ranges: &[Range<u64>]) -> Result<Vec<Bytes>>;

    /// Bytes of an object.
    ///
    /// # Errors
    /// `NotFound`; `Unavailable`.
    async fn size(&self, key: &str) -> Result<u64>;

    /// Every object whose key starts with the segments of `prefix` (empty for all), in the order of the keys.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>>;

    /// The distinct next segments below `prefix` that have something below them, in order; one level of a tree.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn list_prefixes(&self, prefix: &str) -> Result<Vec<String>>;

    /// Removes an object, durably.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn delete(&self, key: &str) -> Result<()>;

    /// Bytes free and in all, where the place knows.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn space(&self) -> Result<Option<Space>>;
}

/// Room on a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Bytes that can still be written.
    pub free_bytes: u64,
    /// Bytes in all.
    pub total_bytes: u64,
}

/// Room on a disk that is kept back for the moment when there is no other: it then lets deletes and compaction go on.
#[async_trait]
pub trait Reserve: Send + Sync + 'static {
    /// Whether the room is kept back now.
    fn is_held(&self) -> bool;

    /// Keeps the room back; does nothing where it is already.
    ///
    /// # Errors
    /// `Exhausted` when there is not so much room; `Unavailable`.
    async fn hold(&self) -> Result<()>;

    /// Gives the room back; does nothing where none is kept.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn release(&self) -> Result<()>;
}
