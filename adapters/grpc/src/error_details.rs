//! The messages of `google.rpc` that errors carry, as far as they are used here.

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message;
use proximadb_ports::{Fault, PortError};
use tonic::Status;

use crate::fault_code::grpc_code;

/// The domain of every [`ErrorInfo`].
pub(crate) const DOMAIN: &str = "proximadb";

/// `google.rpc.Status`: what the trailer `grpc-status-details-bin` holds.
#[derive(Clone, PartialEq, Message)]
pub struct RpcStatus {
    /// The gRPC code.
    #[prost(int32, tag = "1")]
    pub code: i32,
    /// The message.
    #[prost(string, tag = "2")]
    pub message: String,
    /// An [`ErrorInfo`], and a [`BadRequest`] where a field is to blame.
    #[prost(message, repeated, tag = "3")]
    pub details: Vec<Any>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, Message)]
pub struct Any {
    /// The type's name after a slash.
    #[prost(string, tag = "1")]
    pub type_url: String,
    /// The message's bytes.
    #[prost(bytes = "bytes", tag = "2")]
    pub value: Bytes,
}

/// `google.rpc.ErrorInfo`: reason is the fault's code, domain is `proximadb`, metadata has `retryable`, `request_id` and perhaps
/// `field`.
#[derive(Clone, PartialEq, Message)]
pub struct ErrorInfo {
    /// The fault's code.
    #[prost(string, tag = "1")]
    pub reason: String,
    /// Whose reasons these are.
    #[prost(string, tag = "2")]
    pub domain: String,
    /// More words.
    #[prost(btree_map = "string, string", tag = "3")]
    pub metadata: BTreeMap<String, String>,
}

/// `google.rpc.BadRequest`.
#[derive(Clone, PartialEq, Message)]
pub struct BadRequest {
    /// The fields to blame.
    #[prost(message, repeated, tag = "1")]
    pub field_violations: Vec<FieldViolation>,
}

/// `google.rpc.BadRequest.FieldViolation`.
#[derive(Clone, PartialEq, Message)]
pub struct FieldViolation {
    /// Path of the field, such as `upsert[3].vector[0]`.
    #[prost(string, tag = "1")]
    pub field: String,
    /// The rule that it breaks.
    #[prost(string, tag = "2")]
    pub description: String,
}

fn any(name: &str, message: &impl Message) -> Any {
    Any { type_url: format!("type.googleapis.com/google.rpc.{name}"), value: message.encode_to_vec().into() }
}

/// The status of a failed call; `more` goes into the metadata of its [`ErrorInfo`].
pub(crate) fn status(error: &PortError, request_id: &str, more: &[(&str, String)]) -> Status {
    let code = grpc_code(error.fault);
    let message = match error.fault {
        Fault::Invalid => match &error.field {
            Some(field) if !field.is_empty() => format!("{field}: {}", error.message),
            _ => error.message.clone(),
        },
        _ => format!("{}: {}", error.subject, error.message),
    };
    let mut metadata = BTreeMap::from([
        ("retryable".to_owned(), error.fault.is_retryable().to_string()),
        ("request_id".to_owned(), request_id.to_owned()),
    ]);
    metadata.extend(error.field.iter().map(|field| ("field".to_owned(), field.clone())));
    metadata.extend(more.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
    let info = ErrorInfo { reason: error.fault.code().to_owned(), domain: DOMAIN.to_owned(), metadata };
    let mut details = vec![any("ErrorInfo", &info)];
    if let (Fault::Invalid, Some(field)) = (error.fault, &error.field) {
        let violation = FieldViolation { field: field.clone(), description: error.message.clone() };
        details.push(any("BadRequest", &BadRequest { field_violations: vec![violation] }));
    }
    let status = RpcStatus { code: code as i32, message: message.clone(), details };
    Status::with_details(code, message, status.encode_to_vec().into())
}
