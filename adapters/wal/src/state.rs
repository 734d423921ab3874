//! What the writers of a log, its group writer and its readers share: the queue, who may write, and the index.
//! Held only for a moment, never across an await.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use proximadb_model::{Epoch, ShardId};
use proximadb_ports::{Fault, PortError, Result, WalStats};
use tokio::sync::OwnedSemaphorePermit;

use crate::index::Index;
use crate::tail::{Outcome, Pending};

/// The place of something in the queue's order. Tickets of batches serve their writers as positions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket(pub(crate) u64);

/// Who a writer is: fenced once the shard is opened again, dead once a group failed after it was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WriterId {
    pub(crate) shard: ShardId,
    pub(crate) epoch: Epoch,
    serial: u64,
    life: u64,
}

pub(crate) struct Queued {
    writer: WriterId,
    pending: Pending,
    /// Room in the queue, given back when the batch has left it for good.
    _room: OwnedSemaphorePermit,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) index: Index,
    queue: VecDeque<Queued>,
    given: Ticket,
    done: Ticket,
    wanted: Ticket,
    /// The group that is being written, or was written last.
    in_flight: Ticket,
    writers: BTreeMap<ShardId, (Epoch, u64)>,
    serial: u64,
    life: u64,
    claimed: bool,
    claim_wanted: bool,
    failure: Option<PortError>,
    pub(crate) active: Option<u32>,
    pub(crate) closing: bool,
    frames: u64,
    groups: u64,
    mirrored_groups: u64,
    sync_micros: f64,
    /// Whether the log should be in two copies.
    two_copies: bool,
}

/// A group on its way to the tail.
pub(crate) struct Group {
    pub(crate) pending: Vec<Pending>,
    pub(crate) through: Ticket,
    /// Whether it is to be written even without batches.
    pub(crate) claim: bool,
    _room: Vec<OwnedSemaphorePermit>,
}

/// What the group writer is to do next.
pub(crate) enum Step {
    Write(Group),
    /// Nothing is asked for; whether batches wait that nobody syncs.
    Wait {
        queued: bool,
    },
    End,
}

impl State {
    pub(crate) fn new(index: Index, active: Option<u32>, two_copies: bool) -> Self {
        Self { index, active, two_copies, ..Self::default() }
    }

    /// Whether this log has put its mark after everything that other writers put.
    pub(crate) fn claimed(&self) -> bool {
        self.claimed
    }

    /// Asks for a group even if nothing is queued; ends with the ticket that it waits for.
    pub(crate) fn claim(&mut self) -> Ticket {
        self.given.0 += 1;
        self.wanted = self.given;
        self.claim_wanted = true;
        self.given
    }

    /// The ticket after which no batch of a writer that has been replaced is written any more.
    pub(crate) fn in_flight(&self) -> Ticket {
        self.in_flight
    }

    pub(crate) fn life(&self) -> u64 {
        self.life
    }

    /// What failed since this life ended.
    pub(crate) fn failure_since(&self, life: u64) -> Option<PortError> {
        (self.life != life).then(|| self.failure.as_ref().map(PortError::duplicate)).flatten()
    }

    pub(crate) fn open(&mut self, shard: ShardId, epoch: Epoch) -> Result<WriterId> {
        let known = self.writers.get(&shard).map(|(epoch, _)| *epoch).max(self.index.epoch(shard));
        if let Some(later) = known.filter(|known| *known > epoch) {
            return Err(PortError::new(Fault::Fenced, "wal.open", shard, format!("epoch {later} is later than {epoch}")));
        }
        self.serial += 1;
        self.writers.insert(shard, (epoch, self.serial));
        Ok(WriterId { shard, epoch, serial: self.serial, life: self.life })
    }

    /// Whether a writer may go on.
    pub(crate) fn check(&self, writer: &WriterId, op: &'static str) -> Result<()> {
        if self.writers.get(&writer.shard).is_none_or(|(_, serial)| *serial != writer.serial) {
            return Err(PortError::new(Fault::Fenced, op, writer.shard, "the shard has been opened again"));
        }
        self.failure_since(writer.life).map_or(Ok(()), Err)
    }

    pub(crate) fn push(&mut self, writer: WriterId, pending: Pending, room: OwnedSemaphorePermit) -> Ticket {
        self.given.0 += 1;
        self.queue.push_back(Queued { writer, pending, _room: room });
        self.given
    }

    /// Asks for a group with everything up to a ticket; false when that is done already.
    pub(crate) fn want(&mut self, through: Ticket) -> bool {
        self.wanted = self.wanted.max(through);
        self.done < through
    }

    pub(crate) fn want_all(&mut self) {
        self.wanted = self.given;
    }

    /// The next step. A batch whose writer has been replaced meanwhile is left out: its sync fails in any case.
    pub(crate) fn step(&mut self) -> Step {
        if self.closing {
            return Step::End;
        }
        if self.wanted <= self.done {
            return Step::Wait { queued: !self.queue.is_empty() };
        }
        self.in_flight = self.given;
        let mut group =
            Group { pending: Vec::new(), through: self.given, claim: std::mem::take(&mut self.claim_wanted), _room: Vec::new() };
        for queued in std::mem::take(&mut self.queue) {
            if self.check(&queued.writer, "wal.append").is_ok() {
                group.pending.push(queued.pending);
                group._room.push(queued._room);
            }
        }
        Step::Write(group)
    }

    /// Takes in what a tail did: files, and batches that are durable now.
    pub(crate) fn take(&mut self, outcome: &Outcome, active: Option<u32>) {
        self.active = active;
        for (file, bytes, scan) in &outcome.found {
            self.index.add_file(*file, *bytes, scan);
        }
        if let Some((file, bytes)) = outcome.ended {
            self.index.set_bytes(file, bytes);
        }
        if let Some((file, bytes)) = outcome.file {
            self.index.add_group(file, bytes, &outcome.headers, self.two_copies && !outcome.mirrored);
        }
        self.mirrored_groups += u64::from(outcome.mirrored);
    }

    /// Takes in what became of a group. A failure ends the life of every writer that is open now.
    pub(crate) fn finish(&mut self, through: Ticket, outcome: Outcome, active: Option<u32>, took: Duration) -> Ticket {
        self.take(&outcome, active);
        self.done = match outcome.failure {
            // Nothing was left to write: every batch's writer had been replaced.
            None if outcome.file.is_none() => through,
            None => {
                self.claimed = true;
                self.frames += outcome.headers.len() as u64;
                self.groups += 1;
                let micros = took.as_micros() as f64;
                self.sync_micros = if self.groups == 1 { micros } else { self.sync_micros * 0.9 + micros * 0.1 };
                through
            }
            Some(failure) => {
                self.claimed &= failure.fault != Fault::Fenced;
                self.failure = Some(failure);
                self.life += 1;
                self.queue.clear();
                self.given
            }
        };
        self.done
    }

    /// What the log takes and has done.
    pub(crate) fn stats(&self) -> WalStats {
        let (files, bytes) = self.index.size();
        WalStats {
            bytes,
            files,
            frames: self.frames,
            groups: self.groups,
            mirrored_groups: self.mirrored_groups,
            sync_micros: self.sync_micros as u32,
        }
    }
}
