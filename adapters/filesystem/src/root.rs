//! A directory that is still the one that was opened. Knows nothing of what is in it.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use proximadb_ports::{Fault, PortError, Result};

use crate::faults::io_error;

/// A directory, remembered by device and inode.
///
/// It is held open, so that neither number can be given to another while this lives. Where its file system is unmounted or
/// something else is put in its place, the path leads elsewhere, and [`Root::guard`] says so instead of working there.
pub(crate) struct Root {
    path: PathBuf,
    device: u64,
    inode: u64,
    _held: File,
}

impl Root {
    /// Opens `directory`, which must be there.
    pub(crate) fn open(op: &'static str, directory: &Path) -> Result<Self> {
        let subject = directory.display().to_string();
        let failed = |error| io_error(op, &subject, error);
        let path = directory.canonicalize().map_err(failed)?;
        let held = File::open(&path).map_err(failed)?;
        let metadata = held.metadata().map_err(failed)?;
        if !metadata.is_dir() {
            return Err(PortError::new(Fault::Invalid, op, subject, "is no directory"));
        }
        Ok(Self { path, device: metadata.dev(), inode: metadata.ino(), _held: held })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Fails with `Unavailable` unless the path still leads to the directory that was opened.
    pub(crate) fn check(&self, op: &'static str, subject: &str) -> Result<()> {
        let gone = |message| PortError::new(Fault::Unavailable, op, subject, message);
        let metadata = fs::metadata(&self.path).map_err(|error| gone("the directory is gone").with_source(error))?;
        match (metadata.dev() == self.device, metadata.ino() == self.inode) {
            (true, true) => Ok(()),
            (true, false) => Err(gone("another directory is in its place")),
            (false, _) => Err(gone("another file system is mounted here")),
        }
    }

    /// Runs `work` in the directory. It is checked before, so that nothing is done elsewhere, and after, so that nothing counts
    /// that was.
    pub(crate) fn guard<T>(&self, op: &'static str, subject: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        self.check(op, subject)?;
        let outcome = work();
        self.check(op, subject)?;
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OP: &str = "test";

    #[test]
    fn a_directory_is_known_again_after_it_was_away() {
        let parent = tempfile::tempdir().expect("tempdir");
        let (here, away) = (parent.path().join("here"), parent.path().join("away"));
        fs::create_dir(&here).expect("mkdir");
        let root = Root::open(OP, &here).expect("open");
        root.check(OP, "root").expect("the same");
        fs::rename(&here, &away).expect("rename");
        let error = root.check(OP, "root").expect_err("away");
        assert_eq!((error.fault, error.message.as_str()), (Fault::Unavailable, "the directory is gone"));
        fs::create_dir(&here).expect("mkdir");
        let error = root.check(OP, "root").expect_err("another");
        assert_eq!((error.fault, error.message.as_str()), (Fault::Unavailable, "another directory is in its place"));
        fs::remove_dir(&here).expect("rmdir");
        fs::rename(&away, &here).expect("rename");
        root.check(OP, "root").expect("back");
    }

    #[test]
    fn a_directory_that_is_made_anew_is_another_one() {
        let parent = tempfile::tempdir().expect("tempdir");
        let here = parent.path().join("here");
        fs::create_dir(&here).expect("mkdir");
        let root = Root::open(OP, &here).expect("open");
        for _ in 0..50 {
            fs::remove_dir(&here).expect("rmdir");
            fs::create_dir(&here).expect("mkdir");
            assert_eq!(root.check(OP, "root").expect_err("another").message, "another directory is in its place");
        }
    }

    #[test]
    fn another_file_system_is_told_apart() {
        let (first, second) = (Path::new("/"), Path::new("/proc"));
        let devices = [first, second].map(|path| fs::metadata(path).map(|metadata| metadata.dev()).ok());
        if devices[0] == devices[1] || devices.contains(&None) {
            return println!("SKIPPED: / and /proc are not two file systems here");
        }
        let mut root = Root::open(OP, first).expect("open");
        root.path = second.to_owned();
        assert_eq!(root.check(OP, "root").expect_err("another").message, "another file system is mounted here");
    }

    #[test]
    fn work_in_a_directory_that_went_away_meanwhile_does_not_count() {
        let parent = tempfile::tempdir().expect("tempdir");
        let here = parent.path().join("here");
        fs::create_dir(&here).expect("mkdir");
        let root = Root::open(OP, &here).expect("open");
        root.guard(OP, "root", || Ok(())).expect("there");
        let error = root.guard(OP, "root", || fs::rename(&here, parent.path().join("away")).map_err(|e| io_error(OP, "root", e)));
        assert_eq!(error.expect_err("went away").fault, Fault::Unavailable);
        let mut ran = false;
        root.guard(OP, "root", || {
            ran = true;
            Ok(())
        })
        .expect_err("gone");
        assert!(!ran, "nothing is done in another place");
    }
}
