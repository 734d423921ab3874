//! The database: the inbound port over collections, shards and sites.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, Weak};

use async_trait::async_trait;
use futures_util::future::join_all;
use proximadb_model::limits::{COLLECTIONS_MAX, SCAN_PAGE_MAX};
use proximadb_model::{
    Collection, CollectionId, CollectionPatch, CollectionRef, CollectionSpec, Epoch, Filter, Invalid, Manifest, ManifestNumber, Memtable,
    RecordId, Sequence, ShardId, ShardState, SiteId, SiteMap, SiteView, Subject, plan,
};
use proximadb_ports::{
    Assigner, Assignment, CollectionInfo, Created, Database, Fault, Health, IndexStatus, Metric, PortError, ReadOptions, Result, ScanPage,
    ScanRequest, SearchRequest, SearchResponse, SegmentStatus, SiteStatus, StoredRecord, WriteOutcome, WriteRequest,
};
use tokio::sync::{Mutex, mpsc, watch};

use crate::background::Workshop;
use crate::catalog::{Catalog, OpenCollection};
use crate::env::Env;
use crate::parts::Parts;
use crate::shard::Shard;
use crate::shard_files::{Put, ShardFiles};
use crate::site::{Site, SiteRef, chain};
use crate::snapshot::Snapshot;
use crate::{cursor, read, recover, search};

mod write;

/// The engine: a [`Database`] over the adapters that it was given.
pub struct Engine {
    env: Arc<Env>,
    assigner: Arc<dyn Assigner>,
    sites: Vec<SiteRef>,
    catalog: Catalog,
    /// Held while collections come and go, so that a name is given once.
    directory: Mutex<()>,
    stopping: watch::Sender<bool>,
}

impl Engine {
    /// Opens the database on its sites: scans them, opens what they hold, replays their logs. A site, shard or file that is
    /// damaged is named in [`Database::health`], and everything else is served.
    pub async fn open(parts: Parts) -> Arc<Self> {
        let Parts { clock, entropy, executor, telemetry, assigner, metrics, flat, graph, codecs, sites, settings } = parts;
        let opened = join_all(sites.into_iter().map(|site| Site::open(site, &*entropy))).await;
        let sites: Vec<SiteRef> = opened.into_iter().map(|site| SiteRef(Arc::new(site))).collect();
        let env = Arc::new(Env::new(clock, entropy, executor, telemetry, metrics, flat, graph, codecs, settings));
        let (stopping, stopped) = watch::channel(false);
        let engine = Arc::new(Self { env, assigner, sites, catalog: Catalog::default(), directory: Mutex::new(()), stopping });
        engine.recover().await;
        engine.env.executor.spawn("log-keeper", Box::pin(keep_logs_short(Arc::downgrade(&engine), stopped)));
        engine
    }

    /// Ends all writers after what they are doing; everything acknowledged is in the log.
    pub async fn shut_down(&self) {
        self.stopping.send_replace(true);
        let shards: Vec<_> = self.catalog.all().iter().flat_map(|c| c.reachable().cloned().collect::<Vec<_>>()).collect();
        join_all(shards.iter().map(|s| s.stop())).await;
    }

    /// Flushes the shards that keep the oldest file of a log that has grown too long, so that it can be freed.
    async fn shorten_logs(&self) {
        for site in &self.sites {
            let Ok(open) = site.open() else { continue };
            if open.access.wal.stats().bytes < self.env.settings.wal_bytes_max {
                continue;
            }
            for id in open.access.wal.oldest_holders().shards {
                let collection = self.catalog.find(&CollectionRef::Id(id.collection));
                let Ok(collection) = collection else { continue };
                if let Some(shard) = collection.shards.get(id.index as usize).and_then(Option::as_ref)
                    && let Err(e) = shard.flush().await
                {
                    tracing::warn!(shard = %id, error = chain(&e), "the log cannot be shortened");
                }
            }
        }
    }

