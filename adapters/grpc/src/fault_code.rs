//! The one table from fault to gRPC code; the REST adapter has its twin.

use proximadb_ports::Fault;
use tonic::Code;

/// The code that a fault is answered with.
///
/// A write fenced off by another owner is `UNAVAILABLE`, since the same request succeeds once it reaches that owner; a failed
/// plugin is `UNKNOWN`, the code for errors from somebody else's code.
pub fn grpc_code(fault: Fault) -> Code {
    match fault {
        Fault::Invalid => Code::InvalidArgument,
        Fault::NotFound => Code::NotFound,
        Fault::Conflict => Code::AlreadyExists,
        Fault::Exhausted => Code::ResourceExhausted,
        Fault::Deadline => Code::DeadlineExceeded,
        Fault::Fenced | Fault::Unavailable => Code::Unavailable,
        Fault::Corrupt => Code::DataLoss,
        Fault::Plugin => Code::Unknown,
        Fault::Internal => Code::Internal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_has_its_code() {
        let table: Vec<String> = Fault::ALL.iter().map(|f| format!("{} {:?} {}", f.code(), grpc_code(*f), f.is_retryable())).collect();
        let golden = [
            "invalid_argument InvalidArgument false",
            "not_found NotFound false",
            "conflict AlreadyExists false",
            "fenced Unavailable true",
            "exhausted ResourceExhausted true",
            "deadline_exceeded DeadlineExceeded true",
            "unavailable Unavailable true",
            "corrupt DataLoss false",
            "plugin_failed Unknown false",
            "internal Internal false",
        ];
        assert_eq!(table, golden);
    }
}
