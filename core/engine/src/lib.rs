//! The use cases of ProximaDB over its ports: collections, shards with one writer each, snapshots for readers.
//!
//! Knows no runtime, no file, no socket, no clock and no random source; they come as [`Parts`].

mod background;
mod catalog;
mod columns;
mod cursor;
mod engine;
mod env;
mod fallback;
mod fingerprint;
mod layout;
mod memory;
mod parts;
mod placement;
mod read;
mod recover;
mod repair;
mod resolve;
mod search;
mod segment_build;
mod settings;
mod shard;
mod shard_files;
mod site;
mod snapshot;
mod writer;

pub use engine::Engine;
pub use fallback::FallbackAssigner;
pub use layout::SHARDS;
pub use parts::{MetricSource, Parts, SiteAccess, SiteOpener, SiteParts};
pub use placement::BuiltinAssigner;
pub use settings::EngineSettings;
pub use site::site_identity;
