//! The single writer of a shard: it alone gives sequences, appends to the log, changes the state and commits manifests.
//!
//! Order of a write: resolve against the current state, append to the log, wait for the log's fsync, publish the new state,
//! answer. A crash before the fsync leaves a batch that nobody was told of; a crash after it finds the batch in the log.

use std::sync::Arc;
use std::time::Duration;

use proximadb_model::limits::{GROUP_REQUESTS_MAX, IDEMPOTENCY_KEYS_MAX};
use proximadb_model::{CollectionPatch, Epoch, FileId, Memtable, RememberedWrite, Sequence, ShardState, Uid, WriteBatch, plan};
use proximadb_ports::{Durability, Fault, PortError, Result, WalWriter, chain, mutants};
use tokio::sync::{mpsc, oneshot};

use crate::background::{Event, Workshop};
use crate::resolve::{self, Resolved};
use crate::shard::{Order, Shard, ShardOutcome, ShardWrite};
use crate::shard_files::Put;
use crate::snapshot::Snapshot;

mod commit;
mod hand_over;

pub(crate) use commit::may_truncate;
pub(crate) use hand_over::bytes_of;
use hand_over::{Left, Move};

/// Time before a graph is tried again that a plugin failed to compare the rows of; twice as long after each failure, up to the most.
const OWN_GRAPH_PAUSE: Duration = Duration::from_secs(30);
const OWN_GRAPH_PAUSE_MAX: Duration = Duration::from_secs(3_600);

/// Bytes of the operations of one write.
const WRITE_BYTES_MAX: usize = 48 << 20;

pub(crate) struct Writer {
    shop: Workshop,
    shard: Arc<Shard>,
    writes: mpsc::Receiver<ShardWrite>,
    orders: mpsc::Receiver<Order>,
    events: mpsc::Receiver<Event>,
    finished: mpsc::Sender<Event>,
    /// Segments whose last reader is gone; there are never more than there were segments.
    trash: mpsc::UnboundedReceiver<FileId>,
    log: Option<Box<dyn WalWriter>>,
    epoch: Epoch,
    next: Sequence,
    /// The last sequence that a failed group may have left in the log, to be found there by the next start.
    doubtful: Sequence,
    /// Manifests whose put ended in an error and may be there all the same.
    uncertain: Vec<Uid>,
    flush_failure: Option<PortError>,
    flush_waiters: Vec<oneshot::Sender<Result<()>>>,
    flushing: bool,
    maintaining: bool,
    /// The moment before which failed background work is not tried again.
    retry_at: Duration,
    /// The moment before which nothing is tidied up, since that failed.
    tidy_from: Duration,
    /// The moment before which no graph is begun, since a plugin failed at the last one, and how long that was put off.
    graph_at: Duration,
    graph_pause: Duration,
    /// From this moment on the shard counts as quiet, unless a write comes first.
    quiet_from: Duration,
    stopping: Option<oneshot::Sender<()>>,
    moving: Option<Move>,
    handed_over: Option<Left>,
}

/// The channels between a writer and the rest.
pub(crate) struct Inbox {
    pub(crate) writes: mpsc::Receiver<ShardWrite>,
    pub(crate) orders: mpsc::Receiver<Order>,
    pub(crate) trash: mpsc::UnboundedReceiver<FileId>,
}

impl Writer {
    pub(crate) fn new(shop: Workshop, shard: Arc<Shard>, inbox: Inbox) -> Self {
        let (finished, events) = mpsc::channel(4);
        let snapshot = shard.snapshot();
        let last = snapshot.active.last().max(snapshot.manifest.flushed_through);
        let now = shop.env.clock.monotonic();
        Self {
            shop,
            writes: inbox.writes,
            orders: inbox.orders,
            events,
            finished,
            trash: inbox.trash,
            log: None,
            epoch: snapshot.manifest.epoch,
            next: last.plus(1),
            doubtful: Sequence::default(),
            uncertain: Vec::new(),
            flush_failure: None,
            flush_waiters: Vec::new(),
            flushing: false,
            maintaining: false,
            retry_at: now,
            tidy_from: now,
            graph_at: now,
            graph_pause: Duration::ZERO,
            quiet_from: now,
            stopping: None,
            moving: None,
            handed_over: None,
            shard,
        }
    }

