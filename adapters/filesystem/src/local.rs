//! Objects as files below a directory. Knows how to make puts and deletes outlive a power cut; what the objects are, it does not.
//!
//! A put goes through `object_store` (`name#1` beside the target, written, fsynced, renamed or, for `CreateOnly`, hard-linked
//! into place, directory fsynced). The rest is done here, because there a delete syncs nothing, a directory that another put
//! has just made is taken for durable, and one unreadable directory (`lost+found`) fails a whole listing.

use std::fs::{self, File};
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use object_store::local::LocalFileSystem;
use object_store::{ObjectStore, PutPayload};
use proximadb_ports::{Fault, Filesystem, ObjectInfo, PortError, PutMode, Result, Space, mutants};

use crate::blocking;
use crate::directory::{self, DurableDirectories};
use crate::faults::{io_error, place_is_gone, store_error};
use crate::keys::{check_key, check_prefix, is_segment};
use crate::root::Root;

/// A directory tree of objects.
pub(crate) struct LocalFilesystem {
    shared: Arc<Shared>,
    store: LocalFileSystem,
}

struct Shared {
    root: Root,
    directories: DurableDirectories,
}

impl Shared {
    fn path(&self, key: &str) -> PathBuf {
        // Keys are checked: relative, without `..`.
        self.root.path().join(key)
    }

    fn parent(&self, path: &Path) -> PathBuf {
        path.parent().unwrap_or(self.root.path()).to_owned()
    }
}

impl LocalFilesystem {
    /// The objects below `root`, which must be there.
    pub(crate) fn open(root: &Path) -> Result<Self> {
        const OP: &str = "filesystem.open";
        let root = Root::open(OP, root)?;
        let opened = LocalFileSystem::new_with_prefix(root.path());
        let store =
            opened.map_err(|e| store_error(OP, &root.path().display().to_string(), e))?.with_fsync(!mutants::is_on("bug_nodirsync"));
        let directories = DurableDirectories::below(root.path().to_owned());
        Ok(Self { shared: Arc::new(Shared { root, directories }), store })
    }

    /// Runs `work`, which counts only where the root is still the directory that was opened.
    async fn blocking<T: Send + 'static>(
        &self,
        op: &'static str,
        key: &str,
        work: impl FnOnce(&Shared, &str) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (shared, owned) = (Arc::clone(&self.shared), key.to_owned());
        blocking::run(op, key, move || shared.root.guard(op, &owned, || work(&shared, &owned))).await
    }
}

/// A file and its length; a directory is no object.
fn opened(path: &Path) -> io::Result<(File, u64)> {
    let found = File::open(path).and_then(|file| Ok((file.metadata()?, file)));
    match found {
        Ok((metadata, file)) if metadata.is_file() => Ok((file, metadata.len())),
        Ok(_) => Err(io::ErrorKind::NotFound.into()),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => Err(io::ErrorKind::NotFound.into()),
        Err(error) => Err(error),
    }
}

fn read_whole(path: &Path) -> io::Result<Bytes> {
    let (file, length) = opened(path)?;
    let mut out = Vec::new();
    out.try_reserve_exact(usize::try_from(length).unwrap_or(usize::MAX)).map_err(|_| io::ErrorKind::OutOfMemory)?;
    file.take(length).read_to_end(&mut out)?;
    Ok(out.into())
}

fn read_ranges(op: &'static str, key: &str, path: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
    let (file, end) = opened(path).map_err(|e| io_error(op, key, e))?;
    if let Some(wrong) = ranges.iter().find(|r| r.start > r.end || r.end > end) {
        return Err(PortError::new(Fault::Invalid, op, key, format!("has {end} bytes, asked for {wrong:?}")));
    }
    let failed = |e| io_error(op, key, e);
    let mut parts = Vec::with_capacity(ranges.len());
    let mut announced = false;
    for (at, range) in ranges.iter().enumerate() {
        let length = usize::try_from(range.end - range.start).map_err(|_| failed(io::ErrorKind::OutOfMemory.into()))?;
        let mut part = vec![0; length];
        if announced || !read_cached(&file, &mut part, range.start) {
            if !announced {
                // What is not in memory the disk brings all at once, and not one range after the other.
                announce(&file, &ranges[at..]);
                announced = true;
            }
            file.read_exact_at(&mut part, range.start).map_err(failed)?;
        }
        parts.push(part.into());
    }
    Ok(parts)
}