    async fn recover(&self) {
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

    fn site_map(&self) -> SiteMap {
        let mut shards: BTreeMap<u32, (u32, u64)> = BTreeMap::new();
        for collection in self.catalog.all() {
            for shard in collection.reachable() {
                let place = shards.entry(shard.site.0.instance).or_default();
                place.0 += 1;
                place.1 += shard.stored_bytes();
            }
        }
        let view = |site: &SiteRef| {
            let open = site.0.open.as_ref().ok()?;
            let (count, used) = shards.get(&site.0.instance).copied().unwrap_or_default();
            let stats = open.access.wal.stats();
            Some(SiteView {
                id: open.id,
                instance: site.0.instance,
                kind: site.0.kind,
                capacity_bytes: site.0.capacity_bytes,
                used_bytes: used + stats.bytes,
                shards: count,
                weight: site.0.weight,
                healthy: true,
                append_micros: (stats.sync_micros > 0).then_some(stats.sync_micros),
                tags: site.0.tags.clone(),
            })
        };
        SiteMap { sites: self.sites.iter().filter_map(view).collect() }
    }

    async fn make_collection(&self, spec: CollectionSpec) -> Result<Arc<OpenCollection>> {
        if self.catalog.all().len() >= COLLECTIONS_MAX {
            return Err(PortError::new(
                Fault::Exhausted,
                "collection.create",
                &spec.name,
                format!("there are {COLLECTIONS_MAX} collections already"),
            ));
        }
        let metric = self.env.metrics.metric(&spec.metric, spec.dimension.get())?;
        let id = CollectionId(self.env.entropy.uid());
        let collection = Collection { id, spec, created: self.env.clock.now() };
        let subject = |index| Subject {
            shard: ShardId { collection: id, index },
            collection: collection.spec.name.as_str().to_owned(),
            expected_bytes: 0,
            tags: Vec::new(),
        };
        let subjects: Vec<_> = (0..collection.spec.shards).map(subject).collect();
        let places = self.assigner.assign(&subjects, &self.site_map())?;
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
        let shards = shards.into_iter().rev().map(Some).collect();
        Ok(OpenCollection::new(collection, shards))
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
            let site = self.sites.iter().find(|s| s.0.open.as_ref().is_ok_and(|open| open.id == place));
            let site = site.ok_or_else(|| {
                PortError::new(Fault::Internal, "collection.create", place, "the strategy named a site that is not there")
            })?;
            let open = site.open()?;
            let manifest = Manifest {
                number: ManifestNumber(1),
                shard: subject.shard,
                site: open.id,
                epoch: Epoch(0),
                collection: collection.clone(),
                state: ShardState::Live,
                flushed_through: Sequence(0),
                segments: Vec::new(),
                remembered: Vec::new(),
                written: self.env.clock.now(),
                put_id: self.env.entropy.uid(),
            };
            let files = ShardFiles::new(subject.shard, &open.access);
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
            shards.push(recover::start(shop, site.clone(), snapshot, discarded));
        }
        Ok(())
    }

    fn info(&self, collection: &OpenCollection) -> Result<CollectionInfo> {
        let described = collection.describe();
        let score_kind = match described.spec.metric.score_kind() {
            Some(kind) => kind,
            None => self.env.metrics.metric(&described.spec.metric, described.spec.dimension.get())?.descriptor().score_kind,
        };
        Ok(CollectionInfo {
            records: collection.reachable().map(|s| s.snapshot().live() as u64).sum(),
            stored_bytes: collection.reachable().map(|s| s.stored_bytes()).sum(),
            score_kind,
            shards_unavailable: collection.shards.iter().filter(|s| s.is_none()).count() as u32,
            collection: described,
        })
    }
}

/// Runs until the engine is stopped or gone.
async fn keep_logs_short(engine: Weak<Engine>, mut stopped: watch::Receiver<bool>) {
    loop {
        let Some(held) = engine.upgrade() else { return };
        let (clock, every) = (Arc::clone(&held.env.clock), held.env.settings.wal_check_every);
        drop(held);
        tokio::select! {
            biased;
            _ = stopped.changed() => return,
            () = clock.sleep(every) => {}
        }
        let Some(held) = engine.upgrade() else { return };
        held.shorten_logs().await;
    }
}

