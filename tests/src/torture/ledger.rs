//! What a client knows of its own records: acknowledged, or sent and never heard of again. It judges what is visible after a
//! restart; it reads nothing itself.

use std::collections::BTreeMap;

/// What is wrong with what is visible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// Something acknowledged is not there, or only an older version of it is.
    Lost,
    /// A record is there twice, or a write took effect twice.
    Duplicated,
    /// A deleted record is back.
    Resurrected,
    /// Anything else that must not be.
    Other,
}

/// One thing that is wrong, in words.
#[derive(Clone, Debug)]
pub struct Violation {
    /// What kind.
    pub wrong: Wrong,
    /// Which record, and what was seen.
    pub what: String,
}

impl Violation {
    pub(crate) fn new(wrong: Wrong, what: impl Into<String>) -> Self {
        Self { wrong, what: what.into() }
    }
}

/// What one operation makes of a record: this version of it, or nothing.
type Visible = Option<u64>;

#[derive(Clone, Debug, Default)]
struct Known {
    /// What the last acknowledged operation left.
    settled: Visible,
    /// Later operations of which nobody knows: their batch, and what they would leave.
    open: Vec<(u64, Visible)>,
}

/// A write under an idempotency key, to be repeated later.
#[derive(Clone, Debug)]
pub(crate) struct Keyed {
    pub(crate) id: u64,
    pub(crate) version: u64,
    /// The sequence of the answer; `None` as long as there was none.
    pub(crate) answered: Option<u64>,
}

/// The operations of one client, which has one under way at a time, on records that are its own.
#[derive(Clone, Debug)]
pub(crate) struct Ledger {
    client: u64,
    clients: u64,
    rounds: u64,
    known: BTreeMap<u64, Known>,
    batches: BTreeMap<u64, Vec<u64>>,
    pub(crate) acknowledged: u64,
    pub(crate) keyed: Vec<Keyed>,
}

const KEYED_MAX: usize = 6;

impl Ledger {
    /// The ledger of one of several clients; versions of one never meet those of another.
    pub(crate) fn new(client: u64, clients: u64) -> Self {
        Self { client, clients, rounds: 0, known: BTreeMap::new(), batches: BTreeMap::new(), acknowledged: 0, keyed: Vec::new() }
    }

    /// The record of this client with the number `n` of its own.
    pub(crate) fn id(&self, n: u64) -> u64 {
        n * self.clients + self.client
    }

    /// Whether a record belongs to this client.
    pub(crate) fn owns(&self, id: u64) -> bool {
        id % self.clients == self.client
    }

    /// The version that the next batch gives its records.
    pub(crate) fn next_version(&mut self) -> u64 {
        self.rounds += 1;
        self.rounds * self.clients + self.client
    }

    /// Notes a batch before it is sent: the records that it puts with its version, and those that it deletes.
    pub(crate) fn send(&mut self, version: u64, puts: &[u64], deletes: &[u64]) {
        for id in puts {
            self.known.entry(*id).or_default().open.push((version, Some(version)));
        }
        for id in deletes {
            self.known.entry(*id).or_default().open.push((version, None));
        }
        self.batches.insert(version, puts.iter().chain(deletes).copied().collect());
    }

    /// The batch is durable: what it left counts, and what came before it never comes back.
    pub(crate) fn acknowledge(&mut self, version: u64) {
        for id in self.batches.remove(&version).unwrap_or_default() {
            let Some(known) = self.known.get_mut(&id) else { continue };
            if let Some(at) = known.open.iter().position(|(batch, _)| *batch == version) {
                known.settled = known.open[at].1;
                known.open.drain(..=at);
            }
        }
        self.acknowledged += 1;
    }

    /// The batch was refused and has changed nothing.
    pub(crate) fn refuse(&mut self, version: u64) {
        for id in self.batches.remove(&version).unwrap_or_default() {
            if let Some(known) = self.known.get_mut(&id) {
                known.open.retain(|(batch, _)| *batch != version);
            }
        }
    }

    /// What a record is, where that is known for sure.
    pub(crate) fn certain(&self, id: u64) -> Option<Visible> {
        match self.known.get(&id) {
            None => Some(None),
            Some(known) => known.open.is_empty().then_some(known.settled),
        }
    }

    /// Whether every record of the client is known for sure.
    pub(crate) fn is_certain(&self) -> bool {
        self.known.values().all(|known| known.open.is_empty())
    }

    /// The records that are there, as far as is known.
    pub(crate) fn living(&self) -> Vec<u64> {
        self.known.iter().filter(|(_, known)| known.settled.is_some()).map(|(id, _)| *id).collect()
    }

    pub(crate) fn remember_keyed(&mut self, keyed: Keyed) {
        if self.keyed.len() == KEYED_MAX {
            self.keyed.remove(0);
        }
        self.keyed.push(keyed);
    }

    /// Judges one record.
    pub(crate) fn judge_record(&self, id: u64, seen: Visible) -> Option<Violation> {
        let known = self.known.get(&id).cloned().unwrap_or_default();
        if seen == known.settled || known.open.iter().any(|(_, left)| *left == seen) {
            return None;
        }
        let wrong = match (seen, known.settled) {
            (None, _) => Wrong::Lost,
            (Some(seen), Some(settled)) if seen < settled => Wrong::Lost,
            (Some(seen), None) if seen <= self.rounds * self.clients + self.client => Wrong::Resurrected,
            _ => Wrong::Other,
        };
        Some(Violation::new(wrong, format!("record {id} is {seen:?}, known is {known:?}")))
    }

