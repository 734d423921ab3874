//! A real directory keeps the promises of [`Disk`]; a sync that fails is played, since a healthy disk has none.

use std::sync::atomic::{AtomicBool, Ordering};

use proximadb_ports::conformance::disk;

use super::*;

/// A crash of the process: the directory is opened anew. Power stays on.
struct Directory {
    root: tempfile::TempDir,
    fail: Arc<AtomicBool>,
    disk: LocalDisk,
}

fn open(root: &Path, fail: &Arc<AtomicBool>) -> LocalDisk {
    let fail = Arc::clone(fail);
    let sync = move |file: &File| if fail.swap(false, Ordering::SeqCst) { Err(io::Error::from_raw_os_error(5)) } else { file.sync_data() };
    LocalDisk::with_sync(root, Arc::new(sync)).expect("open")
}

impl disk::Harness for Directory {
    fn disk(&self) -> Arc<dyn Disk> {
        Arc::new(self.disk.clone())
    }

    fn crash(&mut self) {
        self.disk = open(self.root.path(), &self.fail);
    }

    fn fail_next_sync(&mut self) -> bool {
        self.fail.store(true, Ordering::SeqCst);
        true
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_conforms() {
    for seed in 0..3 {
        let root = tempfile::tempdir().expect("tempdir");
        let fail = Arc::new(AtomicBool::new(false));
        let disk = open(root.path(), &fail);
        disk::run(&mut Directory { root, fail, disk }, seed).await;
    }
}

#[tokio::test]
async fn a_missing_root_is_not_made() {
    let root = tempfile::tempdir().expect("tempdir");
    let missing = root.path().join("missing");
    assert_eq!(LocalDisk::open(&missing).err().map(|e| e.fault), Some(Fault::NotFound));
    assert!(!missing.exists());
    directory::create_directory(&missing.join("deeper")).expect("made");
    let disk = LocalDisk::open(&missing).expect("open");
    assert!(disk.list().await.expect("list").is_empty(), "a directory is no file");
    fs::remove_dir_all(&missing).expect("remove");
    assert_eq!(disk.list().await.expect_err("gone").fault, Fault::Unavailable, "a lost root is not an empty one");
    assert_eq!(disk.delete("a").await.expect_err("gone").fault, Fault::Unavailable);
}

#[tokio::test]
async fn another_directory_in_the_place_of_the_root_is_neither_read_nor_written() {
    let parent = tempfile::tempdir().expect("tempdir");
    let (here, away) = (parent.path().join("here"), parent.path().join("away"));
    fs::create_dir(&here).expect("mkdir");
    let disk = LocalDisk::open(&here).expect("open");
    let mut file = disk.create("log").await.expect("create");
    fs::rename(&here, &away).expect("the disk goes");
    fs::create_dir(&here).expect("its mount point stays");
    fs::write(here.join("log"), b"other").expect("write");
    let outcomes = [
        disk.create("new").await.err(),
        disk.read("log").await.err(),
        disk.read_at("absent", 0, 1).await.err(),
        disk.list().await.err(),
        disk.delete("log").await.err(),
    ];
    for (number, error) in outcomes.into_iter().enumerate() {
        let error = error.unwrap_or_else(|| panic!("operation {number} took place elsewhere"));
        assert_eq!((error.fault, error.message.as_str()), (Fault::Unavailable, "another directory is in its place"), "{number}");
    }
    assert!(here.join("log").exists() && !here.join("new").exists());
    fs::remove_dir_all(&here).expect("remove");
    assert_eq!(disk.create("new").await.err().expect("gone").message, "the directory is gone");
    fs::rename(&away, &here).expect("the disk comes back");
    file.append(vec![Bytes::from_static(b"x")]).await.expect("the file was on the disk all the time");
    assert_eq!(disk.read("log").await.expect("read"), "x");
}

#[tokio::test]
async fn more_parts_than_one_system_call_takes_are_all_written() {
    let root = tempfile::tempdir().expect("tempdir");
    let disk = LocalDisk::open(root.path()).expect("open");
    let parts: Vec<Bytes> = (0..5_000u32).map(|i| Bytes::copy_from_slice(&i.to_le_bytes())).collect();
    let mut file = disk.create("log").await.expect("create");
    file.append(parts.clone()).await.expect("append");
    assert_eq!(disk.read("log").await.expect("read"), parts.concat());
}

#[tokio::test]
async fn a_full_device_is_exhausted() {
    let full = Path::new("/dev/full");
    let Ok(file) = File::options().write(true).open(full) else {
        println!("SKIPPED: there is no /dev/full here");
        return;
    };
    let mut file = LocalFile { file: Arc::new(file), name: "full".to_owned(), sync: Arc::new(File::sync_data), dead: false };
    let error = file.append(vec![Bytes::from_static(b"x")]).await.expect_err("full");
    assert_eq!(error.fault, Fault::Exhausted);
}
