//! A client inside the simulated process: one operation after the other on records of its own, each noted in its ledger.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use proximadb_model::{CollectionRef, Filter, Metadata, RecordId, Test, Value};
use proximadb_ports::{Change, Clock, Database, Fault, NewRecord, PortError, ReadOptions, WriteOutcome, WriteRequest};
use proximadb_sim::SimClock;

use super::check::read_record;
use crate::torture::ledger::{Keyed, Ledger, Violation, Wrong};
use crate::torture::random::{Random, vector_of};
use crate::world::give_way;

pub(super) const DIMENSION: usize = 4;
/// Records of one client.
const IDS: u64 = 10;
/// Parts of a client's records that a delete by filter is about.
const SLOTS: u64 = 3;

/// A ledger that its client, and whoever judges it afterwards, both hold.
#[derive(Clone)]
pub(super) struct Book {
    ledger: Arc<Mutex<Ledger>>,
    complaints: Arc<Mutex<Vec<Violation>>>,
    paused: Arc<AtomicBool>,
}

impl Book {
    pub(super) fn new(client: u64, clients: u64) -> Self {
        let ledger = Arc::new(Mutex::new(Ledger::new(client, clients)));
        Self { ledger, complaints: Arc::default(), paused: Arc::default() }
    }

    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn complain(&self, wrong: Wrong, what: String) {
        self.complaints.lock().unwrap_or_else(PoisonError::into_inner).push(Violation::new(wrong, what));
    }

    /// Whether the client is to begin no further operation.
    pub(super) fn pause(&self, paused: bool) {
        self.paused.store(paused, Ordering::Relaxed);
    }

