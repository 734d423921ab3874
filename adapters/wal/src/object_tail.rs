//! The growing end of a log in a bucket: one create-only object a group. Whoever finds its number taken by somebody else has been
//! replaced as the log's writer.

use std::collections::VecDeque;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use proximadb_model::frame::{Frame, Kind, LogId, Place, Scan, scan};
use proximadb_ports::{Entropy, Fault, Filesystem, PortError, PutMode, Result, mutants};

use crate::medium::Medium;
use crate::tail::{Outcome, Parts, Pending, Tail};

/// Objects of others that one claim goes past; each was put after this log was listed.
const CLAIMS_MAX: usize = 1_024;
/// Puts without an answer that are remembered, in case they arrive late.
const LATE_PUTS_MAX: usize = 64;

pub(crate) struct ObjectTail {
    medium: Medium,
    objects: Arc<dyn Filesystem>,
    entropy: Arc<dyn Entropy>,
    last: u32,
    durable: Place,
    unanswered: VecDeque<LogId>,
}

/// What stands under a number that this writer wanted.
enum Holder {
    /// The very bytes that were to be put.
    This,
    /// An earlier put of this writer that was believed lost; nothing in it was acknowledged.
    Earlier(u64),
    Another(Bytes),
    Nobody,
}

impl ObjectTail {
    /// The tail after the object numbered `last`.
    pub(crate) fn new(medium: Medium, objects: Arc<dyn Filesystem>, entropy: Arc<dyn Entropy>, last: u32) -> Self {
        Self { medium, objects, entropy, last, durable: Place::default(), unanswered: VecDeque::new() }
    }

    fn parts(&self, group: &[Pending]) -> Result<(Parts, LogId)> {
        let file = self
            .last
            .checked_add(1)
            .ok_or_else(|| PortError::new(Fault::Exhausted, "wal.append", "the log", "has no object numbers left"))?;
        let log = LogId(self.entropy.bits());
        let mut parts = Parts::new(log, Place { file, offset: 0 }, self.durable);
        parts.bare(Kind::Start);
        group.iter().for_each(|pending| parts.batch(pending));
        Ok((parts, log))
    }

    async fn holder(&self, file: u32, body: &Bytes) -> Result<Holder> {
        let there = match self.objects.get(&self.medium.key(file)).await {
            Ok(there) => there,
            Err(e) if e.fault == Fault::NotFound => return Ok(Holder::Nobody),
            Err(e) => return Err(e),
        };
        if there == *body {
            return Ok(Holder::This);
        }
        let log = Frame::decode(&there).ok().map(|frame| frame.header.log);
        let earlier = log.is_some_and(|log| self.unanswered.contains(&log));
        Ok(if earlier { Holder::Earlier(there.len() as u64) } else { Holder::Another(there) })
    }

    fn remember(&mut self, log: LogId) {
        if self.unanswered.len() == LATE_PUTS_MAX {
            self.unanswered.pop_front();
        }
        self.unanswered.push_back(log);
    }
}

#[async_trait]
impl Tail for ObjectTail {
    async fn write(&mut self, group: &[Pending]) -> Outcome {
        let mut outcome = Outcome::default();
        for _ in 0..CLAIMS_MAX {
            let (parts, log) = match self.parts(group) {
                Ok(made) => made,
                Err(failure) => return Outcome { failure: Some(failure), ..outcome },
            };
            let Parts { parts: pieces, headers, .. } = &parts;
            let body = joined(pieces);
            let end = parts.end();
            let mode = if mutants::is_on("bug_plain_put") { PutMode::Overwrite } else { PutMode::CreateOnly };
            let put = self.objects.put(&self.medium.key(end.file), body.clone(), mode).await;
            let holder = match put {
                Ok(()) => Ok(Holder::This),
                // A reply can get lost, and a retry below this port can find its own first try: only the bytes tell.
                Err(failure) => match self.holder(end.file, &body).await {
                    Ok(Holder::Nobody) | Err(_) => Err(failure),
                    Ok(holder) => Ok(holder),
                },
            };
            let bytes = u64::from(end.offset);
            match holder {
                Ok(Holder::This) => {
                    self.last = end.file;
                    self.durable = end;
                    return Outcome { file: Some((end.file, bytes)), headers: headers.clone(), ..outcome };
                }
                Ok(Holder::Earlier(bytes)) => {
                    self.last = end.file;
                    outcome.found.push((end.file, bytes, Scan::default()));
                }
                Ok(Holder::Another(there)) => {
                    self.last = end.file;
                    let length = there.len() as u64;
                    outcome.found.push((end.file, length, scan(&there, end.file, length.max(1))));
                    if !group.is_empty() {
                        let failure = PortError::new(Fault::Fenced, "wal.append", self.medium.key(end.file), "another writer has put it");
                        return Outcome { failure: Some(failure), ..outcome };
                    }
                }
                // The same number again next time: skipping it would let two writers pass each other unseen.
                Ok(Holder::Nobody) => {}
                Err(failure) => {
                    self.remember(log);
                    return Outcome { failure: Some(failure), ..outcome };
                }
            }
        }
        let failure = PortError::new(Fault::Unavailable, "wal.open", "the log", "another writer keeps putting objects");
        Outcome { failure: Some(failure), ..outcome }
    }

    async fn idle(&mut self) -> Outcome {
        // An object is whole or not there; there is nothing to say about how far it is durable.
        Outcome::default()
    }

    fn active(&self) -> Option<u32> {
        // The newest object stays, so that a writer that lists the log goes on from its number.
        (self.last > 0).then_some(self.last)
    }
}

fn joined(parts: &[Bytes]) -> Bytes {
    let mut body = BytesMut::with_capacity(parts.iter().map(Bytes::len).sum());
    parts.iter().for_each(|part| body.extend_from_slice(part));
    body.freeze()
}
