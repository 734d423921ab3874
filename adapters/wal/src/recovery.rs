//! Reading a whole log once, when it is opened, in all its copies. One bad file never keeps the others from being read.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use proximadb_model::frame::{self, Damage, HEADER_BYTES, Header, Kind, LogId, Place, Scan, TRAILER_BYTES, scan, scan_copies};
use proximadb_ports::{Fault, Result};

use crate::index::Index;
use crate::medium::{Medium, file_name};
use crate::mirror::Mirror;
use crate::timed_disk::TimedDisk;

/// What was found.
pub(crate) struct Recovered {
    pub(crate) index: Index,
    /// Files that only the second copy has, oldest first.
    pub(crate) missing: Vec<Missing>,
    /// Files of the second copy from before everything that the log has.
    pub(crate) leftovers: Vec<u32>,
}

/// A file that the own disk has lost.
pub(crate) struct Missing {
    pub(crate) file: u32,
    log: Option<LogId>,
    proven: u32,
}

impl Missing {
    /// Puts a file in its place that says how much there was. Without it the second copies of lost files would look like leftovers
    /// as soon as the log has a later file, and the loss of those copies too would go unnoticed.
    ///
    /// # Errors
    /// Those of the disk.
    pub(crate) async fn take_place(self, disk: &TimedDisk) -> Result<()> {
        let (own, name) = (disk.disk(), file_name(self.file));
        let start = self.log.filter(|_| self.proven > 0).map(|log| {
            let header =
                Header::bare(Kind::Start, log, Place { file: self.file, offset: 0 }, Place { file: self.file, offset: self.proven });
            let (head, trailer) = header.around("", &[]);
            vec![head, Bytes::copy_from_slice(&trailer)]
        });
        let make = async move {
            let mut file = own.create(&name).await?;
            if let Some(start) = start {
                file.append(start).await?;
                file.sync().await?;
            }
            Ok(())
        };
        disk.deadline().run(make).await?
    }
}

/// One file, read.
struct Read {
    bytes: u64,
    scan: Scan,
    missing: bool,
}

/// How far files are proven durable: by either copy, and by the second one.
#[derive(Default)]
struct Proofs {
    any: Durable,
    second: Durable,
}

#[derive(Default)]
struct Durable(BTreeMap<u32, u64>);

impl Durable {
    fn add(&mut self, places: &[Place]) {
        for place in places {
            let known = self.0.entry(place.file).or_default();
            *known = u64::from(place.offset).max(*known);
        }
    }

    fn of(&self, file: u32) -> u64 {
        self.0.get(&file).copied().unwrap_or(0)
    }
}

/// Builds the index of everything in the log.
pub(crate) async fn recover(medium: &Medium, mirror: Option<&Mirror>) -> Result<Recovered> {
    let files = medium.list().await?;
    let mut second = match mirror {
        Some(mirror) => mirror.list().await,
        None => None,
    };
    let leftovers = leftovers(&files, &mut second);
    let numbers: BTreeSet<u32> = files.keys().chain(second.iter().flat_map(|(_, files)| files.keys())).copied().collect();
    let mut proofs = Proofs::default();
    let mut reads = Vec::with_capacity(numbers.len());
    // Latest first: only later files say how far an earlier one was durable at its end.
    for file in numbers.into_iter().rev() {
        let own = Own { listed: files.get(&file).copied(), file };
        let result = match mirror {
            None => own.read_alone(medium, &proofs).await,
            Some(_) => own.read_with_second(medium, second.as_ref(), &proofs).await,
        };
        if let Ok(read) = &result {
            proofs.any.add(&read.scan.proofs);
            proofs.second.add(&read.scan.second_proofs);
        }
        reads.push((file, own.listed, result));
    }
    let mut recovered = Recovered { index: Index::default(), missing: Vec::new(), leftovers };
    for (file, listed, result) in reads.into_iter().rev() {
        match result {
            Ok(Read { bytes, scan, missing }) => {
                for damage in &scan.damage {
                    tracing::error!(file, from = damage.bytes.start, to = damage.bytes.end, "the log is damaged among durable frames");
                }
                if missing {
                    let proven = u32::try_from(scan.proven.min(bytes)).unwrap_or(u32::MAX);
                    recovered.missing.push(Missing { file, log: scan.log, proven });
                }
                recovered.index.add_file(file, bytes, &scan);
            }
            // Freed by another writer between the listing and the read.
            Err(Fault::NotFound) => {}
            Err(fault) => {
                tracing::error!(file, fault = fault.code(), "a log file cannot be read");
                if listed.is_none() {
                    recovered.missing.push(Missing { file, log: None, proven: 0 });
                }
                recovered.index.add_unreadable(file, listed.unwrap_or(0), fault);
            }
        }
    }
    Ok(recovered)
}

