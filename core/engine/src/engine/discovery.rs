//! Taking in what the sites hold, at the start and when a site comes back: every collection is put together from its shards, and
//! what is wrong or away is named.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::future::join_all;
use proximadb_model::{Collection, CollectionId, CollectionPatch, ShardId, ShardState, SiteId};
use proximadb_ports::{Fault, PortError, chain};

use super::Engine;
use crate::catalog::{OpenCollection, Slot};
use crate::recover::{self, FoundShard, Scanned};
use crate::shard::Shard;

/// What was found on the sites besides the shards that were opened.
#[derive(Default)]
pub(super) struct Known {
    /// The home that a card names, by the site that has the card and its shard.
    pub(super) cards: BTreeMap<(SiteId, ShardId), SiteId>,
    /// Where a site was, by the site that says so and the one that it is about.
    pub(super) peers: BTreeMap<(SiteId, SiteId), String>,
    /// Collections that were dropped; nothing of them comes back.
    pub(super) dropped: BTreeSet<CollectionId>,
    /// Manifests of dropped shards that are kept until every site is there.
    tombs: Vec<FoundShard>,
    /// Shards that were handed over to a site that is away.
    pub(super) moving: Vec<FoundShard>,
}

impl Engine {
    /// Opens the shards that were found, and fits them into the collections. What other sites say is there, and is not, is
    /// listed as missing.
    pub(super) async fn take_in(&self, scanned: Vec<Scanned>) {
        let _turn = self.arrivals.lock().await;
        let mut known = self.known.lock().await;
        let mut found = std::mem::take(&mut known.moving);
        let mut described: BTreeMap<CollectionId, Collection> = BTreeMap::new();
        let mut gaps: BTreeMap<ShardId, Slot> = BTreeMap::new();
        let mut arrived = BTreeSet::new();
        for Scanned { access, shards, damaged, cards, peers } in scanned {
            let at = access.id;
            arrived.insert(at);
            known.cards.retain(|(site, _), _| *site != at);
            known.peers.retain(|(site, _), _| *site != at);
            known.peers.extend(peers.into_iter().map(|(id, location)| ((at, id), location)));
            for card in cards {
                known.cards.insert((at, card.shard), card.site);
                described.entry(card.shard.collection).or_insert(card.collection);
                gaps.entry(card.shard).or_insert_with(|| self.gap(card.site));
            }
            for (shard, error) in damaged {
                gaps.insert(shard, Slot::missing(error.fault, chain(&error), Some(at)));
            }
            found.extend(shards);
        }
        known.dropped.extend(found.iter().filter(|f| f.manifest.state == ShardState::Dropped).map(|f| f.manifest.shard.collection));
        self.restore_lost(&known, &mut found).await;
        let (newest, older) = recover::newest_copies(found);
        let mut to_open: BTreeMap<u32, Vec<FoundShard>> = BTreeMap::new();
        for (shard, found) in newest {
            if found.manifest.state == ShardState::Dropped {
                known.tombs.push(found);
                continue;
            }
            if known.dropped.contains(&shard.collection) {
                // A crash came between the first and the last shard of a drop, which nobody was told had succeeded or failed.
                self.finish_drop(found).await;
                continue;
            }
            described.insert(shard.collection, found.manifest.collection.clone());
            let there = self.catalog.get(shard.collection).and_then(|c| c.shard(shard.index).ok());
            match (there, found.manifest.state) {
                (Some(there), _) => self.second_home(&there, found).await,
                (None, ShardState::Moving(to)) if self.site(to).is_none_or(|site| site.access().is_err()) => {
                    gaps.insert(
                        shard,
                        Slot::missing(Fault::Unavailable, format!("it was handed over to site {to}, which is not there"), Some(to)),
                    );
                    known.moving.push(found);
                }
                (None, _) => to_open.entry(found.site.instance).or_default().push(found),
            }
        }
        let dropped = known.dropped.clone();
        // Opening takes time, and what other sites do must not wait for it.
        drop(known);
        let opened = join_all(to_open.into_values().map(|shards| self.open_site_shards(shards))).await;
        gaps.extend(opened.into_iter().flatten());
        self.fit(described.into_iter().filter(|(id, _)| !dropped.contains(id)), &gaps);
        for copy in older {
            self.left_over(copy).await;
        }
        let mut known = self.known.lock().await;
        for collection in dropped {
            self.remove_known_cards(&mut known, collection).await;
        }
        for shard in self.catalog.shards() {
            self.write_card(&mut known, &shard).await;
        }
        self.write_peers(&mut known).await;
        self.bury(&mut known).await;
        drop(known);
        for site in self.sites.iter().filter(|site| site.id().is_some_and(|id| arrived.contains(&id))) {
            site.set_taken_in();
        }
        self.report_gaps();
    }

