//! Moving shards: draining a site, evening out, bringing back what a lost site had from its second copies. One task at a time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use proximadb_model::{Sequence, ShardState, SiteMap, Strategy, Subject, Timestamp};
use proximadb_ports::{Fault, PortError, PutMode, Result, TaskStatus, chain};

use super::Engine;
use crate::catalog::{OpenCollection, Slot};
use crate::layout;
use crate::parts::SiteAccess;
use crate::recover::{self, scan_site};
use crate::shard::{HandedOver, Shard};
use crate::site::SiteRef;

/// By how much the epoch of a shard that is moved is beyond its last one.
const MOVED: u64 = 1;
/// The same for one that is brought back from its second copies: however far the lost site had gone on alone, should it come back, what
/// was decided meanwhile counts.
const BROUGHT_BACK: u64 = 1 << 20;
/// Tasks that are remembered.
const TASKS_MAX: usize = 64;

/// Work on shards as a whole, as it goes on.
pub(super) struct Task {
    id: u64,
    kind: &'static str,
    site: Option<u32>,
    started: Timestamp,
    copied: Arc<AtomicU64>,
    progress: Mutex<Progress>,
}

struct Progress {
    state: &'static str,
    shards_total: u32,
    shards_done: u32,
    bytes_total: u64,
    problem: Option<String>,
}

impl Task {
    fn progress<T>(&self, change: impl FnOnce(&mut Progress) -> T) -> T {
        change(&mut self.progress.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn is_running(&self) -> bool {
        self.progress(|p| p.state == "running")
    }

    fn status(&self) -> TaskStatus {
        self.progress(|p| TaskStatus {
            id: self.id,
            kind: self.kind,
            site: self.site,
            state: p.state,
            shards_total: p.shards_total,
            shards_done: p.shards_done,
            // What is written while a shard is moved is copied too.
            bytes_total: p.bytes_total.max(self.copied.load(Ordering::Relaxed)),
            bytes_done: self.copied.load(Ordering::Relaxed),
            problem: p.problem.clone(),
            started: self.started,
        })
    }

    /// What is still to be done, seen from what is done.
    fn plan(&self, shards: u32, bytes: u64) {
        self.progress(|p| {
            p.shards_total = p.shards_done + shards;
            p.bytes_total = self.copied.load(Ordering::Relaxed) + bytes;
        });
    }

    fn moved(&self) {
        self.progress(|p| p.shards_done += 1);
    }

    /// Notes a failure. A shard that was dropped meanwhile needs no moving.
    fn failed(&self, error: &PortError) {
        if error.fault == Fault::NotFound {
            return;
        }
        self.progress(|p| p.problem = Some(chain(error)));
    }

    /// Ends the task; one that was cancelled stays so.
    fn end(&self) {
        self.progress(|p| {
            if p.state == "running" {
                p.state = if p.problem.is_none() { "done" } else { "failed" };
            }
        });
    }
}

/// The tasks since the start.
#[derive(Default)]
pub(super) struct Tasks(Mutex<Vec<Arc<Task>>>);

impl Tasks {
    fn begin(&self, kind: &'static str, site: Option<u32>, started: Timestamp) -> Result<Arc<Task>> {
        let mut tasks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = tasks.iter().find(|task| task.is_running()) {
            let message = format!("task {} ({}) is running; one at a time", running.id, running.kind);
            return Err(PortError::new(Fault::Conflict, "task.begin", kind, message));
        }
        let id = tasks.last().map_or(1, |last| last.id + 1);
        let progress = Progress { state: "running", shards_total: 0, shards_done: 0, bytes_total: 0, problem: None };
        let task = Arc::new(Task { id, kind, site, started, copied: Arc::default(), progress: Mutex::new(progress) });
        tasks.push(Arc::clone(&task));
        let excess = tasks.len().saturating_sub(TASKS_MAX);
        tasks.drain(..excess);
        Ok(task)
    }

    pub(super) fn all(&self) -> Vec<TaskStatus> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().map(|task| task.status()).collect()
    }

    fn cancel(&self, kind: &str, site: u32) {
        for task in self.0.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            if task.kind == kind && task.site == Some(site) && task.is_running() {
                task.progress(|p| p.state = "cancelled");
            }
        }
    }
}

fn subject(collection: &OpenCollection, shard: &Shard) -> Subject {
    Subject {
        shard: shard.id,
        collection: collection.describe().spec.name.as_str().to_owned(),
        expected_bytes: shard.stored_bytes(),
        tags: Vec::new(),
    }
}

