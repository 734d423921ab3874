//! The one table from fault to HTTP status; the gRPC adapter has its twin.

use axum::http::StatusCode;
use proximadb_ports::Fault;

/// The status that a fault is answered with.
///
/// A full disk and a full queue are one fault, so both are 507, which is retryable; a write fenced off by another owner is 503,
/// since the same request succeeds once it reaches that owner; a failed plugin is a bad gateway, 502.
pub fn http_status(fault: Fault) -> StatusCode {
    match fault {
        Fault::Invalid => StatusCode::BAD_REQUEST,
        Fault::NotFound => StatusCode::NOT_FOUND,
        Fault::Conflict => StatusCode::CONFLICT,
        Fault::Exhausted => StatusCode::INSUFFICIENT_STORAGE,
        Fault::Deadline => StatusCode::GATEWAY_TIMEOUT,
        Fault::Fenced | Fault::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Fault::Plugin => StatusCode::BAD_GATEWAY,
        Fault::Corrupt | Fault::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_has_its_status() {
        let table: Vec<String> =
            Fault::ALL.iter().map(|f| format!("{} {} {}", f.code(), http_status(*f).as_u16(), f.is_retryable())).collect();
        let golden = [
            "invalid_argument 400 false",
            "not_found 404 false",
            "conflict 409 false",
            "fenced 503 true",
            "exhausted 507 true",
            "deadline_exceeded 504 true",
            "unavailable 503 true",
            "corrupt 500 false",
            "plugin_failed 502 false",
            "internal 500 false",
        ];
        assert_eq!(table, golden);
    }
}