/// Whether the specification of an existing collection is what is asked for now.
fn same_spec(there: &CollectionSpec, asked: &CollectionSpec) -> bool {
    there == asked
}

#[async_trait]
impl Database for Engine {
    async fn create_collection(&self, spec: CollectionSpec) -> Result<Created> {
        spec.check().map_err(|e| PortError::invalid("collection.create", e))?;
        let _turn = self.directory.lock().await;
        if let Ok(there) = self.catalog.find(&CollectionRef::Name(spec.name.clone())) {
            if !same_spec(&there.describe().spec, &spec) {
                let message = "a collection with this name and another specification exists";
                return Err(PortError::new(Fault::Conflict, "collection.create", &spec.name, message).with_field("name"));
            }
            return Ok(Created { info: self.info(&there)?, new: false });
        }
        let made = self.make_collection(spec).await?;
        let info = self.info(&made)?;
        self.catalog
            .insert(made)
            .map_err(|c| PortError::new(Fault::Internal, "collection.create", c.id, "the name was taken meanwhile"))?;
        Ok(Created { info, new: true })
    }

    async fn describe_collection(&self, collection: &CollectionRef) -> Result<CollectionInfo> {
        self.info(&*self.catalog.find(collection)?)
    }

    async fn list_collections(&self) -> Result<Vec<CollectionInfo>> {
        self.catalog.all().iter().map(|c| self.info(c)).collect()
    }

    async fn update_collection(&self, collection: &CollectionRef, patch: CollectionPatch) -> Result<CollectionInfo> {
        let _turn = self.directory.lock().await;
        let found = self.catalog.find(collection)?;
        let mut spec = found.describe().spec;
        spec.index = patch.index.unwrap_or(spec.index);
        spec.description = patch.description.clone().unwrap_or(spec.description);
        spec.check().map_err(|e| PortError::invalid("collection.update", e))?;
        for shard in found.all()? {
            shard.update(patch.clone()).await?;
        }
        self.info(&found)
    }

    async fn drop_collection(&self, collection: &CollectionRef) -> Result<()> {
        let _turn = self.directory.lock().await;
        let found = self.catalog.find(collection)?;
        let shards = found.all()?;
        for shard in &shards {
            shard.drop_files().await?;
        }
        self.catalog.remove(&found);
        Ok(())
    }

    async fn write(&self, collection: &CollectionRef, request: WriteRequest) -> Result<WriteOutcome> {
        let started = self.env.clock.monotonic();
        let outcome = self.write_changes(collection, request).await?;
        let took = self.env.clock.monotonic().saturating_sub(started);
        self.env.telemetry.observe("proximadb_write_seconds", &[], took.as_secs_f64());
        let written = outcome.upserted + outcome.inserted + outcome.patched;
        self.env.telemetry.count("proximadb_records_written_total", &[], written);
        self.env.telemetry.count("proximadb_records_deleted_total", &[], outcome.deleted);
        Ok(outcome)
    }

    async fn get(&self, collection: &CollectionRef, ids: &[RecordId], options: ReadOptions) -> Result<Vec<Option<StoredRecord>>> {
        let found = self.catalog.find(collection)?;
        let count = found.shards.len() as u32;
        let now = self.env.clock.now();
        let mut records = vec![None; ids.len()];
        let mut by_shard: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
        for (i, id) in ids.iter().enumerate() {
            by_shard.entry(plan::shard_of(id.as_str(), count)).or_default().push(i);
        }
        for (index, places) in by_shard {
            let shard = found.shards.get(index as usize).and_then(Option::as_ref);
            let shard =
                shard.ok_or_else(|| PortError::new(Fault::Unavailable, "get", collection, format!("shard {index} cannot be reached")))?;
            let wanted: Vec<_> = places.iter().map(|i| ids[*i].clone()).collect();
            for (i, record) in places.into_iter().zip(read::get(&shard.snapshot(), &wanted, options, now).await?) {
                records[i] = record;
            }
        }
        Ok(records)
    }