/// Takes the files out of the second copy's that are older than every own one: they were freed while the second copy was away.
/// Where there is no own file at all, the own disk is a new one.
fn leftovers(files: &BTreeMap<u32, u64>, second: &mut Option<(TimedDisk, BTreeMap<u32, u64>)>) -> Vec<u32> {
    let (Some(oldest), Some((_, second))) = (files.keys().next(), second) else { return Vec::new() };
    let kept = second.split_off(oldest);
    std::mem::replace(second, kept).into_keys().collect()
}

/// The own copy of a file.
#[derive(Clone, Copy)]
struct Own {
    file: u32,
    /// Its size; `None` when there is none.
    listed: Option<u64>,
}

impl Own {
    async fn read_alone(self, medium: &Medium, proofs: &Proofs) -> std::result::Result<Read, Fault> {
        let bytes = medium.read(self.file).await.map_err(|e| e.fault)?;
        let length = bytes.len() as u64;
        let proof = if medium.writes_whole() { length.max(1) } else { proofs.any.of(self.file) };
        Ok(Read { bytes: length, scan: scan(&bytes, self.file, proof), missing: false })
    }

    /// Reads both copies as one. A second copy that cannot be read is as good as none.
    async fn read_with_second(
        self,
        medium: &Medium,
        second: Option<&(TimedDisk, BTreeMap<u32, u64>)>,
        proofs: &Proofs,
    ) -> std::result::Result<Read, Fault> {
        let second = second.filter(|(_, files)| files.contains_key(&self.file));
        let own = async {
            match self.listed {
                Some(_) => medium.read(self.file).await.map_err(|e| e.fault),
                None => Err(Fault::NotFound),
            }
        };
        let copy = async {
            match second {
                Some((disk, _)) => disk.read(&file_name(self.file)).await.map_err(|failure| {
                    tracing::warn!(file = self.file, error = ?failure, "the second copy of a log file cannot be read");
                    failure.fault
                }),
                None => Err(Fault::NotFound),
            }
        };
        let (own, copy) = tokio::join!(own, copy);
        let fault = own.as_ref().err().copied();
        let (own, copy) = match (own, copy) {
            (Err(fault), Err(Fault::NotFound)) | (Err(fault @ Fault::Unavailable), Err(_)) => return Err(fault),
            // There is a second copy, and it cannot be read now.
            (Err(_), Err(fault)) => return Err(fault),
            (own, copy) => (own.unwrap_or_default(), copy.unwrap_or_default()),
        };
        let length = own.len().max(copy.len()) as u64;
        let mut scan = scan_copies(
            &[
                frame::Copy { bytes: &own, proof: proofs.any.of(self.file) },
                frame::Copy { bytes: &copy, proof: proofs.second.of(self.file) },
            ],
            self.file,
        );
        // An own copy that cannot be read and was longer may have held more; a mark at its end matters to nobody.
        let lost = fault.and(self.listed).filter(|listed| *listed > length + (HEADER_BYTES + TRAILER_BYTES) as u64);
        scan.damage.extend(lost.map(|listed| Damage { bytes: length..listed, batch: None }));
        Ok(Read { bytes: length, scan, missing: fault == Some(Fault::NotFound) })
    }
}
