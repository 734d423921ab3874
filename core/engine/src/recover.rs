//! Starting: everything that is known is found by looking at the sites. No manifest is written before the first write; what no
//! manifest names is removed, and what is damaged is put anew from its second copy.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use futures_util::future::join_all;
use proximadb_model::{
    Epoch, FileId, Manifest, ManifestNumber, Memtable, Operation, RememberedWrite, SegmentEntry, Sequence, ShardId, SiteId, WriteBatch,
};
use proximadb_ports::{Fault, Loss, Metric, PortError, Result, chain, mutants};
use tokio::sync::mpsc;

use crate::background::Workshop;
use crate::env::Env;
use crate::layout;
use crate::parts::SiteAccess;
use crate::shard::{HandedOver, Shard};
use crate::shard_files::{Put, ShardFiles};
use crate::site::SiteRef;
use crate::snapshot::{SegmentView, Snapshot};
use crate::writer::{Inbox, Writer, may_truncate, remember};
use crate::{repair, segment_build};

/// Orders that wait for one shard.
const ORDERS_MAX: usize = 64;

/// Segments of a shard that are opened at a time.
const SEGMENTS_OPENED_MAX: usize = 4;

/// A shard that was found on a site.
pub(crate) struct FoundShard {
    pub(crate) site: SiteRef,
    pub(crate) access: Arc<SiteAccess>,
    pub(crate) manifest: Manifest,
}

impl FoundShard {
    fn rank(&self) -> (Epoch, ManifestNumber) {
        (self.manifest.epoch, self.manifest.number)
    }

    pub(crate) fn files(&self) -> ShardFiles {
        ShardFiles::new(self.manifest.shard, &self.access)
    }
}

/// What lies on a site.
pub(crate) struct Scanned {
    pub(crate) access: Arc<SiteAccess>,
    /// The shards, by their newest manifests.
    pub(crate) shards: Vec<FoundShard>,
    /// Shards whose newest manifest cannot be read.
    pub(crate) damaged: Vec<(ShardId, PortError)>,
    /// What is said of the shards of other sites.
    pub(crate) cards: Vec<Manifest>,
    /// Other sites, and where they were.
    pub(crate) peers: Vec<(SiteId, String)>,
}

/// Looks at what lies on a site. A shard whose newest manifest cannot be read is a problem of that shard alone.
///
/// # Errors
/// `Unavailable` when the site cannot be listed.
pub(crate) async fn scan_site(env: &Env, site: &SiteRef, access: Arc<SiteAccess>) -> Result<Scanned> {
    let mut scanned =
        Scanned { access: Arc::clone(&access), shards: Vec::new(), damaged: Vec::new(), cards: Vec::new(), peers: Vec::new() };
    for name in access.filesystem.list_prefixes(layout::SHARDS).await? {
        let Ok(shard) = name.parse::<ShardId>() else {
            env.problem(format!("site {}", site.location), format!("{name:?} is not the folder of a shard"));
            continue;
        };
        let files = ShardFiles::new(shard, &access);
        match newest_manifest(env, &files, &access).await {
            Ok(Some(manifest)) => {
                scanned.shards.push(FoundShard { site: Arc::clone(site), access: Arc::clone(&access), manifest });
            }
            // Folders outlive their last file on disks.
            Ok(None) => {}
            Err(e) => {
                env.problem(format!("shard {shard}"), chain(&e));
                scanned.damaged.push((shard, e));
            }
        }
    }
    site.set_draining(match access.filesystem.size(layout::DRAINING).await {
        Ok(_) => true,
        Err(e) if e.fault == Fault::NotFound => false,
        Err(e) => return Err(e),
    });
    for object in access.filesystem.list(layout::CARDS).await? {
        let card = async {
            let bytes = access.filesystem.get(&object.key).await?;
            Manifest::decode(&bytes).map_err(|e| PortError::new(Fault::Corrupt, "card.read", &object.key, e.to_string()))
        };
        match card.await {
            Ok(card) => scanned.cards.push(card),
            // Only a copy of what the shard's own site knows; it is written anew.
            Err(e) => tracing::warn!(error = chain(&e), "a card cannot be read"),
        }
    }
    for object in access.filesystem.list(layout::PEERS).await? {
        let id = object.key.rsplit('/').next().and_then(|name| name.parse().ok());
        match (id, access.filesystem.get(&object.key).await.map(|bytes| String::from_utf8(bytes.to_vec()))) {
            (Some(id), Ok(Ok(location))) => scanned.peers.push((id, location)),
            (_, read) => tracing::warn!(key = object.key, error = ?read.err(), "what is known of another site cannot be read"),
        }
    }
    Ok(scanned)
}

