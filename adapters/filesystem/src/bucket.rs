//! Objects in a bucket. Speaks to any `object_store`; which provider it is, `stores` knows.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::TryStreamExt;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutPayload};
use proximadb_ports::{Fault, Filesystem, ObjectInfo, PortError, PutMode, Result, Space};

use crate::faults::{of_store, place_is_gone, store_error};
use crate::keys::{check_key, check_prefix};

/// Tries of one `CreateOnly` put.
const CREATE_TRIES_MAX: u32 = 4;
/// Before the second try; doubles from try to try.
const CREATE_BACKOFF: Duration = Duration::from_millis(100);
/// Ranges that lie no further apart come in one request.
const COALESCE_GAP_BYTES: u64 = 1 << 20;

/// A bucket, or a prefix in one.
pub(crate) struct BucketFilesystem {
    store: Arc<dyn ObjectStore>,
    /// The same place through a client that repeats nothing by itself.
    creator: Arc<dyn ObjectStore>,
    prefixes_may_be_empty: bool,
}

fn path(op: &'static str, key: &str) -> Result<Path> {
    check_key(op, key)?;
    Path::parse(key).map_err(|e| store_error(op, key, e.into()))
}

fn prefix_path(op: &'static str, prefix: &str) -> Result<Path> {
    check_prefix(op, prefix)?;
    Path::parse(prefix).map_err(|e| store_error(op, prefix, e.into()))
}

fn beyond(op: &'static str, key: &str, range: &Range<u64>, end: u64) -> PortError {
    PortError::new(Fault::Invalid, op, key, format!("has {end} bytes, asked for {range:?}"))
}

/// Waits between two tries.
#[expect(
    clippy::disallowed_methods,
    reason = "a pause between requests, as object_store makes them itself; nothing that is stored depends on it"
)]
async fn pause(wait: Duration) {
    tokio::time::sleep(wait).await;
}

/// What a taken key turned out to hold.
enum Holder {
    Nobody,
    SameBody,
    Another,
}

impl BucketFilesystem {
    pub(crate) fn new(store: Arc<dyn ObjectStore>, creator: Arc<dyn ObjectStore>, prefixes_may_be_empty: bool) -> Self {
        Self { store, creator, prefixes_may_be_empty }
    }

    /// A put that may only create. A try whose reply was lost is repeated; where the key is then taken by an object with the
    /// very same body, the lost try had put it. So bodies that coordinate carry an identity of their put.
    async fn create(&self, op: &'static str, key: &str, path: &Path, body: Bytes) -> Result<()> {
        let mut wait = CREATE_BACKOFF;
        let mut one_was_lost = false;
        for attempt in 1.. {
            let payload = PutPayload::from_bytes(body.clone());
            let Err(error) = self.creator.put_opts(path, payload, object_store::PutMode::Create.into()).await else {
                return Ok(());
            };
            let fault = of_store(&error);
            // Repeating helps against a failing server, not against one that refuses.
            let lost = fault == Fault::Unavailable && matches!(error, object_store::Error::Generic { .. });
            if fault == Fault::Conflict {
                match self.holder(path, &body, one_was_lost).await.map_err(|e| store_error(op, key, e))? {
                    Holder::SameBody if one_was_lost => return Ok(()),
                    // S3 also says "conflict" of two creates at once that both may fail.
                    Holder::Nobody if attempt < CREATE_TRIES_MAX => {}
                    Holder::Nobody => {
                        return Err(PortError::new(Fault::Unavailable, op, key, "others keep creating and deleting it").with_source(error));
                    }
                    Holder::SameBody | Holder::Another => return Err(store_error(op, key, error)),
                }
            } else if !lost || attempt == CREATE_TRIES_MAX {
                return Err(place_is_gone(store_error(op, key, error)));
            }
            one_was_lost |= lost;
            tracing::debug!(key, attempt, "create-only put is tried again");
            pause(wait).await;
            wait *= 2;
        }
        Ok(())
    }

    async fn holder(&self, path: &Path, body: &Bytes, compare: bool) -> object_store::Result<Holder> {
        let found = match self.store.head(path).await {
            Err(object_store::Error::NotFound { .. }) => return Ok(Holder::Nobody),
            found => found?,
        };
        if !compare || found.size != body.len() as u64 {
            return Ok(Holder::Another);
        }
        match self.store.get(path).await {
            Err(object_store::Error::NotFound { .. }) => Ok(Holder::Nobody),
            found => Ok(if found?.bytes().await? == *body { Holder::SameBody } else { Holder::Another }),
        }
    }

