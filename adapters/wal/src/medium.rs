//! Where a log's numbered files lie: a disk, or a prefix of a bucket. Names them; knows nothing of what is in them.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use proximadb_ports::{Fault, Filesystem, PortError, Result};

use crate::timed_disk::TimedDisk;

/// Files of a log by number.
#[derive(Clone)]
pub(crate) enum Medium {
    Disk(TimedDisk),
    Bucket { objects: Arc<dyn Filesystem>, prefix: String },
}

/// Twenty digits, so that the order of the names is that of the numbers.
pub(crate) fn file_name(file: u32) -> String {
    format!("{file:020}.wal")
}

/// The numbers among the names of files, in their order, with the sizes; names that are none of a log's are passed over.
pub(crate) fn numbered(named: Vec<(String, u64)>) -> BTreeMap<u32, u64> {
    named.into_iter().filter_map(|(name, bytes)| Some((number_of(&name)?, bytes))).collect()
}

fn number_of(name: &str) -> Option<u32> {
    let digits = name.strip_suffix(".wal").filter(|d| d.len() == 20 && d.bytes().all(|b| b.is_ascii_digit()))?;
    digits.parse().ok().filter(|n| *n > 0)
}

impl Medium {
    /// Whether every file is written in one piece, so that there is no torn tail.
    pub(crate) fn writes_whole(&self) -> bool {
        matches!(self, Self::Bucket { .. })
    }

    pub(crate) fn key(&self, file: u32) -> String {
        match self {
            Self::Disk(_) => file_name(file),
            Self::Bucket { prefix, .. } if prefix.is_empty() => file_name(file),
            Self::Bucket { prefix, .. } => format!("{prefix}/{}", file_name(file)),
        }
    }

    /// Numbers and sizes of the files.
    pub(crate) async fn list(&self) -> Result<BTreeMap<u32, u64>> {
        let named: Vec<(String, u64)> = match self {
            Self::Disk(disk) => disk.list().await?,
            Self::Bucket { objects, prefix } => {
                let strip = |key: String| match prefix.as_str() {
                    "" => Some(key),
                    prefix => key.strip_prefix(prefix)?.strip_prefix('/').map(str::to_owned),
                };
                objects.list(prefix).await?.into_iter().filter_map(|o| Some((strip(o.key)?, o.bytes))).collect()
            }
        };
        Ok(numbered(named))
    }

    pub(crate) async fn read(&self, file: u32) -> Result<Bytes> {
        match self {
            Self::Disk(disk) => disk.read(&self.key(file)).await,
            Self::Bucket { objects, .. } => objects.get(&self.key(file)).await,
        }
    }

    /// Reads a range; fewer bytes where the file ends before.
    pub(crate) async fn read_at(&self, file: u32, offset: u64, bytes: u64) -> Result<Bytes> {
        match self {
            Self::Disk(disk) => disk.read_at(&self.key(file), offset, bytes).await,
            Self::Bucket { objects, .. } => {
                let key = self.key(file);
                let short = || PortError::new(Fault::Corrupt, "wal.replay", &key, "the object is shorter than it was");
                let range = offset..offset.saturating_add(bytes);
                let mut parts = match objects.get_ranges(&key, std::slice::from_ref(&range)).await {
                    Err(e) if e.fault == Fault::Invalid => return Err(short().with_source(e)),
                    other => other?,
                };
                parts.pop().ok_or_else(short)
            }
        }
    }

    pub(crate) async fn delete(&self, file: u32) -> Result<()> {
        match self {
            Self::Disk(disk) => disk.delete(&self.key(file)).await,
            Self::Bucket { objects, .. } => objects.delete(&self.key(file)).await,
        }
    }
}
