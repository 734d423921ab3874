//! The task that makes groups: takes what all shards have queued, hands it to the tail in one step, wakes whoever waits.

use std::sync::Arc;
use std::time::Duration;

use proximadb_ports::{BoxFuture, Clock};
use tokio::sync::watch;

use crate::log::Shared;
use crate::state::{Group, Step, Ticket};
use crate::tail::{Outcome, Tail};

pub(crate) struct GroupWriter {
    shared: Arc<Shared>,
    tail: Box<dyn Tail>,
    clock: Arc<dyn Clock>,
    idle: Duration,
    progress: watch::Sender<Ticket>,
    /// Whether the last thing written was a group, and not yet how far it is durable.
    watermark_due: bool,
}

impl GroupWriter {
    pub(crate) fn new(
        shared: Arc<Shared>,
        tail: Box<dyn Tail>,
        clock: Arc<dyn Clock>,
        idle: Duration,
        progress: watch::Sender<Ticket>,
    ) -> Self {
        Self { shared, tail, clock, idle, progress, watermark_due: false }
    }

    /// Runs until the log is closed. Dropped half-way, it leaves what a crash would leave.
    pub(crate) async fn run(mut self) {
        let mut timer: Option<BoxFuture> = None;
        loop {
            let step = self.shared.state().step();
            match step {
                Step::End => return,
                Step::Write(group) => {
                    timer = None;
                    self.write(group).await;
                }
                Step::Wait { queued } => {
                    if (queued || self.watermark_due) && timer.is_none() {
                        timer = Some(sleep(Arc::clone(&self.clock), self.idle));
                    }
                    tokio::select! {
                        biased;
                        () = self.shared.work.notified() => {}
                        () = elapsed(&mut timer) => {
                            timer = None;
                            self.idle(queued).await;
                        }
                    }
                }
            }
        }
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
                state.index.add_group(file, bytes, &[]);
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