    /// The bytes of one range, and the length of the whole object.
    async fn range(&self, op: &'static str, key: &str, path: &Path, range: Range<u64>) -> Result<(Bytes, u64)> {
        let options = GetOptions { range: Some(GetRange::Bounded(range.clone())), ..GetOptions::default() };
        let failed = |error| store_error(op, key, error);
        let found = match self.store.get_opts(path, options).await {
            Ok(found) => found,
            Err(error) if of_store(&error) == Fault::NotFound => return Err(failed(error)),
            Err(error) => {
                // Stores say in many ways that a range begins beyond the end; the length says it for sure.
                return Err(match self.store.head(path).await {
                    Ok(meta) if range.end > meta.size => beyond(op, key, &range, meta.size),
                    _ => failed(error),
                });
            }
        };
        if found.range != range {
            return Err(beyond(op, key, &range, found.meta.size));
        }
        let size = found.meta.size;
        let bytes = found.bytes().await.map_err(failed)?;
        if bytes.len() as u64 != range.end - range.start {
            return Err(PortError::new(Fault::Unavailable, op, key, "the answer ended early"));
        }
        Ok((bytes, size))
    }
}

#[async_trait]
impl Filesystem for BucketFilesystem {
    async fn put(&self, key: &str, body: Bytes, mode: PutMode) -> Result<()> {
        const OP: &str = "filesystem.put";
        let path = path(OP, key)?;
        match mode {
            PutMode::CreateOnly => self.create(OP, key, &path, body).await,
            PutMode::Overwrite => {
                let put = self.store.put(&path, PutPayload::from_bytes(body)).await;
                put.map(|_| ()).map_err(|e| place_is_gone(store_error(OP, key, e)))
            }
        }
    }

    async fn get(&self, key: &str) -> Result<Bytes> {
        const OP: &str = "filesystem.get";
        let path = path(OP, key)?;
        let failed = |error| store_error(OP, key, error);
        self.store.get(&path).await.map_err(failed)?.bytes().await.map_err(failed)
    }

    async fn get_ranges(&self, key: &str, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        const OP: &str = "filesystem.get_ranges";
        let path = path(OP, key)?;
        if let Some(wrong) = ranges.iter().find(|r| r.start > r.end) {
            return Err(PortError::new(Fault::Invalid, OP, key, format!("asked for {wrong:?}")));
        }
        let wanted: Vec<Range<u64>> = ranges.iter().filter(|r| r.start < r.end).cloned().collect();
        let length = AtomicU64::new(0);
        let fetch = async |range| {
            let (bytes, size) = self.range(OP, key, &path, range).await?;
            length.store(size, Ordering::Relaxed);
            Ok::<_, PortError>(bytes)
        };
        let mut parts = object_store::coalesce_ranges(&wanted, |range| Box::pin(fetch(range)), COALESCE_GAP_BYTES).await?.into_iter();
        // Empty ranges come in no request, but they too must lie within.
        let size = if wanted.is_empty() { self.size(key).await? } else { length.into_inner() };
        let part = |range: &Range<u64>| match () {
            () if range.end > size => Err(beyond(OP, key, range, size)),
            () if range.start == range.end => Ok(Bytes::new()),
            () => parts.next().ok_or_else(|| PortError::new(Fault::Internal, OP, key, "a range was not answered")),
        };
        ranges.iter().map(part).collect()
    }

    async fn size(&self, key: &str) -> Result<u64> {
        const OP: &str = "filesystem.size";
        let path = path(OP, key)?;
        Ok(self.store.head(&path).await.map_err(|e| store_error(OP, key, e))?.size)
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>> {
        const OP: &str = "filesystem.list";
        let path = prefix_path(OP, prefix)?;
        let listed = self.store.list(Some(&path)).map_ok(|meta| ObjectInfo { key: meta.location.into(), bytes: meta.size });
        let mut objects: Vec<ObjectInfo> = listed.try_collect().await.map_err(|e| place_is_gone(store_error(OP, prefix, e)))?;
        objects.retain(|o| check_key(OP, &o.key).is_ok());
        objects.sort_unstable();
        Ok(objects)
    }

    async fn list_prefixes(&self, prefix: &str) -> Result<Vec<String>> {
        const OP: &str = "filesystem.list_prefixes";
        let path = prefix_path(OP, prefix)?;
        let failed = |error| place_is_gone(store_error(OP, prefix, error));
        let mut found = Vec::new();
        for below in self.store.list_with_delimiter(Some(&path)).await.map_err(failed)?.common_prefixes {
            let Some(name) = below.filename().filter(|name| check_key(OP, name).is_ok()) else { continue };
            if self.prefixes_may_be_empty && self.store.list(Some(&below)).try_next().await.map_err(failed)?.is_none() {
                continue;
            }
            found.push(name.to_owned());
        }
        found.sort_unstable();
        Ok(found)
    }

    async fn delete(&self, key: &str) -> Result<()> {
        const OP: &str = "filesystem.delete";
        let path = path(OP, key)?;
        match self.store.delete(&path).await {
            Err(error) if of_store(&error) == Fault::NotFound => Ok(()),
            outcome => outcome.map_err(|e| store_error(OP, key, e)),
        }
    }

    async fn space(&self) -> Result<Option<Space>> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests;
