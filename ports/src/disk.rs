//! Files that grow: what a log needs of a disk, no more. A real directory and the simulator play it.

use async_trait::async_trait;
use bytes::Bytes;

use crate::error::Result;

/// A flat directory of append-only files.
///
/// File names are `[A-Za-z0-9._-]{1,128}`, chosen by the log, never by users.
///
/// Guarantees:
/// - G1 what was appended before a `sync` returned is read back whole after any crash, in order;
/// - G2 what was appended later may survive in part, in any part (torn, reordered by sectors);
/// - G3 a file created with `create` exists after a crash once `create` has returned (the directory is fsynced);
/// - G4 `delete` is durable once it has returned;
/// - G5 once a `sync` of a file has failed, every later `append` and `sync` of that handle fails: the pages that were
///   dropped are never reported as written.
#[async_trait]
pub trait Disk: Send + Sync + 'static {
    /// Makes a new, empty file and opens it for appending.
    ///
    /// # Errors
    /// `Conflict` when the name is taken; `Exhausted` when the disk is full; `Unavailable`.
    async fn create(&self, name: &str) -> Result<Box<dyn DiskFile>>;

    /// Reads a whole file.
    ///
    /// # Errors
    /// `NotFound`; `Unavailable`.
    async fn read(&self, name: &str) -> Result<Bytes>;

    /// Reads `length` bytes from `offset`; fewer where the file ends before.
    ///
    /// # Errors
    /// `NotFound`; `Unavailable`.
    async fn read_at(&self, name: &str, offset: u64, length: u64) -> Result<Bytes>;

    /// Names and sizes of all files, in the order of the names.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn list(&self) -> Result<Vec<(String, u64)>>;

    /// Removes a file; succeeds when it is not there.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn delete(&self, name: &str) -> Result<()>;
}

/// A file open for appending, by one writer.
///
/// # Cancellation
/// Dropping an `append` or a `sync` on its way kills the handle, as a failed sync does: nobody knows how far it got.
#[async_trait]
pub trait DiskFile: Send + 'static {
    /// Writes the parts at the end, in order.
    ///
    /// # Errors
    /// `Exhausted` when the disk is full; `Unavailable`. The parts may then have been written in part, and the handle lives on.
    async fn append(&mut self, parts: Vec<Bytes>) -> Result<()>;

    /// Makes everything appended so far durable.
    ///
    /// # Errors
    /// `Unavailable`; from then on the handle is dead (G5).
    async fn sync(&mut self) -> Result<()>;
}
