//! Keeping the sites: each has a task of its own that opens it, looks at it again and again, closes it when it is gone and opens it
//! when it is back. What one site does holds up no other.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use bytes::Bytes;
use futures_util::future::join_all;
use proximadb_model::plan::{Room, room_left};
use proximadb_model::{DiskKind, SiteId};
use proximadb_ports::{Fault, PortError, PutMode, Result, Space, chain};
use tokio::sync::{oneshot, watch};

use super::Engine;
use crate::catalog::Slot;
use crate::layout;
use crate::parts::SiteAccess;
use crate::recover::{Scanned, scan_site};
use crate::site::{Condition, SiteRef, read_marker};

/// Looks that fail one after the other before a site counts as gone.
const FAILURES_MAX: u32 = 2;
/// Every so many looks a healthy site is written to.
const LOOKS_PER_WRITE: u64 = 30;
/// How often an object store is looked at, in looks at a disk.
const LOOKS_PER_REQUEST: u64 = 30;

impl Engine {
    /// Opens all sites, waits for those that answer in time, and takes in what they hold. The others follow when they answer.
    pub(super) async fn start_sites(self: &Arc<Self>, stopped: &watch::Receiver<bool>) {
        let mut first = Vec::new();
        for site in &self.sites {
            let (answer, opened) = oneshot::channel();
            first.push(opened);
            let keeper = keep(Arc::downgrade(self), Arc::clone(site), answer, stopped.clone());
            self.env.executor.spawn("site-keeper", Box::pin(keeper));
        }
        let within = self.env.settings.site_answer_within;
        let opened = join_all(self.sites.iter().zip(first).map(|(site, opened)| async move {
            let answered = self.env.within(within, opened).await.and_then(std::result::Result::ok);
            (site, answered)
        }))
        .await;
        let mut scanned = Vec::new();
        let mut empty = Vec::new();
        for (site, answer) in opened {
            match answer {
                Some(Ok(access)) => self.admit(site, access, &mut scanned).await,
                Some(Err(e)) if e.fault == Fault::NotFound => empty.push(site),
                Some(Err(e)) => self.unreachable(site, chain(&e)),
                None => self.unreachable(site, "does not answer".to_owned()),
            }
        }
        let made = join_all(empty.iter().map(|site| self.open_new(site, &scanned))).await;
        for (site, made) in empty.into_iter().zip(made) {
            match made {
                Ok(access) => self.admit(site, access, &mut scanned).await,
                Err(e) => self.unreachable(site, chain(&e)),
            }
        }
        self.take_in(scanned).await;
        self.report_unknown_logs().await;
    }

    /// Makes a place a new site, unless one was there.
    async fn open_new(&self, site: &SiteRef, scanned: &[Scanned]) -> Result<SiteAccess> {
        {
            let mut known = self.known.lock().await;
            for other in scanned {
                known.peers.extend(other.peers.iter().map(|(id, location)| ((other.access.id, *id), location.clone())));
            }
            self.may_become_a_site(&known, site)?;
        }
        if let Some(known) = site.id() {
            let message = format!("site {known} was here, and nothing is here now; is its disk mounted?");
            return Err(PortError::new(Fault::Unavailable, "site.open", &site.location, message));
        }
        site.opener.open(Some(SiteId(self.env.entropy.uid()))).await
    }

    async fn admit(&self, site: &SiteRef, access: SiteAccess, scanned: &mut Vec<Scanned>) {
        let access = Arc::new(access);
        if let Err(e) = site.set_open(Arc::clone(&access)) {
            return self.unreachable(site, chain(&e));
        }
        match scan_site(&self.env, site, access).await {
            Ok(found) => {
                self.env.clear_problem(&subject(site));
                scanned.push(found);
            }
            Err(e) => self.unreachable(site, chain(&e)),
        }
    }

    fn unreachable(&self, site: &SiteRef, why: String) {
        site.set_missing(why.clone());
        self.env.problem(subject(site), why);
    }

    /// Opens a site that was away, and takes in what it holds.
    async fn try_again(&self, site: &SiteRef) {
        let opened = match site.opener.open(None).await {
            Err(e) if e.fault == Fault::NotFound => self.open_new(site, &[]).await,
            opened => opened,
        };
        self.arrive(site, opened).await;
    }

    async fn arrive(&self, site: &SiteRef, opened: Result<SiteAccess>) {
        let mut scanned = Vec::new();
        match opened {
            Ok(access) => self.admit(site, access, &mut scanned).await,
            Err(e) => {
                let why = chain(&e);
                if site.set_condition(Condition::Missing(why.clone())) {
                    self.env.problem(subject(site), why);
                }
            }
        }
        if !scanned.is_empty() {
            tracing::info!(site = site.location, "is there");
            self.take_in(scanned).await;
            self.report_unknown_logs().await;
            if let Ok(engine) = self.shared() {
                engine.resume_drains();
            }
        }
    }

    /// Lets every other site compare its second copies anew: some of them may be on this one.
    fn compare_copies(&self, gone: &SiteRef) {
        for (site, access) in self.open_sites() {
            if let Some(mirror) = access.mirror.as_ref().filter(|_| !Arc::ptr_eq(site, gone)) {
                mirror.fall_behind(&format!("site {} went away", gone.location));
            }
        }
    }

