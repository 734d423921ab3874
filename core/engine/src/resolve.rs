//! Turns what a user asked for into operations that stand alone: conditions checked, patches merged, filters become ids.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use proximadb_model::{
    EncodedOperations, Filter, IdempotencyTag, Invalid, Metadata, Operation, Record, RecordId, Timestamp, Value, Vector,
};
use proximadb_ports::{Change, Fault, NewRecord, PortError, Result, WriteOutcome};

use crate::read::{self, Wanted};
use crate::snapshot::Snapshot;

/// Records that one delete by filter removes in one atomic step; more are left for another round.
pub(crate) const DELETE_WHERE_MAX: usize = 100_000;

/// The part of a write that belongs to one shard, checked against the collection as far as that needs no stored state.
pub(crate) struct ShardChanges {
    pub(crate) changes: Vec<CheckedChange>,
    pub(crate) idempotency: Option<IdempotencyTag>,
    pub(crate) encoded: Option<EncodedOperations>,
}

/// A change whose vector and metadata fit the collection.
pub(crate) enum CheckedChange {
    Upsert(Record),
    Insert(Record),
    Patch { id: RecordId, metadata: BTreeMap<String, Value>, vector: Option<Vector> },
    Delete(RecordId),
    DeleteWhere(Filter),
}

impl CheckedChange {
    /// Whether it brings no record.
    pub(crate) fn is_delete(&self) -> bool {
        matches!(self, Self::Delete(_) | Self::DeleteWhere(_))
    }
}

/// Checks a change against the collection.
///
/// # Errors
/// `Invalid` with the field, relative to the change.
pub(crate) fn check(change: Change, snapshot: &Snapshot) -> std::result::Result<CheckedChange, Invalid> {
    let spec = &snapshot.manifest.collection.spec;
    let record = |new: NewRecord| -> std::result::Result<Record, Invalid> {
        let vector = Vector::new(new.vector, spec.dimension, &spec.metric)?;
        let metadata = spec.schema.apply(new.metadata)?;
        Ok(Record { id: new.id, vector, metadata: Arc::new(metadata), expires: new.expires })
    };
    Ok(match change {
        Change::Upsert(new) => CheckedChange::Upsert(record(new)?),
        Change::Insert(new) => CheckedChange::Insert(record(new)?),
        Change::Patch { id, metadata, vector } => {
            let vector = vector.map(|v| Vector::new(v, spec.dimension, &spec.metric)).transpose()?;
            CheckedChange::Patch { id, metadata, vector }
        }
        Change::Delete(id) => CheckedChange::Delete(id),
        Change::DeleteWhere(filter) => {
            filter.check()?;
            CheckedChange::DeleteWhere(filter)
        }
    })
}

/// What a write comes to on one shard.
pub(crate) struct Resolved {
    pub(crate) operations: Vec<Operation>,
    pub(crate) outcome: WriteOutcome,
    pub(crate) more: bool,
}

/// Resolves changes against the state that they will be applied to. Changes nothing. With `verbatim` each change becomes exactly
/// one operation, also a delete of what is not there, because the log gets the bytes as they came.
///
/// # Errors
/// `Conflict` for an insert of an id that is there; `NotFound` for a patch of one that is not; `Invalid` when a patch makes
/// metadata that is not allowed; errors of reading stored rows.
pub(crate) async fn resolve(changes: &[CheckedChange], snapshot: &Snapshot, now: Timestamp, verbatim: bool) -> Result<Resolved> {
    let patched = stored_for_patches(changes, snapshot, now).await?;
    let mut run = Resolution {
        snapshot,
        now,
        patched,
        operations: Vec::new(),
        last: HashMap::new(),
        outcome: WriteOutcome::default(),
        more: false,
        verbatim,
    };
    for change in changes {
        match change {
            CheckedChange::Upsert(record) => {
                run.outcome.upserted += 1;
                run.put(record.clone());
            }
            CheckedChange::Insert(record) => {
                if run.exists(&record.id) {
                    return Err(
                        PortError::new(Fault::Conflict, "write.insert", &record.id, "a record with this id exists").with_field("insert")
                    );
                }
                run.outcome.inserted += 1;
                run.put(record.clone());
            }
            CheckedChange::Patch { id, metadata, vector } => run.patch(id, metadata, vector.as_ref())?,
            CheckedChange::Delete(id) => run.delete(id),
            CheckedChange::DeleteWhere(filter) => run.delete_where(filter).await?,
        }
    }
    Ok(Resolved { operations: run.operations, outcome: run.outcome, more: run.more })
}

