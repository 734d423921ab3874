//! A write on its way to the shards: decoded where it came encoded, checked, split by shard, answered as one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use proximadb_model::{CollectionRef, EncodedOperations, IdempotencyTag, Invalid, Operation, plan};
use proximadb_ports::{Change, Durability, Fault, NewRecord, PortError, Result, WriteOutcome, WriteRequest};

use super::Engine;
use crate::fingerprint::fingerprint;
use crate::resolve::{self, CheckedChange, ShardChanges};
use crate::shard::{Shard, ShardOutcome};
use crate::snapshot::Snapshot;

/// How often a delete asks for room, and the pause before it looks whether there is some.
const ROOM_TRIES_MAX: usize = 5;
const ROOM_PAUSE: Duration = Duration::from_millis(200);
/// Bytes of a record beside its vector, about; what it really takes is counted once it is there.
const RECORD_BYTES: usize = 256;

impl Engine {
    pub(super) async fn write_changes(&self, collection: &CollectionRef, mut request: WriteRequest) -> Result<WriteOutcome> {
        let found = self.catalog.find(collection)?;
        let invalid = |e: Invalid| PortError::invalid("write", e);
        request.check().map_err(invalid)?;
        let idempotency = tag(&request);
        if let Some(encoded) = &request.encoded {
            request.changes = self.decode(encoded)?;
        }
        plan::check_request_size(request.changes.len()).map_err(invalid)?;
        let any = found.reachable().first().map(|shard| shard.snapshot());
        let any = match any {
            Some(any) => any,
            None => found.shard(0)?.snapshot(),
        };
        let parts = split(&any, found.slots().len(), request.changes).map_err(invalid)?;
        let mut shards = BTreeMap::new();
        for (index, changes) in &parts {
            let shard = found.shard(*index as u32)?;
            let puts = changes.iter().any(|change| !change.is_delete());
            shard.site.admit(puts)?;
            shards.insert(*index, shard);
        }
        let vector_bytes = any.dimension() * size_of::<f32>();
        let bytes = parts.values().flatten().filter(|change| !change.is_delete()).map(|_| vector_bytes + RECORD_BYTES).sum::<usize>();
        if bytes > 0 {
            self.env.memory.admit(bytes as u64)?;
        }
        // The bytes as they came fit a shard's log only where they are all that shard's.
        let encoded = request.encoded.filter(|_| parts.len() == 1);
        let writes = parts.into_iter().map(|(index, changes)| {
            let part = ShardChanges { changes, idempotency: idempotency.clone(), encoded: encoded.clone() };
            self.write_part(&shards[&index], part, request.durability)
        });
        let mut total = WriteOutcome { durable: true, ..WriteOutcome::default() };
        for outcome in join_all(writes).await {
            add(&mut total, &outcome?);
        }
        Ok(total)
    }

    /// Writes the part of one shard. A large delete by filter goes in steps, each atomic.
    async fn write_part(&self, shard: &Shard, part: ShardChanges, durability: Durability) -> Result<WriteOutcome> {
        let filters: Vec<_> =
            part.changes.iter().filter_map(|c| if let CheckedChange::DeleteWhere(f) = c { Some(f.clone()) } else { None }).collect();
        let ShardOutcome { outcome: mut total, mut more } = self.write_or_make_room(shard, part, durability).await?;
        while more {
            let changes = filters.iter().cloned().map(CheckedChange::DeleteWhere).collect();
            let step = self.write_or_make_room(shard, ShardChanges { changes, idempotency: None, encoded: None }, durability).await?;
            add(&mut total, &step.outcome);
            more = step.more;
        }
        Ok(total)
    }

    /// Writes; deletes that find no room at all wait for the site to give its reserve back. To delete twice is to delete once.
    async fn write_or_make_room(&self, shard: &Shard, part: ShardChanges, durability: Durability) -> Result<ShardOutcome> {
        let again = deletes(&part.changes).map(|changes| (changes, part.idempotency.clone()));
        let mut outcome = shard.write(part, durability).await;
        let Some((changes, idempotency)) = again else { return outcome };
        for _ in 0..ROOM_TRIES_MAX {
            match &outcome {
                Err(e) if e.fault == Fault::Exhausted => {}
                _ => return outcome,
            }
            shard.site.suspected.notify_one();
            self.env.clock.sleep(ROOM_PAUSE).await;
            let changes = deletes(&changes).unwrap_or_default();
            outcome = shard.write(ShardChanges { changes, idempotency: idempotency.clone(), encoded: None }, durability).await;
        }
        outcome
    }