    /// Ends the use of a site that is gone. Its shards are listed as missing until it is back.
    fn close(&self, site: &SiteRef, why: &str) {
        let id = site.id();
        self.unreachable(site, why.to_owned());
        self.compare_copies(site);
        for collection in self.catalog.all() {
            for shard in collection.reachable().into_iter().filter(|shard| Arc::ptr_eq(&shard.site, site)) {
                collection
                    .set_slot(shard.id.index, Slot::missing(Fault::Unavailable, format!("site {} is gone: {why}", site.location), id));
                self.env.clear_problem(&format!("shard {}", shard.id));
                self.env.executor.spawn("shard-stop", Box::pin(async move { shard.stop().await }));
            }
        }
        self.report_gaps();
    }

    /// Bytes of records that were acknowledged and will need room on the site.
    fn promised(&self, site: &SiteRef) -> u64 {
        let shards = self.catalog.shards();
        let of_site = shards.iter().filter(|shard| Arc::ptr_eq(&shard.site, site));
        of_site.map(|shard| shard.snapshot().memtables().map(|m| m.bytes() as u64).sum::<u64>()).sum()
    }

    fn stored(&self, site: &SiteRef) -> u64 {
        self.catalog.shards().iter().filter(|shard| Arc::ptr_eq(&shard.site, site)).map(|shard| shard.stored_bytes()).sum()
    }

    /// How a site that answers is: whether it takes writes, and has room.
    async fn judge(&self, site: &SiteRef, access: &SiteAccess, written: Result<()>) -> Condition {
        if let Err(e) = &written
            && e.fault != Fault::Exhausted
        {
            return Condition::Failing(chain(e));
        }
        let space = match access.filesystem.space().await {
            Ok(space) => space,
            Err(e) => return Condition::Failing(chain(&e)),
        };
        site.set_space(space);
        let used = self.stored(site).saturating_add(access.wal.stats().bytes);
        let own = site.capacity_bytes.map(|total| Space { free_bytes: total.saturating_sub(used), total_bytes: total });
        let before = site.room();
        let settings = &self.env.settings.room;
        let promised = self.promised(site);
        let left = |s: &Space| (room_left(s.free_bytes, s.total_bytes, promised, before, settings), s.free_bytes, s.total_bytes);
        let Some((mut room, free, total)) = space.iter().chain(&own).map(left).max() else { return Condition::Serving(None) };
        if written.is_err() {
            room = Room::Full;
        }
        if let Some(reserve) = &access.reserve {
            self.keep_reserve(site, &**reserve, room, free).await;
        }
        let text = |what: &str| format!("{what}: {free} of {total} bytes are free, and {promised} are promised to records in memory");
        match room {
            Room::Enough => Condition::Serving(None),
            Room::Low => Condition::Serving(Some(text("low on room"))),
            Room::Full => Condition::Full(text("takes no more records")),
        }
    }

    /// Gives the reserve back once nothing else is left, and takes it again when there is room.
    async fn keep_reserve(&self, site: &SiteRef, reserve: &dyn proximadb_ports::Reserve, room: Room, free: u64) {
        let nothing_left = free < self.env.settings.room.refuse_bytes.min(site.space().map_or(u64::MAX, |s| s.total_bytes / 20)) / 4;
        let result = match room {
            Room::Full if nothing_left && reserve.is_held() => reserve.release().await,
            Room::Enough if !reserve.is_held() => reserve.hold().await,
            _ => Ok(()),
        };
        if let Err(e) = result {
            tracing::warn!(site = site.location, error = chain(&e), "the reserve could not be changed");
        }
    }

    /// Lets a site's log forget what is in segments, now that those have second copies.
    async fn shorten_log(&self, site: &SiteRef, access: &SiteAccess) {
        for shard in self.catalog.shards().into_iter().filter(|shard| Arc::ptr_eq(&shard.site, site)) {
            let through = shard.snapshot().manifest.flushed_through;
            if let Err(e) = access.wal.truncate(shard.id, through).await {
                tracing::warn!(site = site.location, error = chain(&e), "the log cannot be shortened");
                return;
            }
        }
    }

    fn note(&self, site: &SiteRef, condition: Condition) {
        if !site.set_condition(condition.clone()) {
            return;
        }
        match condition {
            Condition::Serving(None) => {
                self.env.clear_problem(&subject(site));
                tracing::info!(site = site.location, "is well");
            }
            other => self.env.problem(subject(site), other.text()),
        }
    }
}

fn subject(site: &SiteRef) -> String {
    format!("site {}", site.location)
}

