//! A digest of a write request, so that an idempotency key that comes back with another request is noticed.

use proximadb_model::Value;
use proximadb_ports::{Change, NewRecord, WriteRequest};

/// CRC-32C over the request's content, with its size in the upper half. Stable over releases, since it is stored.
pub(crate) fn fingerprint(request: &WriteRequest) -> u64 {
    let mut digest = Digest { crc: 0, bytes: 0 };
    if let Some(encoded) = &request.encoded {
        digest.take(&[9, encoded.codec.0]);
        digest.take(&encoded.payload);
    }
    for change in &request.changes {
        match change {
            Change::Upsert(record) => digest.record(1, record),
            Change::Insert(record) => digest.record(2, record),
            Change::Patch { id, metadata, vector } => {
                digest.text(3, id.as_str());
                metadata.iter().for_each(|(key, value)| digest.entry(key, value));
                vector.iter().for_each(|v| digest.vector(v));
            }
            Change::Delete(id) => digest.text(4, id.as_str()),
            Change::DeleteWhere(filter) => digest.text(5, &format!("{filter:?}")),
        }
    }
    digest.bytes << 32 | u64::from(digest.crc)
}

struct Digest {
    crc: u32,
    bytes: u64,
}

impl Digest {
    fn take(&mut self, bytes: &[u8]) {
        self.crc = crc32c::crc32c_append(self.crc, bytes);
        self.bytes = self.bytes.wrapping_add(bytes.len() as u64);
    }

    fn text(&mut self, kind: u8, text: &str) {
        self.take(&[kind]);
        self.take(&(text.len() as u64).to_le_bytes());
        self.take(text.as_bytes());
    }

    fn record(&mut self, kind: u8, record: &NewRecord) {
        self.text(kind, record.id.as_str());
        self.vector(&record.vector);
        record.metadata.fields().iter().for_each(|(key, value)| self.entry(key, value));
        self.take(&record.expires.map_or(0, |t| t.0).to_le_bytes());
    }

    fn entry(&mut self, key: &str, value: &Value) {
        self.text(6, key);
        self.text(7, &format!("{value:?}"));
    }

    fn vector(&mut self, vector: &[f32]) {
        for component in vector {
            self.take(&component.to_le_bytes());
        }
    }
}
