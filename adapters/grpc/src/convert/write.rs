//! Writes.

use proximadb_model::{CodecId, EncodedOperations, Invalid, RecordId, Timestamp};
use proximadb_ports::{ChangeOrder, Durability, NewPatch, NewRecord, WriteLists, WriteOutcome, WriteRequest};
use proximadb_proto::v1;

use super::filter::read_filter;
use super::value::{read_fields, read_metadata, read_vector};

/// A write as the port takes it, and where its changes stood in the message.
pub(crate) struct WireWrite {
    pub(crate) request: WriteRequest,
    pub(crate) order: ChangeOrder,
}

pub(crate) fn read_write(request: v1::WriteRequest) -> Result<WireWrite, Invalid> {
    let durability = match v1::Durability::try_from(request.durability) {
        Ok(v1::Durability::Unspecified | v1::Durability::Sync) => Durability::Sync,
        Ok(v1::Durability::Async) => Durability::Async,
        Err(_) => return Err(Invalid::new("durability", "must be DURABILITY_SYNC or DURABILITY_ASYNC")),
    };
    let at = |i: usize, e: Invalid| Invalid::new(e.field.replacen("filter", &format!("delete_where[{i}]"), 1), e.reason);
    let filters = request.delete_where.into_iter().enumerate().map(|(i, f)| read_filter(f).map_err(|e| at(i, e)));
    let lists = WriteLists {
        insert: super::each("insert", request.insert, read_record)?,
        upsert: super::each("upsert", request.upsert, read_record)?,
        patch: super::each("patch", request.patch, read_patch)?,
        delete: super::read_ids("delete", &request.delete)?,
        delete_where: filters.collect::<Result<_, _>>()?,
    };
    let order = ChangeOrder::of(&lists);
    let encoded = request.avro.map(|payload| EncodedOperations { codec: CodecId::AVRO, payload });
    let request = WriteRequest { changes: lists.into_changes()?, durability, idempotency_key: request.idempotency_key, encoded };
    request.check()?;
    if request.changes.is_empty() && request.encoded.is_none() {
        return Err(Invalid::new("", "one of insert, upsert, patch, delete, delete_where, avro is required"));
    }
    Ok(WireWrite { request, order })
}

fn read_record(record: v1::Record) -> Result<NewRecord, Invalid> {
    let expires = record.expires.map(|text| text.parse::<Timestamp>().map_err(|e| e.within("expires"))).transpose()?;
    Ok(NewRecord {
        id: RecordId::new(&record.id)?,
        vector: read_vector(record.vector)?,
        metadata: read_metadata(record.metadata)?,
        expires,
    })
}

fn read_patch(patch: v1::Patch) -> Result<NewPatch, Invalid> {
    let id = RecordId::new(&patch.id)?;
    if patch.metadata.is_empty() && patch.vector.is_none() {
        return Err(Invalid::new("metadata", "one of metadata, vector is required"));
    }
    let metadata = read_fields(patch.metadata).map_err(|e| e.within("metadata"))?;
    let vector = patch.vector.map(|vector| read_vector(Some(vector))).transpose()?;
    Ok(NewPatch { id, metadata, vector })
}

pub(crate) fn write_response(outcome: &WriteOutcome) -> v1::WriteResponse {
    v1::WriteResponse {
        upserted: outcome.upserted,
        inserted: outcome.inserted,
        patched: outcome.patched,
        deleted: outcome.deleted,
        durable: outcome.durable,
        sequence: outcome.sequence.0,
        replayed: outcome.replayed,
    }
}