    /// Runs until it is told to stop.
    pub(crate) async fn run(mut self) {
        while self.stopping.is_none() && !self.is_abandoned() {
            self.start_due_work();
            self.go_on_moving().await;
            if self.handed_over.is_some() {
                return self.leave();
            }
            let (accepting, tidies) = (self.accepts_writes(), self.may_tidy());
            let pause = self.pause();
            let clock = Arc::clone(&self.shop.env.clock);
            let wake = async {
                match pause {
                    Some(pause) => clock.sleep(pause).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                Some(file) = self.trash.recv(), if tidies => {
                    let files = self.shop.files.clone();
                    self.tidy("an obsolete segment", files.delete_segment(file)).await;
                }
                Some(event) = self.events.recv() => self.finish(event).await,
                Some(order) = self.orders.recv() => self.obey(order).await,
                write = self.writes.recv(), if accepting => match write {
                    Some(write) => self.take_writes(write).await,
                    None => break,
                },
                () = wake => {}
            }
        }
        if let Some(done) = self.stopping.take() {
            let _ = done.send(());
        }
    }

    /// Whether the shard was dropped and nobody but this task holds it; what its last readers left is cleared at the next start.
    fn is_abandoned(&self) -> bool {
        self.shard.is_dropped() && !self.flushing && !self.maintaining && self.trash.is_empty() && Arc::strong_count(&self.shard) == 1
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        self.shard.snapshot()
    }

    fn publish(&self, snapshot: Snapshot) {
        self.shard.state.store(Arc::new(snapshot));
    }

    fn now(&self) -> Duration {
        self.shop.env.clock.monotonic()
    }

    /// Whether memory is left for writes. While a flush fails they are taken all the same, to be told so.
    fn accepts_writes(&self) -> bool {
        let snapshot = self.snapshot();
        let full = snapshot.active.bytes() >= self.shop.env.settings.flush.memtable_bytes_max.saturating_mul(2);
        !(full && snapshot.frozen.is_some()) || self.flush_failure.is_some()
    }

    fn is_quiet(&self) -> bool {
        self.now() >= self.quiet_from
    }

    /// How long to sleep until there may be something to do without being told; `None` where there will not.
    fn pause(&self) -> Option<Duration> {
        let now = self.now();
        if self.retry_at > now {
            return Some(self.retry_at - now);
        }
        if self.shard.is_dropped() {
            return Some(self.shop.env.settings.retry_after);
        }
        let waits = !self.maintaining && !self.is_quiet() && self.next_work(true).is_some();
        let quiet = waits.then(|| self.quiet_from.saturating_sub(now).max(Duration::from_millis(1)));
        let tidy = (!self.trash.is_empty() && !self.may_tidy()).then_some(self.shop.env.settings.retry_after);
        quiet.into_iter().chain((self.graph_at > now).then(|| self.graph_at - now)).chain(tidy).min()
    }

    fn next_work(&self, quiet: bool) -> Option<plan::Work> {
        let snapshot = self.snapshot();
        if snapshot.manifest.state == ShardState::Dropped {
            return None;
        }
        let now = self.shop.env.clock.now();
        let views: Vec<_> = snapshot
            .segments
            .iter()
            .map(|v| {
                let expired = (0..v.segment.expires.len()).filter(|r| v.segment.expires_by(*r, now) && !v.dead.contains(*r)).count();
                plan::SegmentView { rows: v.rows(), dead: v.dead.count() + expired, graph: v.is_graph() }
            })
            .collect();
        let kind = snapshot.manifest.collection.spec.index.kind;
        let settings = self.shop.env.settings.maintenance.for_dimension(snapshot.dimension());
        let work = plan::next_work(&views, kind, quiet, &settings);
        match work {
            // It comes last, so that nothing waits behind it.
            Some(plan::Work::Index(_)) if self.now() < self.graph_at => None,
            Some(plan::Work::Index(_)) if !self.shop.env.graph.supports(snapshot.metric.descriptor()) => None,
            work => work,
        }
    }

    /// Starts a flush or maintenance where one is due and none is running.
    fn start_due_work(&mut self) {
        if self.now() < self.retry_at {
            return;
        }
        let snapshot = self.snapshot();
        if !self.flushing {
            let wanted = !self.flush_waiters.is_empty() || plan::flush_is_due(&snapshot.active, &self.shop.env.settings.flush);
            if snapshot.frozen.is_some() || (wanted && snapshot.active.last() > snapshot.manifest.flushed_through) {
                self.start_flush();
            }
        }
        if !self.maintaining
            && !self.flushing
            && !self.is_moving()
            && let Some(work) = self.next_work(self.is_quiet())
        {
            if self.has_room_for(&work) {
                self.start_maintenance(work);
            } else {
                self.retry_at = self.now() + self.shop.env.settings.retry_after;
            }
        }
    }

    /// Whether what the work writes will fit on the site, as far as that is known. What does not is not begun: it would fill the
    /// disk to the brim and be thrown away.
    fn has_room_for(&self, work: &plan::Work) -> bool {
        let Some(space) = self.shard.site.space() else { return true };
        let snapshot = self.snapshot();
        let live_bytes = |place: &usize| {
            let view = &snapshot.segments[*place];
            view.segment.meta.bytes as f64 * view.live() as f64 / view.rows().max(1) as f64
        };
        let needed: f64 = match work {
            plan::Work::Merge(places) => places.iter().map(live_bytes).sum(),
            plan::Work::Index(place) => live_bytes(place) / 2.0,
            plan::Work::Drop(_) => 0.0,
        };
        needed * 1.2 <= space.free_bytes as f64
    }

    fn start_flush(&mut self) {
        let mut snapshot = Snapshot::clone(&self.snapshot());
        if snapshot.frozen.is_none() {
            let dimension = snapshot.dimension();
            snapshot.frozen = Some(std::mem::replace(&mut snapshot.active, Memtable::new(dimension)));
            self.publish(snapshot.clone());
        }
        self.flushing = true;
        let (shop, finished) = (self.shop.clone(), self.finished.clone());
        self.shop.env.executor.spawn_background(
            "flush",
            Box::pin(async move {
                let Some(frozen) = snapshot.frozen.clone() else { return };
                let flushed = shop.flush(&snapshot, &frozen).await;
                let _ = finished.send(Event::Flushed(flushed)).await;
            }),
        );
    }

    fn start_maintenance(&mut self, work: plan::Work) {
        self.maintaining = true;
        let (shop, finished, snapshot) = (self.shop.clone(), self.finished.clone(), self.snapshot());
        self.shop.env.executor.spawn_background(
            "maintenance",
            Box::pin(async move {
                let event = match work {
                    plan::Work::Merge(places) => Event::Merged(shop.merge(&snapshot, &places).await),
                    plan::Work::Drop(place) => Event::Merged(shop.merge(&snapshot, &[place]).await),
                    plan::Work::Index(place) => {
                        let segment = &snapshot.segments[place].segment;
                        Event::Indexed(shop.index(segment, &snapshot.manifest.collection, &snapshot.metric).await)
                    }
                };
                let _ = finished.send(event).await;
            }),
        );
    }

    async fn obey(&mut self, order: Order) {
        match order {
            Order::Flush(reply) => {
                let snapshot = self.snapshot();
                // What a caller asked to be tidied is not waited for any longer.
                self.quiet_from = self.now();
                if snapshot.frozen.is_none() && snapshot.active.last() <= snapshot.manifest.flushed_through {
                    // An earlier flush may not have got so far.
                    self.shorten_log().await;
                    let _ = reply.send(Ok(()));
                } else {
                    self.retry_at = self.now();
                    self.flush_waiters.push(reply);
                }
            }
            Order::Update(patch, reply) => {
                let _ = reply.send(self.update(patch).await);
            }
            Order::Drop(reply) => {
                let _ = reply.send(self.drop_shard().await);
            }
            Order::Move(order) => self.begin_move(order),
            Order::Stop(done) => self.stopping = Some(done),
        }
    }

    async fn update(&mut self, patch: CollectionPatch) -> Result<()> {
        self.open_log().await?;
        let manifest = self
            .commit(|manifest| {
                let spec = &mut manifest.collection.spec;
                if let Some(description) = patch.description {
                    spec.description = description;
                }
                if let Some(index) = patch.index {
                    spec.index = index;
                }
            })
            .await?;
        let mut snapshot = Snapshot::clone(&self.snapshot());
        snapshot.manifest = manifest;
        self.publish(snapshot);
        Ok(())
    }

    /// Takes a write and those that wait behind it, up to a limit and as long as they want the same durability.
    async fn take_writes(&mut self, first: ShardWrite) {
        if let Some(failure) = &self.flush_failure
            && self.snapshot().active.bytes() >= self.shop.env.settings.flush.memtable_bytes_max.saturating_mul(2)
        {
            let _ = first.reply.send(Err(failure.duplicate()));
            return;
        }
        let mut group = vec![first];
        let mut other = None;
        while group.len() < GROUP_REQUESTS_MAX {
            match self.writes.try_recv() {
                Ok(write) if write.durability == group[0].durability => group.push(write),
                Ok(write) => {
                    other = Some(write);
                    break;
                }
                Err(_) => break,
            }
        }
        self.write_group(group).await;
        if let Some(write) = other {
            self.write_group(vec![write]).await;
        }
    }

    async fn write_group(&mut self, group: Vec<ShardWrite>) {
        self.quiet_from = self.now() + self.shop.env.settings.quiet_after;
        // The disk may have been found out while this waited.
        let opened = match self.shard.site.takes_writes() {
            Ok(()) => self.open_log().await,
            refused => refused,
        };
        if let Err(e) = opened {
            self.shard.set_trouble(Some(chain(&e)));
            self.shard.site.suspected.notify_one();
            group.into_iter().for_each(|w| drop(w.reply.send(Err(e.duplicate()))));
            return;
        }
        let durability = group[0].durability;
        let before = self.snapshot();
        let mut working = Snapshot::clone(&before);
        let mut applied = Vec::with_capacity(group.len());
        let mut group = group.into_iter();
        let mut failure = None;
        for write in group.by_ref() {
            match self.stage(&write, &mut working).await {
                Ok(outcome) => applied.push((write.reply, outcome)),
                Err(Staging::Refused(e)) => drop(write.reply.send(Err(e))),
                Err(Staging::LogFailed(e)) => {
                    let _ = write.reply.send(Err(e.duplicate()));
                    failure = Some(e);
                    break;
                }
            }
        }
        if failure.is_none() && (durability == Durability::Async || mutants::is_on("bug_ack_first")) {
            self.publish(working.clone());
            for (reply, mut outcome) in applied.drain(..) {
                outcome.outcome.durable = mutants::is_on("bug_ack_first");
                let _ = reply.send(Ok(outcome));
            }
        }
        if failure.is_none()
            && let Some(log) = &mut self.log
        {
            failure = log.sync().await.err();
        }
        match failure {
            None => {
                self.publish(working);
                self.shard.set_trouble(None);
                self.shop.env.clear_problem(&format!("shard {}", self.shard.id));
                applied.into_iter().for_each(|(reply, outcome)| drop(reply.send(Ok(outcome))));
            }
            Some(e) => {
                // The log may hold these batches or not; nobody is told that it does. Answered asynchronous ones are taken back,
                // as a crash would: otherwise a deletion vector could outlive the write that caused it.
                self.publish(Snapshot::clone(&before));
                self.doubtful = self.next;
                self.log = None;
                self.shard.set_trouble(Some(chain(&e)));
                self.shard.site.suspected.notify_one();
                self.shop.env.problem(format!("shard {}", self.shard.id), chain(&e));
                applied.into_iter().for_each(|(reply, _)| drop(reply.send(Err(e.duplicate()))));
                group.for_each(|w| drop(w.reply.send(Err(e.duplicate()))));
            }
        }
    }

    /// Resolves one write, hands it to the log and applies it to the working state.
    async fn stage(&mut self, write: &ShardWrite, working: &mut Snapshot) -> std::result::Result<ShardOutcome, Staging> {
        let changes = &write.changes;
        if let Some(tag) = &changes.idempotency
            && let Some(known) = working.remembered.iter().find(|w| w.key == tag.key)
        {
            return self.repeat(known, tag.fingerprint, changes).map_err(Staging::Refused);
        }
        let now = self.shop.env.clock.now();
        // What a failed group put may come back with the next start, so a delete of it counts though it is not there now.
        let verbatim = changes.encoded.is_some() || self.doubtful > working.manifest.flushed_through;
        let resolved = resolve::resolve(&changes.changes, working, now, verbatim).await.map_err(Staging::Refused)?;
        let Resolved { operations, mut outcome, more } = resolved;
        outcome.durable = true;
        if operations.is_empty() {
            return Ok(ShardOutcome { outcome, more });
        }
        let bytes: usize = operations.iter().map(operation_bytes).sum();
        if bytes > WRITE_BYTES_MAX {
            let message = format!("takes {bytes} bytes in one shard, at most {WRITE_BYTES_MAX} are allowed; send it in parts");
            return Err(Staging::Refused(PortError::new(Fault::Invalid, "write", "the request", message).with_field("records")));
        }
        let batch = WriteBatch {
            shard: self.shard.id,
            epoch: self.epoch,
            first: self.next,
            operations,
            idempotency: changes.idempotency.clone(),
            encoded: changes.encoded.clone(),
        };
        let Some(log) = &mut self.log else {
            return Err(Staging::LogFailed(PortError::new(Fault::Unavailable, "write", self.shard.id, "the log is closed")));
        };
        log.append(&batch).await.map_err(Staging::LogFailed)?;
        outcome.sequence = batch.last();
        self.next = batch.last().plus(1);
        working.apply(batch.first, &batch.operations);
        if let Some(tag) = batch.idempotency {
            remember(
                working,
                RememberedWrite {
                    key: tag.key,
                    fingerprint: tag.fingerprint,
                    sequence: outcome.sequence,
                    put: (outcome.upserted + outcome.inserted + outcome.patched) as u32,
                    deleted: outcome.deleted as u32,
                },
            );
        }
        Ok(ShardOutcome { outcome, more })
    }

    /// The answer to a keyed write that was done before.
    fn repeat(&self, known: &RememberedWrite, fingerprint: u64, changes: &resolve::ShardChanges) -> Result<ShardOutcome> {
        if known.fingerprint != fingerprint {
            let message = "this idempotency key was used for another request";
            return Err(PortError::new(Fault::Conflict, "write", &known.key, message).with_field("idempotency_key"));
        }
        let mut outcome = proximadb_ports::WriteOutcome { durable: true, replayed: true, sequence: known.sequence, ..Default::default() };
        for change in &changes.changes {
            match change {
                resolve::CheckedChange::Upsert(_) => outcome.upserted += 1,
                resolve::CheckedChange::Insert(_) => outcome.inserted += 1,
                resolve::CheckedChange::Patch { .. } => outcome.patched += 1,
                resolve::CheckedChange::Delete(_) | resolve::CheckedChange::DeleteWhere(_) => {}
            }
        }
        outcome.deleted = u64::from(known.deleted);
        Ok(ShardOutcome { outcome, more: false })
    }
}

/// Why a write was not staged.
enum Staging {
    /// It alone is refused.
    Refused(PortError),
    /// The log has failed, and with it the whole group.
    LogFailed(PortError),
}

fn operation_bytes(operation: &proximadb_model::Operation) -> usize {
    match operation {
        proximadb_model::Operation::Put(record) => {
            record.id.as_str().len() + size_of_val(record.vector.as_slice()) + record.metadata.bytes() + 32
        }
        proximadb_model::Operation::Delete(id) => id.as_str().len() + 8,
    }
}

/// Adds a keyed write to those that are remembered, and forgets the oldest beyond the limit.
pub(crate) fn remember(snapshot: &mut Snapshot, write: RememberedWrite) {
    let remembered = Arc::make_mut(&mut snapshot.remembered);
    remembered.push(write);
    let excess = remembered.len().saturating_sub(IDEMPOTENCY_KEYS_MAX);
    remembered.drain(..excess);
}
