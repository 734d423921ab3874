//! Settings: the defaults, then a TOML file, then `PROXIMADB_` variables; and the sites that they describe.
//! Opens nothing but the one file it is given, and reads neither the environment nor the working directory by itself.

mod check;
mod environment;
mod error;
mod keys;
mod load;
mod location;
mod object_store;
mod pairing;
mod plugins;
mod server;
mod settings;
mod sites;
mod storage;
mod wal;

pub use error::ConfigError;
pub use object_store::{ObjectStoreOptions, ObjectStoreSettings};
pub use plugins::{PluginHostSettings, PluginKind, PluginLimits, PluginSettings, TraverseBy};
pub use server::ServerSettings;
pub use settings::{ComputeSettings, LogSettings, MemorySettings, Originals, SearchSettings, Settings};
pub use sites::SiteSettings;
pub use storage::{BasePath, DiskType, SegmentSettings, StorageLayout, StorageSettings};
pub use wal::{Codec, DistributionStrategy, WalSettings};