impl Engine {
    /// A site by its uuid or its number.
    fn named_site(&self, name: &str) -> Result<&SiteRef> {
        let by_number = name.parse().ok().and_then(|number: u32| self.sites.iter().find(|site| site.instance == number));
        let found = by_number.or_else(|| name.parse().ok().and_then(|id| self.site(id)));
        found.ok_or_else(|| PortError::new(Fault::NotFound, "site", name, "there is no such site").with_field("site"))
    }

    pub(super) async fn begin_drain(self: Arc<Self>, name: &str) -> Result<TaskStatus> {
        let site = Arc::clone(self.named_site(name)?);
        let access = site.access()?;
        let task = self.tasks.begin("drain", Some(site.instance), self.env.clock.now())?;
        // Remembered on the site itself, so that a restart goes on with it.
        if let Err(e) = access.filesystem.put(layout::DRAINING, Bytes::from_static(b"draining\n"), PutMode::Overwrite).await {
            task.failed(&e);
            task.end();
            return Err(e);
        }
        site.set_draining(true);
        self.spawn_drain(&site, &task);
        Ok(task.status())
    }

    fn spawn_drain(self: &Arc<Self>, site: &SiteRef, task: &Arc<Task>) {
        let (engine, site, task) = (Arc::clone(self), Arc::clone(site), Arc::clone(task));
        let executor = Arc::clone(&self.env.executor);
        executor.spawn(
            "drain",
            Box::pin(async move {
                engine.drain(&site, &task).await;
                task.end();
            }),
        );
    }

    /// Goes on with drains that a restart interrupted.
    pub(super) fn resume_drains(self: &Arc<Self>) {
        for site in self.sites.iter().filter(|site| site.is_draining()) {
            if self.on_site(site).is_empty() {
                continue;
            }
            if let Ok(task) = self.tasks.begin("drain", Some(site.instance), self.env.clock.now()) {
                self.spawn_drain(site, &task);
            }
        }
    }

    pub(super) async fn end_drain(&self, name: &str) -> Result<()> {
        let site = self.named_site(name)?;
        site.access()?.filesystem.delete(layout::DRAINING).await?;
        site.set_draining(false);
        self.tasks.cancel("drain", site.instance);
        Ok(())
    }

    /// The shards that are open on a site, each with its collection.
    fn on_site(&self, site: &SiteRef) -> Vec<(Arc<OpenCollection>, Arc<Shard>)> {
        let mut shards = self.placed();
        shards.retain(|(_, shard)| Arc::ptr_eq(&shard.site, site));
        shards
    }

    fn placed(&self) -> Vec<(Arc<OpenCollection>, Arc<Shard>)> {
        let all = self.catalog.all();
        all.iter().flat_map(|c| c.reachable().into_iter().map(|shard| (Arc::clone(c), shard))).collect()
    }

    async fn drain(&self, site: &SiteRef, task: &Task) {
        let mut refused = std::collections::BTreeSet::new();
        loop {
            // Looked at anew each time: what was on its way when the drain began may have arrived only now.
            let mut left = self.on_site(site);
            left.retain(|(_, shard)| !refused.contains(&shard.id));
            task.plan(left.len() as u32, left.iter().map(|(_, shard)| shard.stored_bytes()).sum());
            let Some((collection, shard)) = left.first() else { return };
            if !task.is_running() {
                return;
            }
            let map = self.site_map();
            let subject = subject(collection, shard);
            let target = self.assign(vec![subject.clone()], map.clone()).await;
            let target = match target.map(|sites| sites.first().copied()) {
                Ok(Some(target)) if Some(target) != site.id() => Ok(target),
                // A strategy that knows no other place must not keep a disk from being emptied.
                _ => first_choice(&subject, &map),
            };
            let moved = match target {
                Ok(target) => self.move_shard(collection, shard, target, task, MOVED).await,
                Err(e) => Err(e),
            };
            match moved {
                Ok(()) => task.moved(),
                Err(e) => {
                    task.failed(&e);
                    refused.insert(shard.id);
                }
            }
        }
    }

    pub(super) async fn begin_rebalance(self: Arc<Self>) -> Result<TaskStatus> {
        let task = self.tasks.begin("rebalance", None, self.env.clock.now())?;
        let (engine, running) = (Arc::clone(&self), Arc::clone(&task));
        self.env.executor.spawn(
            "rebalance",
            Box::pin(async move {
                engine.even_out(&running).await;
                running.end();
            }),
        );
        Ok(task.status())
    }

