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
    /// Folders of second copies of logs that have been made, by the place they are in and whose copies they are.
    folders: BTreeMap<(u64, SiteId), Result<Arc<dyn Disk>>>,
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

    fn find(&self, instance: u32) -> Result<(u64, Place)> {
        let found = self.state().places.get(&instance).cloned();
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
            state.folders.retain(|(serial, _), _| *serial != self.serial);
        }
    }
}

const BEING_MADE: &str = "the folder of second copies is being made";

/// Where a site keeps its second copies: below names of its own on another site.
pub(crate) struct SecondPlace {
    pub(crate) places: Arc<Places>,
    /// The other site.
    pub(crate) instance: u32,
    /// The site whose copies these are.
    pub(crate) of: SiteId,
}

impl SecondPlace {
    /// Makes the folder of the log's second copies, if the other site is there. These are system calls, and a disk that hangs lets
    /// them wait.
    pub(crate) async fn prepare(&self) {
        let Ok((serial, place)) = self.places.find(self.instance) else { return };
        self.make(serial, place).await;
    }

    fn make(&self, serial: u64, place: Place) -> impl Future<Output = ()> + Send + use<> {
        let (places, of, instance) = (Arc::clone(&self.places), self.of, self.instance);
        async move {
            let Some(wal) = place.wal else { return };
            let made = tokio::task::spawn_blocking(move || {
                let folder = wal.join(format!("mirror-{of}"));
                create_directory(&folder)?;
                Ok(Arc::new(LocalDisk::open(&folder)?) as Arc<dyn Disk>)
            });
            let gone = |e| PortError::new(Fault::Unavailable, "site.partner", instance, "the runtime is ending").with_source(e);
            let made = made.await.map_err(gone).and_then(|made| made);
            let mut state = places.state();
            // Where the site has gone meanwhile, nobody asks for it any more.
            if state.places.get(&instance).is_some_and(|(now, _)| *now == serial) {
                state.folders.insert((serial, of), made);
            }
        }
    }
}

impl Partner for SecondPlace {
    fn disk(&self) -> Result<Arc<dyn Disk>> {
        let (serial, place) = self.places.find(self.instance)?;
        let unready = |why: &str| PortError::new(Fault::Unavailable, "site.partner", self.instance, why);
        if place.wal.is_none() {
            return Err(unready("its log is not on a disk"));
        }
        let key = (serial, self.of);
        let mut state = self.places.state();
        match state.folders.get(&key) {
            Some(Ok(disk)) => return Ok(Arc::clone(disk)),
            Some(Err(error)) if error.message == BEING_MADE => return Err(error.duplicate()),
            Some(Err(error)) => tracing::warn!(%error, "the folder of second copies cannot be made"),
            None => {}
        }
        // The site has come back, or it failed before: whoever asks next finds it.
        state.folders.insert(key, Err(unready(BEING_MADE)));
        drop(state);
        tokio::spawn(self.make(serial, place));
        Err(unready(BEING_MADE))
    }

    fn filesystem(&self) -> Result<Arc<dyn Filesystem>> {
        Ok(scoped(self.places.find(self.instance)?.1.filesystem, &format!("mirrors/{}", self.of)))
    }
}

/// Room kept back in a site's folder.
pub(crate) struct FolderReserve {
    folder: PathBuf,
    bytes: u64,
    held: Mutex<Option<Arc<proximadb_filesystem::Reserve>>>,
}

impl FolderReserve {
    /// Keeps the room back where there is so much; what an earlier process kept back still is.
    pub(crate) async fn new(folder: PathBuf, bytes: u64) -> Self {
        let reserve = Self { folder, bytes, held: Mutex::new(None) };
        if let Err(error) = reserve.hold().await {
            tracing::warn!(folder = %reserve.folder.display(), %error, "no room can be kept back");
        }
        reserve
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
