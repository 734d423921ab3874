//! Room on a disk that is kept back, so that there is some when the disk is full. Knows no use of it.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use proximadb_ports::Result;
use rustix::fs::FallocateFlags;
use rustix::io::Errno;

use crate::directory;
use crate::faults::{io_error, place_is_gone};
use crate::root::Root;

/// No key and no file name of a log contains a tilde, so this file shows in no listing.
const RESERVE_FILE: &str = "proximadb~reserve";
/// Bytes written at once where blocks cannot be had without writing.
const ZEROS_BYTES: usize = 1 << 20;

const OP: &str = "filesystem.reserve";

/// A file whose blocks are really allocated and hold nothing: room that can be given back at once.
///
/// It stays when this is dropped, so that it is there at the next start. Its methods are system calls that may block.
pub struct Reserve {
    root: Root,
    bytes: u64,
}

impl Reserve {
    /// Holds `bytes` on the disk of the directory `root`, which must be there; a file from an earlier start that has them is kept.
    ///
    /// On a file system that compresses or never overwrites (btrfs, zfs) zeros may take less room than their number, and the room
    /// is then only as good as the file system's word.
    ///
    /// # Errors
    /// `Exhausted` where there is no room for it, and then nothing is held; `NotFound` for a missing directory; `Unavailable`.
    pub fn hold(root: &Path, bytes: u64) -> Result<Self> {
        let reserve = Self { root: Root::open(OP, root)?, bytes };
        reserve.renew()?;
        Ok(reserve)
    }

    /// Holds the room again after it was given back; nothing to do where it is still held.
    ///
    /// # Errors
    /// `Exhausted` where there is no room for it, and then nothing is held; `Unavailable`.
    pub fn renew(&self) -> Result<()> {
        let (root, path) = (self.root.path(), self.path());
        let held = self.guard(|| if self.bytes == 0 { Ok(()) } else { allocate(root, &path, self.bytes) });
        if held.is_err() {
            // Half of it helps nobody: what was allocated goes back.
            self.release()?;
        }
        held
    }

    /// Gives the room back.
    ///
    /// # Errors
    /// `Unavailable`.
    pub fn release(&self) -> Result<()> {
        let path = self.path();
        self.guard(|| {
            match fs::remove_file(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                outcome => outcome?,
            }
            directory::sync(self.root.path())
        })
    }

    /// Whether the room is held: the file is there with every block.
    pub fn is_held(&self) -> bool {
        let found = self.guard(|| fs::metadata(self.path()));
        self.bytes > 0 && found.is_ok_and(|metadata| is_whole(&metadata, self.bytes))
    }

    /// The bytes that are held, or would be.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    fn path(&self) -> PathBuf {
        self.root.path().join(RESERVE_FILE)
    }

    fn guard<T>(&self, work: impl FnOnce() -> io::Result<T>) -> Result<T> {
        let subject = self.root.path().display().to_string();
        self.root.guard(OP, &subject, || work().map_err(|error| place_is_gone(io_error(OP, &subject, error))))
    }
}

/// Blocks are counted in 512 bytes, whatever their size is.
fn is_whole(metadata: &fs::Metadata, bytes: u64) -> bool {
    metadata.is_file() && metadata.len() == bytes && metadata.blocks().saturating_mul(512) >= bytes
}

/// Bytes that are free to this process on the disk of `root`.
fn free_bytes(root: &Path) -> io::Result<u64> {
    let stat = rustix::fs::statvfs(root)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

fn allocate(root: &Path, path: &Path, bytes: u64) -> io::Result<()> {
    let file = File::options().write(true).create(true).truncate(false).open(path)?;
    let found = file.metadata()?;
    if is_whole(&found, bytes) {
        return Ok(());
    }
    // Some file systems take the last block before they say that there are not enough, and others would feel that.
    if bytes.saturating_sub(found.blocks().saturating_mul(512)) > free_bytes(root)? {
        return Err(io::ErrorKind::StorageFull.into());
    }
    file.set_len(found.len().min(bytes))?;
    match rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, bytes) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => write_zeros(&file, bytes)?,
        outcome => outcome?,
    }
    file.sync_all()?;
    directory::sync(root)
}