/// Reads the site's marker, which must still be that of the same site, and writes where that is asked for.
async fn probe(access: &SiteAccess, write: bool) -> (Result<()>, Result<()>) {
    let read = async {
        let marker = access.filesystem.get(layout::SITE_MARKER).await?;
        match read_marker(&marker)? {
            id if id == access.id => Ok(()),
            id => Err(PortError::new(Fault::Unavailable, "site.look", id, "another site is here now")),
        }
    };
    let read = read.await;
    if read.is_err() || !write {
        return (read, Ok(()));
    }
    let written = async {
        access.filesystem.put(layout::PROBE, Bytes::from_static(b"probe\n"), PutMode::Overwrite).await?;
        access.filesystem.delete(layout::PROBE).await
    };
    (read, written.await)
}

/// The task of one site; runs until the engine is stopped or gone.
async fn keep(engine: Weak<Engine>, site: SiteRef, first: oneshot::Sender<Result<SiteAccess>>, mut stopped: watch::Receiver<bool>) {
    let opened = site.opener.open(None).await;
    if let Err(late) = first.send(opened) {
        let Some(engine) = engine.upgrade() else { return };
        match late {
            Err(e) if e.fault == Fault::NotFound => engine.try_again(&site).await,
            late => engine.arrive(&site, late).await,
        }
    }
    let mut keeper = Keeper { looks: 0, asked: 0, failures: 0, catching_up: Arc::new(AtomicBool::new(false)) };
    loop {
        let Some(held) = engine.upgrade() else { return };
        let (clock, every) = (Arc::clone(&held.env.clock), held.env.settings.site_check_every);
        drop(held);
        let suspected = tokio::select! {
            biased;
            _ = stopped.changed() => return,
            () = site.suspected.notified() => true,
            () = clock.sleep(every) => false,
        };
        let Some(held) = engine.upgrade() else { return };
        tokio::select! {
            biased;
            _ = stopped.changed() => return,
            () = keeper.look(&held, &site, suspected) => {}
        }
    }
}

struct Keeper {
    looks: u64,
    /// Writes that had been asked for at the last look.
    asked: u64,
    failures: u32,
    catching_up: Arc<AtomicBool>,
}

impl Keeper {
    async fn look(&mut self, engine: &Arc<Engine>, site: &SiteRef, suspected: bool) {
        self.looks += 1;
        let Ok(access) = site.access() else {
            return engine.try_again(site).await;
        };
        let well = matches!(site.condition(), Condition::Serving(_));
        if well && !suspected && site.kind == DiskKind::ObjectStore && !self.looks.is_multiple_of(LOOKS_PER_REQUEST) {
            return;
        }
        // A disk can read and not write; under load that is found out before the writes' own deadline.
        let asked = std::mem::replace(&mut self.asked, site.asked());
        let write = suspected || !well || asked != self.asked || self.looks.is_multiple_of(LOOKS_PER_WRITE);
        let mut look = pin!(probe(&access, write));
        let (read, written) = match engine.env.within(engine.env.settings.site_answer_within, &mut look).await {
            Some(answer) => answer,
            None => {
                engine.note(site, Condition::Failing("does not answer".to_owned()));
                look.await
            }
        };
        match read {
            Ok(()) => {
                self.failures = 0;
                let condition = engine.judge(site, &access, written).await;
                engine.note(site, condition);
                self.look_at_copies(engine, site, &access);
            }
            Err(e) => {
                self.failures += 1;
                let gone = matches!(e.fault, Fault::NotFound | Fault::Corrupt) || self.failures >= FAILURES_MAX;
                if gone {
                    self.failures = 0;
                    engine.close(site, &chain(&e));
                } else {
                    engine.note(site, Condition::Failing(chain(&e)));
                }
            }
        }
    }

    /// Tells of second copies that are not complete, and completes them.
    fn look_at_copies(&self, engine: &Arc<Engine>, site: &SiteRef, access: &Arc<SiteAccess>) {
        let behind = access.mirror.as_ref().and_then(|mirror| mirror.behind());
        for (what, trouble) in [("log", access.wal.degraded()), ("second copies", behind.clone())] {
            let subject = format!("{what} of site {}", site.location);
            // Copies that have never been compared are no news until they could have been.
            match trouble.filter(|_| self.looks > 5) {
                Some(trouble) => engine.env.problem_once(subject, trouble),
                None => engine.env.clear_problem(&subject),
            }
        }
        if behind.is_none() || !site.is_taken_in() || self.catching_up.swap(true, Ordering::AcqRel) {
            return;
        }
        let (access, done, location) = (Arc::clone(access), Arc::clone(&self.catching_up), site.location.clone());
        let (weak, of) = (Arc::downgrade(engine), Arc::clone(site));
        let (clock, retry) = (Arc::clone(&engine.env.clock), engine.env.settings.retry_after);
        engine.env.executor.spawn(
            "catch-up",
            Box::pin(async move {
                if let Some(mirror) = &access.mirror {
                    match mirror.catch_up().await {
                        Ok(objects) => {
                            tracing::info!(site = location, objects, "the second copies are complete");
                            if let Some(engine) = weak.upgrade() {
                                engine.shorten_log(&of, &access).await;
                            }
                        }
                        Err(e) => {
                            tracing::debug!(site = location, error = chain(&e), "the second copies cannot be completed now");
                            clock.sleep(retry).await;
                        }
                    }
                }
                done.store(false, Ordering::Release);
            }),
        );
    }
}
