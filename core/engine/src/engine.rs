//! The database: the inbound port over collections, shards and sites.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use async_trait::async_trait;
use futures_util::future::join_all;
use proximadb_model::{CollectionPatch, CollectionRef, CollectionSpec, Filter, Invalid, RecordId, plan};
use proximadb_ports::{
    Assigner, Assignment, CollectionInfo, Created, Database, Fault, Health, IN_STEP, IndexStatus, Loss, PluginStatus, PortError,
    ReadOptions, Result, ScanPage, ScanRequest, SearchRequest, SearchResponse, SiteStatus, StoredRecord, TaskStatus, WriteOutcome,
    WriteRequest,
};
use tokio::sync::{Mutex, watch};

use crate::catalog::{Catalog, OpenCollection, Slot};
use crate::env::Env;
use crate::parts::Parts;
use crate::site::{Site, SiteRef};
use crate::{cursor, read, search};
use discovery::Known;
use moves::Tasks;

mod cards;
mod create;
mod discovery;
mod log_keeper;
mod loss;
mod memory;
mod moves;
mod scrubber;
mod site_keeper;
mod status;
mod write;

/// The engine: a [`Database`] over the adapters that it was given.
pub struct Engine {
    env: Arc<Env>,
    assigner: Arc<dyn Assigner>,
    sites: Vec<SiteRef>,
    catalog: Catalog,
    /// Held while collections come and go, so that a name is given once.
    directory: Mutex<()>,
    /// Held while what a site holds is taken in.
    arrivals: Mutex<()>,
    known: Mutex<Known>,
    tasks: Tasks,
    myself: Weak<Self>,
    stopping: watch::Sender<bool>,
}

impl Engine {
    /// Opens the database on its sites: scans them, opens what they hold, replays their logs. A site, shard or file that is
    /// damaged is named in [`Database::health`], and everything else is served.
    pub async fn open(parts: Parts) -> Arc<Self> {
        let Parts { clock, entropy, executor, telemetry, assigner, metrics, plugins, flat, graph, codecs, sites, settings } = parts;
        let sites: Vec<SiteRef> = sites.into_iter().map(|site| Arc::new(Site::new(site))).collect();
        let env = Arc::new(Env::new(clock, entropy, executor, telemetry, metrics, plugins, flat, graph, codecs, settings));
        let (stopping, stopped) = watch::channel(false);
        let engine = Arc::new_cyclic(|myself| Self {
            env,
            assigner,
            sites,
            catalog: Catalog::default(),
            directory: Mutex::new(()),
            arrivals: Mutex::new(()),
            known: Mutex::new(Known::default()),
            tasks: Tasks::default(),
            myself: Weak::clone(myself),
            stopping,
        });
        engine.start_sites(&stopped).await;
        engine.resume_drains();
        for site in &engine.sites {
            let scrubber = scrubber::scrub_site(Arc::downgrade(&engine), Arc::clone(site), stopped.clone());
            engine.env.executor.spawn("scrubber", Box::pin(scrubber));
        }
        let memory = memory::keep_within_memory(Arc::downgrade(&engine), stopped.clone());
        engine.env.executor.spawn("memory-keeper", Box::pin(memory));
        engine.env.executor.spawn("log-keeper", Box::pin(log_keeper::keep_logs_short(Arc::downgrade(&engine), stopped)));
        engine
    }

    /// Ends all writers after what they are doing; everything acknowledged is in the log.
    pub async fn shut_down(&self) {
        self.stopping.send_replace(true);
        join_all(self.catalog.shards().iter().map(|s| s.stop())).await;
    }

    /// The engine as tasks hold it.
    fn shared(&self) -> Result<Arc<Self>> {
        self.myself.upgrade().ok_or_else(|| PortError::new(Fault::Unavailable, "engine", "the engine", "is being shut down"))
    }

    /// Shards on each site and the bytes of their files, by the site's number in the configuration.
    fn shards_by_site(&self) -> BTreeMap<u32, (u32, u64)> {
        let mut shards: BTreeMap<u32, (u32, u64)> = BTreeMap::new();
        for shard in self.catalog.shards() {
            let place = shards.entry(shard.site.instance).or_default();
            place.0 += 1;
            place.1 += shard.stored_bytes();
        }
        shards
    }

