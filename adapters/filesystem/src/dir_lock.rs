//! One process a disk root. The kernel drops the lock with the process, however it ends.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use proximadb_ports::{Fault, PortError, Result};

use crate::faults::io_error;

/// No key and no file name of a log contains a tilde, so this file shows in no listing.
const LOCK_FILE: &str = "proximadb~lock";

const OP: &str = "filesystem.lock";

/// Sole use of a disk root among processes, for as long as it lives.
#[derive(Debug)]
pub struct DirLock {
    root: PathBuf,
    // Held for its lock alone.
    _file: File,
}

impl DirLock {
    /// Locks `root`, which must be there, and writes this process's id into the lock file, for people.
    ///
    /// # Errors
    /// `Conflict` when another process holds it; `NotFound` for a missing directory; `Unavailable`.
    pub fn acquire(root: &Path) -> Result<Self> {
        let subject = root.display().to_string();
        let failed = |error| io_error(OP, &subject, error);
        let path = root.join(LOCK_FILE);
        let opened = File::options().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = match opened {
            // Nothing can be written here, and what is here can be read all the same.
            Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => File::open(&path).map_err(failed)?,
            opened => opened.map_err(failed)?,
        };
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // Only to name the holder: without it the message is still true.
                let _ = (&file).take(32).read_to_string(&mut holder);
                let who = if holder.trim().is_empty() { String::new() } else { format!(" (process {})", holder.trim()) };
                return Err(PortError::new(Fault::Conflict, OP, subject, format!("another process{who} uses this directory")));
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let write_id = |file: &mut File| -> io::Result<()> {
            file.set_len(0)?;
            file.rewind()?;
            writeln!(file, "{}", std::process::id())
        };
        // Only for people: a disk that is full or read-only is locked without it.
        if let Err(error) = write_id(&mut file) {
            tracing::warn!(root = subject, %error, "the lock file does not name this process");
        }
        Ok(Self { root: root.to_owned(), _file: file })
    }

    /// Removes what puts that were cut off by a crash left behind, and says how many such files there were.
    ///
    /// Needs the lock, because to another process they would be puts on their way. They show in no listing either way; this
    /// only gives the room back, so it need not be durable.
    ///
    /// # Errors
    /// `Unavailable`.
    pub fn sweep_unfinished(&self) -> Result<u64> {
        let mut swept = 0;
        let mut directories = vec![self.root.clone()];
        while let Some(directory) = directories.pop() {
            let failed = |error| io_error("filesystem.sweep", &directory.display().to_string(), error);
            for entry in fs::read_dir(&directory).map_err(failed)? {
                let entry = entry.map_err(failed)?;
                let name = entry.file_name();
                let Some(name) = name.to_str() else { continue };
                let kind = entry.file_type().map_err(failed)?;
                if kind.is_dir() && crate::keys::is_segment(name) {
                    directories.push(entry.path());
                } else if kind.is_file() && is_unfinished(name) {
                    fs::remove_file(entry.path()).map_err(failed)?;
                    swept += 1;
                }
            }
        }
        Ok(swept)
    }
}

/// `object_store` writes beside the object, under its name with `#` and a number.
fn is_unfinished(name: &str) -> bool {
    name.split_once('#')
        .is_some_and(|(of, number)| crate::keys::is_segment(of) && !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_lock_fails_and_names_the_holder_until_the_first_is_gone() {
        let root = tempfile::tempdir().expect("tempdir");
        let first = DirLock::acquire(root.path()).expect("free");
        let error = DirLock::acquire(root.path()).expect_err("taken");
        assert_eq!(error.fault, Fault::Conflict);
        assert!(error.message.contains(&std::process::id().to_string()), "{error}");
        drop(first);
        DirLock::acquire(root.path()).expect("free again");
        assert_eq!(DirLock::acquire(&root.path().join("missing")).expect_err("missing").fault, Fault::NotFound);
    }

    #[test]
    fn a_disk_that_went_away_and_came_back_is_locked_again_by_the_same_process() {
        let parent = tempfile::tempdir().expect("tempdir");
        let (here, away) = (parent.path().join("here"), parent.path().join("away"));
        fs::create_dir(&here).expect("mkdir");
        let first = DirLock::acquire(&here).expect("free");
        fs::rename(&here, &away).expect("the disk goes");
        assert_eq!(DirLock::acquire(&here).expect_err("gone").fault, Fault::NotFound);
        fs::rename(&away, &here).expect("the disk comes back");
        assert_eq!(DirLock::acquire(&here).expect_err("still held").fault, Fault::Conflict);
        drop(first);
        for _ in 0..3 {
            let again = DirLock::acquire(&here).expect("free again");
            assert_eq!(DirLock::acquire(&here).expect_err("held").fault, Fault::Conflict);
            drop(again);
        }
    }

    #[test]
    fn a_lock_of_a_disk_that_is_gone_says_nothing_about_the_one_in_its_place() {
        let parent = tempfile::tempdir().expect("tempdir");
        let (here, away) = (parent.path().join("here"), parent.path().join("away"));
        fs::create_dir(&here).expect("mkdir");
        let gone = DirLock::acquire(&here).expect("free");
        fs::rename(&here, &away).expect("the disk goes");
        fs::create_dir(&here).expect("another comes");
        let other = DirLock::acquire(&here).expect("another disk");
        drop(gone);
        assert_eq!(DirLock::acquire(&here).expect_err("held").fault, Fault::Conflict);
        drop(other);
    }

    #[test]
    fn only_what_a_put_left_behind_is_swept() {
        let root = tempfile::tempdir().expect("tempdir");
        let lock = DirLock::acquire(root.path()).expect("free");
        fs::create_dir_all(root.path().join("a/b")).expect("mkdir");
        for name in ["a/b/object", "a/b/object#1", "a/object#12", "a/other#x", "a/#1", "a/b/object#"] {
            fs::write(root.path().join(name), b"x").expect("write");
        }
        assert_eq!(lock.sweep_unfinished().expect("sweep"), 2);
        assert!(root.path().join("a/b/object").exists() && root.path().join("a/other#x").exists());
        assert!(!root.path().join("a/b/object#1").exists() && !root.path().join("a/object#12").exists());
    }
}