/// The newest manifest; a damaged one is repaired from its second copy where there is one.
async fn newest_manifest(env: &Env, files: &ShardFiles, access: &SiteAccess) -> Result<Option<Manifest>> {
    let Some(number) = files.manifest_numbers().await?.last().copied() else { return Ok(None) };
    let damaged = match files.read_manifest(number).await {
        Ok(manifest) => return Ok(Some(manifest)),
        Err(e) if e.fault == Fault::Corrupt => e,
        Err(e) => return Err(e),
    };
    let Some(mirror) = &access.mirror else { return Err(damaged) };
    let key = layout::manifest(files.shard, number);
    let Ok(copy) = mirror.second_copy(&key).await else { return Err(damaged) };
    let Ok(manifest) = Manifest::decode(&copy) else { return Err(damaged) };
    if manifest.shard != files.shard || manifest.number != number {
        return Err(damaged);
    }
    mirror.restore(&key, copy).await?;
    tracing::warn!(key, error = chain(&damaged), "repaired from its second copy");
    env.telemetry.count("proximadb_files_repaired_total", &[], 1);
    Ok(Some(manifest))
}

/// Of several copies of a shard the one with the highest epoch counts, then the one with the highest number.
/// Gives those that count, and those that are left over.
pub(crate) fn newest_copies(found: Vec<FoundShard>) -> (BTreeMap<ShardId, FoundShard>, Vec<FoundShard>) {
    let mut newest: BTreeMap<ShardId, FoundShard> = BTreeMap::new();
    let mut older = Vec::new();
    for copy in found {
        match newest.entry(copy.manifest.shard) {
            Entry::Vacant(place) => drop(place.insert(copy)),
            Entry::Occupied(mut place) if copy.rank() > place.get().rank() => older.push(place.insert(copy)),
            Entry::Occupied(_) => older.push(copy),
        }
    }
    (newest, older)
}

/// Opens a shard: its segments, then what the log holds beyond them. Damaged files are put anew from their second copies first,
/// where there are any.
///
/// # Errors
/// `Corrupt` when a segment or the log is damaged for good; those of the store and the log.
pub(crate) async fn open_shard(env: &Arc<Env>, found: FoundShard) -> Result<Arc<Shard>> {
    let opened = Opening::of(env, found).await?;
    let mut segments = Vec::with_capacity(opened.manifest.segments.len());
    for entries in opened.manifest.segments.chunks(SEGMENTS_OPENED_MAX) {
        for segment in join_all(entries.iter().map(|entry| opened.segment(entry))).await {
            segments.push(segment?);
        }
    }
    opened.start(segments).await
}

