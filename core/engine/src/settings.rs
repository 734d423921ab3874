//! What the engine is told about sizes and times; plain data with tested defaults.

use std::time::Duration;

use proximadb_model::plan::{FlushSettings, MaintenanceSettings, MemorySettings, RoomSettings};

/// Settings of the engine.
#[derive(Clone, Debug, PartialEq)]
pub struct EngineSettings {
    /// When memtables are flushed.
    pub flush: FlushSettings,
    /// When segments are merged and indexed.
    pub maintenance: MaintenanceSettings,
    /// A shard without writes for so long is tidied up.
    pub quiet_after: Duration,
    /// Bytes of a site's log from which on the shards that hold its oldest file are flushed.
    pub wal_bytes_max: u64,
    /// How often the logs are looked at.
    pub wal_check_every: Duration,
    /// What everything that is held in memory may take.
    pub memory: MemorySettings,
    /// Bytes of fields that are kept in memory for filters, over all segments.
    pub filter_bytes_max: usize,
    /// How long a search may take that does not say so itself.
    pub search_timeout: Duration,
    /// How long to wait before failed background work is tried again.
    pub retry_after: Duration,
    /// How often the state of each site is looked at.
    pub site_check_every: Duration,
    /// How long a site may take to answer such a look, and how long a start waits for a site before it serves the others.
    pub site_answer_within: Duration,
    /// Room that a disk must have left.
    pub room: RoomSettings,
    /// Bytes of stored files that are read and checked again each second; 0 for as many as the disk gives.
    pub scrub_bytes_per_second: u64,
    /// How often all stored files are read again.
    pub scrub_every: Duration,
}

impl Default for EngineSettings {
    fn default() -> Self {
        Self {
            flush: FlushSettings::default(),
            maintenance: MaintenanceSettings::default(),
            quiet_after: Duration::from_secs(2),
            wal_bytes_max: 1 << 30,
            wal_check_every: Duration::from_secs(5),
            memory: MemorySettings::default(),
            filter_bytes_max: 256 << 20,
            search_timeout: Duration::from_secs(30),
            retry_after: Duration::from_secs(1),
            site_check_every: Duration::from_secs(1),
            site_answer_within: Duration::from_secs(3),
            room: RoomSettings::default(),
            scrub_bytes_per_second: 8 << 20,
            scrub_every: Duration::from_secs(6 * 3_600),
        }
    }
}
