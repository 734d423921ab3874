//! What the REST transport can be told. Plain data.

use std::time::Duration;

use proximadb_model::limits::BODY_BYTES_MAX;

/// Settings of the REST transport.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestSettings {
    /// Starts every request id; drawn at random once a process, so that ids of two processes differ.
    pub request_id_prefix: String,
    /// Bytes of a request body after decompression.
    pub body_bytes_max: usize,
    /// How long a client may take from one request to the head of its next.
    pub header_timeout: Duration,
    /// How long a client may pause while it sends a body.
    pub body_timeout: Duration,
}

impl Default for RestSettings {
    fn default() -> Self {
        let (header_timeout, body_timeout) = (Duration::from_secs(60), Duration::from_secs(30));
        Self { request_id_prefix: "rest".to_owned(), body_bytes_max: BODY_BYTES_MAX, header_timeout, body_timeout }
    }
}