    /// Judges everything of this client that is visible after a restart: each record, and that of each batch of which nobody
    /// knows a shard shows all or nothing.
    pub(crate) fn judge(&self, visible: &BTreeMap<u64, u64>, shard_of: &dyn Fn(u64) -> u32) -> Vec<Violation> {
        let mut found: Vec<_> = self.known.keys().filter_map(|id| self.judge_record(*id, visible.get(id).copied())).collect();
        let strangers = visible.iter().filter(|(id, _)| self.owns(**id) && !self.known.contains_key(id));
        found.extend(strangers.map(|(id, seen)| Violation::new(Wrong::Other, format!("record {id} is {seen}, and nobody wrote it"))));
        for (batch, ids) in &self.batches {
            let mut signs: BTreeMap<u32, (Vec<u64>, Vec<u64>)> = BTreeMap::new();
            for id in ids {
                let (there, missing) = signs.entry(shard_of(*id)).or_default();
                match self.sign(*batch, *id, visible.get(id).copied()) {
                    Some(true) => there.push(*id),
                    Some(false) => missing.push(*id),
                    None => {}
                }
            }
            for (shard, (there, missing)) in signs {
                if !there.is_empty() && !missing.is_empty() {
                    let told = |ids: &[u64]| -> Vec<String> {
                        ids.iter().map(|id| format!("{id} (now {:?}, {:?})", visible.get(id), self.known.get(id))).collect()
                    };
                    let (there, missing) = (told(&there), told(&missing));
                    let what = format!("batch {batch} took effect on {there:?} and not on {missing:?} of shard {shard}");
                    found.push(Violation::new(Wrong::Other, what));
                }
            }
        }
        found
    }

    /// Whether what is seen of a record proves that a batch took effect, or that it did not; `None` where it proves neither.
    fn sign(&self, batch: u64, id: u64, seen: Visible) -> Option<bool> {
        let known = self.known.get(&id)?;
        let at = known.open.iter().position(|(b, _)| *b == batch)?;
        let left = known.open[at].1;
        let by_others = known.open.iter().enumerate().filter(|(i, _)| *i != at).any(|(_, (_, other))| *other == left);
        if seen == left && known.settled != left && !by_others {
            return Some(true);
        }
        let later = known.open[at + 1..].iter().any(|(_, later)| *later == seen);
        (seen != left && !later).then_some(false)
    }

    /// What was visible after a restart counts from now on as if it had been acknowledged.
    pub(crate) fn settle(&mut self, visible: &BTreeMap<u64, u64>) {
        for (id, known) in &mut self.known {
            *known = Known { settled: visible.get(id).copied(), open: Vec::new() };
        }
        self.batches.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one_shard(_: u64) -> u32 {
        0
    }

    #[track_caller]
    fn check(ledger: &Ledger, visible: &[(u64, u64)], expected: &[Wrong]) {
        let found = ledger.judge(&visible.iter().copied().collect(), &one_shard);
        assert_eq!(found.iter().map(|v| v.wrong).collect::<Vec<_>>(), expected, "{found:?}");
    }

    #[test]
    fn acknowledged_must_be_there_and_unknown_may_be() {
        let mut ledger = Ledger::new(0, 1);
        let (first, second) = (ledger.next_version(), ledger.next_version());
        ledger.send(first, &[1, 2], &[]);
        check(&ledger, &[], &[]);
        check(&ledger, &[(1, first), (2, first)], &[]);
        check(&ledger, &[(1, first)], &[Wrong::Other]);
        ledger.acknowledge(first);
        check(&ledger, &[(1, first)], &[Wrong::Lost]);
        ledger.send(second, &[2], &[1]);
        check(&ledger, &[(1, first), (2, first)], &[]);
        check(&ledger, &[(2, second)], &[]);
        check(&ledger, &[(2, first)], &[Wrong::Other]);
        ledger.acknowledge(second);
        check(&ledger, &[(2, first)], &[Wrong::Lost]);
        check(&ledger, &[(1, first), (2, second)], &[Wrong::Resurrected]);
        check(&ledger, &[(2, second), (7, 1)], &[Wrong::Other]);
    }

    #[test]
    fn a_refused_batch_leaves_nothing() {
        let mut ledger = Ledger::new(1, 2);
        let version = ledger.next_version();
        ledger.send(version, &[3], &[]);
        ledger.refuse(version);
        check(&ledger, &[(3, version)], &[Wrong::Resurrected]);
        assert_eq!(ledger.certain(3), Some(None));
    }

    #[test]
    fn what_was_seen_must_stay() {
        let mut ledger = Ledger::new(0, 1);
        let version = ledger.next_version();
        ledger.send(version, &[1], &[]);
        assert!(!ledger.is_certain());
        ledger.settle(&BTreeMap::from([(1, version)]));
        check(&ledger, &[], &[Wrong::Lost]);
    }
}