/// Reads what the system has in memory already; false where that is not all.
#[cfg(target_os = "linux")]
fn read_cached(file: &File, part: &mut [u8], start: u64) -> bool {
    let length = part.len();
    let read = rustix::io::preadv2(file, &mut [io::IoSliceMut::new(part)], start, rustix::io::ReadWriteFlags::NOWAIT);
    // File systems that do not know how are read in the ordinary way.
    read.is_ok_and(|read| read == length)
}

#[cfg(not(target_os = "linux"))]
fn read_cached(_file: &File, _part: &mut [u8], _start: u64) -> bool {
    false
}

/// Says which ranges will be read.
#[cfg(target_os = "linux")]
fn announce(file: &File, ranges: &[Range<u64>]) {
    for range in ranges.iter().filter(|_| ranges.len() > 1) {
        // Advice that is not taken costs time and nothing else.
        let _ = rustix::fs::fadvise(file, range.start, std::num::NonZeroU64::new(range.end - range.start), rustix::fs::Advice::WillNeed);
    }
}

#[cfg(not(target_os = "linux"))]
fn announce(_file: &File, _ranges: &[Range<u64>]) {}

/// What is directly below `directory`, with well-formed names only; nothing where it is no directory.
fn entries(directory: &Path) -> io::Result<Vec<(String, fs::DirEntry)>> {
    let read = match fs::read_dir(directory) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(Vec::new()),
        read => read?,
    };
    let mut found = Vec::new();
    for entry in read {
        let entry = entry?;
        if let Ok(name) = entry.file_name().into_string()
            && is_segment(&name)
        {
            found.push((name, entry));
        }
    }
    Ok(found)
}

fn joined(prefix: &str, name: &str) -> String {
    if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") }
}

