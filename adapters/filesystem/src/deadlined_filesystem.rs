//! A store of which every operation ends in time. Knows no technology; what a deadline is, `deadline` knows.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use proximadb_ports::{Clock, Filesystem, ObjectInfo, PutMode, Result, Space};

use crate::deadline::{After, Deadline, DeadlineSettings};

/// `inner`, but an operation that does not end in its time fails with `Unavailable`, and so does every operation, at once, while
/// as many as are allowed have run out of time and not ended.
///
/// What ran out of time may still happen. So a later put or delete of the same key, and a listing of where it lies, wait for its
/// end, no longer than their own time: what they say is not undone behind their back. Reads do not wait. A read of a whole object
/// asks for its size first, to know its time.
pub fn deadlined(inner: Arc<dyn Filesystem>, clock: Arc<dyn Clock>, settings: DeadlineSettings) -> Arc<dyn Filesystem> {
    Arc::new(Deadlined { inner, deadline: Deadline::new(clock, settings) })
}

struct Deadlined {
    inner: Arc<dyn Filesystem>,
    deadline: Deadline,
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Filesystem for Deadlined {
    async fn put(&self, key: &str, body: Bytes, mode: PutMode) -> Result<()> {
        let (inner, owned, bytes) = (Arc::clone(&self.inner), key.to_owned(), body.len() as u64);
        let work = async move { inner.put(&owned, body, mode).await };
        self.deadline.run("filesystem.put", key, bytes, After::ChangesOf(key.to_owned()), work).await
    }

    async fn get(&self, key: &str) -> Result<Bytes> {
        let bytes = self.size(key).await?;
        let (inner, owned) = (Arc::clone(&self.inner), key.to_owned());
        self.deadline.run("filesystem.get", key, bytes, After::Nothing, async move { inner.get(&owned).await }).await
    }

    async fn get_ranges(&self, key: &str, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        // A range that is turned around or beyond the end is refused below; it only must not count here.
        let asked = ranges.iter().fold(0u64, |sum, range| sum.saturating_add(range.end.saturating_sub(range.start)));
        let bytes = if self.deadline.is_long(asked) { asked.min(self.size(key).await?.saturating_mul(ranges.len() as u64)) } else { asked };
        let (inner, owned, ranges) = (Arc::clone(&self.inner), key.to_owned(), ranges.to_vec());
        let work = async move { inner.get_ranges(&owned, &ranges).await };
        self.deadline.run("filesystem.get_ranges", key, bytes, After::Nothing, work).await
    }

    async fn size(&self, key: &str) -> Result<u64> {
        let (inner, owned) = (Arc::clone(&self.inner), key.to_owned());
        self.deadline.run("filesystem.size", key, 0, After::Nothing, async move { inner.size(&owned).await }).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>> {
        let (inner, owned) = (Arc::clone(&self.inner), prefix.to_owned());
        let work = async move { inner.list(&owned).await };
        self.deadline.run("filesystem.list", prefix, 0, After::ChangesBelow(prefix.to_owned()), work).await
    }

    async fn list_prefixes(&self, prefix: &str) -> Result<Vec<String>> {
        let (inner, owned) = (Arc::clone(&self.inner), prefix.to_owned());
        let work = async move { inner.list_prefixes(&owned).await };
        self.deadline.run("filesystem.list_prefixes", prefix, 0, After::ChangesBelow(prefix.to_owned()), work).await
    }

    async fn delete(&self, key: &str) -> Result<()> {
        let (inner, owned) = (Arc::clone(&self.inner), key.to_owned());
        let work = async move { inner.delete(&owned).await };
        self.deadline.run("filesystem.delete", key, 0, After::ChangesOf(key.to_owned()), work).await
    }

    async fn space(&self) -> Result<Option<Space>> {
        let inner = Arc::clone(&self.inner);
        self.deadline.run("filesystem.space", "the store", 0, After::Nothing, async move { inner.space().await }).await
    }
}

#[cfg(test)]
mod tests;
