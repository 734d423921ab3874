//! A refusal or failure on its way to the client, and its RFC 9457 form.
//!
//! Handlers know no request id, so a problem travels in the extensions of an empty response and is written out by the front
//! (`front.rs`), which also gives a problem to every error that is not ours.

use axum::body::Body;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use proximadb_model::Invalid;
use proximadb_ports::{Fault, PortError, chain};
use serde::Serialize;

use crate::fault_status::http_status;

/// A refusal or failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) status: StatusCode,
    pub(crate) code: &'static str,
    pub(crate) detail: String,
    pub(crate) field: Option<String>,
    pub(crate) retryable: bool,
    /// For the log, never for the client.
    pub(crate) cause: Option<String>,
    /// The media types that would have been taken, for the header `Accept` of a 415.
    pub(crate) accept: Option<&'static str>,
}

#[derive(Serialize)]
struct ProblemBody<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    code: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
    retryable: bool,
    request_id: &'a str,
}

impl Problem {
    fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into(), field: None, retryable: false, cause: None, accept: None }
    }

    /// The request broke a rule outside any field.
    pub(crate) fn malformed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, Fault::Invalid.code(), detail)
    }

    /// What was named is not there.
    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, Fault::NotFound.code(), detail)
    }

    /// The body is beyond its limit.
    pub(crate) fn too_large(limit: usize) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", format!("the body has more than {limit} bytes after decompression"))
    }

    /// The body is of another media type than `accepted`.
    pub(crate) fn media_type(accepted: &'static str) -> Self {
        let mut problem = Self::of_status(StatusCode::UNSUPPORTED_MEDIA_TYPE);
        problem.detail = format!("the content type must be one of {accepted}");
        problem.accept = Some(accepted);
        problem
    }

    /// The problem of a bare status.
    pub(crate) fn of_status(status: StatusCode) -> Self {
        let (code, detail) = match status {
            StatusCode::NOT_FOUND => (Fault::NotFound.code(), "there is no such route"),
            StatusCode::METHOD_NOT_ALLOWED => ("method_not_allowed", "the route has other methods, see the header allow"),
            StatusCode::REQUEST_TIMEOUT => ("request_timeout", "the body did not come in time"),
            StatusCode::PAYLOAD_TOO_LARGE => ("body_too_large", "the body is too large"),
            StatusCode::UNSUPPORTED_MEDIA_TYPE => {
                ("unsupported_media_type", "the encoding of the body must be one of gzip, zstd, identity")
            }
            status if status.is_client_error() => (Fault::Invalid.code(), "the request is malformed"),
            _ => (Fault::Internal.code(), "the server failed"),
        };
        Self::new(status, code, detail)
    }

    /// The bytes of its body.
    pub(crate) fn body(&self, request_id: &str) -> Vec<u8> {
        let body = ProblemBody {
            r#type: format!("urn:proximadb:error:{}", self.code),
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            detail: &self.detail,
            code: self.code,
            field: self.field.as_deref(),
            retryable: self.retryable,
            request_id,
        };
        // Strings and numbers alone cannot fail to serialize.
        serde_json::to_vec(&body).unwrap_or_default()
    }
}

impl From<Invalid> for Problem {
    fn from(invalid: Invalid) -> Self {
        let field = (!invalid.field.is_empty()).then_some(invalid.field);
        Self { field, ..Self::malformed(invalid.reason) }
    }
}

impl From<PortError> for Problem {
    fn from(error: PortError) -> Self {
        let detail = match error.fault {
            Fault::Invalid => error.message.clone(),
            _ => format!("{}: {}", error.subject, error.message),
        };
        Self {
            field: error.field.clone(),
            retryable: error.fault.is_retryable(),
            cause: Some(chain(&error)),
            ..Self::new(http_status(error.fault), error.fault.code(), detail)
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = self.status;
        response.extensions_mut().insert(self);
        response
    }
}
