//! The growing end of a log on a disk: one append and one sync a group, a new file when one is full or failed.
//! Where there is a second disk, the same bytes go to both at the same time.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use proximadb_model::frame::{Kind, LogId, Place};
use proximadb_ports::{Disk, DiskFile, Entropy, Fault, PortError, Result, mutants};

use crate::medium::file_name;
use crate::mirror::Mirror;
use crate::tail::{Outcome, Parts, Pending, Tail};
use crate::timed_disk::TimedDisk;

pub(crate) struct FileTail {
    disk: TimedDisk,
    mirror: Option<Arc<Mirror>>,
    entropy: Arc<dyn Entropy>,
    file_bytes_max: u64,
    open: Option<OpenFile>,
    last: u32,
    durable: Place,
    /// Whether everything up to there is durable in the second copy of that file, too.
    durable_twice: bool,
}

struct OpenFile {
    /// `None` while the file has yet to be made.
    file: Option<Box<dyn DiskFile>>,
    second: Second,
    log: LogId,
    end: Place,
}

/// The second copy of a file.
enum Second {
    /// There is none, or it has been left.
    None,
    ToMake,
    Open(Box<dyn DiskFile>),
}

/// One write to one copy of a file.
struct Job {
    /// Where to make the file; `None` when it is open.
    make: Option<Arc<dyn Disk>>,
    name: String,
    file: Option<Box<dyn DiskFile>>,
    parts: Vec<Bytes>,
    sync: bool,
}

/// What became of it.
struct Done {
    /// Whether the file is there, whatever is in it.
    made: bool,
    file: Result<Box<dyn DiskFile>>,
}

impl Job {
    async fn run(self) -> Done {
        let mut file = match (self.file, self.make) {
            (Some(file), _) => file,
            (None, Some(disk)) => match disk.create(&self.name).await {
                Ok(file) => file,
                Err(failure) => return Done { made: false, file: Err(failure) },
            },
            (None, None) => return Done { made: false, file: Err(left(&self.name)) },
        };
        let mut written = file.append(self.parts).await;
        if written.is_ok() && self.sync && !mutants::is_on("bug_nosync") {
            written = file.sync().await;
        }
        Done { made: true, file: written.map(|()| file) }
    }
}

fn left(name: &str) -> PortError {
    PortError::new(Fault::Internal, "wal.append", name, "the file was left and is written again")
}

impl FileTail {
    /// The tail after the file numbered `last`; nothing is made before the first group.
    pub(crate) fn new(disk: TimedDisk, mirror: Option<Arc<Mirror>>, entropy: Arc<dyn Entropy>, file_bytes_max: u64, last: u32) -> Self {
        Self { disk, mirror, entropy, file_bytes_max, open: None, last, durable: Place::default(), durable_twice: true }
    }

    /// The open file, or the next one, which the first write to it makes: it exists durably before anything in it can be
    /// acknowledged (the disk's G3).
    fn file(&mut self) -> Result<OpenFile> {
        if let Some(open) = self.open.take().filter(|open| u64::from(open.end.offset) < self.file_bytes_max) {
            return Ok(open);
        }
        // No number is used up while the disk does not answer.
        self.disk.deadline().check()?;
        let seen = self.mirror.as_ref().map_or(0, |mirror| mirror.last_file());
        let next = self
            .last
            .max(seen)
            .checked_add(1)
            .ok_or_else(|| PortError::new(Fault::Exhausted, "wal.append", "the log", "has no file numbers left"))?;
        self.last = next;
        let second = if self.mirrors() { Second::ToMake } else { Second::None };
        if matches!(second, Second::ToMake) && !self.durable_twice {
            // What is said in a second copy must hold there.
            self.durable = Place::default();
        }
        Ok(OpenFile { file: None, second, log: LogId(self.entropy.bits()), end: Place { file: next, offset: 0 } })
    }

