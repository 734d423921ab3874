//! What each site knows of the others: a card for each shard that lies elsewhere, and where the other sites were. Hints only, so
//! that a start without a disk can say what is missing; what counts is on the shard's own site.

use std::sync::Arc;

use bytes::Bytes;
use proximadb_model::{CollectionId, Manifest, ShardId, ShardState, SiteId};
use proximadb_ports::{Fault, PortError, PutMode, Result, chain};

use super::Engine;
use super::discovery::Known;
use crate::layout;
use crate::parts::SiteAccess;
use crate::shard::Shard;
use crate::site::SiteRef;

/// A shard's manifest without what only its own site needs.
fn card_of(shard: &Shard) -> Manifest {
    let mut card = Manifest::clone(&shard.snapshot().manifest);
    card.site = shard.home.id;
    card.state = ShardState::Live;
    card.flushed_through = proximadb_model::Sequence(0);
    card.segments.clear();
    card.remembered.clear();
    card
}

impl Engine {
    pub(super) fn site(&self, id: SiteId) -> Option<&SiteRef> {
        self.sites.iter().find(|site| site.id() == Some(id))
    }

    /// Every site that can be reached, with its adapters.
    pub(super) fn open_sites(&self) -> Vec<(&SiteRef, Arc<SiteAccess>)> {
        self.sites.iter().filter_map(|site| Some((site, site.access().ok()?))).collect()
    }

    /// Puts the cards of shards on every other site. A site that does not take them gets them when it comes back.
    pub(super) async fn write_cards(&self, shards: &[Arc<Shard>]) {
        let mut known = self.known.lock().await;
        for shard in shards {
            self.write_card(&mut known, shard).await;
        }
    }

    pub(super) async fn write_card(&self, known: &mut Known, shard: &Shard) {
        let card = card_of(shard).encode();
        for (site, access) in self.open_sites() {
            let there = known.cards.get(&(access.id, shard.id)).copied();
            let wanted = (access.id != shard.home.id).then_some(shard.home.id);
            if there == wanted {
                continue;
            }
            let key = layout::card(shard.id);
            let result = match wanted {
                Some(_) => access.filesystem.put(&key, card.clone(), PutMode::Overwrite).await,
                None => access.filesystem.delete(&key).await,
            };
            match (result, wanted) {
                (Ok(()), Some(home)) => drop(known.cards.insert((access.id, shard.id), home)),
                (Ok(()), None) => drop(known.cards.remove(&(access.id, shard.id))),
                (Err(e), _) => {
                    tracing::warn!(site = site.location, error = chain(&e), "a card could not be written");
                    site.suspected.notify_one();
                }
            }
        }
    }

    /// Removes the cards of a dropped collection wherever they can be reached.
    pub(super) async fn remove_cards(&self, collection: CollectionId) {
        let mut known = self.known.lock().await;
        known.dropped.insert(collection);
        self.remove_known_cards(&mut known, collection).await;
    }

    pub(super) async fn remove_known_cards(&self, known: &mut Known, collection: CollectionId) {
        let cards: Vec<(SiteId, ShardId)> = known.cards.keys().filter(|(_, shard)| shard.collection == collection).copied().collect();
        for (at, shard) in cards {
            let Some(access) = self.site(at).and_then(|site| site.access().ok()) else { continue };
            match access.filesystem.delete(&layout::card(shard)).await {
                Ok(()) => drop(known.cards.remove(&(at, shard))),
                Err(e) => tracing::warn!(%shard, error = chain(&e), "a card could not be removed"),
            }
        }
    }

    /// Notes on every site where the others are.
    pub(super) async fn write_peers(&self, known: &mut Known) {
        let sites: Vec<_> = self.sites.iter().filter_map(|site| Some((site.id()?, site.location.clone()))).collect();
        for (site, access) in self.open_sites() {
            for (id, location) in sites.iter().filter(|(id, _)| *id != access.id) {
                if known.peers.get(&(access.id, *id)) == Some(location) {
                    continue;
                }
                match access.filesystem.put(&layout::peer(*id), Bytes::from(location.clone()), PutMode::Overwrite).await {
                    Ok(()) => drop(known.peers.insert((access.id, *id), location.clone())),
                    Err(e) => tracing::warn!(site = site.location, error = chain(&e), "the other sites could not be noted"),
                }
            }
        }
    }

    /// Whether a place without a marker may become a new site. Where another site remembers one in this place that is nowhere now,
    /// the place is more likely the mount point of a disk that is missing.
    ///
    /// # Errors
    /// `Unavailable` then.
    pub(super) fn may_become_a_site(&self, known: &Known, site: &SiteRef) -> Result<()> {
        let elsewhere = |id: SiteId| self.site(id).is_some_and(|other| !Arc::ptr_eq(other, site) && other.access().is_ok());
        let was = known.peers.iter().find(|((_, id), location)| **location == site.location && !elsewhere(*id));
        match was {
            None => Ok(()),
            Some(((_, id), _)) => {
                let message = format!("site {id} was here, and nothing is here now; is its disk mounted?");
                Err(PortError::new(Fault::Unavailable, "site.open", &site.location, message))
            }
        }
    }
}
