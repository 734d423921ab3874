//! The sites that are in use at this moment, so that each can keep second copies on another while that is there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use proximadb_filesystem::{LocalDisk, create_directory, scoped};
use proximadb_model::SiteId;
use proximadb_ports::{Disk, Fault, Filesystem, Partner, PortError, Reserve, Result};
use tokio::sync::Notify;

/// What others use of a site.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) filesystem: Arc<dyn Filesystem>,
    /// The folder of its log, on a disk.
    pub(crate) wal: Option<PathBuf>,
}

/// The sites in use, by their numbers in the configuration.
#[derive(Default)]
pub(crate) struct Places {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    entered: u64,
    places: BTreeMap<u32, (u64, Place)>,
    /// Sites that could not be opened when that was tried last.
    away: BTreeSet<u32>,
}

impl Places {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets others use a site for as long as the entry lives.
    pub(crate) fn enter(self: &Arc<Self>, instance: u32, place: Place) -> Entry {
        let mut state = self.state();
        state.entered += 1;
        let serial = state.entered;
        state.places.insert(instance, (serial, place));
        state.away.remove(&instance);
        drop(state);
        self.changed.notify_waiters();
        Entry { places: Arc::clone(self), instance, serial }
    }

    /// Notes that a site cannot be opened now, so that nobody waits for it.
    pub(crate) fn away(&self, instance: u32) {
        let mut state = self.state();
        if !state.places.contains_key(&instance) {
            state.away.insert(instance);
        }
        drop(state);
        self.changed.notify_waiters();
    }

    /// Waits until a site is in use, or is known to be away; at a start all sites are opened at once.
    pub(crate) async fn settled(&self, instance: u32) {
        loop {
            let changed = self.changed.notified();
            {
                let state = self.state();
                if state.places.contains_key(&instance) || state.away.contains(&instance) {
                    return;
                }
            }
            changed.await;
        }
    }

    fn find(&self, instance: u32) -> Result<Place> {
        let found = self.state().places.get(&instance).map(|(_, place)| place.clone());
        found.ok_or_else(|| PortError::new(Fault::Unavailable, "site.partner", instance, "the site of the second copies is not there"))
    }
}

/// A site's entry among those in use.
pub(crate) struct Entry {
    places: Arc<Places>,
    instance: u32,
    serial: u64,
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut state = self.places.state();
        // A site that has come back may have entered again before its last user from before is gone.
        if state.places.get(&self.instance).is_some_and(|(serial, _)| *serial == self.serial) {
            state.places.remove(&self.instance);
        }
    }
}

/// Where a site keeps its second copies: below names of its own on another site.
pub(crate) struct SecondPlace {
    pub(crate) places: Arc<Places>,
    /// The other site.
    pub(crate) instance: u32,
    /// The site whose copies these are.
    pub(crate) of: SiteId,
}

impl Partner for SecondPlace {
    fn disk(&self) -> Result<Arc<dyn Disk>> {
        let wal = self.places.find(self.instance)?.wal;
        let wal = wal.ok_or_else(|| PortError::new(Fault::Unavailable, "site.partner", self.instance, "its log is not on a disk"))?;
        let folder = wal.join(format!("mirror-{}", self.of));
        create_directory(&folder)?;
        Ok(Arc::new(LocalDisk::open(&folder)?))
    }

    fn filesystem(&self) -> Result<Arc<dyn Filesystem>> {
        Ok(scoped(self.places.find(self.instance)?.filesystem, &format!("mirrors/{}", self.of)))
    }
}

/// Room kept back in a site's folder.
pub(crate) struct FolderReserve {
    folder: PathBuf,
    bytes: u64,
    held: Mutex<Option<Arc<proximadb_filesystem::Reserve>>>,
}

impl FolderReserve {
    /// Keeps nothing back yet.
    pub(crate) fn new(folder: PathBuf, bytes: u64) -> Self {
        Self { folder, bytes, held: Mutex::new(None) }
    }

    fn held(&self) -> MutexGuard<'_, Option<Arc<proximadb_filesystem::Reserve>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn blocking<T: Send + 'static>(&self, work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
        let gone = |e| PortError::new(Fault::Unavailable, "reserve", self.folder.display(), "the runtime is ending").with_source(e);
        tokio::task::spawn_blocking(work).await.map_err(gone)?
    }
}

#[async_trait]
impl Reserve for FolderReserve {
    fn is_held(&self) -> bool {
        self.held().is_some()
    }

    async fn hold(&self) -> Result<()> {
        if self.is_held() {
            return Ok(());
        }
        let (folder, bytes) = (self.folder.clone(), self.bytes);
        let reserve = self.blocking(move || proximadb_filesystem::Reserve::hold(&folder, bytes)).await?;
        *self.held() = Some(Arc::new(reserve));
        Ok(())
    }

    async fn release(&self) -> Result<()> {
        let held = self.held().take();
        match held {
            Some(reserve) => self.blocking(move || reserve.release()).await,
            None => Ok(()),
        }
    }
}