    async fn even_out(&self, task: &Task) {
        let mut moves = Vec::new();
        let mut map = self.site_map();
        for (collection, shard) in self.placed() {
            let subject = subject(&collection, &shard);
            count(&mut map, shard.home.id, -1, subject.expected_bytes);
            match self.reassign(subject.clone(), shard.home.id, map.clone()).await {
                Ok(target) => {
                    count(&mut map, target, 1, subject.expected_bytes);
                    if target != shard.home.id {
                        moves.push((collection, shard, target));
                    }
                }
                Err(e) => {
                    count(&mut map, shard.home.id, 1, subject.expected_bytes);
                    task.failed(&e);
                }
            }
        }
        task.plan(moves.len() as u32, moves.iter().map(|(_, shard, _)| shard.stored_bytes()).sum());
        for (collection, shard, target) in moves {
            if !task.is_running() {
                return;
            }
            match self.move_shard(&collection, &shard, target, task, MOVED).await {
                Ok(()) => task.moved(),
                Err(e) => task.failed(&e),
            }
        }
    }

    /// Moves one shard while it serves.
    async fn move_shard(
        &self,
        collection: &OpenCollection,
        shard: &Arc<Shard>,
        target: proximadb_model::SiteId,
        task: &Task,
        epochs: u64,
    ) -> Result<()> {
        let site = self.site(target).ok_or_else(|| PortError::new(Fault::NotFound, "shard.move", target, "there is no such site"))?;
        let access = site.access()?;
        site.admit(true)?;
        let handed = shard.hand_over(Arc::clone(&access), Arc::clone(&task.copied), epochs).await?;
        self.settle(collection, shard, site, access, handed).await;
        Ok(())
    }

    /// Shows everybody where a shard lies now, and removes what is left at the old place once nobody reads it any more.
    async fn settle(&self, collection: &OpenCollection, old: &Arc<Shard>, site: &SiteRef, access: Arc<SiteAccess>, mut handed: HandedOver) {
        let (_, none) = tokio::sync::mpsc::unbounded_channel();
        let mut old_readers = std::mem::replace(&mut handed.old_readers, none);
        let new = recover::go_on(old, Arc::clone(site), access, handed);
        collection.set_slot(old.id.index, Slot::Open(Arc::clone(&new)));
        self.write_cards(&[new]).await;
        self.report_gaps();
        let (home, shard) = (Arc::clone(&old.home), old.id);
        let clear = async move {
            // Nothing is sent any more; this ends with the last reader.
            while old_readers.recv().await.is_some() {}
            let cleared = async {
                home.wal.truncate(shard, Sequence(u64::MAX)).await?;
                crate::shard_files::ShardFiles::new(shard, &home).delete_all().await
            };
            if let Err(e) = cleared.await {
                tracing::warn!(%shard, error = chain(&e), "what a move has left could not be removed; the next start does");
            }
        };
        self.env.executor.spawn("move-clear", Box::pin(clear));
    }

    pub(super) async fn begin_fail_over(self: Arc<Self>, name: &str) -> Result<TaskStatus> {
        let site = Arc::clone(self.named_site(name)?);
        if site.access().is_ok() {
            let message = "the site is there; drain it to move its shards";
            return Err(PortError::new(Fault::Conflict, "site.fail_over", &site.location, message).with_field("site"));
        }
        let id = self.lost_id(&site).await?;
        let second = Arc::new(site.opener.open_second(id).await?);
        let task = self.tasks.begin("fail_over", Some(site.instance), self.env.clock.now())?;
        let (engine, running) = (Arc::clone(&self), Arc::clone(&task));
        self.env.executor.spawn(
            "fail-over",
            Box::pin(async move {
                engine.bring_back(&site, second, &running).await;
                running.end();
            }),
        );
        Ok(task.status())
    }

    /// The identity of a site that is away: its own memory, or what the other sites remember of its place.
    async fn lost_id(&self, site: &SiteRef) -> Result<proximadb_model::SiteId> {
        if let Some(id) = site.id() {
            return Ok(id);
        }
        let known = self.known.lock().await;
        let there = |id: &proximadb_model::SiteId| self.site(*id).is_some();
        let was_here = known.peers.iter().filter(|((_, id), location)| **location == site.location && !there(id));
        // Of several that were here once, the one that shards are missed from.
        let missed = |id: &proximadb_model::SiteId| known.cards.values().any(|home| home == id);
        was_here
            .map(|((_, id), _)| *id)
            .max_by_key(missed)
            .ok_or_else(|| PortError::new(Fault::Unavailable, "site.fail_over", &site.location, "no other site remembers what was here"))
    }