    async fn search(&self, collection: &CollectionRef, queries: Vec<SearchRequest>) -> Result<Vec<SearchResponse>> {
        let found = self.catalog.find(collection)?;
        let shards = found.snapshots()?;
        if let Some(first) = shards.first() {
            let spec = &first.manifest.collection.spec;
            let many = queries.len() > 1;
            for (i, request) in queries.iter().enumerate() {
                let place = |e: Invalid| if many { e.within(&format!("queries[{i}]")) } else { e };
                search::check(request, spec).map_err(|e| PortError::invalid("search", place(e)))?;
            }
        }
        self.env.telemetry.count("proximadb_searches_total", &[], queries.len() as u64);
        search::search(&self.env, shards, queries).await
    }

    async fn scan(&self, collection: &CollectionRef, request: ScanRequest) -> Result<ScanPage> {
        let found = self.catalog.find(collection)?;
        let invalid = |e| PortError::invalid("scan", e);
        if !(1..=SCAN_PAGE_MAX).contains(&request.limit) {
            return Err(invalid(Invalid::new("limit", format!("must be 1 to {SCAN_PAGE_MAX}, got {}", request.limit))));
        }
        if let Some(filter) = &request.filter {
            filter.check().map_err(invalid)?;
        }
        let after = request.cursor.as_deref().map(|c| cursor::decode(found.id, c)).transpose().map_err(invalid)?;
        let now = self.env.clock.now();
        let mut places = Vec::new();
        let snapshots = found.snapshots()?;
        for (shard, snapshot) in snapshots.iter().enumerate() {
            let page = read::page(snapshot, request.filter.as_ref(), after.as_deref(), request.limit + 1, now).await?;
            places.extend(page.into_iter().map(|(id, place)| (id, shard, place)));
        }
        places.sort_by(|a, b| a.0.cmp(&b.0));
        let more = places.len() > request.limit;
        places.truncate(request.limit);
        let cursor = if more { places.last().map(|(id, _, _)| cursor::encode(found.id, id)) } else { None };
        let mut records = vec![None; places.len()];
        for (shard, snapshot) in snapshots.iter().enumerate() {
            let mine: Vec<usize> = (0..places.len()).filter(|i| places[*i].1 == shard).collect();
            let wanted: Vec<_> = mine.iter().map(|i| places[*i].2).collect();
            for (i, record) in mine.into_iter().zip(read::fetch(snapshot, &wanted, request.read).await?) {
                records[i] = Some(record);
            }
        }
        Ok(ScanPage { records: records.into_iter().flatten().collect(), cursor })
    }

    async fn count(&self, collection: &CollectionRef, filter: Option<Filter>) -> Result<u64> {
        let found = self.catalog.find(collection)?;
        if let Some(filter) = &filter {
            filter.check().map_err(|e| PortError::invalid("count", e))?;
        }
        search::count(&found.snapshots()?, filter.as_ref(), self.env.clock.now()).await
    }

    async fn flush(&self, collection: &CollectionRef) -> Result<()> {
        let shards = self.catalog.find(collection)?.all()?;
        join_all(shards.iter().map(|s| s.flush())).await.into_iter().collect()
    }

    async fn index_status(&self, collection: &CollectionRef) -> Result<IndexStatus> {
        let found = self.catalog.find(collection)?;
        Ok(status_of(&self.env, &found.snapshots()?))
    }

    async fn sites(&self) -> Vec<SiteStatus> {
        let mut shards: BTreeMap<u32, (u32, u64)> = BTreeMap::new();
        for collection in self.catalog.all() {
            for shard in collection.reachable() {
                let place = shards.entry(shard.site.0.instance).or_default();
                place.0 += 1;
                place.1 += shard.stored_bytes();
            }
        }
        let mut out = Vec::with_capacity(self.sites.len());
        for site in &self.sites {
            let (count, stored_bytes) = shards.get(&site.0.instance).copied().unwrap_or_default();
            let mut status = SiteStatus {
                id: None,
                instance: site.0.instance,
                location: site.0.location.clone(),
                kind: site.0.kind.as_str(),
                state: "ok".to_owned(),
                shards: count,
                stored_bytes,
                wal_bytes: 0,
                sync_micros: 0,
                space: None,
                recovered: site.0.recovered(),
            };
            match &site.0.open {
                Ok(open) => {
                    let stats = open.access.wal.stats();
                    status.id = Some(open.id);
                    status.wal_bytes = stats.bytes;
                    status.sync_micros = stats.sync_micros;
                    match open.access.filesystem.space().await {
                        Ok(space) => status.space = space,
                        Err(e) => status.state = chain(&e),
                    }
                }
                Err(why) => status.state.clone_from(why),
            }
            out.push(status);
        }
        out
    }

