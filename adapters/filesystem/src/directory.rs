//! Directories whose entries outlive a power cut: made and synced up to where they hang on. Never removes one.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use proximadb_ports::Result;

use crate::faults::io_error;

/// Directories remembered as durable, before all are forgotten and synced anew.
const KNOWN_MAX: usize = 65_536;

/// Makes what was done to the entries of `directory` durable.
pub(crate) fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Makes a directory and all that is missing above it, durably; it may be there already.
///
/// A server calls this for a site that its operator wants made, never for one that was there before and is missing now.
///
/// # Errors
/// `Exhausted` when the disk is full; `Invalid` where a file is in the way; `Unavailable`.
pub fn create_directory(path: &Path) -> Result<()> {
    let failed = |error| io_error("filesystem.create_directory", &path.display().to_string(), error);
    fs::create_dir_all(path).map_err(failed)?;
    let full = path.canonicalize().map_err(failed)?;
    // Which of them were missing is not known for sure when another process makes them too, so each parent is synced that
    // this process may write in; those above were there before anything of ours.
    for parent in full.ancestors().skip(1) {
        match sync(parent) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => break,
            outcome => outcome.map_err(failed)?,
        }
    }
    Ok(())
}

/// The directories below a root that are known to be durable.
///
/// A directory that another task has just made is not durable yet, though it is there; so every task syncs the way down to
/// its object itself, once, before it may put anything there.
pub(crate) struct DurableDirectories {
    root: PathBuf,
    known: Mutex<HashSet<PathBuf>>,
}

impl DurableDirectories {
    pub(crate) fn below(root: PathBuf) -> Self {
        Self { root, known: Mutex::default() }
    }

    /// Makes `directory`, which lies below the root, and returns once a power cut cannot take it away.
    pub(crate) fn ensure(&self, directory: &Path) -> io::Result<()> {
        if directory == self.root || self.known().contains(directory) {
            return Ok(());
        }
        let mut way = Vec::new();
        let mut at = directory;
        while at != self.root {
            way.push(at);
            at = at.parent().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        }
        for made in way.into_iter().rev() {
            match fs::create_dir(made) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && made.is_dir() => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(io::ErrorKind::NotADirectory.into()),
                outcome => outcome?,
            }
            sync(made.parent().unwrap_or(&self.root))?;
        }
        let mut known = self.known();
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        known.insert(directory.to_owned());
        Ok(())
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashSet<PathBuf>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
