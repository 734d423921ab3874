//! Starting: everything that is known is found by looking at the sites. Nothing is written, except by the first write later.

use std::collections::BTreeMap;
use std::sync::Arc;

use proximadb_model::{CollectionId, Manifest, Memtable, Operation, RememberedWrite, Sequence, ShardId, ShardState, WriteBatch};
use proximadb_ports::{Fault, PortError, Result, mutants};
use tokio::sync::mpsc;

use crate::background::Workshop;
use crate::env::Env;
use crate::layout;
use crate::segment_build;
use crate::shard::Shard;
use crate::shard_files::ShardFiles;
use crate::site::{SiteRef, chain};
use crate::snapshot::Snapshot;
use crate::writer::{Inbox, Writer, remember};

/// Orders that wait for one shard.
const ORDERS_MAX: usize = 64;

/// A shard that was found on a site.
pub(crate) struct FoundShard {
    pub(crate) site: SiteRef,
    pub(crate) manifest: Manifest,
}

/// What a site holds, by its newest manifests. A shard whose newest manifest cannot be read is a problem of that shard alone.
pub(crate) async fn scan_site(env: &Env, site: &SiteRef) -> Vec<FoundShard> {
    let open = match site.open() {
        Ok(open) => open,
        Err(e) => {
            env.problem(format!("site {}", site.0.location), e.message);
            return Vec::new();
        }
    };
    let names = match open.access.filesystem.list_prefixes(layout::SHARDS).await {
        Ok(names) => names,
        Err(e) => {
            env.problem(format!("site {}", site.0.location), chain(&e));
            return Vec::new();
        }
    };
    let mut found = Vec::new();
    for name in names {
        let Ok(shard) = name.parse::<ShardId>() else {
            env.problem(format!("site {}", site.0.location), format!("{name:?} is not the folder of a shard"));
            continue;
        };
        let files = ShardFiles::new(shard, &open.access);
        match newest_manifest(&files).await {
            Ok(Some(manifest)) => found.push(FoundShard { site: site.clone(), manifest }),
            // Folders outlive their last file on disks.
            Ok(None) => {}
            Err(e) => env.problem(format!("shard {shard}"), chain(&e)),
        }
    }
    found
}

async fn newest_manifest(files: &ShardFiles) -> Result<Option<Manifest>> {
    match files.manifest_numbers().await?.last() {
        Some(number) => files.read_manifest(*number).await.map(Some),
        None => Ok(None),
    }
}

/// Of several copies of a shard the one with the highest epoch counts, then the one with the highest number; the others are
/// left as they are and named as problems.
pub(crate) fn newest_copies(env: &Env, found: Vec<FoundShard>) -> BTreeMap<ShardId, FoundShard> {
    let mut newest: BTreeMap<ShardId, FoundShard> = BTreeMap::new();
    for copy in found {
        let shard = copy.manifest.shard;
        let older = match newest.remove(&shard) {
            None => {
                newest.insert(shard, copy);
                continue;
            }
            Some(other) => {
                let rank = |c: &FoundShard| (c.manifest.epoch, c.manifest.number);
                let (keep, leave) = if rank(&other) >= rank(&copy) { (other, copy) } else { (copy, other) };
                newest.insert(shard, keep);
                leave
            }
        };
        env.problem(format!("shard {shard} on {}", older.site.0.location), "is an older copy and is left aside");
    }
    newest
}

/// Opens a shard: its segments, then what the log holds beyond them.
///
/// # Errors
/// `Corrupt` when a segment or the log is damaged; those of the store and the log.
pub(crate) async fn open_shard(env: &Arc<Env>, found: FoundShard) -> Result<Arc<Shard>> {
    let FoundShard { site, manifest } = found;
    let open = site.open()?;
    if manifest.site != open.id {
        return Err(PortError::new(Fault::Corrupt, "shard.open", manifest.shard, "its manifest was written on another site"));
    }
    let files = ShardFiles::new(manifest.shard, &open.access);
    let spec = &manifest.collection.spec;
    let metric = env.metrics.metric(&spec.metric, spec.dimension.get())?;
    let (trash, discarded) = mpsc::unbounded_channel();
    let mut segments = Vec::with_capacity(manifest.segments.len());
    for entry in &manifest.segments {
        segments.push(segment_build::open(env, &files, &manifest, entry, &metric, &trash).await?);
    }
    let rows: usize = segments.iter().map(|s| s.rows()).sum();
    let mut snapshot = Snapshot {
        metric,
        active: Memtable::new(spec.dimension.get()),
        frozen: None,
        segments,
        remembered: Arc::new(manifest.remembered.clone()),
        manifest: Arc::new(manifest),
    };
    let replayed = replay(&mut snapshot, open).await?;
    // What was truncated is known to the log only while it runs.
    open.access.wal.truncate(snapshot.manifest.shard, snapshot.manifest.flushed_through).await?;
    if let Err(e) = files.delete_unnamed(&snapshot.manifest).await {
        tracing::warn!(shard = %snapshot.manifest.shard, error = chain(&e), "leftovers could not be deleted");
    }
    {
        let mut recovered = site.0.recovered.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        recovered.shards += 1;
        recovered.segments += snapshot.segments.len() as u32;
        recovered.rows += rows as u64;
        recovered.replayed += replayed;
    }
    let shop = Workshop { env: Arc::clone(env), files, trash };
    Ok(start(shop, site.clone(), snapshot, discarded))
}

