//! What goes wrong, and when. Decides; the disk and the store act on it.

use proximadb_ports::{Fault, PortError};
use tokio::sync::oneshot;

use crate::rng::Rng;

/// What an injected fault does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The operation fails. A put or a delete then has not happened; an append may have written a part; a failed sync drops
    /// pages and kills its handle.
    Fail(Fault),
    /// The operation happens, and its caller is told `Unavailable` all the same.
    LoseReply,
    /// The operation does not happen and its future does not end; on a disk, not before [`crate::SimDisk::heal`].
    Hang,
    /// The operation happens, and its caller learns of it only after everybody else has had this many turns.
    Delay(u32),
}

/// One thing that will go wrong: which operations it is about, how many of them pass first, how many it then hits.
#[derive(Clone, Debug)]
pub struct Injection {
    effect: Effect,
    op: Option<&'static str>,
    subject: Option<String>,
    skip: u64,
    times: u64,
    one_in: u64,
}

impl Injection {
    /// Hits the next operation, whichever it is.
    pub fn next(effect: Effect) -> Self {
        Self { effect, op: None, subject: None, skip: 0, times: 1, one_in: 1 }
    }

    /// Hits only operations of this name, the port's method: `"put"`, `"append"`, `"sync"`, …
    #[must_use]
    pub fn on(mut self, op: &'static str) -> Self {
        self.op = Some(op);
        self
    }

    /// Hits only operations on keys or files whose name contains `part`.
    #[must_use]
    pub fn about(mut self, part: impl Into<String>) -> Self {
        self.subject = Some(part.into());
        self
    }

    /// Lets this many of them pass first, so `after(n - 1)` is the n-th.
    #[must_use]
    pub fn after(mut self, skip: u64) -> Self {
        self.skip = skip;
        self
    }

    /// Hits this many in all; `u64::MAX` until [`crate::SimDisk::heal`] or [`crate::SimFilesystem::heal`].
    #[must_use]
    pub fn times(mut self, times: u64) -> Self {
        self.times = times;
        self
    }

    /// Hits each of them only with a chance of one in `n`, drawn from the seed.
    #[must_use]
    pub fn one_in(mut self, n: u64) -> Self {
        self.one_in = n.max(1);
        self
    }

    fn is_about(&self, op: &str, subject: &str) -> bool {
        self.op.is_none_or(|o| o == op) && self.subject.as_ref().is_none_or(|s| subject.contains(s.as_str()))
    }
}

/// Rings once after so many operations.
#[derive(Default)]
pub(crate) struct Alarm(Option<(u64, oneshot::Sender<()>)>);

impl Alarm {
    /// Sets it anew; one that has not rung is forgotten.
    pub(crate) fn set(&mut self, operations: u64) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        self.0 = Some((operations, sender));
        receiver
    }

    /// Counts an operation.
    pub(crate) fn tick(&mut self) {
        match self.0.take() {
            Some((0, sender)) => {
                // Whoever waited may have gone.
                let _ = sender.send(());
            }
            Some((left, sender)) if !sender.is_closed() => self.0 = Some((left - 1, sender)),
            _ => {}
        }
    }
}

/// The injections that are still to come.
#[derive(Default)]
pub(crate) struct FaultPlan(Vec<Injection>);

impl FaultPlan {
    pub(crate) fn add(&mut self, injection: Injection) {
        self.0.push(injection);
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// What goes wrong with this operation; the injection that was added first decides.
    pub(crate) fn draw(&mut self, rng: &mut Rng, op: &str, subject: &str) -> Option<Effect> {
        let mut hit = None;
        for injection in self.0.iter_mut().filter(|i| i.is_about(op, subject)) {
            if injection.skip > 0 {
                injection.skip -= 1;
            } else if hit.is_none() && (injection.one_in == 1 || rng.one_in(injection.one_in)) {
                injection.times = injection.times.saturating_sub(1);
                hit = Some(injection.effect);
            }
        }
        self.0.retain(|i| i.times > 0);
        hit
    }
}

pub(crate) fn injected(fault: Fault, op: &'static str, subject: &str) -> PortError {
    PortError::new(fault, op, subject, "the simulator was asked to fail this")
}
