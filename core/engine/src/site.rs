//! A site as the engine knows it: its identity, its adapters while it can be reached, and how it is.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use proximadb_model::plan::Room;
use proximadb_model::{DiskKind, Manifest, SiteId};
use proximadb_ports::{Fault, Filesystem, PortError, PutMode, Recovered, Result, Space, chain};
use tokio::sync::Notify;

use crate::layout;
use crate::parts::{SiteAccess, SiteOpener, SiteParts};

/// A site that was configured, reachable or not.
pub(crate) struct Site {
    pub(crate) instance: u32,
    pub(crate) location: String,
    pub(crate) kind: DiskKind,
    pub(crate) weight: f32,
    pub(crate) tags: Vec<String>,
    pub(crate) capacity_bytes: Option<u64>,
    pub(crate) opener: Arc<dyn SiteOpener>,
    /// Asks for a look at the site at once.
    pub(crate) suspected: Notify,
    /// Writes that were asked for, so that a site under load is looked at more closely.
    asked: AtomicU64,
    open: ArcSwapOption<SiteAccess>,
    state: Mutex<State>,
}

struct State {
    /// Known once it has been read, also while the site is away.
    id: Option<SiteId>,
    condition: Condition,
    /// Takes no new shards, and gives its own away.
    draining: bool,
    /// Whether what it holds has been taken in; before that its second copies are left as they are.
    taken_in: bool,
    space: Option<Space>,
    recovered: Recovered,
}

/// How a site is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    /// All is well, or there is only little room left, of which the text tells.
    Serving(Option<String>),
    /// Takes deletes but no records.
    Full(String),
    /// Takes no writes; what can be read is read.
    Failing(String),
    /// Not there.
    Missing(String),
}

impl Condition {
    /// The state as people see it.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Serving(None) => "ok".to_owned(),
            Self::Serving(Some(text)) | Self::Full(text) | Self::Failing(text) | Self::Missing(text) => text.clone(),
        }
    }
}

impl Site {
    /// A site that nobody has looked at yet.
    pub(crate) fn new(parts: SiteParts) -> Self {
        let state = State {
            id: None,
            condition: Condition::Missing("has not answered yet".to_owned()),
            draining: false,
            taken_in: false,
            space: None,
            recovered: Recovered::default(),
        };
        Self {
            instance: parts.instance,
            location: parts.location,
            kind: parts.kind,
            weight: parts.weight,
            tags: parts.tags,
            capacity_bytes: parts.capacity_bytes,
            opener: parts.opener,
            suspected: Notify::new(),
            asked: AtomicU64::new(0),
            open: ArcSwapOption::empty(),
            state: Mutex::new(state),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its adapters.
    ///
    /// # Errors
    /// `Unavailable` with what is wrong with it.
    pub(crate) fn access(&self) -> Result<Arc<SiteAccess>> {
        self.open.load_full().ok_or_else(|| PortError::new(Fault::Unavailable, "site", &self.location, self.condition().text()))
    }

    pub(crate) fn id(&self) -> Option<SiteId> {
        self.state().id
    }

    pub(crate) fn condition(&self) -> Condition {
        self.state().condition.clone()
    }

    /// Sets how the site is, and says whether that is news.
    pub(crate) fn set_condition(&self, condition: Condition) -> bool {
        let mut state = self.state();
        let news = state.condition != condition;
        state.condition = condition;
        news
    }

    pub(crate) fn room(&self) -> Room {
        match self.state().condition {
            Condition::Full(_) => Room::Full,
            Condition::Serving(Some(_)) => Room::Low,
            _ => Room::Enough,
        }
    }

    /// The room on it when it was last looked at.
    pub(crate) fn space(&self) -> Option<Space> {
        self.state().space
    }

    pub(crate) fn set_space(&self, space: Option<Space>) {
        self.state().space = space;
    }

    pub(crate) fn is_taken_in(&self) -> bool {
        self.state().taken_in
    }

    pub(crate) fn set_taken_in(&self) {
        self.state().taken_in = true;
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.state().draining
    }

    pub(crate) fn set_draining(&self, draining: bool) {
        self.state().draining = draining;
    }

    /// Lets the site be used. It must be the one that was here before, if one was.
    ///
    /// # Errors
    /// `Unavailable` when it is another.
    pub(crate) fn set_open(&self, access: Arc<SiteAccess>) -> Result<()> {
        let mut state = self.state();
        if let Some(known) = state.id.filter(|known| *known != access.id) {
            let message = format!("site {} is here now, where site {known} was", access.id);
            return Err(PortError::new(Fault::Unavailable, "site.open", &self.location, message));
        }
        state.id = Some(access.id);
        state.taken_in = false;
        state.condition = Condition::Serving(None);
        self.open.store(Some(access));
        Ok(())
    }

    /// Ends the use of the site; its adapters go with their last user.
    pub(crate) fn set_missing(&self, why: String) {
        self.open.store(None);
        self.state().condition = Condition::Missing(why);
    }

    /// Whether a write may begin; `puts` says that it brings records and does not only delete.
    ///
    /// # Errors
    /// `Exhausted` for records when there is no room; `Unavailable` when the site takes no writes.
    pub(crate) fn admit(&self, puts: bool) -> Result<()> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let refuse = |fault, text: &str| Err(PortError::new(fault, "write", &self.location, text.to_owned()));
        match &self.state().condition {
            Condition::Serving(_) => Ok(()),
            Condition::Full(text) if puts => refuse(Fault::Exhausted, text),
            Condition::Full(_) => Ok(()),
            Condition::Failing(text) | Condition::Missing(text) => refuse(Fault::Unavailable, text),
        }
    }

    /// Whether the site takes any writes, deletes at least.
    ///
    /// # Errors
    /// `Unavailable`.
    pub(crate) fn takes_writes(&self) -> Result<()> {
        match &self.state().condition {
            Condition::Serving(_) | Condition::Full(_) => Ok(()),
            Condition::Failing(text) | Condition::Missing(text) => {
                Err(PortError::new(Fault::Unavailable, "write", &self.location, text.clone()))
            }
        }
    }

    /// Writes that were asked for so far.
    pub(crate) fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }

