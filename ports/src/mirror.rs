//! Second copies: what one site keeps of another, so that the loss of a disk loses nothing.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use crate::disk::Disk;
use crate::error::Result;
use crate::filesystem::Filesystem;

/// The place on another site where a site keeps its second copies. The other site may go and come back while this one runs,
/// so its adapters are asked for anew each time.
pub trait Partner: Send + Sync + 'static {
    /// Where the copies of the log go: a folder on the other disk that nobody else uses.
    ///
    /// # Errors
    /// `Unavailable` while the other site is not there.
    fn disk(&self) -> Result<Arc<dyn Disk>>;

    /// Where the copies of the objects go: a prefix on the other site that nobody else uses.
    ///
    /// # Errors
    /// `Unavailable` while the other site is not there.
    fn filesystem(&self) -> Result<Arc<dyn Filesystem>>;
}

/// The second copies of a site's objects.
///
/// Guarantees:
/// - G1 while `behind` is `None`, every put and delete that has returned is on both sites, durably;
/// - G2 a partner that fails or does not answer holds nothing up for long: from then on `behind` says so, and puts go on with one
///   copy;
/// - G3 once `catch_up` has returned, `behind` is `None` and both sites hold the same objects, unless a put failed meanwhile.
#[async_trait]
pub trait Mirror: Send + Sync + 'static {
    /// Why the second copies are not complete; `None` when everything is there twice.
    fn behind(&self) -> Option<String>;

    /// Copies what the partner lacks and removes what it has too much, and gives the number of objects that this took.
    ///
    /// # Errors
    /// Those of either site; what was copied until then stays.
    async fn catch_up(&self) -> Result<u64>;

    /// The second copies, under the same keys.
    ///
    /// # Errors
    /// `Unavailable` while the other site is not there.
    fn second(&self) -> Result<Arc<dyn Filesystem>>;

    /// Reads the second copy of an object.
    ///
    /// # Errors
    /// `NotFound`; `Unavailable`.
    async fn second_copy(&self, key: &str) -> Result<Bytes> {
        self.second()?.get(key).await
    }

    /// Puts an object anew on the site itself, whole and at once, in place of a copy that was found damaged.
    ///
    /// # Errors
    /// Those of a put.
    async fn restore(&self, key: &str, body: Bytes) -> Result<()>;
}