    fn info(&self, collection: &OpenCollection) -> Result<CollectionInfo> {
        let described = collection.describe();
        Ok(CollectionInfo {
            records: collection.reachable().iter().map(|s| s.snapshot().live() as u64).sum(),
            stored_bytes: collection.reachable().iter().map(|s| s.stored_bytes()).sum(),
            score_kind: described.score_kind(),
            shards_unavailable: collection.slots().iter().filter(|s| s.shard().is_none()).count() as u32,
            collection: described,
        })
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
        if let Err(made) = self.catalog.insert(made) {
            // A site has come back meanwhile and brought a collection of this name.
            for shard in made.reachable() {
                shard.drop_files().await?;
                shard.stop().await;
            }
            self.remove_cards(made.id).await;
            let message = "a collection with this name has come back with its site meanwhile";
            return Err(PortError::new(Fault::Conflict, "collection.create", &made.describe().spec.name, message).with_field("name"));
        }
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
        for (index, slot) in found.slots().iter().enumerate() {
            match slot {
                Slot::Open(_) => {}
                Slot::Missing(gap) if matches!(gap.fault, Fault::Corrupt | Fault::Plugin) => {}
                Slot::Missing(_) => drop(found.shard(index as u32)?),
            }
        }
        for (index, slot) in found.slots().iter().enumerate() {
            match slot {
                Slot::Open(shard) => shard.drop_files().await?,
                Slot::Missing(gap) => self.drop_damaged(&found, index as u32, gap).await?,
            }
        }
        self.catalog.remove(&found);
        self.remove_cards(found.id).await;
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
        let count = found.slots().len() as u32;
        let now = self.env.clock.now();
        let mut records = vec![None; ids.len()];
        let mut by_shard: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
        for (i, id) in ids.iter().enumerate() {
            by_shard.entry(plan::shard_of(id.as_str(), count)).or_default().push(i);
        }
        for (index, places) in by_shard {
            let shard = found.shard(index)?;
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
        request.check().map_err(invalid)?;
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
        Ok(status::status_of(&self.env, &found.snapshots()?))
    }

    async fn sites(&self) -> Vec<SiteStatus> {
        let shards = self.shards_by_site();
        let mut out = Vec::with_capacity(self.sites.len());
        for site in &self.sites {
            let (count, stored_bytes) = shards.get(&site.instance).copied().unwrap_or_default();
            let mut status = SiteStatus {
                id: site.id(),
                instance: site.instance,
                location: site.location.clone(),
                kind: site.kind.as_str(),
                state: site.condition().text(),
                draining: site.is_draining(),
                shards: count,
                stored_bytes,
                wal_bytes: 0,
                sync_micros: 0,
                space: site.space(),
                mirror: None,
                log_copies: None,
                recovered: site.recovered(),
            };
            if let Ok(access) = site.access() {
                let stats = access.wal.stats();
                status.wal_bytes = stats.bytes;
                status.sync_micros = stats.sync_micros;
                // A site that keeps second copies keeps them of its objects and of its log.
                if let Some(mirror) = &access.mirror {
                    let text = |trouble: Option<String>| Some(trouble.unwrap_or_else(|| IN_STEP.to_owned()));
                    status.mirror = text(mirror.behind());
                    status.log_copies = text(access.wal.degraded());
                }
            }
            out.push(status);
        }
        out
    }

    async fn assignments(&self) -> Vec<Assignment> {
        let mut out = Vec::new();
        for collection in self.catalog.all() {
            let name = collection.describe().spec.name;
            for (index, slot) in collection.slots().iter().enumerate() {
                let (site, stored_bytes, state) = match slot {
                    Slot::Open(shard) => {
                        let state = shard.trouble().unwrap_or_else(|| "ok".to_owned());
                        (Some(shard.snapshot().manifest.site), shard.stored_bytes(), state)
                    }
                    Slot::Missing(gap) => (gap.site, 0, gap.why.clone()),
                };
                out.push(Assignment {
                    collection: collection.id,
                    name: name.as_str().to_owned(),
                    shard: index as u32,
                    site,
                    stored_bytes,
                    state,
                });
            }
        }
        out
    }

    async fn drain_site(&self, site: &str) -> Result<TaskStatus> {
        self.shared()?.begin_drain(site).await
    }

    async fn cancel_drain(&self, site: &str) -> Result<()> {
        self.end_drain(site).await
    }

    async fn rebalance(&self) -> Result<TaskStatus> {
        self.shared()?.begin_rebalance().await
    }

    async fn fail_over(&self, site: &str) -> Result<TaskStatus> {
        self.shared()?.begin_fail_over(site).await
    }

    async fn tasks(&self) -> Vec<TaskStatus> {
        self.tasks.all()
    }

    async fn plugins(&self) -> Vec<PluginStatus> {
        self.env.plugins.list()
    }

    async fn accept_loss(&self, collection: &CollectionRef) -> Result<Vec<Loss>> {
        self.give_up(collection).await
    }

    async fn health(&self) -> Health {
        let mut problems = self.env.problems();
        problems.extend(status::troubles(&*self.assigner, &self.env.plugins.list()));
        let memory = self.env.memory.status();
        if memory.state == "over" {
            let (used, budget) = (memory.used_bytes, memory.budget_bytes.unwrap_or(u64::MAX));
            problems.push(format!(
                "memory: {used} bytes are used, beyond memory.budget_bytes = {budget}; records are refused until it is less"
            ));
        }
        Health { ready: self.sites.iter().any(|s| s.access().is_ok()), problems, memory }
    }

    fn metrics(&self) -> String {
        let collections = self.catalog.all();
        let records: u64 = collections.iter().flat_map(|c| c.reachable()).map(|s| s.snapshot().live() as u64).sum::<u64>();
        self.env.telemetry.gauge("proximadb_collections", &[], collections.len() as f64);
        self.env.telemetry.gauge("proximadb_records", &[], records as f64);
        self.env.telemetry.gauge("proximadb_problems", &[], self.env.problems().len() as f64);
        self.env.telemetry.render()
    }
}
