//! What can go wrong with a segment's bytes, before it is known whose fault that is.

use parquet::errors::ParquetError;
use proximadb_model::Invalid;
use proximadb_ports::{Fault, PortError};
use thiserror::Error;

/// A failure of encoding or decoding.
#[derive(Debug, Error)]
pub(crate) enum ViperError {
    /// The file is Parquet, but not a segment of ours.
    #[error("is not a segment: {0}")]
    Layout(String),
    /// The Parquet library refused.
    #[error("parquet failed")]
    Parquet(#[from] ParquetError),
    /// The Arrow library refused.
    #[error("arrow failed")]
    Arrow(#[from] arrow_schema::ArrowError),
    /// The remainder of the metadata is not the JSON it must be.
    #[error("the remainder of the metadata is not JSON")]
    Json(#[from] serde_json::Error),
    /// A stored value breaks a rule of the model.
    #[error("a stored value breaks a rule")]
    Invalid(#[from] Invalid),
}

impl ViperError {
    /// The failure at the port when bytes that were read turn out to be wrong.
    pub(crate) fn corrupt(self, op: &'static str, subject: &str) -> PortError {
        PortError::new(Fault::Corrupt, op, subject, self.to_string()).with_source(self)
    }

    /// The failure at the port when rows that were accepted cannot be encoded.
    pub(crate) fn internal(self, op: &'static str, subject: &str) -> PortError {
        PortError::new(Fault::Internal, op, subject, self.to_string()).with_source(self)
    }
}
