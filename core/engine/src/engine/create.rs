//! Making collections: placement is asked, each shard gets its first manifest, and shard 0 comes last.

use std::sync::Arc;

use proximadb_model::limits::COLLECTIONS_MAX;
use proximadb_model::{
    Collection, CollectionId, CollectionSpec, Epoch, Manifest, ManifestNumber, Memtable, PinnedMetric, Sequence, ShardId, ShardState,
    SiteId, SiteMap, SiteView, Subject,
};
use proximadb_ports::{Fault, Metric, PortError, Result, chain};
use tokio::sync::mpsc;

use super::Engine;
use crate::background::Workshop;
use crate::catalog::{OpenCollection, Slot};
use crate::recover;
use crate::shard::Shard;
use crate::shard_files::{Put, ShardFiles};
use crate::site::SiteRef;
use crate::snapshot::Snapshot;

impl Engine {
    pub(super) fn site_map(&self) -> SiteMap {
        let shards = self.shards_by_site();
        let view = |site: &SiteRef| {
            let access = site.access().ok()?;
            let (count, used) = shards.get(&site.instance).copied().unwrap_or_default();
            let stats = access.wal.stats();
            Some(SiteView {
                id: access.id,
                instance: site.instance,
                kind: site.kind,
                capacity_bytes: site.capacity_bytes.or(site.space().map(|s| s.total_bytes)),
                used_bytes: used + stats.bytes,
                shards: count,
                weight: site.weight,
                healthy: site.admit(true).is_ok() && !site.is_draining(),
                append_micros: (stats.sync_micros > 0).then_some(stats.sync_micros),
                tags: site.tags.clone(),
            })
        };
        SiteMap { sites: self.sites.iter().filter_map(view).collect() }
    }

    /// A site for each subject, by the strategy; on a thread that computes, since a plugin may be the one to decide.
    pub(super) async fn assign(&self, subjects: Vec<Subject>, map: SiteMap) -> Result<Vec<SiteId>> {
        let assigner = Arc::clone(&self.assigner);
        self.env.compute(move || assigner.assign(&subjects, &map)).await
    }

    /// The site where a shard is best off, by the strategy, likewise.
    pub(super) async fn reassign(&self, subject: Subject, current: SiteId, map: SiteMap) -> Result<SiteId> {
        let assigner = Arc::clone(&self.assigner);
        self.env.compute(move || assigner.reassign(&subject, current, &map)).await
    }

    pub(super) async fn make_collection(&self, spec: CollectionSpec) -> Result<Arc<OpenCollection>> {
        if self.catalog.all().len() >= COLLECTIONS_MAX {
            return Err(PortError::new(
                Fault::Exhausted,
                "collection.create",
                &spec.name,
                format!("there are {COLLECTIONS_MAX} collections already"),
            ));
        }
        let metric = self.env.metric(&spec).await?;
        let id = CollectionId(self.env.entropy.uid());
        let said = metric.descriptor();
        let pinned = said.sha256.map(|sha256| PinnedMetric { sha256, score_kind: said.score_kind });
        let collection = Collection { id, spec, created: self.env.clock.now(), pinned };
        let subject = |index| Subject {
            shard: ShardId { collection: id, index },
            collection: collection.spec.name.as_str().to_owned(),
            expected_bytes: 0,
            tags: Vec::new(),
        };
        let subjects: Vec<_> = (0..collection.spec.shards).map(subject).collect();
        let places = self.assign(subjects.clone(), self.site_map()).await?;
        let mut shards = Vec::with_capacity(subjects.len());
        if let Err(e) = self.make_shards(&collection, &metric, &subjects, &places, &mut shards).await {
            for shard in shards {
                if let Err(e) = shard.drop_files().await {
                    self.env.problem(format!("shard {}", shard.id), chain(&e));
                }
                shard.stop().await;
            }
            return Err(e);
        }
        self.write_cards(&shards).await;
        let slots = shards.into_iter().rev().map(Slot::Open).collect();
        Ok(OpenCollection::new(collection, slots))
    }

    /// Makes the shards from the last to the first.
    async fn make_shards(
        &self,
        collection: &Collection,
        metric: &Arc<dyn Metric>,
        subjects: &[Subject],
        places: &[SiteId],
        shards: &mut Vec<Arc<Shard>>,
    ) -> Result<()> {
        // Shard 0 comes last: a collection without it was never acknowledged.
        for (subject, place) in subjects.iter().zip(places.iter().copied()).rev() {
            let site = self.site(place).ok_or_else(|| {
                PortError::new(Fault::Internal, "collection.create", place, "the strategy named a site that is not there")
            })?;
            let home = site.access()?;
            let manifest = Manifest {
                number: ManifestNumber(1),
                shard: subject.shard,
                site: home.id,
                epoch: Epoch(0),
                collection: collection.clone(),
                state: ShardState::Live,
                flushed_through: Sequence(0),
                segments: Vec::new(),
                remembered: Vec::new(),
                written: self.env.clock.now(),
                put_id: self.env.entropy.uid(),
            };
            let files = ShardFiles::new(subject.shard, &home);
            if files.put_manifest(&manifest).await? != Put::Done {
                return Err(PortError::new(Fault::Internal, "collection.create", subject.shard, "a new shard has a manifest already"));
            }
            let snapshot = Snapshot {
                metric: Arc::clone(metric),
                active: Memtable::new(collection.spec.dimension.get()),
                frozen: None,
                segments: Vec::new(),
                remembered: Arc::new(Vec::new()),
                manifest: Arc::new(manifest),
            };
            let (trash, discarded) = mpsc::unbounded_channel();
            let shop = Workshop { env: Arc::clone(&self.env), files, trash };
            shards.push(recover::start(shop, Arc::clone(site), home, snapshot, discarded));
        }
        Ok(())
    }
}
