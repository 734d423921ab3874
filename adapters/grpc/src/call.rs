//! One call: its id, its deadline, and how its end is told.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use proximadb_model::Invalid;
use proximadb_ports::{Fault, PortError};
use tonic::codegen::http::HeaderMap;
use tonic::metadata::{AsciiMetadataValue, MetadataMap};
use tonic::{Response, Status};

use crate::error_details::status;

/// The header that says how long the client waits.
const TIMEOUT: &str = "grpc-timeout";

/// How long the client waits, where it says so.
pub(crate) fn timeout_of(headers: &HeaderMap) -> Option<Duration> {
    timeout(headers.get(TIMEOUT)?.to_str().ok()?)
}

/// Why a call failed.
pub(crate) struct Refusal(pub(crate) PortError);

impl From<Invalid> for Refusal {
    fn from(invalid: Invalid) -> Self {
        Self(PortError::invalid("grpc.read", invalid))
    }
}

impl From<PortError> for Refusal {
    fn from(error: PortError) -> Self {
        Self(error)
    }
}

/// Gives out request ids: a prefix of the process and a count.
pub(crate) struct RequestIds {
    prefix: String,
    next: AtomicU64,
}

impl RequestIds {
    pub(crate) fn new(prefix: &str) -> Self {
        // What metadata cannot carry must not cost the id of every answer.
        let prefix = prefix.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
        Self { prefix, next: AtomicU64::new(1) }
    }

    pub(crate) fn open(&self, metadata: &MetadataMap) -> Call {
        let id = format!("{}-{:x}", self.prefix, self.next.fetch_add(1, Ordering::Relaxed));
        Call { id, time: metadata.get(TIMEOUT).and_then(|t| timeout(t.to_str().ok()?)) }
    }
}

/// A call under way.
pub(crate) struct Call {
    id: String,
    /// What its deadline left when it came.
    pub(crate) time: Option<Duration>,
}

impl Call {
    /// Ends the call.
    pub(crate) fn close<T>(&self, outcome: Result<T, Refusal>) -> Result<Response<T>, Status> {
        self.close_with(outcome, &[])
    }

    /// Ends the call, and has a failure say `more`.
    pub(crate) fn close_with<T>(&self, outcome: Result<T, Refusal>, more: &[(&str, String)]) -> Result<Response<T>, Status> {
        let id = AsciiMetadataValue::try_from(&self.id).ok();
        match outcome {
            Ok(message) => {
                let mut response = Response::new(message);
                response.metadata_mut().extend_id(id);
                Ok(response)
            }
            Err(Refusal(error)) => {
                if matches!(error.fault, Fault::Internal | Fault::Corrupt | Fault::Plugin | Fault::Unavailable | Fault::Exhausted) {
                    tracing::error!(request_id = %self.id, code = error.fault.code(), cause = ?error);
                }
                let mut status = status(&error, &self.id, more);
                status.metadata_mut().extend_id(id);
                Err(status)
            }
        }
    }
}

/// Putting the id where there is one.
trait ExtendId {
    fn extend_id(&mut self, id: Option<AsciiMetadataValue>);
}

impl ExtendId for MetadataMap {
    fn extend_id(&mut self, id: Option<AsciiMetadataValue>) {
        if let Some(id) = id {
            self.insert("x-request-id", id);
        }
    }
}

/// Reads the header `grpc-timeout`: at most eight digits and a unit.
fn timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let amount: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(amount * 3_600),
        "M" => Duration::from_secs(amount * 60),
        "S" => Duration::from_secs(amount),
        "m" => Duration::from_millis(amount),
        "u" => Duration::from_micros(amount),
        "n" => Duration::from_nanos(amount),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_read_as_grpc_writes_them() {
        for (text, expected) in [
            ("1S", Some(Duration::from_secs(1))),
            ("2M", Some(Duration::from_secs(120))),
            ("99999999H", Some(Duration::from_secs(99_999_999 * 3_600))),
            ("250m", Some(Duration::from_millis(250))),
            ("5u", Some(Duration::from_micros(5))),
            ("", None),
            ("S", None),
            ("1", None),
            ("-1S", None),
            ("123456789S", None),
            ("1é", None),
        ] {
            assert_eq!(timeout(text), expected, "{text}");
        }
    }
}
