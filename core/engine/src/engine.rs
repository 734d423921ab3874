//! The database: the inbound port over collections, shards and sites.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::join_all;
use proximadb_model::{CollectionPatch, CollectionRef, CollectionSpec, Filter, Invalid, RecordId, plan};
use proximadb_ports::{
    Assigner, Assignment, CollectionInfo, Created, Database, Fault, Health, IndexStatus, PortError, ReadOptions, Result, ScanPage,
    ScanRequest, SearchRequest, SearchResponse, SiteStatus, StoredRecord, WriteOutcome, WriteRequest,
};
use tokio::sync::{Mutex, watch};

use crate::catalog::{Catalog, OpenCollection};
use crate::env::Env;
use crate::parts::Parts;
use crate::site::{Site, SiteRef, chain};
use crate::{cursor, read, search};

mod create;
mod log_keeper;
mod recovery;
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
        engine.bring_originals();
        engine.env.executor.spawn("log-keeper", Box::pin(log_keeper::keep_logs_short(Arc::downgrade(&engine), stopped)));
        engine
    }

    /// Ends all writers after what they are doing; everything acknowledged is in the log.
    pub async fn shut_down(&self) {
        self.stopping.send_replace(true);
        let shards: Vec<_> = self.catalog.all().iter().flat_map(|c| c.reachable().cloned().collect::<Vec<_>>()).collect();
        join_all(shards.iter().map(|s| s.stop())).await;
    }

    /// Shards on each site and the bytes of their files, by the site's number in the configuration.
    fn shards_by_site(&self) -> BTreeMap<u32, (u32, u64)> {
        let mut shards: BTreeMap<u32, (u32, u64)> = BTreeMap::new();
        for collection in self.catalog.all() {
            for shard in collection.reachable() {
                let place = shards.entry(shard.site.0.instance).or_default();
                place.0 += 1;
                place.1 += shard.stored_bytes();
            }
        }
        shards
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
