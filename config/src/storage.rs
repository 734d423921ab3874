//! Disks and buckets as the user names them. Which log goes with which of them is found out in `sites`.

use proximadb_model::DiskKind;
use serde::{Deserialize, Serialize};

use crate::object_store::ObjectStoreSettings;
use crate::wal::WalSettings;

/// Where and how data is kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StorageSettings {
    /// The write-ahead logs.
    pub wal_config: WalSettings,
    /// The places of segments and indexes.
    pub storage_layout: StorageLayout,
    /// How segments are written.
    pub segment: SegmentSettings,
    /// How disks are watched, and what room they must have.
    pub disk: DiskSettings,
    /// Credentials and endpoints of buckets.
    pub object_store: ObjectStoreSettings,
}

/// The places of segments and indexes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StorageLayout {
    /// One entry for each disk or bucket.
    pub base_paths: Vec<BasePath>,
}

/// One disk or bucket.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BasePath {
    /// A folder, as a path or as a `file`, `s3`, `adls`, `abfs`, `abfss`, `gcs` or `gs` URL.
    pub base_dir: String,
    /// The number by which manual placement knows it; the lowest free one from 1 by default.
    #[serde(default)]
    pub instance_id: Option<u32>,
    /// What kind of disk it is; `SataSsd` by default. A bucket takes none.
    #[serde(default)]
    pub disk_type: Option<DiskType>,
    /// Its share of new shards relative to the others.
    #[serde(default = "one")]
    pub weight: f32,
    /// Words that placement plugins may look at.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Bytes that may be used; all there are by default.
    #[serde(default)]
    pub capacity_bytes: Option<u64>,
}

fn one() -> f32 {
    1.0
}

/// A kind of disk in the words of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum DiskType {
    /// Flash on PCIe.
    NvmeSsd {
        /// Operations a second that it is rated for.
        max_iops: u32,
    },
    /// Flash on SATA.
    SataSsd,
    /// Spinning disk.
    Hdd,
    /// A file system behind a network.
    NetworkStorage {
        /// Time of one round trip.
        latency_ms: u32,
    },
}

impl From<DiskType> for DiskKind {
    fn from(disk: DiskType) -> Self {
        match disk {
            DiskType::NvmeSsd { max_iops } => Self::NvmeSsd { max_iops },
            DiskType::SataSsd => Self::SataSsd,
            DiskType::Hdd => Self::Hdd,
            DiskType::NetworkStorage { latency_ms } => Self::NetworkStorage { latency_ms },
        }
    }
}

/// How segments are written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SegmentSettings {
    /// Level of zstd, 1 (fast) to 22 (small).
    pub compression_level: u8,
}

impl Default for SegmentSettings {
    fn default() -> Self {
        Self { compression_level: 3 }
    }
}

/// How disks are watched, and what room they must have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DiskSettings {
    /// Milliseconds between two looks at each disk.
    pub check_every_ms: u64,
    /// Milliseconds that a disk may take to answer such a look, and that a start waits for it before the others are served.
    pub answer_within_ms: u64,
    /// Milliseconds after which a read or write that has not ended has failed; a large one gets more.
    pub deadline_ms: u64,
    /// Milliseconds after which the second copy of a write is given up, and the write goes on with one.
    pub copy_deadline_ms: u64,
    /// Free bytes below which a disk is called low; at most a tenth of the disk counts.
    pub warn_free_bytes: u64,
    /// Free bytes below which records are refused, while deletes and compaction go on; at most a twentieth of the disk counts.
    pub refuse_free_bytes: u64,
    /// Bytes that are kept back for when there is no other room; at most a hundredth of the disk counts.
    pub reserve_bytes: u64,
    /// Bytes of stored files that are read and checked again each second; 0 for as many as the disk gives.
    pub scrub_bytes_per_second: u64,
    /// Seconds between two such readings of everything.
    pub scrub_every_seconds: u64,
}

impl Default for DiskSettings {
    fn default() -> Self {
        Self {
            check_every_ms: 1_000,
            answer_within_ms: 3_000,
            deadline_ms: 5_000,
            copy_deadline_ms: 500,
            warn_free_bytes: 5 << 30,
            refuse_free_bytes: 1 << 30,
            reserve_bytes: 64 << 20,
            scrub_bytes_per_second: 8 << 20,
            scrub_every_seconds: 6 * 3_600,
        }
    }
}
