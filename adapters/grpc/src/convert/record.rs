//! Records as they are stored, and reading them.

use proximadb_model::limits::BATCH_OPERATIONS_MAX;
use proximadb_model::{Invalid, RecordId};
use proximadb_ports::{ReadOptions, ScanRequest, StoredRecord};
use proximadb_proto::v1;

use super::filter::read_filter;
use super::value;

/// Records of a page that does not say how many.
const SCAN_LIMIT_DEFAULT: u64 = 100;

/// The ids of the list `name`; an id's error is the element's.
pub(crate) fn read_ids(name: &str, ids: &[String]) -> Result<Vec<RecordId>, Invalid> {
    if ids.len() > BATCH_OPERATIONS_MAX {
        return Err(Invalid::new(name, format!("has more than {BATCH_OPERATIONS_MAX} elements")));
    }
    let read = |(i, id): (usize, &String)| RecordId::new(id).map_err(|e| Invalid::new(format!("{name}[{i}]"), e.reason));
    ids.iter().enumerate().map(read).collect()
}

pub(crate) fn read_scan(request: v1::ScanRequest) -> Result<ScanRequest, Invalid> {
    let scan = ScanRequest {
        filter: request.filter.map(read_filter).transpose()?,
        cursor: request.cursor,
        limit: super::count(request.limit.unwrap_or(SCAN_LIMIT_DEFAULT)),
        read: ReadOptions { vector: request.with_vector.unwrap_or(false), metadata: request.with_metadata.unwrap_or(true) },
    };
    scan.check()?;
    Ok(scan)
}

pub(crate) fn stored_record(record: StoredRecord) -> v1::StoredRecord {
    v1::StoredRecord {
        id: record.id.to_string(),
        vector: record.vector.as_deref().map(value::vector),
        metadata: value::metadata(record.metadata),
        expires: record.expires.map(|t| t.to_string()),
        version: record.version.0,
    }
}
