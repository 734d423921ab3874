//! VIPER: segments as plain Parquet files that other readers open without us.
//!
//! Owns the columns, the encodings and the reading of segments. Knows nothing of manifests, logs, indexes or deletes.

mod batch;
mod bounds;
mod cache;
mod column;
mod compact;
mod error;
mod evaluate;
mod file;
mod footer;
mod layout;
mod lookup;
mod options;
mod originals;
mod pages;
mod plain;
mod reader;
mod remainder;
mod select;
mod store;
mod values;
mod verdict;
mod writer;

pub use options::{Compression, ViperOptions};
pub use plain::read_plain;
pub use store::ViperStore;
