//! The growing end of a log on a disk: one append and one sync a group, a new file when one is full or failed.

use std::sync::Arc;

use async_trait::async_trait;
use proximadb_model::frame::{Kind, LogId, Place};
use proximadb_ports::{Disk, DiskFile, Entropy, Fault, PortError, Result, mutants};

use crate::medium::file_name;
use crate::tail::{Outcome, Parts, Pending, Tail};

pub(crate) struct FileTail {
    disk: Arc<dyn Disk>,
    entropy: Arc<dyn Entropy>,
    file_bytes_max: u64,
    open: Option<OpenFile>,
    last: u32,
    durable: Place,
}

struct OpenFile {
    file: Box<dyn DiskFile>,
    log: LogId,
    end: Place,
}

impl FileTail {
    /// The tail after the file numbered `last`; nothing is made before the first group.
    pub(crate) fn new(disk: Arc<dyn Disk>, entropy: Arc<dyn Entropy>, file_bytes_max: u64, last: u32) -> Self {
        Self { disk, entropy, file_bytes_max, open: None, last, durable: Place::default() }
    }

    /// The open file, or a new one. It exists durably before anything in it can be acknowledged (the disk's G3).
    async fn file(&mut self) -> Result<OpenFile> {
        if let Some(open) = self.open.take().filter(|open| u64::from(open.end.offset) < self.file_bytes_max) {
            return Ok(open);
        }
        let next = self
            .last
            .checked_add(1)
            .ok_or_else(|| PortError::new(Fault::Exhausted, "wal.append", "the log", "has no file numbers left"))?;
        self.last = next;
        let file = self.disk.create(&file_name(next)).await?;
        Ok(OpenFile { file, log: LogId(self.entropy.bits()), end: Place { file: next, offset: 0 } })
    }

    /// Writes batches that lie in an older file, of which nobody can say whether they are durable there, and closes the file with
    /// a durable mark, so that no later recovery doubts them again.
    pub(crate) async fn settle(&mut self, doubtful: &[Pending]) -> Outcome {
        let mut outcome = self.write(doubtful).await;
        let Some(mut open) = self.open.take() else { return outcome };
        let mut parts = Parts::new(open.log, open.end, self.durable);
        parts.bare(Kind::Watermark);
        let end = parts.end();
        let marked = match open.file.append(parts.parts).await {
            Ok(()) => open.file.sync().await,
            Err(failure) => Err(failure),
        };
        outcome.file = Some((end.file, u64::from(end.offset)));
        outcome.failure = marked.err();
        outcome
    }
}

#[async_trait]
impl Tail for FileTail {
    async fn write(&mut self, group: &[Pending]) -> Outcome {
        let mut open = match self.file().await {
            Ok(open) => open,
            Err(failure) => return Outcome { failure: Some(failure), ..Outcome::default() },
        };
        let mut parts = Parts::new(open.log, open.end, self.durable);
        if open.end.offset == 0 {
            parts.bare(Kind::Start);
        }
        group.iter().for_each(|pending| parts.batch(pending));
        let end = parts.end();
        let appended = open.file.append(parts.parts).await;
        let synced = match appended {
            Ok(()) if mutants::is_on("bug_nosync") => Ok(()),
            Ok(()) => open.file.sync().await,
            Err(failure) => Err(failure),
        };
        let file = Some((end.file, u64::from(end.offset)));
        match synced {
            Ok(()) => {
                self.durable = end;
                self.open = Some(OpenFile { end, ..open });
                Outcome { file, headers: parts.headers, ..Outcome::default() }
            }
            // Nobody knows what of it is on the disk, so the file is left as it is and never written again.
            Err(failure) => Outcome { file, failure: Some(failure), ..Outcome::default() },
        }
    }

    async fn idle(&mut self) -> Outcome {
        let Some(mut open) = self.open.take() else { return Outcome::default() };
        let mut parts = Parts::new(open.log, open.end, self.durable);
        parts.bare(Kind::Watermark);
        let end = parts.end();
        let file = Some((end.file, u64::from(end.offset)));
        // It is not synced: what it says is true as soon as it can be read. A file that refuses it is left alone from now on;
        // everything acknowledged from it is durable.
        if open.file.append(parts.parts).await.is_ok() {
            self.open = Some(OpenFile { end, ..open });
        }
        Outcome { file, ..Outcome::default() }
    }

    fn active(&self) -> Option<u32> {
        self.open.as_ref().map(|open| open.end.file)
    }
}
