//! Reading everything that is visible and judging it: bytes, order, duplicates, searches, then the ledgers.

use std::collections::BTreeMap;

use proximadb_model::{CollectionRef, Metadata, Value, plan};
use proximadb_ports::{Change, Database, PortError, Query, ReadOptions, ScanRequest, SearchRequest, StoredRecord, WriteRequest};

use super::client::{Book, DIMENSION, key_of, record_id, record_of};
use crate::torture::ledger::{Violation, Wrong};
use crate::torture::random::{Random, vector_of};

const EVERYTHING: ReadOptions = ReadOptions { vector: true, metadata: true };
const PAGE: usize = 9;

/// Why nothing could be read, or what is wrong with what was read.
pub(super) enum Finding {
    Error(PortError),
    Violation(Violation),
}

impl From<PortError> for Finding {
    fn from(error: PortError) -> Self {
        Self::Error(error)
    }
}

fn wrong(wrong: Wrong, what: String) -> Finding {
    Finding::Violation(Violation::new(wrong, what))
}

pub(super) fn version_of(metadata: &Metadata) -> Option<u64> {
    match metadata.get("version") {
        Some(Value::Int(version)) => u64::try_from(*version).ok(),
        _ => None,
    }
}

/// The id and version of a record whose bytes are those of its version.
pub(super) fn read_record(record: &StoredRecord) -> Result<(u64, u64), Violation> {
    let bad = |what: String| Violation::new(Wrong::Other, what);
    let id: u64 = record.id.as_str().parse().map_err(|_| bad(format!("{} is no id of ours", record.id)))?;
    let metadata = record.metadata.as_ref().ok_or_else(|| bad(format!("record {id} came without its metadata")))?;
    let version = version_of(metadata).ok_or_else(|| bad(format!("record {id} has no version: {metadata:?}")))?;
    if metadata.get("id") != Some(&Value::Int(id as i64)) {
        return Err(bad(format!("record {id} has the metadata of another: {metadata:?}")));
    }
    if record.vector.as_deref() != Some(&vector_of(id, version, DIMENSION)) {
        return Err(bad(format!("record {id} of version {version} has the vector {:?}", record.vector)));
    }
    Ok((id, version))
}

/// Everything visible, by id; each record once and with the bytes of its version.
pub(super) async fn read_all(database: &dyn Database, collection: &CollectionRef) -> Result<BTreeMap<u64, u64>, Finding> {
    let mut all = BTreeMap::new();
    let (mut cursor, mut last) = (None, String::new());
    loop {
        let request = ScanRequest { filter: None, cursor, limit: PAGE, read: EVERYTHING };
        let page = database.scan(collection, request).await?;
        for record in &page.records {
            if record.id.as_str() <= last.as_str() {
                return Err(wrong(Wrong::Duplicated, format!("the scan gives {} after {last}", record.id)));
            }
            record.id.as_str().clone_into(&mut last);
            let (id, version) = read_record(record).map_err(Finding::Violation)?;
            all.insert(id, version);
        }
        match page.cursor {
            Some(next) => cursor = Some(next),
            None => return Ok(all),
        }
    }
}

/// Count, single reads and searches agree with the scan.
pub(super) async fn cross_check(
    database: &dyn Database,
    collection: &CollectionRef,
    visible: &BTreeMap<u64, u64>,
    random: &mut Random,
) -> Result<(), Finding> {
    let count = database.count(collection, None).await?;
    if count != visible.len() as u64 {
        return Err(wrong(Wrong::Duplicated, format!("{count} are counted, {} are scanned", visible.len())));
    }
    let some = |random: &mut Random| visible.iter().nth(random.below(visible.len() as u64) as usize).map(|(i, v)| (*i, *v));
    let absent = random.below(20);
    let mut ids = vec![absent];
    ids.extend(some(random).map(|(id, _)| id));
    let wanted: Vec<_> = ids.iter().map(|id| record_id(*id)).collect();
    for (id, found) in ids.iter().zip(database.get(collection, &wanted, EVERYTHING).await?) {
        let read = found.map(|record| read_record(&record)).transpose().map_err(Finding::Violation)?;
        if read.map(|(_, version)| version) != visible.get(id).copied() {
            return Err(wrong(Wrong::Other, format!("record {id} is read as {read:?} and scanned as {:?}", visible.get(id))));
        }
    }
    let Some((id, version)) = some(random) else { return Ok(()) };
    for exact in [true, false] {
        let query = Query::Vector(vector_of(id, version, DIMENSION));
        let request = SearchRequest { exact, read: EVERYTHING, ..SearchRequest::nearest(query, 3) };
        let found = database.search(collection, vec![request]).await?.pop();
        let hits = found.map(|f| f.hits).unwrap_or_default();
        if exact && hits.first().is_none_or(|hit| hit.id != record_id(id)) {
            return Err(wrong(Wrong::Other, format!("nearest to record {id} is {:?}", hits.first())));
        }
        for hit in hits {
            let seen: Option<u64> = hit.id.as_str().parse().ok().and_then(|id: u64| visible.get(&id).copied());
            let told = hit.metadata.as_ref().and_then(|m| version_of(m));
            if seen.is_none() || told != seen {
                return Err(wrong(Wrong::Resurrected, format!("a hit is {} of version {told:?}, scanned is {seen:?}", hit.id)));
            }
        }
    }
    Ok(())
}

/// Judges what is visible by the ledgers. Where `keep` is true it counts as acknowledged from then on.
pub(super) fn judge(books: &[Book], visible: &BTreeMap<u64, u64>, shards: u32, keep: bool) -> Vec<Violation> {
    let shard_of = |id: u64| plan::shard_of(&id.to_string(), shards);
    let mut found = Vec::new();
    for book in books {
        let mut ledger = book.ledger();
        found.extend(ledger.judge(visible, &shard_of));
        if keep {
            ledger.settle(visible);
        }
    }
    found.extend(books.iter().flat_map(Book::take_complaints));
    found
}

/// Repeats keyed writes of before the crash: what took effect must not do so again, and what came later must stay.
pub(super) async fn repeat_keyed(
    database: &dyn Database,
    collection: &CollectionRef,
    book: &Book,
    visible: &mut BTreeMap<u64, u64>,
) -> Result<(), Finding> {
    let keyed = book.ledger().keyed.clone();
    for mut write in keyed {
        let request = WriteRequest {
            changes: vec![Change::Upsert(record_of(write.id, write.version))],
            idempotency_key: Some(key_of(write.id, write.version)),
            ..WriteRequest::default()
        };
        let outcome = database.write(collection, request).await?;
        let before = visible.get(&write.id).copied();
        let known = write.answered.is_some_and(|sequence| !outcome.replayed || sequence != outcome.sequence.0);
        if known || (before == Some(write.version) && !outcome.replayed) {
            let what = format!("the write {write:?}, with version {before:?} visible, was repeated and took effect: {outcome:?}");
            return Err(wrong(Wrong::Duplicated, what));
        }
        let mut ledger = book.ledger();
        if !outcome.replayed {
            ledger.send(write.version, &[write.id], &[]);
            ledger.acknowledge(write.version);
            visible.insert(write.id, write.version);
        }
        write.answered = Some(outcome.sequence.0);
        ledger.keyed.retain(|k| k.version != write.version);
        ledger.remember_keyed(write);
    }
    Ok(())
}