    async fn assignments(&self) -> Vec<Assignment> {
        let mut out = Vec::new();
        for collection in self.catalog.all() {
            let name = collection.describe().spec.name;
            for shard in collection.reachable() {
                out.push(Assignment {
                    collection: collection.id,
                    name: name.as_str().to_owned(),
                    shard: shard.id.index,
                    site: shard.snapshot().manifest.site,
                    stored_bytes: shard.stored_bytes(),
                    state: shard.trouble().unwrap_or_else(|| "ok".to_owned()),
                });
            }
        }
        out
    }

    async fn health(&self) -> Health {
        Health { ready: self.sites.iter().any(|s| s.0.open.is_ok()), problems: self.env.problems() }
    }

    fn metrics(&self) -> String {
        let collections = self.catalog.all();
        let records: u64 = collections.iter().flat_map(|c| c.reachable()).map(|s| s.snapshot().live() as u64).sum();
        self.env.telemetry.gauge("proximadb_collections", &[], collections.len() as f64);
        self.env.telemetry.gauge("proximadb_records", &[], records as f64);
        self.env.telemetry.gauge("proximadb_problems", &[], self.env.problems().len() as f64);
        self.env.telemetry.render()
    }
}

fn status_of(env: &Env, shards: &[Arc<Snapshot>]) -> IndexStatus {
    let mut status = IndexStatus {
        status: "ready",
        kind: "none",
        indexed_rows: 0,
        unindexed_rows: 0,
        memtable_rows: 0,
        recall_estimate: None,
        resident_bytes: 0,
        segments: Vec::new(),
    };
    let mut kinds = BTreeSet::new();
    let mut recall = (0.0, 0u64);
    for (shard, snapshot) in shards.iter().enumerate() {
        let spec = &snapshot.manifest.collection.spec;
        status.memtable_rows += snapshot.memtables().map(|m| m.live() as u64).sum::<u64>();
        for view in &snapshot.segments {
            let rows = view.rows() as u64;
            let wants = plan::wants_graph(view.rows(), spec.index.kind, &env.settings.maintenance);
            let possible = env.graph.supports(snapshot.metric.descriptor());
            let pending = wants && possible && !view.is_graph();
            if pending {
                status.unindexed_rows += rows
            } else {
                status.indexed_rows += rows
            }
            kinds.insert(view.index.kind());
            status.resident_bytes += view.index.resident_bytes() as u64;
            if let Some(estimate) = view.recall_estimate {
                recall = (recall.0 + f64::from(estimate) * rows as f64, recall.1 + rows);
            }
            let min = env.settings.maintenance.graph_rows_min;
            let reason = match (view.is_graph(), wants, possible) {
                (true, _, _) => "a graph answers faster at this size".to_owned(),
                (false, true, true) => "scanned exactly until its graph is built".to_owned(),
                (false, true, false) => "the metric has no graph, so every row is compared".to_owned(),
                (false, false, _) => format!("comparing every row is as fast below {min} rows, and exact"),
            };
            let id = view.segment.meta.id.to_string();
            status.segments.push(SegmentStatus {
                shard: shard as u32,
                id,
                rows,
                dead: view.dead.count() as u64,
                index: view.index.kind(),
                reason,
            });
        }
    }
    status.kind = match kinds.len() {
        0 => "none",
        1 => kinds.into_iter().next().unwrap_or("none"),
        _ => "mixed",
    };
    if status.unindexed_rows > 0 {
        status.status = "building";
    }
    status.recall_estimate = (recall.1 > 0).then(|| (recall.0 / recall.1 as f64) as f32);
    status
}