    /// Clears away what is left of dropped collections, where nothing can bring them back any more.
    async fn bury(&self, known: &mut Known) {
        let all_here = self.sites.iter().all(|site| site.access().is_ok());
        for tomb in std::mem::take(&mut known.tombs) {
            let collection = tomb.manifest.shard.collection;
            let cards_gone = !known.cards.keys().any(|(_, shard)| shard.collection == collection);
            let in_step = tomb.access.mirror.as_ref().is_none_or(|mirror| mirror.behind().is_none());
            if !recover::clear_dropped(&self.env, &tomb, all_here && cards_gone && in_step).await {
                known.tombs.push(tomb);
            }
        }
    }

    /// Tries again to clear away what could not be.
    pub(super) async fn bury_again(&self) {
        let mut known = self.known.lock().await;
        if !known.tombs.is_empty() {
            // A site that was away may still have cards.
            for collection in known.dropped.clone() {
                self.remove_known_cards(&mut known, collection).await;
            }
            self.bury(&mut known).await;
        }
    }

    /// Brings shards back from the second copies of a site that should have them, as cards say, and has nothing of them.
    async fn restore_lost(&self, known: &Known, found: &mut Vec<FoundShard>) {
        let missing: BTreeSet<(SiteId, ShardId)> = known.cards.iter().map(|((_, shard), home)| (*home, *shard)).collect();
        for (home, shard) in missing {
            let is_open = || self.catalog.get(shard.collection).is_some_and(|c| c.shard(shard.index).is_ok());
            if known.dropped.contains(&shard.collection) || found.iter().any(|f| f.manifest.shard == shard) || is_open() {
                continue;
            }
            let Some((site, access)) = self.site(home).and_then(|site| Some((site, site.access().ok()?))) else { continue };
            match crate::repair::whole_shard(&access, shard).await {
                Ok(Some(manifest)) => {
                    self.env.telemetry.count("proximadb_shards_restored_total", &[], 1);
                    tracing::warn!(%shard, site = site.location, "was gone, and is restored from its second copies");
                    found.push(FoundShard { site: Arc::clone(site), access, manifest });
                }
                Ok(None) => {}
                Err(e) => tracing::warn!(%shard, error = chain(&e), "its second copies cannot be used"),
            }
        }
    }

    /// Why a shard is missing of which a card says that it lies on `site`.
    fn gap(&self, site: SiteId) -> Slot {
        match self.site(site) {
            Some(there) if there.access().is_ok() => {
                let why = format!("site {site} ({}) has nothing of it any more", there.location);
                Slot::missing(Fault::Corrupt, why, Some(site))
            }
            Some(there) => Slot::missing(Fault::Unavailable, format!("site {site} ({}) is not there", there.location), Some(site)),
            None => Slot::missing(Fault::Unavailable, format!("site {site} is not there"), Some(site)),
        }
    }

    /// Brings what was found into the catalog; a shard that is open already stays as it is.
    fn fit(&self, described: impl Iterator<Item = (CollectionId, Collection)>, gaps: &BTreeMap<ShardId, Slot>) {
        for (id, collection) in described {
            let unknown = || Slot::missing(Fault::Unavailable, "no site that is there has it", None);
            let slot = |index| gaps.get(&ShardId { collection: id, index }).cloned();
            if let Some(there) = self.catalog.get(id) {
                for (index, old) in there.slots().iter().enumerate() {
                    if let (Slot::Missing(_), Some(new)) = (old, slot(index as u32)) {
                        there.set_slot(index as u32, new);
                    }
                }
                continue;
            }
            let slots = (0..collection.spec.shards).map(|index| slot(index).unwrap_or_else(unknown)).collect();
            if let Err(collection) = self.catalog.insert(OpenCollection::new(collection, slots)) {
                let what = "another collection has the same name; this one can be reached by neither name nor uuid";
                self.env.problem(format!("collection {}", collection.id), what);
            }
        }
    }

    /// Names the collections that miss shards, and takes back what was said of those that are whole again.
    pub(super) fn report_gaps(&self) {
        for collection in self.catalog.all() {
            let subject = format!("collection {}", collection.describe().spec.name);
            let slots = collection.slots();
            let gaps: Vec<String> = slots
                .iter()
                .enumerate()
                .filter_map(|(index, slot)| match slot {
                    Slot::Missing(gap) => Some(format!("shard {index}: {}", gap.why)),
                    Slot::Open(_) => None,
                })
                .collect();
            match gaps.first() {
                None => self.env.clear_problem(&subject),
                Some(first) => self.env.problem(subject, format!("{} of {} shards cannot be reached; {first}", gaps.len(), slots.len())),
            }
        }
    }

