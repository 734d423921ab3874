//! Opening what the sites hold: every collection is put together from its shards, and what is wrong is named.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use futures_util::future::join_all;
use proximadb_model::{Collection, CollectionId, ShardId, ShardState};
use proximadb_ports::Fault;
use tokio::sync::watch;

use super::Engine;
use crate::catalog::OpenCollection;
use crate::env::Env;
use crate::shard::Shard;
use crate::site::chain;
use crate::snapshot::Segment;
use crate::{recover, segment_build};

/// Pause before what could not be read is tried again.
const AGAIN_AFTER: Duration = Duration::from_secs(10);

impl Engine {
    pub(super) async fn recover(&self) {
        let scanned = join_all(self.sites.iter().map(|site| recover::scan_site(&self.env, site))).await;
        let found = recover::newest_copies(&self.env, scanned.into_iter().flatten().collect());
        let dropped = recover::dropped(&found);
        let mut collections: BTreeMap<CollectionId, Collection> = BTreeMap::new();
        let mut by_site: BTreeMap<u32, Vec<recover::FoundShard>> = BTreeMap::new();
        for (shard, found) in found {
            if found.manifest.state == ShardState::Dropped {
                recover::clear_dropped(&self.env, &found).await;
            } else if dropped.contains(&shard.collection) {
                // A crash came between the first and the last shard of a drop, which nobody was told had succeeded or failed.
                self.finish_drop(found).await;
            } else {
                collections.insert(shard.collection, found.manifest.collection.clone());
                by_site.entry(found.site.0.instance).or_default().push(found);
            }
        }
        let opened = join_all(by_site.into_values().map(|shards| self.open_site_shards(shards))).await;
        let mut shards: BTreeMap<ShardId, Arc<Shard>> = opened.into_iter().flatten().map(|s| (s.id, s)).collect();
        for (id, collection) in collections {
            let count = collection.spec.shards;
            let of_collection = (0..count).map(|index| shards.remove(&ShardId { collection: id, index })).collect::<Vec<_>>();
            let missing = of_collection.iter().filter(|s| s.is_none()).count();
            if missing > 0 {
                self.env.problem(format!("collection {}", collection.spec.name), format!("{missing} of {count} shards cannot be reached"));
            }
            if let Err(collection) = self.catalog.insert(OpenCollection::new(collection, of_collection)) {
                self.env
                    .problem(format!("collection {}", collection.id), "another collection has the same name; it can be reached by neither");
            }
        }
        self.report_unknown_logs().await;
    }

    /// Brings what searches can do without at first: the originals of graphs, one segment after the other for each site.
    pub(super) fn bring_originals(&self) {
        let mut by_site: BTreeMap<u32, Vec<(ShardId, Weak<Segment>)>> = BTreeMap::new();
        for shard in self.catalog.all().iter().flat_map(|c| c.reachable()) {
            let of_site = by_site.entry(shard.site.0.instance).or_default();
            of_site.extend(shard.snapshot().segments.iter().map(|view| (shard.id, Arc::downgrade(&view.segment))));
        }
        for segments in by_site.into_values() {
            let task = bring(Arc::clone(&self.env), segments, self.stopping.subscribe());
            self.env.executor.spawn("originals", Box::pin(task));
        }
    }

    /// Opens the shards of one site one after the other: they share its disk.
    async fn open_site_shards(&self, found: Vec<recover::FoundShard>) -> Vec<Arc<Shard>> {
        let started = self.env.clock.monotonic();
        let site = found.first().map(|f| f.site.clone());
        let mut shards = Vec::new();
        for found in found {
            let id = found.manifest.shard;
            match recover::open_shard(&self.env, found).await {
                Ok(shard) => shards.push(shard),
                Err(e) => self.env.problem(format!("shard {id}"), chain(&e)),
            }
        }
        if let Some(site) = site {
            let took = self.env.clock.monotonic().saturating_sub(started);
            site.0.recovered.lock().unwrap_or_else(PoisonError::into_inner).millis = took.as_millis() as u64;
        }
        shards
    }

    async fn finish_drop(&self, found: recover::FoundShard) {
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

    /// A log that holds operations of a shard without any manifest has outlived something; that must not go unseen.
    async fn report_unknown_logs(&self) {
        for site in &self.sites {
            let Ok(open) = site.open() else { continue };
            let Ok(shards) = open.access.wal.shards().await else { continue };
            let prefixes = open.access.filesystem.list_prefixes(crate::layout::SHARDS).await.unwrap_or_default();
            let known: BTreeSet<_> = prefixes.iter().filter_map(|p| p.parse::<ShardId>().ok()).collect();
            for (shard, last) in shards {
                if !known.contains(&shard) {
                    let what = format!("the log of {} holds operations up to {last} of it, but no manifest is there", site.0.location);
                    self.env.problem(format!("shard {shard}"), what);
                }
            }
        }
    }
}

/// Brings the originals of segments that are still there when their turn comes.
async fn bring(env: Arc<Env>, segments: Vec<(ShardId, Weak<Segment>)>, stopping: watch::Receiver<bool>) {
    for (shard, segment) in segments {
        let mut subject = None;
        while !*stopping.borrow()
            && let Some(segment) = segment.upgrade()
            && let Err(e) = segment_build::bring_originals(&segment).await
        {
            let named = format!("shard {shard}, segment {}", segment.meta.id);
            drop(segment);
            env.problem(named.clone(), chain(&e));
            subject = Some(named);
            if e.fault == Fault::Corrupt {
                break;
            }
            env.clock.sleep(AGAIN_AFTER).await;
        }
        if let Some(subject) = subject
            && segment.upgrade().is_none_or(|s| s.awaited.as_ref().is_none_or(|a| a.originals.get().is_some()))
        {
            env.clear_problem(&subject);
        }
    }
}
