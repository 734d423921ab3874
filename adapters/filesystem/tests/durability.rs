//! The system calls that make things outlive a power cut are made, and in their order. No test that leaves the power on can see
//! a missing fsync in what it reads back, so this one runs itself under strace; where there is none, it says so.

use std::path::Path;
use std::process::Command;

use bytes::Bytes;
use proximadb_filesystem::{LocalDisk, Reserve, create_directory, open};
use proximadb_ports::{Disk, PutMode};

const ROOT: &str = "PROXIMADB_TEST_DURABILITY_ROOT";
const CALLS: &str = "trace=mkdir,mkdirat,openat,write,writev,fsync,fdatasync,rename,renameat,renameat2,link,linkat,unlink,unlinkat";

/// What the traced process does; nothing unless it is the traced one.
#[tokio::test]
async fn traced() {
    let Ok(root) = std::env::var(ROOT) else { return };
    let fs = open(&format!("file://{root}"), &Default::default()).expect("open");
    fs.put("d/made", Bytes::from_static(b"x"), PutMode::CreateOnly).await.expect("create");
    fs.put("d/over", Bytes::from_static(b"x"), PutMode::Overwrite).await.expect("put");
    fs.put("d/deep/er/made", Bytes::from_static(b"x"), PutMode::CreateOnly).await.expect("create");
    fs.delete("d/made").await.expect("delete");
    fs.delete("d/absent").await.expect("delete");
    create_directory(&Path::new(&root).join("logs")).expect("mkdir");
    let disk = LocalDisk::open(&Path::new(&root).join("logs")).expect("open");
    let mut file = disk.create("log").await.expect("create");
    file.append(vec![Bytes::from_static(b"x")]).await.expect("append");
    file.sync().await.expect("sync");
    disk.delete("log").await.expect("delete");
    let reserve = Reserve::hold(Path::new(&root), 4_096).expect("hold");
    reserve.release().expect("release");
}

/// In the order in which each must begin; `.` is the root.
const EXPECTED: [(&str, &str); 36] = [
    // A create in a directory that is not there yet.
    ("mkdir", "d"),
    ("fsync", "."),
    ("openat", "d/made#1"),
    ("write", "d/made#1"),
    ("fsync", "d/made#1"),
    ("link", "d/made"),
    ("fsync", "d"),
    // An overwrite.
    ("openat", "d/over#1"),
    ("write", "d/over#1"),
    ("fsync", "d/over#1"),
    ("rename", "d/over"),
    ("fsync", "d"),
    // A create two directories deeper: each is synced where it hangs on, before the object is.
    ("mkdir", "d/deep"),
    ("fsync", "d"),
    ("mkdir", "d/deep/er"),
    ("fsync", "d/deep"),
    ("write", "d/deep/er/made#1"),
    ("fsync", "d/deep/er/made#1"),
    ("link", "d/deep/er/made"),
    ("fsync", "d/deep/er"),
    // A delete, and one of what is gone already.
    ("unlink", "d/made"),
    ("fsync", "d"),
    ("fsync", "d"),
    // A log.
    ("mkdir", "logs"),
    ("fsync", "."),
    ("openat", "logs/log"),
    ("fsync", "logs"),
    ("write", "logs/log"),
    ("fdatasync", "logs/log"),
    ("unlink", "logs/log"),
    ("fsync", "logs"),
    // Room that is kept back, and given back.
    ("openat", "proximadb~reserve"),
    ("fsync", "proximadb~reserve"),
    ("fsync", "."),
    ("unlink", "proximadb~reserve"),
    ("fsync", "."),
];

/// The last path below `root` that the line names, relative to it.
fn path<'a>(line: &'a str, root: &str) -> Option<&'a str> {
    let at = line.rfind(root)?;
    let rest = &line[at + root.len()..];
    let rest = &rest[..rest.find(['"', '>'])?];
    Some(if rest.is_empty() { "." } else { rest.trim_start_matches('/') })
}

#[test]
fn every_step_to_durability_is_taken_in_order() {
    let root = tempfile::tempdir().expect("tempdir");
    let scratch = tempfile::tempdir().expect("tempdir");
    let (root, trace) = (root.path().canonicalize().expect("root"), scratch.path().join("trace"));
    let root = root.to_str().expect("utf-8");
    let this = std::env::current_exe().expect("this test");
    let mut strace = Command::new("strace");
    strace.args(["-f", "-y", "-s", "16", "-e", CALLS, "-o"]).arg(&trace).arg(this).args(["--exact", "traced"]).env(ROOT, root);
    let output = match strace.output() {
        Err(error) => return println!("SKIPPED: strace does not start here: {error}"),
        Ok(output) => output,
    };
    let text = std::fs::read_to_string(&trace).unwrap_or_default();
    if !text.contains("openat") {
        return println!("SKIPPED: strace may not trace here: {}", String::from_utf8_lossy(&output.stderr));
    }
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));

    let mut steps = text.lines().filter_map(|line| Some((line.split_once(' ')?.1.trim_start(), path(line, root)?)));
    for (number, (call, subject)) in EXPECTED.into_iter().enumerate() {
        let taken = steps.any(|(line, path)| line.starts_with(call) && path == subject);
        assert!(taken, "step {number}, {call} of {subject}, is missing after the ones before it:\n{text}");
    }
}
