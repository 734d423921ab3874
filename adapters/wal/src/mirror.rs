//! The disk of the second copy: whether it is there, when it is tried again, and what is to be deleted on it.
//! It may fail or hang at any time, and then nobody waits for it until it has shown that it works.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use proximadb_ports::{Clock, Disk, Partner, PortError, Result};

use crate::deadline::Deadline;
use crate::medium::{file_name, numbered};
use crate::timed_disk::TimedDisk;

/// What is written, synced and deleted to see whether the disk works again; no log file's name.
const PROBE: &str = "probe";

pub(crate) struct Mirror {
    partner: Arc<dyn Partner>,
    deadline: Deadline,
    clock: Arc<dyn Clock>,
    retry: Duration,
    state: Mutex<State>,
}

/// How often the time doubles until a disk is tried again that failed as soon as it was used, as a full one does: each time costs
/// the log a new file.
const DOUBLINGS_MAX: u32 = 6;

#[derive(Default)]
struct State {
    /// From when it is tried again, and why it is not used.
    down: Option<(Duration, String)>,
    /// How often it failed since a group was written to it.
    failures: u32,
    trying: bool,
    /// The highest number of a file on it that has been seen.
    last: u32,
    /// Files that the log no longer needs and that may still be on it.
    owed: BTreeSet<u32>,
}

impl Mirror {
    pub(crate) fn new(partner: Arc<dyn Partner>, deadline: Deadline, clock: Arc<dyn Clock>, retry: Duration) -> Self {
        Self { partner, deadline, clock, retry, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn disk(&self) -> Result<TimedDisk> {
        Ok(TimedDisk::new(self.partner.disk()?, self.deadline.clone()))
    }

    /// Why it is not used, if it is not.
    pub(crate) fn why_down(&self) -> Option<String> {
        self.state().down.as_ref().map(|(_, why)| why.clone())
    }

    pub(crate) fn is_up(&self) -> bool {
        self.state().down.is_none()
    }

    /// A number that no file on it goes beyond.
    pub(crate) fn last_file(&self) -> u32 {
        self.state().last
    }

    pub(crate) fn retry(&self) -> Duration {
        self.retry
    }

    /// Leaves it alone from now on.
    pub(crate) fn fail(&self, failure: &PortError) {
        let mut state = self.state();
        if state.down.is_none() {
            tracing::warn!(error = ?failure, "the second copy of the log cannot be written; the log goes on with one copy");
            let rest = self.retry.saturating_mul(1 << state.failures.min(DOUBLINGS_MAX));
            state.failures = state.failures.saturating_add(1);
            state.down = Some((self.clock.monotonic().saturating_add(rest), failure.to_string()));
        }
    }

    /// Takes note that a group was written to it.
    pub(crate) fn succeed(&self) {
        self.state().failures = 0;
    }

    /// Reads what files there are, when the log is opened.
    pub(crate) async fn list(&self) -> Option<(TimedDisk, BTreeMap<u32, u64>)> {
        let listed = async {
            let disk = self.disk()?;
            let files = numbered(disk.list().await?);
            Ok((disk, files))
        };
        match listed.await {
            Ok((disk, files)) => {
                let mut state = self.state();
                state.last = files.keys().next_back().copied().unwrap_or(0).max(state.last);
                Some((disk, files))
            }
            Err(failure) => {
                self.fail(&failure);
                None
            }
        }
    }

    /// Takes note that files are no longer needed.
    pub(crate) fn owe(&self, files: impl IntoIterator<Item = u32>) {
        self.state().owed.extend(files);
    }

    /// Deletes what is not needed, oldest first: what replaced a batch never goes before it. What cannot be deleted now is tried
    /// again the next time; whether nothing is left of it.
    pub(crate) async fn free(&self) -> bool {
        if !self.is_up() {
            return false;
        }
        let freed = match self.disk() {
            Ok(disk) => self.delete_owed(&disk).await,
            Err(failure) => Err(failure),
        };
        freed.inspect_err(|failure| self.fail(failure)).is_ok()
    }

    async fn delete_owed(&self, disk: &TimedDisk) -> Result<()> {
        loop {
            let Some(file) = self.state().owed.first().copied() else { return Ok(()) };
            disk.delete(&file_name(file)).await?;
            self.state().owed.remove(&file);
        }
    }

    /// Whether it is time to try it again; true only once a try.
    pub(crate) fn is_due(&self) -> bool {
        let now = self.clock.monotonic();
        let mut state = self.state();
        let rested = state.down.as_ref().is_some_and(|(from, _)| now >= *from);
        let due = rested && !state.trying && self.deadline.check().is_ok();
        state.trying |= due;
        due
    }

    /// Tries it, and removes what was left on it: the log has no file older than `oldest`.
    pub(crate) async fn try_again(&self, oldest: Option<u32>) {
        let tried = self.reach(oldest).await;
        let mut state = self.state();
        state.trying = false;
        match tried {
            Ok(last) => {
                tracing::info!("the second copy of the log can be written again");
                state.last = last.max(state.last);
                state.down = None;
            }
            Err(failure) => state.down = Some((self.clock.monotonic().saturating_add(self.retry), failure.to_string())),
        }
    }

    async fn reach(&self, oldest: Option<u32>) -> Result<u32> {
        let disk = self.disk()?;
        let files = numbered(disk.list().await?);
        self.owe(files.range(..oldest.unwrap_or(0)).map(|(file, _)| *file));
        self.delete_owed(&disk).await?;
        self.deadline.run(probe(disk.disk())).await??;
        Ok(files.keys().next_back().copied().unwrap_or(0))
    }
}

async fn probe(disk: Arc<dyn Disk>) -> Result<()> {
    disk.delete(PROBE).await?;
    let mut file = disk.create(PROBE).await?;
    file.append(vec![Bytes::from_static(b"probe")]).await?;
    file.sync().await?;
    drop(file);
    disk.delete(PROBE).await
}