    /// Reads operations that came encoded, as the changes that they are.
    fn decode(&self, encoded: &EncodedOperations) -> Result<Vec<Change>> {
        let codec = self.env.codecs.iter().find(|c| c.id() == encoded.codec);
        let codec = codec.ok_or_else(|| PortError::invalid("write", Invalid::new("avro", "this encoding is not known")))?;
        let operations = codec.decode(&encoded.payload).map_err(|e| {
            // What is corrupt in a log is merely wrong in a request.
            PortError::new(Fault::Invalid, "write", "avro", e.message.clone()).with_field("avro").with_source(e)
        })?;
        let change = |operation| match operation {
            Operation::Put(record) => Change::Upsert(NewRecord {
                id: record.id,
                vector: record.vector.into_vec(),
                metadata: Arc::unwrap_or_clone(record.metadata),
                expires: record.expires,
            }),
            Operation::Delete(id) => Change::Delete(id),
        };
        Ok(operations.into_iter().map(change).collect())
    }
}

/// The changes again, if they do nothing but delete.
fn deletes(changes: &[CheckedChange]) -> Option<Vec<CheckedChange>> {
    let again = |change: &CheckedChange| match change {
        CheckedChange::Delete(id) => Some(CheckedChange::Delete(id.clone())),
        CheckedChange::DeleteWhere(filter) => Some(CheckedChange::DeleteWhere(filter.clone())),
        CheckedChange::Upsert(_) | CheckedChange::Insert(_) | CheckedChange::Patch { .. } => None,
    };
    changes.iter().map(again).collect()
}

fn tag(request: &WriteRequest) -> Option<IdempotencyTag> {
    let key = request.idempotency_key.clone()?;
    Some(IdempotencyTag { key, fingerprint: fingerprint(request) })
}

/// Checks each change and gives it to the shard of its record; a delete by filter goes to all.
fn split(any: &Snapshot, shards: usize, changes: Vec<Change>) -> std::result::Result<BTreeMap<usize, Vec<CheckedChange>>, Invalid> {
    let count = shards as u32;
    let mut parts: BTreeMap<usize, Vec<CheckedChange>> = BTreeMap::new();
    let mut places: BTreeMap<&'static str, usize> = BTreeMap::new();
    for change in changes {
        let (kind, shard) = match &change {
            Change::Upsert(r) => ("upsert", Some(plan::shard_of(r.id.as_str(), count))),
            Change::Insert(r) => ("insert", Some(plan::shard_of(r.id.as_str(), count))),
            Change::Patch { id, .. } => ("patch", Some(plan::shard_of(id.as_str(), count))),
            Change::Delete(id) => ("delete", Some(plan::shard_of(id.as_str(), count))),
            Change::DeleteWhere(_) => ("delete_where", None),
        };
        let place = places.entry(kind).or_default();
        let within = if kind == "delete_where" { kind.to_owned() } else { format!("{kind}[{place}]") };
        *place += 1;
        let checked = resolve::check(change, any).map_err(|e| e.within(&within))?;
        match (shard, checked) {
            (Some(shard), checked) => parts.entry(shard as usize).or_default().push(checked),
            (None, CheckedChange::DeleteWhere(filter)) => {
                (0..shards).for_each(|s| parts.entry(s).or_default().push(CheckedChange::DeleteWhere(filter.clone())));
            }
            (None, _) => {}
        }
    }
    Ok(parts)
}

fn add(total: &mut WriteOutcome, part: &WriteOutcome) {
    total.upserted += part.upserted;
    total.inserted += part.inserted;
    total.patched += part.patched;
    total.deleted += part.deleted;
    total.durable &= part.durable;
    total.sequence = total.sequence.max(part.sequence);
    total.replayed |= part.replayed;
}