    pub(super) fn take_complaints(&self) -> Vec<Violation> {
        std::mem::take(&mut self.complaints.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A client and what it holds.
pub(super) struct Client {
    pub(super) database: Arc<dyn Database>,
    pub(super) collection: CollectionRef,
    pub(super) book: Book,
    pub(super) random: Random,
    /// Whether it asks for flushes.
    pub(super) flushes: bool,
}

pub(super) fn record_id(id: u64) -> RecordId {
    RecordId::new(&id.to_string()).expect("a number is an id")
}

pub(super) fn record_of(id: u64, version: u64) -> NewRecord {
    let metadata = BTreeMap::from([
        ("version".to_owned(), Value::Int(version as i64)),
        ("id".to_owned(), Value::Int(id as i64)),
        ("slot".to_owned(), Value::Int((id % SLOTS) as i64)),
    ]);
    let metadata = Metadata::new(metadata).expect("three small values");
    NewRecord { id: record_id(id), vector: vector_of(id, version, DIMENSION), metadata, expires: None }
}

pub(super) fn key_of(id: u64, version: u64) -> String {
    format!("key-{id}-{version}")
}

impl Client {
    /// Works until it is dropped.
    pub(super) async fn work(mut self) {
        let clock = SimClock::of_tokio();
        loop {
            if self.book.paused.load(Ordering::Relaxed) {
                clock.sleep(Duration::from_millis(1)).await;
                continue;
            }
            match self.random.below(40) {
                0..16 => self.upsert().await,
                16..21 => self.delete().await,
                21..24 => self.insert().await,
                24..27 => self.patch().await,
                27..30 => self.keyed().await,
                30 => self.delete_where().await,
                31..33 if self.flushes => self.flush().await,
                31..36 => self.read().await,
                36 => clock.sleep(Duration::from_millis(self.random.below(120))).await,
                _ => clock.sleep(Duration::from_millis(self.random.below(12))).await,
            }
            give_way(1 + self.random.below(4)).await;
        }
    }

    fn ids(&mut self) -> Vec<u64> {
        let count = 1 + self.random.below(5);
        let ledger = self.book.ledger();
        let mut ids: Vec<u64> = (0..count).map(|_| ledger.id(self.random.below(IDS))).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    fn one(&mut self) -> u64 {
        let n = self.random.below(IDS);
        self.book.ledger().id(n)
    }

    async fn send(&self, changes: Vec<Change>, key: Option<String>) -> Result<WriteOutcome, PortError> {
        let request = WriteRequest { changes, idempotency_key: key, ..WriteRequest::default() };
        self.database.write(&self.collection, request).await
    }

    /// Sends a noted batch; gives the outcome where there was one.
    async fn write(&self, version: u64, changes: Vec<Change>, key: Option<String>) -> Option<WriteOutcome> {
        match self.send(changes, key).await {
            Ok(outcome) => {
                if !outcome.durable {
                    self.book.complain(Wrong::Other, format!("batch {version} was answered without being durable"));
                }
                self.book.ledger().acknowledge(version);
                Some(outcome)
            }
            Err(e) => {
                self.failed(version, &e);
                None
            }
        }
    }

    fn failed(&self, version: u64, error: &PortError) {
        match error.fault {
            Fault::Invalid | Fault::Conflict | Fault::NotFound => self.book.ledger().refuse(version),
            Fault::Internal | Fault::Plugin => self.book.complain(Wrong::Other, format!("batch {version}: {error:?}")),
            _ => {}
        }
    }

    async fn upsert(&mut self) {
        let ids = self.ids();
        // Some of the same batch go, so that puts and deletes are atomic together.
        let deletes: Vec<u64> = ids.iter().copied().filter(|_| self.random.one_in(8)).collect();
        let puts: Vec<u64> = ids.into_iter().filter(|id| !deletes.contains(id)).collect();
        let version = {
            let mut ledger = self.book.ledger();
            let version = ledger.next_version();
            ledger.send(version, &puts, &deletes);
            version
        };
        let mut changes: Vec<_> = puts.iter().map(|id| Change::Upsert(record_of(*id, version))).collect();
        changes.extend(deletes.iter().map(|id| Change::Delete(record_id(*id))));
        if self.write(version, changes, None).await.is_some() {
            self.read_back(puts.first().or(deletes.first()).copied()).await;
        }
    }

    async fn delete(&mut self) {
        let ids = self.ids();
        let version = self.noted(&[], &ids);
        let changes = ids.iter().map(|id| Change::Delete(record_id(*id))).collect();
        if self.write(version, changes, None).await.is_some() {
            self.read_back(ids.first().copied()).await;
        }
    }

    fn noted(&self, puts: &[u64], deletes: &[u64]) -> u64 {
        let mut ledger = self.book.ledger();
        let version = ledger.next_version();
        ledger.send(version, puts, deletes);
        version
    }

    async fn insert(&mut self) {
        let id = self.one();
        let before = self.book.ledger().certain(id);
        let version = self.noted(&[id], &[]);
        match self.send(vec![Change::Insert(record_of(id, version))], None).await {
            Ok(_) => {
                if let Some(Some(there)) = before {
                    self.book.complain(Wrong::Other, format!("record {id} was inserted, and version {there} was there"));
                }
                self.book.ledger().acknowledge(version);
            }
            Err(e) => {
                if e.fault == Fault::Conflict && before == Some(None) {
                    self.book.complain(Wrong::Resurrected, format!("record {id} could not be inserted, and it was not there"));
                }
                self.failed(version, &e);
            }
        }
    }

    async fn patch(&mut self) {
        let id = self.one();
        let before = self.book.ledger().certain(id);
        let version = self.noted(&[id], &[]);
        let metadata = BTreeMap::from([("version".to_owned(), Value::Int(version as i64))]);
        let vector = Some(vector_of(id, version, DIMENSION));
        match self.send(vec![Change::Patch { id: record_id(id), metadata, vector }], None).await {
            Ok(_) => {
                if before == Some(None) {
                    self.book.complain(Wrong::Resurrected, format!("record {id} was patched, and it was not there"));
                }
                self.book.ledger().acknowledge(version);
            }
            Err(e) => {
                if let (Fault::NotFound, Some(Some(there))) = (e.fault, before) {
                    self.book.complain(Wrong::Lost, format!("record {id} was there as {there}, and could not be patched"));
                }
                self.failed(version, &e);
            }
        }
    }

    async fn keyed(&mut self) {
        let id = self.one();
        let version = self.noted(&[id], &[]);
        let mut keyed = Keyed { id, version, answered: None };
        self.book.ledger().remember_keyed(keyed.clone());
        let change = || vec![Change::Upsert(record_of(id, version))];
        let Some(outcome) = self.write(version, change(), Some(key_of(id, version))).await else { return };
        if outcome.replayed {
            self.book.complain(Wrong::Duplicated, format!("the first write under the key of record {id} was told to be a repetition"));
        }
        keyed.answered = Some(outcome.sequence.0);
        {
            let mut ledger = self.book.ledger();
            ledger.keyed.retain(|k| k.version != version);
            ledger.remember_keyed(keyed);
        }
        if self.random.one_in(3)
            && let Ok(again) = self.send(change(), Some(key_of(id, version))).await
            && (!again.replayed || again.sequence != outcome.sequence)
        {
            self.book.complain(Wrong::Duplicated, format!("a repeated write of record {id} took effect again: {again:?}"));
        }
    }

    /// Deletes part of the client's records by a filter; only where it is certain which these are.
    async fn delete_where(&mut self) {
        let slot = self.random.below(SLOTS);
        let (version, ids) = {
            let mut ledger = self.book.ledger();
            if !ledger.is_certain() {
                return;
            }
            let ids: Vec<u64> = ledger.living().into_iter().filter(|id| id % SLOTS == slot).collect();
            let version = ledger.next_version();
            ledger.send(version, &[], &ids);
            (version, ids)
        };
        // Those that are gone are asked for too, and must not be found.
        let own = (0..IDS).map(|n| Value::Int(self.book.ledger().id(n) as i64)).collect();
        let own = Filter::Field { path: "id".to_owned(), test: Test::In(own) };
        let slot = Filter::Field { path: "slot".to_owned(), test: Test::Eq(Value::Int(slot as i64)) };
        let filter = Filter::And(vec![slot, own]);
        if ids.is_empty() {
            self.book.ledger().refuse(version);
            return;
        }
        if let Some(outcome) = self.write(version, vec![Change::DeleteWhere(filter)], None).await
            && outcome.deleted != ids.len() as u64
        {
            self.book.complain(Wrong::Lost, format!("{} of {ids:?} were there to be deleted", outcome.deleted));
        }
    }

    async fn flush(&mut self) {
        // A disk that fails may fail it.
        let _ = self.database.flush(&self.collection).await;
    }

    async fn read(&mut self) {
        let id = self.one();
        self.read_back(Some(id)).await;
    }

    /// Whatever the faults: a read that answers, answers with what may be there.
    async fn read_back(&self, id: Option<u64>) {
        let Some(id) = id else { return };
        let everything = ReadOptions { vector: true, metadata: true };
        let Ok(mut found) = self.database.get(&self.collection, &[record_id(id)], everything).await else { return };
        let seen = match found.pop().flatten().map(|record| read_record(&record)) {
            Some(Err(violation)) => return self.book.complain(violation.wrong, violation.what),
            Some(Ok((read, version))) if read == id => Some(version),
            Some(Ok((read, _))) => return self.book.complain(Wrong::Other, format!("asked for record {id}, got {read}")),
            None => None,
        };
        let judged = self.book.ledger().judge_record(id, seen);
        if let Some(violation) = judged {
            self.book.complain(violation.wrong, format!("in a read: {}", violation.what));
        }
    }
}
