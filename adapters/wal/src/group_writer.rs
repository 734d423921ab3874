//! The task that makes groups: takes what all shards have queued, hands it to the tail in one step, wakes whoever waits.

use std::sync::Arc;
use std::time::Duration;

use proximadb_ports::{BoxFuture, Clock, Executor, Fault, PortError};
use tokio::sync::watch;

use crate::file_wal::WalContext;
use crate::log::Shared;
use crate::mirror::Mirror;
use crate::state::{Group, Step, Ticket};
use crate::tail::{Outcome, Tail};

/// Bytes of batches that are copied in one group, so that nobody's own group waits long for it.
const COPY_BYTES_MAX: u64 = 1 << 20;

pub(crate) struct GroupWriter {
    shared: Arc<Shared>,
    tail: Box<dyn Tail>,
    clock: Arc<dyn Clock>,
    executor: Arc<dyn Executor>,
    idle: Duration,
    progress: watch::Sender<Ticket>,
    /// When batches that are in one copy may be copied again, after that has failed.
    copy_from: Duration,
    /// Whether the last thing written was a group, and not yet how far it is durable.
    watermark_due: bool,
}

impl GroupWriter {
    pub(crate) fn new(
        shared: Arc<Shared>,
        tail: Box<dyn Tail>,
        context: &WalContext,
        idle: Duration,
        progress: watch::Sender<Ticket>,
    ) -> Self {
        let (clock, executor) = (Arc::clone(&context.clock), Arc::clone(&context.executor));
        Self { shared, tail, clock, executor, idle, progress, copy_from: Duration::ZERO, watermark_due: false }
    }

    /// Runs until the log is closed. Dropped half-way, it leaves what a crash would leave.
    pub(crate) async fn run(mut self) {
        let mut timer: Option<BoxFuture> = None;
        let mut retry: Option<BoxFuture> = None;
        loop {
            self.shared.try_mirror_again(&*self.executor);
            let step = self.shared.state().step();
            match step {
                Step::End => return,
                Step::Write(group) => {
                    timer = None;
                    self.write(group).await;
                }
                // A batch that waits for its time is not to wait for this.
                Step::Wait { queued: false } if self.copy_some().await => {}
                Step::Wait { queued } => {
                    if (queued || self.watermark_due) && timer.is_none() {
                        timer = Some(sleep(Arc::clone(&self.clock), self.idle));
                    }
                    if retry.is_none() {
                        retry = self.retry().map(|rest| sleep(Arc::clone(&self.clock), rest));
                    }
                    tokio::select! {
                        biased;
                        () = self.shared.work.notified() => {}
                        () = elapsed(&mut timer) => {
                            timer = None;
                            self.idle(queued).await;
                        }
                        () = elapsed(&mut retry) => retry = None,
                    }
                }
            }
        }
    }

    /// How long until something about the second copy is tried again; `None` when all is well.
    fn retry(&self) -> Option<Duration> {
        let mirror = self.shared.mirror.as_ref()?;
        let waits = !mirror.is_up() || self.clock.monotonic() < self.copy_from;
        waits.then(|| mirror.retry())
    }

    /// Writes some of the batches once more that are in one copy although there should be two; false when there is nothing to do.
    async fn copy_some(&mut self) -> bool {
        let rested = self.clock.monotonic() >= self.copy_from;
        let Some(mirror) = self.shared.mirror.clone().filter(|_| rested && self.tail.mirrors()) else { return false };
        let entries = {
            let mut state = self.shared.state();
            let entries = state.index.wants_copies(COPY_BYTES_MAX);
            if entries.is_empty() && !state.index.frees_hurt(state.active) {
                return false;
            }
            entries
        };
        if entries.is_empty() {
            return match self.shared.free().await {
                Ok(()) => true,
                Err(failure) => self.rest(&mirror, &failure),
            };
        }
        let mut reader = self.shared.reader();
        let mut copies = Vec::with_capacity(entries.len());
        for (shard, entry) in entries {
            match reader.copy(shard, &entry).await {
                Ok(copy) => copies.push(copy),
                Err(failure) if failure.fault == Fault::Unavailable => return self.rest(&mirror, &failure),
                // The shard's next replay says so too.
                Err(failure) => {
                    tracing::error!(error = ?failure, "a batch of the log is lost in both copies");
                    self.shared.state().index.give_up(entry.place);
                }
            }
        }
        if copies.is_empty() {
            return true;
        }
        let outcome = self.tail.write(&copies).await;
        let last = {
            let mut state = self.shared.state();
            state.take(&outcome, self.tail.active());
            state.index.wants_copies(0).is_empty() || !outcome.mirrored
        };
        self.watermark_due |= outcome.failure.is_none();
        if let Some(failure) = &outcome.failure {
            return self.rest(&mirror, failure);
        }
        // What has been copied frees the files where it stood.
        match if last { self.shared.free().await } else { Ok(()) } {
            Ok(()) => true,
            Err(failure) => self.rest(&mirror, &failure),
        }
    }

    fn rest(&mut self, mirror: &Mirror, failure: &PortError) -> bool {
        tracing::warn!(error = ?failure, "batches that are in one copy could not be copied yet");
        self.copy_from = self.clock.monotonic().saturating_add(mirror.retry());
        false
    }

    async fn write(&mut self, group: Group) {
        let began = self.clock.monotonic();
        let empty = group.pending.is_empty() && !group.claim;
        let outcome = if empty { Outcome::default() } else { self.tail.write(&group.pending).await };
        let took = self.clock.monotonic().saturating_sub(began);
        let failed = outcome.failure.is_some();
        if let Some(failure) = &outcome.failure {
            tracing::error!(error = ?failure, batches = group.pending.len(), "a group of the log failed; every open writer is dead");
        }
        let done = self.shared.state().finish(group.through, outcome, self.tail.active(), took);
        self.watermark_due = !failed && (self.watermark_due || !empty);
        // What waited for the group has its room again before anybody is woken.
        drop(group);
        self.progress.send_replace(done);
        if failed && self.shared.free().await.is_err() {
            // It will be tried again with the next truncation.
            tracing::warn!("files of the log that nobody needs could not be deleted");
        }
    }

    async fn idle(&mut self, queued: bool) {
        if queued {
            self.shared.state().want_all();
        } else if std::mem::take(&mut self.watermark_due) {
            let outcome = self.tail.idle().await;
            let mut state = self.shared.state();
            state.active = self.tail.active();
            if let Some((file, bytes)) = outcome.file {
                state.index.set_bytes(file, bytes);
            }
        }
    }
}

impl Drop for GroupWriter {
    fn drop(&mut self) {
        // Whoever waits for room or for a group learns that none will come.
        self.shared.room.close();
    }
}

fn sleep(clock: Arc<dyn Clock>, duration: Duration) -> BoxFuture {
    Box::pin(async move { clock.sleep(duration).await })
}

async fn elapsed(timer: &mut Option<BoxFuture>) {
    match timer {
        Some(timer) => timer.await,
        None => std::future::pending().await,
    }
}
