//! A directory of files that grow, on a local disk. Every byte it calls durable was fdatasynced; it reads no log.

use std::fs::{self, File};
use std::io::{self, IoSlice, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use proximadb_ports::{Disk, DiskFile, Fault, PortError, Result, mutants};

use crate::blocking;
use crate::directory;
use crate::faults::{io_error, place_is_gone};
use crate::keys::{check_name, is_segment};
use crate::root::Root;

type SyncCall = Arc<dyn Fn(&File) -> io::Result<()> + Send + Sync>;

/// A directory of append-only files.
///
/// Files are made with `O_EXCL` and opened with `O_APPEND`; making and deleting sync the directory, a sync is `fdatasync`,
/// which also writes the length. What is not a regular file with a well-formed name is not seen.
#[derive(Clone)]
pub struct LocalDisk {
    root: Arc<Root>,
    sync: SyncCall,
}

impl LocalDisk {
    /// The files in `directory`, which must be there; [`crate::create_directory`] makes it.
    ///
    /// # Errors
    /// `NotFound` for a missing directory; `Invalid` for something else; `Unavailable`.
    pub fn open(directory: &Path) -> Result<Self> {
        Self::with_sync(directory, Arc::new(File::sync_data))
    }

    fn with_sync(directory: &Path, sync: SyncCall) -> Result<Self> {
        Ok(Self { root: Arc::new(Root::open("disk.open", directory)?), sync })
    }

    /// Runs `work`, which counts only where the directory is still the one that was opened.
    async fn blocking<T: Send + 'static>(
        &self,
        op: &'static str,
        subject: &str,
        work: impl FnOnce(&Path, &str) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (root, owned) = (Arc::clone(&self.root), subject.to_owned());
        blocking::run(op, subject, move || root.guard(op, &owned, || work(root.path(), &owned))).await
    }

    /// Opens a file for reading; also gives its length.
    fn opened(path: &Path) -> io::Result<(File, u64)> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok((file, metadata.len()))
    }
}

fn read_range(path: &Path, offset: u64, length: u64) -> io::Result<Bytes> {
    let (mut file, end) = LocalDisk::opened(path)?;
    let length = length.min(end.saturating_sub(offset));
    if length == 0 {
        return Ok(Bytes::new());
    }
    file.seek(SeekFrom::Start(offset))?;
    // No larger than the file is; where that is too much for memory, the reservation fails, not the process.
    let mut out = Vec::new();
    out.try_reserve_exact(usize::try_from(length).unwrap_or(usize::MAX)).map_err(|_| io::ErrorKind::OutOfMemory)?;
    file.take(length).read_to_end(&mut out)?;
    Ok(out.into())
}

#[async_trait]
impl Disk for LocalDisk {
    async fn create(&self, name: &str) -> Result<Box<dyn DiskFile>> {
        const OP: &str = "disk.create";
        check_name(OP, name)?;
        let sync = Arc::clone(&self.sync);
        self.blocking(OP, name, move |root, name| {
            let make = || -> io::Result<File> {
                let file = File::options().append(true).create_new(true).open(root.join(name))?;
                if !mutants::is_on("bug_nodirsync") {
                    file.sync_all()?;
                    directory::sync(root)?;
                }
                Ok(file)
            };
            let file = make().map_err(|e| place_is_gone(io_error(OP, name, e)))?;
            Ok(Box::new(LocalFile { file: Arc::new(file), name: name.to_owned(), sync, dead: false }) as Box<dyn DiskFile>)
        })
        .await
    }

    async fn read(&self, name: &str) -> Result<Bytes> {
        self.read_at(name, 0, u64::MAX).await
    }

    async fn read_at(&self, name: &str, offset: u64, length: u64) -> Result<Bytes> {
        const OP: &str = "disk.read";
        check_name(OP, name)?;
        self.blocking(OP, name, move |root, name| read_range(&root.join(name), offset, length).map_err(|e| io_error(OP, name, e))).await
    }

    async fn list(&self) -> Result<Vec<(String, u64)>> {
        const OP: &str = "disk.list";
        let subject = self.root.path().display().to_string();
        self.blocking(OP, &subject, |root, subject| list(root).map_err(|e| place_is_gone(io_error(OP, subject, e)))).await
    }

    async fn delete(&self, name: &str) -> Result<()> {
        const OP: &str = "disk.delete";
        check_name(OP, name)?;
        self.blocking(OP, name, |root, name| {
            let removed = match fs::remove_file(root.join(name)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                outcome => outcome,
            };
            // Also where it was gone already: an earlier delete may have got no further than that.
            removed.and_then(|()| directory::sync(root)).map_err(|e| place_is_gone(io_error(OP, name, e)))
        })
        .await
    }
}

fn list(root: &Path) -> io::Result<Vec<(String, u64)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        if !is_segment(&name) {
            continue;
        }
        match entry.metadata() {
            Ok(metadata) if metadata.is_file() => files.push((name, metadata.len())),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    files.sort_unstable();
    Ok(files)
}

/// A file open for appending; dead once a sync failed or an operation was dropped half-way.
struct LocalFile {
    file: Arc<File>,
    name: String,
    sync: SyncCall,
    dead: bool,
}

impl LocalFile {
    /// Takes the handle's life for one operation; whoever ends the operation gives it back.
    fn begin(&mut self, op: &'static str) -> Result<()> {
        if std::mem::replace(&mut self.dead, true) {
            return Err(PortError::new(
                Fault::Unavailable,
                op,
                &self.name,
                "an earlier sync of this file failed; nothing more is written to it",
            ));
        }
        Ok(())
    }
}

/// Every byte of the parts, in as few system calls as they take.
fn write_all(mut file: &File, parts: &[Bytes]) -> io::Result<()> {
    let mut slices: Vec<IoSlice<'_>> = parts.iter().filter(|p| !p.is_empty()).map(|p| IoSlice::new(p)).collect();
    let mut left = slices.as_mut_slice();
    while !left.is_empty() {
        match file.write_vectored(left) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut left, written),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[async_trait]
impl DiskFile for LocalFile {
    async fn append(&mut self, parts: Vec<Bytes>) -> Result<()> {
        const OP: &str = "disk.append";
        self.begin(OP)?;
        let (file, name) = (Arc::clone(&self.file), self.name.clone());
        let outcome = blocking::run(OP, &self.name, move || write_all(&file, &parts).map_err(|e| io_error(OP, &name, e))).await;
        self.dead = false;
        outcome
    }

    async fn sync(&mut self) -> Result<()> {
        const OP: &str = "disk.sync";
        self.begin(OP)?;
        let (file, name, sync) = (Arc::clone(&self.file), self.name.clone(), Arc::clone(&self.sync));
        let outcome = blocking::run(OP, &self.name, move || {
            // Whatever the reason, the pages may be gone: there is nothing to try again.
            sync(&file).map_err(|e| PortError::new(Fault::Unavailable, OP, &name, "what was written may be lost").with_source(e))
        })
        .await;
        self.dead = outcome.is_err();
        outcome
    }
}

#[cfg(test)]
mod tests;
