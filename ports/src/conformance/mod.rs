//! The suites that adapters run against themselves: one function a port, one property a guarantee.

pub mod assigner;
pub mod clock;
pub mod database;
pub mod disk;
pub mod filesystem;
pub mod index;
pub mod metric;
pub mod mirror;
pub mod segment;
pub mod telemetry;
pub mod wal;

mod recording_database;

pub use recording_database::{Call, Mishap, RecordingDatabase};
