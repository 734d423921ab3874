//! What the gRPC transport can be told. Plain data.

use std::time::Duration;

use proximadb_model::limits::BODY_BYTES_MAX;

/// Settings of the gRPC transport.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrpcSettings {
    /// Starts every request id; drawn at random once a process, so that ids of two processes differ.
    pub request_id_prefix: String,
    /// Bytes of a request message after decompression.
    pub message_bytes_max: usize,
    /// Whether the server describes its services to whoever asks.
    pub reflection: bool,
    /// After so long without a word a client is asked whether it is there, and after as long again without an answer it is not.
    pub keep_alive: Duration,
}

impl Default for GrpcSettings {
    fn default() -> Self {
        let keep_alive = Duration::from_secs(60);
        Self { request_id_prefix: "grpc".to_owned(), message_bytes_max: BODY_BYTES_MAX, reflection: false, keep_alive }
    }
}