/// Opens a shard without the segments that are damaged for good, and without what damage has taken of its log. Its next manifest
/// no longer names what was lost.
///
/// # Errors
/// Those of the store and the log.
pub(crate) async fn open_without_lost(env: &Arc<Env>, found: FoundShard) -> Result<(Arc<Shard>, Vec<Loss>)> {
    let mut opened = Opening::of(env, found).await?;
    let shard = opened.manifest.shard.index;
    let mut losses = Vec::new();
    let (mut segments, mut left) = (Vec::new(), Vec::new());
    for entry in &opened.manifest.segments {
        match opened.segment(entry).await {
            Ok(segment) => {
                segments.push(segment);
                left.push(entry.clone());
            }
            Err(e) if repair::is_damage(&e) => {
                let rows = u64::from(entry.meta.rows - entry.dead.as_ref().map_or(0, |(_, dead)| *dead));
                losses.push(Loss { shard, what: format!("segment {}", entry.meta.id), rows });
            }
            Err(e) => return Err(e),
        }
    }
    let log = &opened.access.wal;
    match log.replay(opened.manifest.shard, opened.manifest.flushed_through).await {
        Ok(_) => {}
        Err(e) if e.fault == Fault::Corrupt => {
            log.accept_damage(opened.manifest.shard).await?;
            losses.push(Loss { shard, what: format!("log: {}", e.message), rows: 0 });
        }
        Err(e) => return Err(e),
    }
    if left.len() < opened.manifest.segments.len() {
        let mut next = Manifest::clone(&opened.manifest);
        next.number = next.number.plus(1);
        next.epoch = Epoch(next.epoch.0 + 1);
        next.segments = left;
        next.put_id = env.entropy.uid();
        next.written = env.clock.now();
        if opened.files.put_manifest(&next).await? != Put::Done {
            return Err(PortError::new(Fault::Fenced, "shard.open", next.shard, "another writer has taken over this shard"));
        }
        opened.manifest = next;
    }
    Ok((opened.start(segments).await?, losses))
}

/// The metric of a shard's collection; a plugin must be the one that the collection was made with.
///
/// # Errors
/// `Plugin` when it is not, or is not there.
async fn pinned_metric(env: &Env, manifest: &Manifest) -> Result<Arc<dyn Metric>> {
    let collection = &manifest.collection;
    let fault = |message: String| PortError::new(Fault::Plugin, "shard.open", manifest.shard, message);
    let metric = env.metric(&collection.spec).await;
    let metric = metric.map_err(|e| fault(format!("its metric {} cannot be had", collection.spec.metric)).with_source(e))?;
    let (made, there) = (collection.pinned.map(|pinned| pinned.sha256), metric.descriptor().sha256);
    if made == there {
        return Ok(metric);
    }
    let hex = |sha256: Option<[u8; 32]>| sha256.unwrap_or_default().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let kind = &collection.spec.metric;
    Err(fault(format!("it was made with {kind} of sha256 {}, and {kind} has {} now; give other bytes another name", hex(made), hex(there))))
}

/// A shard that is being opened.
struct Opening {
    env: Arc<Env>,
    site: SiteRef,
    access: Arc<SiteAccess>,
    manifest: Manifest,
    files: ShardFiles,
    metric: Arc<dyn Metric>,
    trash: mpsc::UnboundedSender<FileId>,
    discarded: mpsc::UnboundedReceiver<FileId>,
}

impl Opening {
    async fn of(env: &Arc<Env>, found: FoundShard) -> Result<Self> {
        let FoundShard { site, access, manifest } = found;
        if manifest.site != access.id {
            return Err(PortError::new(Fault::Corrupt, "shard.open", manifest.shard, "its manifest was written on another site"));
        }
        let files = ShardFiles::new(manifest.shard, &access);
        let metric = pinned_metric(env, &manifest).await?;
        let (trash, discarded) = mpsc::unbounded_channel();
        Ok(Self { env: Arc::clone(env), site, access, manifest, files, metric, trash, discarded })
    }

    async fn segment(&self, entry: &SegmentEntry) -> Result<SegmentView> {
        let open = || segment_build::open(&self.env, &self.files, &self.manifest, entry, &self.metric, &self.trash);
        let damaged = match open().await {
            Err(e) if repair::is_damage(&e) => e,
            opened => return opened,
        };
        let damage = |e: PortError| match e.fault {
            Fault::NotFound => PortError::new(Fault::Corrupt, "segment.open", entry.meta.id, "its file is gone").with_source(e),
            _ => e,
        };
        let Some(mirror) = &self.access.mirror else { return Err(damage(damaged)) };
        match repair::segment(&self.env, &self.files, &**mirror, entry).await {
            Ok(repaired) if repaired > 0 => open().await,
            Ok(_) => Err(damage(damaged)),
            Err(e) => {
                tracing::warn!(segment = %entry.meta.id, error = chain(&e), "cannot be repaired");
                Err(damage(damaged))
            }
        }
    }

