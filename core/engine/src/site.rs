//! A site as the engine knows it: its identity, its adapters, and what was found there.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use proximadb_model::{DiskKind, SiteId};
use proximadb_ports::{Entropy, Fault, Filesystem, PortError, PutMode, Recovered, Result};

use crate::layout;
use crate::parts::{SiteAccess, SiteParts};

/// A site that was configured, reachable or not.
pub(crate) struct Site {
    pub(crate) instance: u32,
    pub(crate) location: String,
    pub(crate) kind: DiskKind,
    pub(crate) weight: f32,
    pub(crate) tags: Vec<String>,
    pub(crate) capacity_bytes: Option<u64>,
    pub(crate) open: std::result::Result<OpenSite, String>,
    pub(crate) recovered: Mutex<Recovered>,
}

/// A site that can be reached.
pub(crate) struct OpenSite {
    pub(crate) id: SiteId,
    pub(crate) access: SiteAccess,
}

impl Site {
    /// Reads the site's identity, or gives it one where it is new and empty.
    pub(crate) async fn open(parts: SiteParts, entropy: &dyn Entropy) -> Self {
        let open = match parts.access {
            Ok(access) => match identify(&*access.filesystem, entropy).await {
                Ok(id) => Ok(OpenSite { id, access }),
                Err(error) => Err(chain(&error)),
            },
            Err(error) => Err(chain(&error)),
        };
        Self {
            instance: parts.instance,
            location: parts.location,
            kind: parts.kind,
            weight: parts.weight,
            tags: parts.tags,
            capacity_bytes: parts.capacity_bytes,
            open,
            recovered: Mutex::new(Recovered::default()),
        }
    }

    pub(crate) fn recovered(&self) -> Recovered {
        *self.recovered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An open site together with its place among the configured ones.
#[derive(Clone)]
pub(crate) struct SiteRef(pub(crate) Arc<Site>);

impl SiteRef {
    /// The open site.
    ///
    /// # Errors
    /// `Unavailable` with what is wrong with it.
    pub(crate) fn open(&self) -> Result<&OpenSite> {
        self.0.open.as_ref().map_err(|why| PortError::new(Fault::Unavailable, "site", &self.0.location, why.clone()))
    }
}

/// An error with its causes on one line, for people.
pub(crate) fn chain(error: &PortError) -> String {
    let mut line = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(c) = cause {
        line.push_str(": ");
        line.push_str(&c.to_string());
        cause = c.source();
    }
    line
}

const HEADER: &str = "proximadb site\nversion = 1\nid = ";

async fn identify(filesystem: &dyn Filesystem, entropy: &dyn Entropy) -> Result<SiteId> {
    match filesystem.get(layout::SITE_MARKER).await {
        Ok(marker) => read_marker(&marker),
        Err(e) if e.fault == Fault::NotFound => {
            // A site without its marker but with shards has lost something; making it anew would hide that.
            if !filesystem.list_prefixes(layout::SHARDS).await?.is_empty() {
                return Err(PortError::new(
                    Fault::Corrupt,
                    "site.open",
                    layout::SITE_MARKER,
                    "shards are here, but the site's marker is missing",
                ));
            }
            let marker = format!("{HEADER}{}\n", SiteId(entropy.uid()));
            match filesystem.put(layout::SITE_MARKER, Bytes::from(marker), PutMode::CreateOnly).await {
                Ok(()) => {}
                Err(e) if e.fault == Fault::Conflict => {}
                Err(e) => return Err(e),
            }
            read_marker(&filesystem.get(layout::SITE_MARKER).await?)
        }
        Err(e) => Err(e),
    }
}

fn read_marker(bytes: &[u8]) -> Result<SiteId> {
    let corrupt = || PortError::new(Fault::Corrupt, "site.open", layout::SITE_MARKER, "is not the marker of a site");
    let text = std::str::from_utf8(bytes).map_err(|_| corrupt())?;
    text.strip_prefix(HEADER).and_then(|rest| rest.strip_suffix('\n')).and_then(|id| id.parse().ok()).ok_or_else(corrupt)
}
