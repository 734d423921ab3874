//! Which codec writes, and which one reads a payload of a given number. A log may hold payloads of several.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use proximadb_model::{CodecId, Operation, WriteBatch};
use proximadb_ports::{Fault, PortError, Result, WalCodec};

use crate::{AvroCodec, BincodeCodec};

pub(crate) struct Codecs {
    writes: Arc<dyn WalCodec>,
    reads: Vec<Arc<dyn WalCodec>>,
}

impl Codecs {
    /// `writes` for what is not encoded yet; it and every codec of this crate for reading.
    pub(crate) fn new(writes: Arc<dyn WalCodec>) -> Self {
        let reads = vec![Arc::clone(&writes), Arc::new(AvroCodec), Arc::new(BincodeCodec)];
        Self { writes, reads }
    }

    pub(crate) fn knows(&self, id: CodecId) -> bool {
        self.reads.iter().any(|c| c.id() == id)
    }

    pub(crate) fn encode(&self, batch: &WriteBatch) -> Result<(CodecId, Bytes)> {
        if let Some(encoded) = &batch.encoded {
            return Ok((encoded.codec, encoded.payload.clone()));
        }
        let mut payload = BytesMut::new();
        self.writes.encode(&batch.operations, &mut payload)?;
        Ok((self.writes.id(), payload.freeze()))
    }

    pub(crate) fn decode(&self, id: CodecId, payload: &[u8]) -> Result<Vec<Operation>> {
        let codec = self.reads.iter().find(|c| c.id() == id);
        let codec = codec
            .ok_or_else(|| PortError::new(Fault::Corrupt, "wal.decode", format!("codec {}", id.0), "this version does not know it"))?;
        codec.decode(payload)
    }
}
