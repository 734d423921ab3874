//! Operations in Bincode 2, standard configuration. The only file that knows Bincode; its types are twins of the model's.
//!
//! Metadata is written flat, value after value in the order of reading, so that no payload nests deeper than this code does.

use std::collections::BTreeMap;
use std::sync::Arc;

use bincode::config::{Configuration, Limit, LittleEndian, Varint};
use bytes::{BufMut, BytesMut};
use proximadb_model::limits::{FRAME_BYTES_MAX, METADATA_DEPTH_MAX};
use proximadb_model::{CodecId, Metadata, Operation, Record, RecordId, Timestamp, Value};
use proximadb_ports::{Fault, PortError, Result, WalCodec};
use serde::{Deserialize, Serialize};

use crate::bad_payload::BadPayload;
use crate::vector_bytes;

const CONFIGURATION: Configuration<LittleEndian, Varint, Limit<FRAME_BYTES_MAX>> =
    bincode::config::standard().with_limit::<FRAME_BYTES_MAX>();

/// Bincode, for logs that only this database reads. Points in time stay points in time.
#[derive(Clone, Copy, Debug, Default)]
pub struct BincodeCodec;

impl WalCodec for BincodeCodec {
    fn id(&self) -> CodecId {
        CodecId::BINCODE
    }

    fn encode(&self, operations: &[Operation], out: &mut BytesMut) -> Result<()> {
        let twins: Vec<Twin<'_>> = operations.iter().map(Twin::of).collect();
        bincode::serde::encode_into_std_write(&twins, &mut out.writer(), CONFIGURATION)
            .map(|_| ())
            .map_err(|e| PortError::new(Fault::Internal, "wal.encode", "a batch", "bincode cannot write it").with_source(e))
    }

    fn decode(&self, payload: &[u8]) -> Result<Vec<Operation>> {
        decode(payload).map_err(|bad| bad.at_port("a Bincode payload"))
    }
}

fn decode(payload: &[u8]) -> std::result::Result<Vec<Operation>, BadPayload> {
    let (twins, read): (Vec<Twin<'_>>, usize) =
        bincode::serde::borrow_decode_from_slice(payload, CONFIGURATION).map_err(BadPayload::Bincode)?;
    match payload.len().saturating_sub(read) {
        0 => twins.into_iter().map(Twin::into_operation).collect(),
        more => Err(BadPayload::Trailing(more)),
    }
}

#[derive(Serialize, Deserialize)]
enum Twin<'a> {
    Put {
        #[serde(borrow)]
        id: &'a str,
        #[serde(borrow)]
        vector: VectorTwin<'a>,
        #[serde(borrow)]
        metadata: Vec<Token<'a>>,
        expires_micros: Option<i64>,
    },
    Delete {
        #[serde(borrow)]
        id: &'a str,
    },
}

/// A vector on its way in or out; bytes either way.
enum VectorTwin<'a> {
    Out(Vec<u8>),
    In(&'a [u8]),
}

impl Serialize for VectorTwin<'_> {
    fn serialize<S: serde::Serializer>(&self, to: S) -> std::result::Result<S::Ok, S::Error> {
        to.serialize_bytes(self.bytes())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for VectorTwin<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        <&'a [u8]>::deserialize(from).map(VectorTwin::In)
    }
}

impl VectorTwin<'_> {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Out(bytes) => bytes,
            Self::In(bytes) => bytes,
        }
    }
}

