//! Operations as one Avro datum of `proto/avro/write_batch.avsc`, without a container.
//!
//! Written by hand over that one schema: a general decoder sizes a list by the count that stands in the bytes, and builds a tree
//! of values on the way. The reference is the `apache-avro` crate; a test holds both to the same bytes, in both directions.

use bytes::{BufMut, BytesMut};
use proximadb_model::{CodecId, Operation, Record, RecordId, Timestamp};
use proximadb_ports::{Fault, PortError, Result, WalCodec};

use crate::bad_payload::BadPayload;
use crate::{metadata_json, vector_bytes};

/// The schema's text.
pub const WRITE_BATCH_SCHEMA: &str = include_str!("../../../proto/avro/write_batch.avsc");

const PUT: i64 = 0;
const DELETE: i64 = 1;
const NULL: i64 = 0;
const LONG: i64 = 1;

/// Avro, for logs that other tools read. A point in time comes back as its RFC 3339 text; everything else exactly.
#[derive(Clone, Copy, Debug, Default)]
pub struct AvroCodec;

impl WalCodec for AvroCodec {
    fn id(&self) -> CodecId {
        CodecId::AVRO
    }

    fn encode(&self, operations: &[Operation], out: &mut BytesMut) -> Result<()> {
        let mut metadata = Vec::new();
        if !operations.is_empty() {
            put_long(operations.len() as i64, out);
        }
        for operation in operations {
            match operation {
                Operation::Put(record) => {
                    metadata.clear();
                    metadata_json::write(&record.metadata, &mut metadata).map_err(|e| {
                        PortError::new(Fault::Internal, "wal.encode", &record.id, "its metadata has no JSON text").with_source(e)
                    })?;
                    put_record(record, &metadata, out);
                }
                Operation::Delete(id) => {
                    put_long(DELETE, out);
                    put_bytes(id.as_str().as_bytes(), out);
                }
            }
        }
        put_long(0, out);
        Ok(())
    }

    fn decode(&self, payload: &[u8]) -> Result<Vec<Operation>> {
        decode(payload).map_err(|bad| bad.at_port("an Avro payload"))
    }
}

fn put_record(record: &Record, metadata: &[u8], out: &mut BytesMut) {
    let vector_bytes = size_of_val(record.vector.as_slice());
    out.reserve(vector_bytes + metadata.len() + record.id.as_str().len() + 32);
    put_long(PUT, out);
    put_bytes(record.id.as_str().as_bytes(), out);
    put_long(vector_bytes as i64, out);
    vector_bytes::put(&record.vector, out);
    put_bytes(metadata, out);
    match record.expires {
        None => put_long(NULL, out),
        Some(at) => {
            put_long(LONG, out);
            put_long(at.0, out);
        }
    }
}

fn put_bytes(bytes: &[u8], out: &mut BytesMut) {
    put_long(bytes.len() as i64, out);
    out.put_slice(bytes);
}

/// A number as Avro has it: zigzag, then seven bits a byte, the lowest first.
fn put_long(n: i64, out: &mut BytesMut) {
    let mut zigzag = ((n << 1) ^ (n >> 63)) as u64;
    while zigzag > 0x7f {
        out.put_u8(zigzag as u8 | 0x80);
        zigzag >>= 7;
    }
    out.put_u8(zigzag as u8);
}

fn decode(payload: &[u8]) -> std::result::Result<Vec<Operation>, BadPayload> {
    let mut datum = Datum(payload);
    let mut operations = Vec::new();
    loop {
        // A list comes in blocks; one with a negative count says its bytes too, for readers that want to skip it.
        let count = match datum.long()? {
            0 => break,
            n if n < 0 => {
                datum.long()?;
                n.checked_neg().ok_or(BadPayload::Negative)?
            }
            n => n,
        };
        for _ in 0..count {
            operations.push(datum.operation()?);
        }
    }
    if datum.0.is_empty() { Ok(operations) } else { Err(BadPayload::Trailing(datum.0.len())) }
}

/// What is left of a datum.
struct Datum<'a>(&'a [u8]);

impl<'a> Datum<'a> {
    fn operation(&mut self) -> std::result::Result<Operation, BadPayload> {
        match self.long()? {
            PUT => {
                let id = RecordId::new(self.text()?)?;
                let vector = vector_bytes::read(self.bytes()?)?;
                let metadata = metadata_json::read(self.text()?)?.into();
                let expires = match self.long()? {
                    NULL => None,
                    LONG => Some(Timestamp(self.long()?)),
                    other => return Err(BadPayload::Branch(other)),
                };
                Ok(Operation::Put(Record { id, vector, metadata, expires }))
            }
            DELETE => Ok(Operation::Delete(RecordId::new(self.text()?)?)),
            other => Err(BadPayload::Branch(other)),
        }
    }

    fn long(&mut self) -> std::result::Result<i64, BadPayload> {
        let mut zigzag = 0u64;
        for (i, byte) in self.0.iter().enumerate() {
            let bits = u64::from(byte & 0x7f);
            if i == 9 && bits > 1 {
                return Err(BadPayload::Number);
            }
            zigzag |= bits << (7 * i);
            if byte & 0x80 == 0 {
                self.0 = &self.0[i + 1..];
                return Ok((zigzag >> 1) as i64 ^ -((zigzag & 1) as i64));
            }
            if i == 9 {
                return Err(BadPayload::Number);
            }
        }
        Err(BadPayload::Short)
    }

    fn bytes(&mut self) -> std::result::Result<&'a [u8], BadPayload> {
        let length = usize::try_from(self.long()?).map_err(|_| BadPayload::Negative)?;
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(BadPayload::Short)?;
        self.0 = rest;
        Ok(bytes)
    }

    fn text(&mut self) -> std::result::Result<&'a str, BadPayload> {
        std::str::from_utf8(self.bytes()?).map_err(|_| BadPayload::Text)
    }
}
