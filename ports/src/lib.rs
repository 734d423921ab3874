//! The roles that the engine needs played. Traits and their promises only; adapters play them.
//!
//! Each port numbers its guarantees (G1, G2, …); behind the feature `conformance` there is one property a guarantee, and every
//! adapter runs the suite of its port.

mod admission;
mod assigner;
mod budget;
mod clock;
mod database;
mod disk;
mod error;
mod filesystem;
mod index;
mod mirror;
mod plugins;
mod segment;
mod telemetry;
mod wal;

#[cfg(feature = "conformance")]
pub mod conformance;
pub mod mutants;

pub use admission::{ChangeOrder, NewPatch, WriteLists, check_components, check_site};
pub use assigner::Assigner;
pub use budget::Budget;
pub use clock::{BoxFuture, Clock, Entropy, Executor};
pub use database::{
    Assignment, Change, CollectionInfo, Created, Database, Durability, Health, Hit, IN_STEP, IndexStatus, Loss, MemoryStatus, NewRecord,
    PluginStatus, Query, ReadOptions, Recovered, ScanPage, ScanRequest, SearchRequest, SearchResponse, SearchStats, SegmentExplain,
    SegmentStatus, SiteStatus, StoredRecord, TaskStatus, WriteOutcome, WriteRequest,
};
pub use disk::{Disk, DiskFile};
pub use error::{Fault, PortError, Result, chain};
pub use filesystem::{Filesystem, ObjectInfo, PutMode, Reserve, Space};
pub use index::{
    IndexFactory, IndexSpec, Lent, Metric, MetricDescriptor, Originals, Scorer, SearchCounters, SearchParams, Traverse, VectorIndex,
    Vectors,
};
pub use mirror::{Mirror, Partner};
pub use plugins::{NoPlugins, PluginList};
pub use segment::{RowStream, SegmentReader, SegmentStore, Selection, ValueVisitor};
pub use telemetry::{Label, Telemetry};
pub use wal::{BatchStream, Wal, WalCodec, WalHolders, WalStats, WalWriter};