async fn stored_for_patches(changes: &[CheckedChange], snapshot: &Snapshot, now: Timestamp) -> Result<HashMap<RecordId, Record>> {
    let ids: Vec<_> =
        changes.iter().filter_map(|c| if let CheckedChange::Patch { id, .. } = c { Some(id.clone()) } else { None }).collect();
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let spec = &snapshot.manifest.collection.spec;
    let mut found = HashMap::new();
    for stored in read::get(snapshot, &ids, Wanted { vector: true, metadata: true }, now).await?.into_iter().flatten() {
        let components = stored.vector.unwrap_or_default();
        let vector = Vector::new(components, spec.dimension, &spec.metric)
            .map_err(|e| PortError::new(Fault::Corrupt, "write.patch", &stored.id, "the stored vector breaks a rule").with_source(e))?;
        let record = Record { id: stored.id.clone(), vector, metadata: stored.metadata.unwrap_or_default(), expires: stored.expires };
        found.insert(stored.id, record);
    }
    Ok(found)
}

struct Resolution<'a> {
    snapshot: &'a Snapshot,
    now: Timestamp,
    patched: HashMap<RecordId, Record>,
    operations: Vec<Operation>,
    /// The place of the last operation on an id of this very write.
    last: HashMap<RecordId, usize>,
    outcome: WriteOutcome,
    more: bool,
    verbatim: bool,
}

impl Resolution<'_> {
    fn put(&mut self, record: Record) {
        self.last.insert(record.id.clone(), self.operations.len());
        self.operations.push(Operation::Put(record));
    }

    fn exists(&self, id: &RecordId) -> bool {
        match self.last.get(id).and_then(|place| self.operations.get(*place)) {
            Some(Operation::Put(_)) => true,
            Some(Operation::Delete(_)) => false,
            None => self.snapshot.is_visible(id.as_str(), self.now),
        }
    }

    fn delete(&mut self, id: &RecordId) {
        let staged = self.last.contains_key(id);
        if self.exists(id) {
            self.outcome.deleted += 1;
        } else if !self.verbatim && !staged && self.snapshot.find(id.as_str()).is_none() {
            return;
        }
        // An expired row is removed too, but was not there for the user.
        self.last.insert(id.clone(), self.operations.len());
        self.operations.push(Operation::Delete(id.clone()));
    }

    fn patch(&mut self, id: &RecordId, metadata: &BTreeMap<String, Value>, vector: Option<&Vector>) -> Result<()> {
        let missing = || PortError::new(Fault::NotFound, "write.patch", id, "no record has this id").with_field("patch");
        let base = match self.last.get(id).and_then(|place| self.operations.get(*place)) {
            Some(Operation::Put(record)) => record,
            Some(Operation::Delete(_)) => return Err(missing()),
            None => self.patched.get(id).ok_or_else(missing)?,
        };
        let spec = &self.snapshot.manifest.collection.spec;
        let merged = base.metadata.patched(metadata).and_then(|m: Metadata| spec.schema.apply(m));
        let merged = merged.map_err(|e| PortError::invalid("write.patch", e.within("patch")))?;
        let record =
            Record { id: id.clone(), vector: vector.unwrap_or(&base.vector).clone(), metadata: Arc::new(merged), expires: base.expires };
        self.outcome.patched += 1;
        self.put(record);
        Ok(())
    }

    async fn delete_where(&mut self, filter: &Filter) -> Result<()> {
        let mut ids = Vec::new();
        for operation in &self.operations {
            if let Operation::Put(record) = operation
                && filter.matches(&record.metadata)
            {
                ids.push(record.id.clone());
            }
        }
        for id in read::select_ids(self.snapshot, Some(filter), self.now).await? {
            if !self.last.contains_key(&id) {
                ids.push(id);
            }
        }
        self.more |= ids.len() > DELETE_WHERE_MAX;
        ids.truncate(DELETE_WHERE_MAX);
        for id in &ids {
            // A put of this write that was replaced later in it does not count as there.
            if self.exists(id) {
                let still = match self.last.get(id).and_then(|place| self.operations.get(*place)) {
                    Some(Operation::Put(record)) => filter.matches(&record.metadata),
                    _ => true,
                };
                if still {
                    self.delete(id);
                }
            }
        }
        Ok(())
    }
}
