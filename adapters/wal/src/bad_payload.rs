//! Why bytes are not a payload; becomes `Corrupt` at the port.

use proximadb_model::Invalid;
use proximadb_ports::{Fault, PortError};
use thiserror::Error;

/// The first thing found wrong with a payload.
#[derive(Debug, Error)]
pub(crate) enum BadPayload {
    #[error("the bytes end in the middle of a value")]
    Short,
    #[error("{0} bytes follow the last value")]
    Trailing(usize),
    #[error("a number is longer than 64 bits")]
    Number,
    #[error("a length or a count is negative")]
    Negative,
    #[error("branch {0} of a union is not in the schema")]
    Branch(i64),
    #[error("text is not UTF-8")]
    Text,
    #[error("metadata is not a JSON object")]
    Metadata(#[source] serde_json::Error),
    #[error("nested values are not closed, or not opened")]
    Nesting,
    #[error("bincode cannot read it")]
    Bincode(#[source] bincode::error::DecodeError),
    #[error(transparent)]
    Invalid(#[from] Invalid),
}

impl BadPayload {
    pub(crate) fn at_port(self, subject: &'static str) -> PortError {
        PortError::new(Fault::Corrupt, "wal.decode", subject, "is not what the codec writes").with_source(self)
    }
}