    /// Opens each shard of a lost site from its second copies, and moves it to a site that is there.
    async fn bring_back(&self, site: &SiteRef, second: Arc<SiteAccess>, task: &Task) {
        let scanned = match scan_site(&self.env, site, Arc::clone(&second)).await {
            Ok(scanned) => scanned,
            Err(e) => return task.failed(&e),
        };
        let lost: Vec<_> = scanned
            .shards
            .into_iter()
            .filter(|found| found.manifest.state != ShardState::Dropped)
            .filter(|found| {
                let shard = found.manifest.shard;
                self.catalog.get(shard.collection).is_some_and(|c| c.shard(shard.index).is_err())
            })
            .collect();
        let bytes = |manifest: &proximadb_model::Manifest| manifest.segments.iter().map(crate::writer::bytes_of).sum::<u64>();
        task.plan(lost.len() as u32, lost.iter().map(|found| bytes(&found.manifest)).sum());
        for (_, error) in &scanned.damaged {
            task.failed(error);
        }
        for found in lost {
            let Some(collection) = self.catalog.get(found.manifest.shard.collection) else { continue };
            if site.access().is_ok() {
                return task.failed(&PortError::new(Fault::Conflict, "site.fail_over", &site.location, "the site has come back"));
            }
            match self.bring_back_one(&collection, found, task).await {
                Ok(()) => task.moved(),
                Err(e) => task.failed(&e),
            }
        }
        self.take_back(second.id, task).await;
    }

    /// Opens the shards that were on their way to a lost site and of which it has nothing, as its second copies show: they never
    /// left.
    async fn take_back(&self, lost: proximadb_model::SiteId, task: &Task) {
        let on_the_way: Vec<_> = {
            let mut known = self.known.lock().await;
            known.moving.extract_if(.., |found| found.manifest.state == ShardState::Moving(lost)).collect()
        };
        for found in on_the_way {
            let id = found.manifest.shard;
            let Some(collection) = self.catalog.get(id.collection).filter(|c| c.shard(id.index).is_err()) else { continue };
            let opened = async {
                let shard = recover::open_shard(&self.env, found).await?;
                shard.update(proximadb_model::CollectionPatch::default()).await?;
                Ok::<_, PortError>(shard)
            };
            match opened.await {
                Ok(shard) => {
                    collection.set_slot(id.index, Slot::Open(Arc::clone(&shard)));
                    self.write_cards(&[shard]).await;
                }
                Err(e) => task.failed(&e),
            }
        }
        self.report_gaps();
    }

    async fn bring_back_one(&self, collection: &OpenCollection, found: recover::FoundShard, task: &Task) -> Result<()> {
        let shard = recover::open_shard(&self.env, found).await?;
        let moved = async {
            let subject = subject(collection, &shard);
            let mut map = self.site_map();
            map.sites.retain(|s| s.id != shard.home.id);
            let target = match self.assign(vec![subject.clone()], map.clone()).await {
                Ok(sites) if !sites.is_empty() => sites[0],
                _ => {
                    // A site that is being drained is better than none.
                    for view in &mut map.sites {
                        view.healthy = self.site(view.id).is_some_and(|site| site.admit(true).is_ok());
                    }
                    first_choice(&subject, &map)?
                }
            };
            self.move_shard(collection, &shard, target, task, BROUGHT_BACK).await
        };
        let moved = moved.await;
        if moved.is_err() {
            shard.stop().await;
        }
        moved
    }
}

/// The emptiest site.
fn first_choice(subject: &Subject, map: &SiteMap) -> Result<proximadb_model::SiteId> {
    let chosen = Strategy::LoadBalanced.assign(std::slice::from_ref(subject), map);
    let refused = |reason: String| PortError::new(Fault::Exhausted, "assign", "LoadBalanced", reason);
    chosen.map_err(|e| refused(e.reason))?.first().copied().ok_or_else(|| refused("there is no other site".to_owned()))
}

fn count(map: &mut SiteMap, site: proximadb_model::SiteId, shards: i32, bytes: u64) {
    if let Some(site) = map.sites.iter_mut().find(|s| s.id == site) {
        site.shards = site.shards.saturating_add_signed(shards);
        site.used_bytes = if shards < 0 { site.used_bytes.saturating_sub(bytes) } else { site.used_bytes.saturating_add(bytes) };
    }
}
