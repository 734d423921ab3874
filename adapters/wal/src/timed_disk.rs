//! A disk that must answer in time. Reads, lists and deletes; what is appended goes through the log's tail.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use proximadb_ports::{Disk, Result};

use crate::deadline::Deadline;

/// Bytes that are asked for at once, so that a long file on a slow disk is not taken for a disk that hangs.
const READ_BYTES_MAX: u64 = 16 << 20;

#[derive(Clone)]
pub(crate) struct TimedDisk {
    disk: Arc<dyn Disk>,
    deadline: Deadline,
}

impl TimedDisk {
    pub(crate) fn new(disk: Arc<dyn Disk>, deadline: Deadline) -> Self {
        Self { disk, deadline }
    }

    /// The disk itself, for an operation that [`TimedDisk::deadline`] runs.
    pub(crate) fn disk(&self) -> Arc<dyn Disk> {
        Arc::clone(&self.disk)
    }

    pub(crate) fn deadline(&self) -> &Deadline {
        &self.deadline
    }

    pub(crate) async fn list(&self) -> Result<Vec<(String, u64)>> {
        let disk = self.disk();
        self.deadline.run(async move { disk.list().await }).await?
    }

    /// Reads a whole file, part by part.
    pub(crate) async fn read(&self, name: &str) -> Result<Bytes> {
        let first = self.read_at(name, 0, READ_BYTES_MAX).await?;
        if (first.len() as u64) < READ_BYTES_MAX {
            return Ok(first);
        }
        let mut whole = BytesMut::from(first);
        loop {
            let part = self.read_at(name, whole.len() as u64, READ_BYTES_MAX).await?;
            whole.extend_from_slice(&part);
            if (part.len() as u64) < READ_BYTES_MAX {
                return Ok(whole.freeze());
            }
        }
    }

    pub(crate) async fn read_at(&self, name: &str, offset: u64, bytes: u64) -> Result<Bytes> {
        let (disk, name) = (self.disk(), name.to_owned());
        self.deadline.run(async move { disk.read_at(&name, offset, bytes).await }).await?
    }

    pub(crate) async fn delete(&self, name: &str) -> Result<()> {
        let (disk, name) = (self.disk(), name.to_owned());
        self.deadline.run(async move { disk.delete(&name).await }).await?
    }
}