    pub(crate) fn recovered(&self) -> Recovered {
        self.state().recovered
    }

    pub(crate) fn note_recovered(&self, note: impl FnOnce(&mut Recovered)) {
        note(&mut self.state().recovered);
    }
}

/// A site shared by whoever has to do with it.
pub(crate) type SiteRef = Arc<Site>;

const HEADER: &str = "proximadb site\nversion = 1\nid = ";

/// Reads the identity of the site whose objects these are. A place without a marker becomes the site `new`, where one is given
/// and nothing is there.
///
/// # Errors
/// `NotFound` without a marker and without `new`; `Corrupt` for a marker that says something else where no shard tells whose it is;
/// those of the store.
pub async fn site_identity(filesystem: &dyn Filesystem, new: Option<SiteId>) -> Result<SiteId> {
    let absent = match filesystem.get(layout::SITE_MARKER).await {
        Ok(marker) => match read_marker(&marker) {
            Ok(id) => return Ok(id),
            Err(e) => e,
        },
        Err(e) if e.fault == Fault::NotFound => e,
        Err(e) => return Err(e),
    };
    if let Some(id) = identity_of_shards(filesystem).await? {
        tracing::warn!(site = %id, error = chain(&absent), "the site's marker is written anew, from what its shards say");
        filesystem.put(layout::SITE_MARKER, marker_of(id), PutMode::Overwrite).await?;
        return Ok(id);
    }
    if absent.fault != Fault::NotFound {
        return Err(absent);
    }
    let Some(new) = new else { return Err(absent) };
    match filesystem.put(layout::SITE_MARKER, marker_of(new), PutMode::CreateOnly).await {
        Ok(()) => {}
        Err(e) if e.fault == Fault::Conflict => {}
        Err(e) => return Err(e),
    }
    read_marker(&filesystem.get(layout::SITE_MARKER).await?)
}

/// The site that the manifests of all shards here name; `None` where there are no shards.
async fn identity_of_shards(filesystem: &dyn Filesystem) -> Result<Option<SiteId>> {
    let corrupt = |why: &str| PortError::new(Fault::Corrupt, "site.open", layout::SITE_MARKER, why);
    let mut named = None;
    let shards = filesystem.list_prefixes(layout::SHARDS).await?;
    for shard in &shards {
        let Some(last) = filesystem.list(&format!("{}/{shard}/manifest", layout::SHARDS)).await?.pop() else { continue };
        let Ok(manifest) = Manifest::decode(&filesystem.get(&last.key).await?) else { continue };
        if named.replace(manifest.site).is_some_and(|other| other != manifest.site) {
            return Err(corrupt("the site's marker is lost, and the shards here are those of several sites"));
        }
    }
    if named.is_none() && !shards.is_empty() {
        return Err(corrupt("shards are here, but the site's marker is lost, and no manifest can be read"));
    }
    Ok(named)
}

pub(crate) fn read_marker(bytes: &[u8]) -> Result<SiteId> {
    let corrupt = || PortError::new(Fault::Corrupt, "site.open", layout::SITE_MARKER, "is not the marker of a site");
    let text = std::str::from_utf8(bytes).map_err(|_| corrupt())?;
    let id = text.strip_prefix(HEADER).and_then(|rest| rest.split('\n').next()).and_then(|id| id.parse().ok()).ok_or_else(corrupt)?;
    // Markers of the first release end after the identity. A damaged digit of it would be another site.
    if bytes == marker_of(id) || *bytes == *format!("{HEADER}{id}\n").as_bytes() { Ok(id) } else { Err(corrupt()) }
}

/// The marker's bytes: text, with the CRC-32C of everything before its last line.
fn marker_of(id: SiteId) -> Bytes {
    let text = format!("{HEADER}{id}\n");
    let checksum = crc32c::crc32c(text.as_bytes());
    Bytes::from(format!("{text}crc32c = {checksum:08x}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proximadb_model::Uid;

    #[test]
    fn a_marker_is_read_and_no_changed_byte_of_it_goes_unnoticed() {
        let id = SiteId(Uid([0x5a; 16]));
        let marker = marker_of(id);
        assert_eq!(read_marker(&marker).expect("whole"), id);
        assert_eq!(read_marker(format!("{HEADER}{id}\n").as_bytes()).expect("of the first release"), id);
        for place in 0..marker.len() {
            for bit in 0..8 {
                let mut damaged = marker.to_vec();
                damaged[place] ^= 1 << bit;
                assert_eq!(read_marker(&damaged).expect_err("damaged").fault, Fault::Corrupt, "byte {place}, bit {bit}");
            }
        }
    }
}
