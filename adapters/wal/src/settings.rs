//! How large a log file grows and how long a log waits, for work and for its disks.

use std::time::Duration;

/// Settings of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalSettings {
    /// Bytes after which the next group goes to a new file; at most [`proximadb_model::limits::LOG_FILE_BYTES_MAX`] counts.
    /// A log of objects makes one object a group and does not ask.
    pub file_bytes_max: u64,
    /// How long a log is idle before it writes down how far it is durable, and how long a batch that nobody syncs waits at most.
    pub idle: Duration,
    /// How long the log's own disk may take for a group, or for reading a part of a file, before it counts as not answering.
    pub deadline: Duration,
    /// The same for the disk of the second copy; from then on the log goes on with one copy.
    pub mirror_deadline: Duration,
    /// How long after it failed the disk of the second copy is tried again.
    pub mirror_retry: Duration,
}

impl Default for WalSettings {
    fn default() -> Self {
        Self {
            file_bytes_max: 64 << 20,
            idle: Duration::from_millis(10),
            deadline: Duration::from_secs(10),
            mirror_deadline: Duration::from_secs(2),
            mirror_retry: Duration::from_secs(5),
        }
    }
}