    /// Opens the shards of one site one after the other: they share its disk.
    async fn open_site_shards(&self, found: Vec<FoundShard>) -> Vec<(ShardId, Slot)> {
        let started = self.env.clock.monotonic();
        let site = found.first().map(|f| Arc::clone(&f.site));
        let mut slots = Vec::new();
        for found in found {
            let (id, at) = (found.manifest.shard, found.access.id);
            let cut_off = match found.manifest.state {
                ShardState::Moving(to) => Some(to),
                _ => None,
            };
            match recover::open_shard(&self.env, found).await {
                Ok(shard) => {
                    self.env.clear_problem(&format!("shard {id}"));
                    if let Some(to) = cut_off {
                        // Said on the disk before anything else, so that the next start asks for no other site.
                        match shard.update(CollectionPatch::default()).await {
                            Ok(()) => self.clear_unfinished_move(id, to).await,
                            Err(e) => self.env.problem(format!("shard {id}"), chain(&e)),
                        }
                    }
                    slots.push((id, Slot::Open(shard)));
                }
                Err(e) => {
                    self.env.problem(format!("shard {id}"), chain(&e));
                    slots.push((id, Slot::missing(e.fault, chain(&e), Some(at))));
                }
            }
        }
        if let Some(site) = site {
            let took = self.env.clock.monotonic().saturating_sub(started);
            site.note_recovered(|recovered| recovered.millis = took.as_millis() as u64);
        }
        slots
    }

    /// A copy of a shard that is open elsewhere.
    async fn second_home(&self, there: &Shard, copy: FoundShard) {
        if (copy.manifest.epoch, copy.manifest.number) > (there.snapshot().manifest.epoch, there.snapshot().manifest.number) {
            let what = format!("site {} has a later copy of it than the one that is served; restart to serve that", copy.site.location);
            self.env.problem(format!("shard {}", there.id), what);
            return;
        }
        self.left_over(copy).await;
    }

    /// A copy that is not the newest. What a finished move left is removed; anything else stays, for people to look at.
    async fn left_over(&self, copy: FoundShard) {
        let shard = copy.manifest.shard;
        let home = self.catalog.get(shard.collection).and_then(|c| c.shard(shard.index).ok());
        let moved = home.is_some_and(|home| copy.manifest.state == ShardState::Moving(home.home.id));
        if !moved {
            self.env.problem(format!("shard {shard} on {}", copy.site.location), "is an older copy and is left aside");
            return;
        }
        let cleared = async {
            copy.files().delete_all().await?;
            copy.access.wal.truncate(shard, proximadb_model::Sequence(u64::MAX)).await
        };
        if let Err(e) = cleared.await {
            self.env.problem(format!("shard {shard} on {}", copy.site.location), chain(&e));
        }
    }

    /// Removes what a move that was cut off had copied to its target.
    async fn clear_unfinished_move(&self, shard: ShardId, to: SiteId) {
        let Some(access) = self.site(to).and_then(|site| site.access().ok()) else { return };
        if let Err(e) = crate::shard_files::ShardFiles::new(shard, &access).delete_all().await {
            tracing::warn!(%shard, error = chain(&e), "what an unfinished move had copied could not be removed");
        }
    }

    async fn finish_drop(&self, found: FoundShard) {
        let id = found.manifest.shard;
        let result = match recover::open_shard(&self.env, found).await {
            Ok(shard) => {
                let result = shard.drop_files().await;
                shard.stop().await;
                result
            }
            Err(e) => Err(e),
        };
        if let Err(e) = result {
            self.env.problem(format!("dropped shard {id}"), chain(&e));
        }
    }

    /// A log that holds operations of a shard without any manifest has outlived something; that must not go unseen. What it has of
    /// a shard that was moved away was written elsewhere before that.
    pub(super) async fn report_unknown_logs(&self) {
        for (site, access) in self.open_sites() {
            let names = async {
                let shards = access.wal.shards().await?;
                Ok::<_, PortError>((shards, access.filesystem.list_prefixes(crate::layout::SHARDS).await?))
            };
            let Ok((shards, prefixes)) = names.await else { continue };
            let here: BTreeSet<_> = prefixes.iter().filter_map(|p| p.parse::<ShardId>().ok()).collect();
            for (shard, last) in shards.into_iter().filter(|(shard, _)| !here.contains(shard)) {
                let home = self.catalog.get(shard.collection).and_then(|c| c.shard(shard.index).ok());
                let known =
                    self.known.lock().await.cards.iter().any(|((at, of), home)| *of == shard && *at == access.id && *home != access.id);
                let subject = format!("shard {shard}");
                match home {
                    Some(home) if home.home.id != access.id => {
                        if let Err(e) = access.wal.truncate(shard, proximadb_model::Sequence(u64::MAX)).await {
                            tracing::warn!(%shard, error = chain(&e), "what the log has of a shard that was moved away stays");
                        }
                    }
                    None if known => {}
                    _ => {
                        let what = format!("the log of {} holds operations up to {last} of it, but no manifest is there", site.location);
                        self.env.problem(subject, what);
                    }
                }
            }
        }
    }
}
