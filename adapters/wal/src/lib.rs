//! The write-ahead log: files with group commit, or objects in a bucket, and the Avro and Bincode codecs of its payloads.
//!
//! ```text
//! Writer (one a shard) ─ append ─> queue ─> GroupWriter (one a log) ─> Tail: FileTail | ObjectTail
//!                        sync  <─ progress ─┘        └─> Index ─> Replay
//! ```
//! The frame around a payload is `proximadb_model::frame`'s; byte table and rules are in `docs/formats/wal.adoc`.

mod avro_codec;
mod bad_payload;
mod bincode_codec;
mod codecs;
mod deadline;
mod file_tail;
mod file_wal;
mod group_writer;
mod index;
mod log;
mod medium;
mod metadata_json;
mod mirror;
mod object_tail;
mod object_wal;
mod reader;
mod recovery;
mod replay;
mod settings;
mod state;
mod tail;
mod timed_disk;
mod vector_bytes;
mod writer;

pub use avro_codec::{AvroCodec, WRITE_BATCH_SCHEMA};
pub use bincode_codec::BincodeCodec;
pub use file_wal::{FileWal, WalContext};
pub use object_wal::ObjectWal;
pub use settings::WalSettings;
