//! A store that fails or keeps silent when a test wants it to, around a real or a simulated one; and it as a partner.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use proximadb_ports::{Disk, Fault, Filesystem, ObjectInfo, Partner, PortError, PutMode, Result, Space};
use tokio::sync::watch;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    Well,
    /// Some operations fail, and some that fail have been done.
    Failing,
    /// Operations wait; they are done once this is over.
    Silent,
    /// Puts wait so, and nothing else.
    SilentAboutPuts,
    /// The process that asked is no more: what waited is never done.
    Dead,
}

pub(crate) struct Unreliable {
    inner: Arc<dyn Filesystem>,
    mood: watch::Sender<Mood>,
    asked: AtomicU64,
    log: Mutex<Vec<String>>,
}

impl Unreliable {
    pub(crate) fn around(inner: Arc<dyn Filesystem>) -> Arc<Self> {
        Arc::new(Self { inner, mood: watch::Sender::new(Mood::Well), asked: AtomicU64::new(0), log: Mutex::default() })
    }

    pub(crate) fn set(&self, mood: Mood) {
        self.mood.send_replace(mood);
    }

    /// What was asked, in order, and forgets it: `"put key"`.
    pub(crate) fn take_log(&self) -> Vec<String> {
        std::mem::take(&mut *self.log.lock().expect("no panic"))
    }

    async fn ask<T>(&self, op: &'static str, key: &str, work: impl Future<Output = Result<T>> + Send) -> Result<T> {
        self.log.lock().expect("no panic").push(format!("{op} {key}"));
        let failure = || PortError::new(Fault::Unavailable, op, key, "the test wants this to fail");
        let is_silent = |mood| mood == Mood::Silent || (mood == Mood::SilentAboutPuts && op == "put");
        let mood = *self.mood.subscribe().wait_for(|mood| !is_silent(*mood)).await.expect("the sender lives here");
        let number = self.asked.fetch_add(1, Ordering::Relaxed);
        match mood {
            Mood::Dead => Err(failure()),
            Mood::Failing if number.is_multiple_of(3) => Err(failure()),
            Mood::Failing if number.is_multiple_of(5) => {
                work.await?;
                Err(failure())
            }
            _ => work.await,
        }
    }
}

#[async_trait]
impl Filesystem for Unreliable {
    async fn put(&self, key: &str, body: Bytes, mode: PutMode) -> Result<()> {
        self.ask("put", key, self.inner.put(key, body, mode)).await
    }

    async fn get(&self, key: &str) -> Result<Bytes> {
        self.ask("get", key, self.inner.get(key)).await
    }

    async fn get_ranges(&self, key: &str, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.ask("get_ranges", key, self.inner.get_ranges(key, ranges)).await
    }

    async fn size(&self, key: &str) -> Result<u64> {
        self.ask("size", key, self.inner.size(key)).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>> {
        self.ask("list", prefix, self.inner.list(prefix)).await
    }

    async fn list_prefixes(&self, prefix: &str) -> Result<Vec<String>> {
        self.ask("list_prefixes", prefix, self.inner.list_prefixes(prefix)).await
    }

    async fn delete(&self, key: &str) -> Result<()> {
        self.ask("delete", key, self.inner.delete(key)).await
    }

    async fn space(&self) -> Result<Option<Space>> {
        self.ask("space", "", self.inner.space()).await
    }
}

/// A partner that may be gone.
pub(crate) struct Other {
    pub(crate) store: Arc<Unreliable>,
    pub(crate) gone: AtomicBool,
}

impl Other {
    pub(crate) fn with(store: Arc<dyn Filesystem>) -> Arc<Self> {
        Arc::new(Self { store: Unreliable::around(store), gone: AtomicBool::new(false) })
    }
}

impl Partner for Other {
    fn disk(&self) -> Result<Arc<dyn Disk>> {
        Err(PortError::new(Fault::Unavailable, "partner.disk", "the partner", "has no disk in this test"))
    }

    fn filesystem(&self) -> Result<Arc<dyn Filesystem>> {
        if self.gone.load(Ordering::SeqCst) {
            return Err(PortError::new(Fault::Unavailable, "partner.filesystem", "the partner", "is not there"));
        }
        Ok(Arc::clone(&self.store) as Arc<dyn Filesystem>)
    }
}
