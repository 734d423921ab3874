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
/// The site is the truth: an object that it lacks is removed from the partner, and where the lengths differ its own bytes count. So
/// whoever suspects that the site itself has lost or damaged objects looks at `second_copy` before anybody catches up.
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

    /// Takes the second copies for incomplete until they have been compared again: the partner has been away.
    fn fall_behind(&self, why: &str);

    /// Copies what the partner lacks and removes what it has too much, and gives the number of objects that this took.
    ///
    /// Objects are never changed, so those with the same key and length on both sites are the same; one object at a time is held in
    /// memory. Manifests are copied last and removed first. Puts and deletes go on meanwhile, to both sites.
    ///
    /// # Errors
    /// Those of either site, and `behind` says so; what was copied until then stays. `Conflict` while another call is under way.
    ///
    /// # Cancellation
    /// The copies are behind; what was copied until then stays.
    async fn catch_up(&self) -> Result<u64>;

    /// The second copies, under the same keys, whether they are behind or not.
    ///
    /// # Errors
    /// `Unavailable` while the other site is not there.
    fn second(&self) -> Result<Arc<dyn Filesystem>>;

    /// Reads the second copy of an object, whether the copies are behind or not.
    ///
    /// # Errors
    /// `NotFound`; `Unavailable`.
    async fn second_copy(&self, key: &str) -> Result<Bytes>;

    /// Puts an object anew on the site itself, whole and at once, in place of a copy that was found damaged; and on the partner as
    /// well while the copies are not behind, where it may have gone in between.
    ///
    /// # Errors
    /// Those of a put.
    async fn restore(&self, key: &str, body: Bytes) -> Result<()>;

    /// Puts an object anew on the partner, whether the copies are behind or not.
    ///
    /// # Errors
    /// Those of a put.
    async fn restore_second(&self, key: &str, body: Bytes) -> Result<()>;
}