    /// Appends to both copies at the same time, and gives the file back when the own copy has taken everything. A second copy that
    /// fails is left, and so is the whole file when the own copy fails: nobody knows what of it is on the disk.
    async fn append(&mut self, open: OpenFile, parts: &Parts, sync: bool) -> (bool, Result<OpenFile>) {
        let OpenFile { file, second, log, .. } = open;
        let name = file_name(parts.end().file);
        let made = file.is_some();
        let own = Job { make: Some(self.disk.disk()), name: name.clone(), file, parts: parts.parts.clone(), sync };
        let copy = async {
            let (mirror, file) = match (&self.mirror, second) {
                (Some(mirror), Second::ToMake) => (mirror, None),
                (Some(mirror), Second::Open(file)) => (mirror, Some(file)),
                _ => return None,
            };
            let copied = async {
                let make = if file.is_none() { Some(mirror.disk()?.disk()) } else { None };
                let job = Job { make, name, file, parts: parts.parts.clone(), sync };
                mirror.disk()?.deadline().run(job.run()).await?.file
            };
            Some(copied.await.inspect_err(|failure| mirror.fail(failure)))
        };
        let (own, copy) = tokio::join!(self.disk.deadline().run(own.run()), copy);
        // An operation that is overdue may still make the file.
        let there = made || copy.is_some() || own.as_ref().map_or(true, |done| done.made);
        let second = match copy {
            Some(Ok(file)) => Second::Open(file),
            Some(Err(_)) | None => Second::None,
        };
        let file = own.and_then(|done| done.file);
        (there, file.map(|file| OpenFile { file: Some(file), second, log, end: parts.end() }))
    }

    /// Ends a file that has no second copy with a durable mark, so that the next one can have one.
    async fn end_single(&mut self) -> Option<(u32, u64)> {
        let single = |open: &mut OpenFile| matches!(open.second, Second::None);
        if !self.mirrors() {
            return None;
        }
        let open = self.open.take_if(single)?;
        let mut parts = Parts::new(open.log, open.end, self.durable);
        parts.bare(Kind::Watermark);
        let (_, marked) = self.append(open, &parts, true).await;
        if let Err(failure) = marked {
            // Everything acknowledged from the file is durable; only damage at its end would now go unnoticed.
            tracing::warn!(error = ?failure, "a log file could not be ended with a mark");
        }
        Some((parts.end().file, u64::from(parts.end().offset)))
    }

    /// Writes batches that lie in an older file, of which nobody can say whether they are durable there, and closes the file with
    /// a durable mark, so that no later recovery doubts them again.
    pub(crate) async fn settle(&mut self, doubtful: &[Pending]) -> Outcome {
        let mut outcome = self.write(doubtful).await;
        let Some(open) = self.open.take() else { return outcome };
        let mut parts = Parts::new(open.log, open.end, self.durable);
        parts.bare(Kind::Watermark);
        let (_, marked) = self.append(open, &parts, true).await;
        outcome.file = Some((parts.end().file, u64::from(parts.end().offset)));
        outcome.failure = marked.err();
        outcome
    }
}

#[async_trait]
impl Tail for FileTail {
    async fn write(&mut self, group: &[Pending]) -> Outcome {
        let ended = self.end_single().await;
        let open = match self.file() {
            Ok(open) => open,
            Err(failure) => return Outcome { ended, failure: Some(failure), ..Outcome::default() },
        };
        let mut parts = Parts::new(open.log, open.end, self.durable);
        if open.end.offset == 0 {
            parts.bare(Kind::Start);
        }
        group.iter().for_each(|pending| parts.batch(pending));
        let end = parts.end();
        let (there, written) = self.append(open, &parts, true).await;
        let file = there.then_some((end.file, u64::from(end.offset)));
        match written {
            Ok(open) => {
                self.durable = end;
                let mirrored = matches!(open.second, Second::Open(_));
                self.durable_twice = mirrored;
                if let Some(mirror) = self.mirror.as_ref().filter(|_| mirrored) {
                    mirror.succeed();
                }
                self.open = Some(open);
                Outcome { file, ended, headers: parts.headers, mirrored, ..Outcome::default() }
            }
            Err(failure) => Outcome { file, ended, failure: Some(failure), ..Outcome::default() },
        }
    }

    async fn idle(&mut self) -> Outcome {
        let Some(open) = self.open.take() else { return Outcome::default() };
        let mut parts = Parts::new(open.log, open.end, self.durable);
        parts.bare(Kind::Watermark);
        let end = parts.end();
        // It is not synced: what it says is true as soon as it can be read. A file that refuses it is left alone from now on;
        // everything acknowledged from it is durable.
        self.open = self.append(open, &parts, false).await.1.ok();
        Outcome { file: Some((end.file, u64::from(end.offset))), ..Outcome::default() }
    }

    fn mirrors(&self) -> bool {
        self.mirror.as_ref().is_some_and(|mirror| mirror.is_up())
    }

    fn active(&self) -> Option<u32> {
        self.open.as_ref().map(|open| open.end.file)
    }
}