/// Every object below `prefix`; one that vanishes meanwhile may be missing.
fn walk(shared: &Shared, prefix: &str) -> io::Result<Vec<ObjectInfo>> {
    let mut objects = Vec::new();
    let mut prefixes = vec![prefix.to_owned()];
    while let Some(prefix) = prefixes.pop() {
        for (name, entry) in entries(&shared.path(&prefix))? {
            let key = joined(&prefix, &name);
            match entry.metadata() {
                Ok(metadata) if metadata.is_dir() => prefixes.push(key),
                Ok(metadata) if metadata.is_file() => objects.push(ObjectInfo { key, bytes: metadata.len() }),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }
    objects.sort_unstable();
    Ok(objects)
}

/// Directories stay when their last object goes, so a prefix counts only with an object somewhere below.
fn has_object(directory: &Path) -> io::Result<bool> {
    let mut directories = vec![directory.to_owned()];
    while let Some(directory) = directories.pop() {
        for (_, entry) in entries(&directory)? {
            let kind = entry.file_type()?;
            if kind.is_file() {
                return Ok(true);
            }
            if kind.is_dir() {
                directories.push(entry.path());
            }
        }
    }
    Ok(false)
}

fn prefixes(shared: &Shared, prefix: &str) -> io::Result<Vec<String>> {
    let mut found = Vec::new();
    for (name, entry) in entries(&shared.path(prefix))? {
        if entry.file_type()?.is_dir() && has_object(&entry.path())? {
            found.push(name);
        }
    }
    found.sort_unstable();
    Ok(found)
}

fn remove(shared: &Shared, key: &str) -> io::Result<()> {
    let path = shared.path(key);
    let gone = |kind| matches!(kind, io::ErrorKind::NotFound | io::ErrorKind::NotADirectory);
    match fs::remove_file(&path) {
        Ok(()) => {}
        Err(error) if gone(error.kind()) || path.is_dir() => {}
        Err(error) => return Err(error),
    }
    // Also where it was gone already: an earlier delete may have got no further than that.
    match directory::sync(&shared.parent(&path)) {
        Err(error) if gone(error.kind()) => Ok(()),
        outcome => outcome,
    }
}

#[async_trait]
impl Filesystem for LocalFilesystem {
    async fn put(&self, key: &str, body: Bytes, mode: PutMode) -> Result<()> {
        const OP: &str = "filesystem.put";
        check_key(OP, key)?;
        self.blocking(OP, key, |shared, key| {
            let ensured = shared.directories.ensure(&shared.parent(&shared.path(key)));
            ensured.map_err(|e| place_is_gone(io_error(OP, key, e)))
        })
        .await?;
        let path = object_store::path::Path::parse(key).map_err(|e| store_error(OP, key, e.into()))?;
        let mode = match mode {
            PutMode::CreateOnly => object_store::PutMode::Create,
            PutMode::Overwrite => object_store::PutMode::Overwrite,
        };
        let put = self.store.put_opts(&path, PutPayload::from_bytes(body), mode.into()).await;
        let put = put.map(|_| ()).map_err(|e| place_is_gone(store_error(OP, key, e)));
        // Where the root went away meanwhile, so did what was put.
        self.blocking(OP, key, |_, _| Ok(())).await?;
        put
    }

    async fn get(&self, key: &str) -> Result<Bytes> {
        const OP: &str = "filesystem.get";
        check_key(OP, key)?;
        self.blocking(OP, key, |shared, key| read_whole(&shared.path(key)).map_err(|e| io_error(OP, key, e))).await
    }

    async fn get_ranges(&self, key: &str, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        const OP: &str = "filesystem.get_ranges";
        check_key(OP, key)?;
        let ranges = ranges.to_vec();
        self.blocking(OP, key, move |shared, key| read_ranges(OP, key, &shared.path(key), &ranges)).await
    }

    async fn size(&self, key: &str) -> Result<u64> {
        const OP: &str = "filesystem.size";
        check_key(OP, key)?;
        self.blocking(OP, key, |shared, key| opened(&shared.path(key)).map(|(_, length)| length).map_err(|e| io_error(OP, key, e))).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>> {
        const OP: &str = "filesystem.list";
        check_prefix(OP, prefix)?;
        self.blocking(OP, prefix, |shared, prefix| walk(shared, prefix).map_err(|e| place_is_gone(io_error(OP, prefix, e)))).await
    }

    async fn list_prefixes(&self, prefix: &str) -> Result<Vec<String>> {
        const OP: &str = "filesystem.list_prefixes";
        check_prefix(OP, prefix)?;
        self.blocking(OP, prefix, |shared, prefix| prefixes(shared, prefix).map_err(|e| place_is_gone(io_error(OP, prefix, e)))).await
    }

    async fn delete(&self, key: &str) -> Result<()> {
        const OP: &str = "filesystem.delete";
        check_key(OP, key)?;
        self.blocking(OP, key, |shared, key| remove(shared, key).map_err(|e| place_is_gone(io_error(OP, key, e)))).await
    }

    async fn space(&self) -> Result<Option<Space>> {
        const OP: &str = "filesystem.space";
        self.blocking(OP, "the disk", |shared, subject| {
            let stat = rustix::fs::statvfs(shared.root.path()).map_err(|e| place_is_gone(io_error(OP, subject, e.into())))?;
            let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
            // What is reserved for root is not free to us.
            Ok(Some(Space { free_bytes: bytes(stat.f_bavail), total_bytes: bytes(stat.f_blocks) }))
        })
        .await
    }
}

#[cfg(test)]
mod tests;