async fn replay(snapshot: &mut Snapshot, open: &crate::site::OpenSite) -> Result<u64> {
    let manifest = Arc::clone(&snapshot.manifest);
    let mut operations = 0;
    let after = if mutants::is_on("bug_replay_dup") { Sequence::default() } else { manifest.flushed_through };
    let mut batches = open.access.wal.replay(manifest.shard, after).await?;
    while let Some(batch) = batches.next().await? {
        if batch.first <= snapshot.active.last().max(after) {
            let message = format!("the log gives operation {} after {}", batch.first, snapshot.active.last());
            return Err(PortError::new(Fault::Corrupt, "shard.replay", manifest.shard, message));
        }
        operations += batch.operations.len() as u64;
        apply_logged(snapshot, batch)?;
    }
    Ok(operations)
}

/// Applies a logged batch. Codecs that carry metadata as JSON text lose the kind of datetimes; the schema restores it.
fn apply_logged(snapshot: &mut Snapshot, mut batch: WriteBatch) -> Result<()> {
    let schema = &snapshot.manifest.collection.spec.schema;
    for operation in &mut batch.operations {
        if let Operation::Put(record) = operation {
            if record.vector.as_slice().len() != snapshot.dimension() {
                return Err(PortError::new(Fault::Corrupt, "shard.replay", &record.id, "the logged vector has another dimension"));
            }
            if !schema.fields().is_empty() {
                let restored = schema.apply(proximadb_model::Metadata::clone(&record.metadata));
                let restored = restored.map_err(|e| PortError::new(Fault::Corrupt, "shard.replay", &record.id, e.to_string()))?;
                record.metadata = Arc::new(restored);
            }
        }
    }
    let puts = batch.operations.iter().filter(|o| matches!(o, Operation::Put(_))).count();
    snapshot.apply(batch.first, &batch.operations);
    if let Some(tag) = &batch.idempotency {
        let deleted = (batch.operations.len() - puts) as u32;
        let write =
            RememberedWrite { key: tag.key.clone(), fingerprint: tag.fingerprint, sequence: batch.last(), put: puts as u32, deleted };
        remember(snapshot, write);
    }
    Ok(())
}

/// Starts the writer of a shard.
pub(crate) fn start(
    shop: Workshop,
    site: SiteRef,
    snapshot: Snapshot,
    trash: mpsc::UnboundedReceiver<proximadb_model::FileId>,
) -> Arc<Shard> {
    let (writes, write_queue) = mpsc::channel(proximadb_model::limits::SHARD_QUEUE_MAX);
    let (orders, order_queue) = mpsc::channel(ORDERS_MAX);
    let shard = Shard::new(snapshot.manifest.shard, site, snapshot, writes, orders);
    let executor = Arc::clone(&shop.env.executor);
    let writer = Writer::new(shop, Arc::clone(&shard), Inbox { writes: write_queue, orders: order_queue, trash });
    executor.spawn("shard-writer", Box::pin(writer.run()));
    shard
}

/// Clears away what is left of shards that were dropped. Their last manifest goes only when the log holds nothing of them any
/// more, so that no crash brings them back.
pub(crate) async fn clear_dropped(env: &Env, found: &FoundShard) {
    let shard = found.manifest.shard;
    let result = async {
        let open = found.site.open()?;
        let files = ShardFiles::new(shard, &open.access);
        files.delete_unnamed(&found.manifest).await?;
        open.access.wal.truncate(shard, Sequence(u64::MAX)).await?;
        if !open.access.wal.shards().await?.iter().any(|(s, _)| *s == shard) {
            files.delete_manifest(found.manifest.number).await?;
        }
        Ok::<_, PortError>(())
    };
    if let Err(e) = result.await {
        env.problem(format!("dropped shard {shard}"), chain(&e));
    }
}

/// The collections of which any shard says that it was dropped.
pub(crate) fn dropped(found: &BTreeMap<ShardId, FoundShard>) -> std::collections::BTreeSet<CollectionId> {
    found.values().filter(|f| f.manifest.state == ShardState::Dropped).map(|f| f.manifest.shard.collection).collect()
}