    async fn start(self, segments: Vec<SegmentView>) -> Result<Arc<Shard>> {
        let Self { env, site, access, manifest, files, metric, trash, discarded } = self;
        let rows: usize = segments.iter().map(|s| s.rows()).sum();
        let mut snapshot = Snapshot {
            metric,
            active: Memtable::new(manifest.collection.spec.dimension.get()),
            frozen: None,
            segments,
            remembered: Arc::new(manifest.remembered.clone()),
            manifest: Arc::new(manifest),
        };
        let replayed = replay(&mut snapshot, &access).await?;
        // What was truncated is known to the log only while it runs.
        if may_truncate(&access)
            && let Err(e) = access.wal.truncate(snapshot.manifest.shard, snapshot.manifest.flushed_through).await
        {
            tracing::warn!(shard = %snapshot.manifest.shard, error = chain(&e), "files of the log that nobody needs could not be deleted");
        }
        if let Err(e) = files.delete_unnamed(&snapshot.manifest).await {
            tracing::warn!(shard = %snapshot.manifest.shard, error = chain(&e), "leftovers could not be deleted");
        }
        site.note_recovered(|recovered| {
            recovered.shards += 1;
            recovered.segments += snapshot.segments.len() as u32;
            recovered.rows += rows as u64;
            recovered.replayed += replayed;
        });
        let shop = Workshop { env, files, trash };
        Ok(start(shop, site, access, snapshot, discarded))
    }
}

async fn replay(snapshot: &mut Snapshot, access: &SiteAccess) -> Result<u64> {
    let manifest = Arc::clone(&snapshot.manifest);
    let mut operations = 0;
    let after = if mutants::is_on("bug_replay_dup") { Sequence::default() } else { manifest.flushed_through };
    let mut batches = access.wal.replay(manifest.shard, after).await?;
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
    home: Arc<SiteAccess>,
    snapshot: Snapshot,
    trash: mpsc::UnboundedReceiver<proximadb_model::FileId>,
) -> Arc<Shard> {
    let (writes, write_queue) = mpsc::channel(proximadb_model::limits::SHARD_QUEUE_MAX);
    let (orders, order_queue) = mpsc::channel(ORDERS_MAX);
    let shard = Shard::new(snapshot.manifest.shard, site, home, snapshot, writes, orders);
    shop.env.memory.count_shard(&shard);
    run(shop, &shard, Inbox { writes: write_queue, orders: order_queue, trash });
    shard
}

/// Gives a shard that was handed over its writer; what waits for the old place is done at the new one.
pub(crate) fn go_on(old: &Shard, site: SiteRef, home: Arc<SiteAccess>, handed: HandedOver) -> Arc<Shard> {
    let HandedOver { snapshot, shop, inbox, old_readers: _ } = handed;
    let shard = Shard::new(old.id, site, home, snapshot, old.writes.clone(), old.orders.clone());
    shop.env.memory.count_shard(&shard);
    run(shop, &shard, inbox);
    shard
}

fn run(shop: Workshop, shard: &Arc<Shard>, inbox: Inbox) {
    let executor = Arc::clone(&shop.env.executor);
    let writer = Writer::new(shop, Arc::clone(shard), inbox);
    executor.spawn("shard-writer", Box::pin(writer.run()));
}

/// Clears away what is left of shards that were dropped. Their last manifest goes only when nothing can bring them back any more:
/// `last` says that no site is away, and the log must hold nothing of them. Gives whether that is done.
pub(crate) async fn clear_dropped(env: &Env, found: &FoundShard, last: bool) -> bool {
    let shard = found.manifest.shard;
    let result = async {
        let files = found.files();
        files.delete_unnamed(&found.manifest).await?;
        found.access.wal.truncate(shard, Sequence(u64::MAX)).await?;
        let done = last && !found.access.wal.shards().await?.iter().any(|(s, _)| *s == shard);
        if done {
            files.delete_manifest(found.manifest.number).await?;
        }
        Ok::<_, PortError>(done)
    };
    let subject = format!("dropped shard {shard}");
    match result.await {
        Ok(done) => {
            env.clear_problem(&subject);
            done
        }
        Err(e) => {
            env.problem_once(subject, chain(&e));
            false
        }
    }
}
