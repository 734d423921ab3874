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
    /// How long calls under way may take once the server shuts down.
    pub drain: Duration,
}

impl Default for GrpcSettings {
    fn default() -> Self {
        let drain = Duration::from_secs(30);
        Self { request_id_prefix: "grpc".to_owned(), message_bytes_max: BODY_BYTES_MAX, reflection: false, drain }
    }
}