fn write_zeros(mut file: &File, bytes: u64) -> io::Result<()> {
    let zeros = vec![0u8; ZEROS_BYTES];
    let mut left = bytes;
    while left > 0 {
        // At most the length of the buffer, which is a usize.
        let now = left.min(ZEROS_BYTES as u64);
        file.write_all(&zeros[..now as usize])?;
        left -= now;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proximadb_ports::Fault;

    use super::*;

    const BYTES: u64 = 3 << 20;

    fn metadata(root: &Path) -> Option<fs::Metadata> {
        fs::metadata(root.join(RESERVE_FILE)).ok()
    }

    #[test]
    fn room_is_held_given_back_and_held_again() {
        let root = tempfile::tempdir().expect("tempdir");
        let reserve = Reserve::hold(root.path(), BYTES).expect("hold");
        assert!(reserve.is_held());
        let held = metadata(root.path()).expect("there");
        assert_eq!(held.len(), BYTES);
        assert!(held.blocks() * 512 >= BYTES, "{} blocks", held.blocks());
        reserve.release().expect("release");
        assert!(!reserve.is_held() && metadata(root.path()).is_none());
        reserve.release().expect("nothing to release");
        reserve.renew().expect("again");
        assert!(reserve.is_held());
        drop(reserve);
        assert!(metadata(root.path()).is_some(), "it stays for the next start");
    }

    #[test]
    fn what_is_there_is_kept_only_where_it_has_the_size_and_the_blocks() {
        let root = tempfile::tempdir().expect("tempdir");
        drop(Reserve::hold(root.path(), BYTES).expect("hold"));
        let before = metadata(root.path()).expect("there");
        drop(Reserve::hold(root.path(), BYTES).expect("kept"));
        let kept = metadata(root.path()).expect("there");
        assert_eq!((kept.ino(), kept.mtime_nsec()), (before.ino(), before.mtime_nsec()), "the same file, not written again");
        for other in [BYTES * 2, BYTES / 2] {
            assert!(Reserve::hold(root.path(), other).expect("another size").is_held());
            assert_eq!(metadata(root.path()).expect("there").len(), other);
        }
        let hole = File::create(root.path().join(RESERVE_FILE)).expect("create");
        hole.set_len(BYTES).expect("a file without blocks");
        assert!(Reserve::hold(root.path(), BYTES).expect("hold").is_held(), "a hole holds nothing");
    }

    #[test]
    fn a_disk_without_room_is_exhausted_and_keeps_nothing_of_it() {
        let root = tempfile::tempdir().expect("tempdir");
        let more = rustix::fs::statvfs(root.path()).map(|stat| stat.f_blocks * stat.f_frsize + 1).expect("statvfs");
        assert_eq!(Reserve::hold(root.path(), more).err().map(|e| e.fault), Some(Fault::Exhausted));
        assert!(metadata(root.path()).is_none(), "the part that was had goes back");
        assert_eq!(Reserve::hold(&root.path().join("missing"), 1).err().map(|e| e.fault), Some(Fault::NotFound));
    }

    #[test]
    fn none_is_none() {
        let root = tempfile::tempdir().expect("tempdir");
        let reserve = Reserve::hold(root.path(), 0).expect("nothing");
        assert!(!reserve.is_held() && metadata(root.path()).is_none());
    }

    #[test]
    fn a_directory_that_went_away_holds_nothing() {
        let parent = tempfile::tempdir().expect("tempdir");
        let here = parent.path().join("here");
        fs::create_dir(&here).expect("mkdir");
        let reserve = Reserve::hold(&here, BYTES).expect("hold");
        fs::rename(&here, parent.path().join("away")).expect("rename");
        fs::create_dir(&here).expect("mkdir");
        assert!(!reserve.is_held());
        assert_eq!(reserve.renew().expect_err("another directory").fault, Fault::Unavailable);
        assert!(metadata(&here).is_none(), "nothing is written under another disk's mount point");
    }

    #[test]
    fn zeros_take_the_place_of_blocks_that_cannot_be_had_otherwise() {
        let root = tempfile::tempdir().expect("tempdir");
        let path = root.path().join("zeros");
        let bytes = ZEROS_BYTES as u64 * 2 + 5;
        write_zeros(&File::create(&path).expect("create"), bytes).expect("write");
        assert_eq!(fs::metadata(&path).expect("there").len(), bytes);
    }
}
