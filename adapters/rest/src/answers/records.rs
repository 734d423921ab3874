//! Records in answers, and what writes did to them.

use proximadb_ports::{ScanPage, StoredRecord, WriteOutcome};
use serde::Serialize;

use super::{Each, Under};
use crate::json::{MetadataOut, VectorFormat, VectorOut};

#[derive(Serialize)]
struct WriteOut {
    upserted: u64,
    inserted: u64,
    patched: u64,
    deleted: u64,
    durable: bool,
    sequence: u64,
    replayed: bool,
}

pub(crate) fn written(outcome: &WriteOutcome) -> impl Serialize + use<> {
    WriteOut {
        upserted: outcome.upserted,
        inserted: outcome.inserted,
        patched: outcome.patched,
        deleted: outcome.deleted,
        durable: outcome.durable,
        sequence: outcome.sequence.0,
        replayed: outcome.replayed,
    }
}

#[derive(Serialize)]
struct RecordOut<'a> {
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    vector: Option<VectorOut<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<MetadataOut<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<String>,
    version: u64,
}

pub(crate) fn record(record: &StoredRecord, format: VectorFormat) -> impl Serialize {
    RecordOut {
        id: record.id.as_str(),
        vector: record.vector.as_deref().map(|components| VectorOut { components, format }),
        metadata: record.metadata.as_deref().map(MetadataOut),
        expires: record.expires.map(|t| t.to_string()),
        version: record.version.0,
    }
}

pub(crate) fn records(found: &[Option<StoredRecord>], format: VectorFormat) -> impl Serialize {
    Under("records", Each(move || found.iter().map(move |r| r.as_ref().map(|r| record(r, format)))))
}

#[derive(Serialize)]
struct PageOut<'a, R> {
    records: R,
    cursor: Option<&'a str>,
}

pub(crate) fn page(page: &ScanPage, format: VectorFormat) -> impl Serialize {
    PageOut { records: Each(move || page.records.iter().map(move |r| record(r, format))), cursor: page.cursor.as_deref() }
}