/// A metadata value, or the beginning or the end of one. A key stands before each value of an object.
#[derive(Serialize, Deserialize)]
enum Token<'a> {
    Null,
    Bool(bool),
    Int(i64),
    UInt(u64),
    Float(f64),
    String(&'a str),
    DateTime(i64),
    Array,
    Object,
    Key(&'a str),
    End,
}

impl<'a> Twin<'a> {
    fn of(operation: &'a Operation) -> Self {
        match operation {
            Operation::Delete(id) => Self::Delete { id: id.as_str() },
            Operation::Put(record) => {
                let mut vector = Vec::with_capacity(size_of_val(record.vector.as_slice()));
                vector_bytes::put(&record.vector, &mut vector);
                let mut metadata = Vec::new();
                flatten_fields(record.metadata.fields(), &mut metadata);
                Self::Put { id: record.id.as_str(), vector: VectorTwin::Out(vector), metadata, expires_micros: record.expires.map(|t| t.0) }
            }
        }
    }

    fn into_operation(self) -> std::result::Result<Operation, BadPayload> {
        match self {
            Self::Delete { id } => Ok(Operation::Delete(RecordId::new(id)?)),
            Self::Put { id, vector, metadata, expires_micros } => {
                let mut tokens = metadata.into_iter();
                let fields = build_fields(&mut tokens, 0)?;
                if tokens.next().is_some() {
                    return Err(BadPayload::Nesting);
                }
                Ok(Operation::Put(Record {
                    id: RecordId::new(id)?,
                    vector: vector_bytes::read(vector.bytes())?,
                    metadata: Arc::new(Metadata::new(fields)?),
                    expires: expires_micros.map(Timestamp),
                }))
            }
        }
    }
}

fn flatten_fields<'a>(fields: &'a BTreeMap<String, Value>, out: &mut Vec<Token<'a>>) {
    for (key, value) in fields {
        out.push(Token::Key(key));
        flatten(value, out);
    }
    out.push(Token::End);
}

fn flatten<'a>(value: &'a Value, out: &mut Vec<Token<'a>>) {
    let token = match value {
        Value::Null => Token::Null,
        Value::Bool(b) => Token::Bool(*b),
        Value::Int(n) => Token::Int(*n),
        Value::UInt(n) => Token::UInt(*n),
        Value::Float(n) => Token::Float(*n),
        Value::String(text) => Token::String(text),
        Value::DateTime(time) => Token::DateTime(time.0),
        Value::Array(items) => {
            out.push(Token::Array);
            items.iter().for_each(|item| flatten(item, out));
            Token::End
        }
        Value::Object(fields) => {
            out.push(Token::Object);
            return flatten_fields(fields, out);
        }
    };
    out.push(token);
}

type Tokens<'a> = std::vec::IntoIter<Token<'a>>;

fn build_fields(tokens: &mut Tokens<'_>, depth: usize) -> std::result::Result<BTreeMap<String, Value>, BadPayload> {
    let mut fields = BTreeMap::new();
    loop {
        match tokens.next() {
            Some(Token::End) => return Ok(fields),
            Some(Token::Key(key)) => {
                let token = tokens.next().ok_or(BadPayload::Nesting)?;
                fields.insert(key.to_owned(), build(token, tokens, depth)?);
            }
            _ => return Err(BadPayload::Nesting),
        }
    }
}

fn build(token: Token<'_>, tokens: &mut Tokens<'_>, depth: usize) -> std::result::Result<Value, BadPayload> {
    if depth > METADATA_DEPTH_MAX {
        return Err(BadPayload::Nesting);
    }
    Ok(match token {
        Token::Null => Value::Null,
        Token::Bool(b) => Value::Bool(b),
        Token::Int(n) => Value::Int(n),
        Token::UInt(n) => Value::from_u64(n),
        Token::Float(n) => Value::Float(n),
        Token::String(text) => Value::String(text.to_owned()),
        Token::DateTime(micros) => Value::DateTime(Timestamp(micros)),
        Token::Object => Value::Object(build_fields(tokens, depth + 1)?),
        Token::Array => {
            let mut items = Vec::new();
            loop {
                match tokens.next().ok_or(BadPayload::Nesting)? {
                    Token::End => break Value::Array(items),
                    item => items.push(build(item, tokens, depth + 1)?),
                }
            }
        }
        Token::Key(_) | Token::End => return Err(BadPayload::Nesting),
    })
}
