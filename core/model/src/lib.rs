//! The words and decisions of ProximaDB: pure, synchronous, without IO, clocks or random sources.
//!
//! Everything a type promises is checked when it is made; inside, a broken promise is a bug.

mod assign;
mod batch;
mod collection;
mod field_index;
mod filter;
pub mod frame;
mod id_table;
mod ids;
mod invalid;
pub mod limits;
mod manifest;
mod manifest_codec;
mod memtable;
mod metric;
mod name;
pub mod plan;
mod record;
mod row_set;
mod rows;
mod time;
mod topk;
mod value;

pub use assign::{DiskKind, SiteMap, SiteView, Strategy, Subject};
pub use batch::{CodecId, EncodedOperations, IdempotencyTag, Operation, WriteBatch};
pub use collection::{Collection, CollectionPatch, CollectionSpec, FieldType, IndexKind, IndexSettings, PinnedMetric, Schema};
pub use field_index::{FieldIndex, FieldIndexBuilder};
pub use filter::{Filter, OPERATORS, Test, paths as filter_paths};
pub use id_table::{IdHash, IdTable, hash_of};
pub use ids::{CollectionId, Epoch, FileId, Lsn, ManifestNumber, Sequence, ShardId, SiteId, Uid};
pub use invalid::Invalid;
pub use manifest::{Manifest, RememberedWrite, SegmentEntry, SegmentMeta, ShardState, SidecarMeta};
pub use memtable::{Block, Memtable};
pub use metric::{BUILT_IN_METRICS, MetricKind, ScoreKind, is_plugin_name};
pub use name::{CollectionName, CollectionRef, RecordId};
pub use record::{Dimension, Record, Vector, check_vector};
pub use row_set::RowSet;
pub use rows::{Projection, Rows};
pub use time::Timestamp;
pub use topk::{Candidate, TopK};
pub use value::{Metadata, Value};
