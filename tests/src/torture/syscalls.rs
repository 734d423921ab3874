//! Every system call that matters fails once, each at its first, second, third … time: the server neither crashes nor panics,
//! and what it acknowledged is there after a restart on a machine that works.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::clock::Stopwatch;
use super::ledger::{Violation, Wrong};
use super::random::Random;
use super::rest::{Desk, Pace, Rest, Signals, work};
use super::stand::Stand;
use super::table::Row;

/// Calls and the errors they get.
const CALLS: [(&str, &str); 14] = [
    ("fdatasync", "EIO"),
    ("fsync", "EIO"),
    ("writev", "EIO"),
    ("writev", "ENOSPC"),
    ("write", "EIO"),
    ("write", "ENOSPC"),
    ("pwrite64", "EIO"),
    ("pwrite64", "ENOSPC"),
    ("openat", "EIO"),
    ("rename,renameat,renameat2", "EIO"),
    ("link,linkat", "EIO"),
    ("unlink,unlinkat", "EIO"),
    ("fdatasync", "ENOSPC"),
    ("mkdir,mkdirat", "ENOSPC"),
];

/// How much of it.
#[derive(Clone, Copy, Debug)]
pub struct SyscallPlan {
    /// Where the writes come from.
    pub seed: u64,
    /// Each call fails at its first time, its second, and so on to this one.
    pub times: u64,
    /// Seconds after which no further case begins.
    pub seconds: u64,
}

/// Sweeps over calls and times.
pub fn run(plan: SyscallPlan) -> Row {
    let watch = Stopwatch::start();
    match Command::new("strace").arg("-V").output() {
        Ok(output) if output.status.success() => {}
        other => return Row::skipped("syscalls", format!("strace cannot be run: {other:?}")),
    }
    let mut cases: Vec<(u64, &str, &str)> = Vec::new();
    for n in 1..=plan.times {
        cases.extend(CALLS.iter().map(|(call, error)| (n, *call, *error)));
    }
    let (mut row, mut refused_starts) = (Row::new("syscalls"), 0);
    for (n, call, error) in cases {
        if watch.seconds() >= plan.seconds as f64 {
            break;
        }
        row.runs += 1;
        let place = format!("{call} {error} at {n}");
        match case(&place, n, call, error, plan.seed, &mut row) {
            Ok(started) => refused_starts += u64::from(!started),
            Err(why) => row.violation(&place, &Violation::new(Wrong::Other, why)),
        }
    }
    row.notes.push(format!("in {refused_starts} of them the server refused to start, and said so"));
    row.seconds = watch.seconds();
    row
}

/// One case; gives whether the server started under the fault.
fn case(place: &str, n: u64, call: &str, error: &str, seed: u64, row: &mut Row) -> Result<bool, String> {
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let disk = folder.path().join("disk1");
    std::fs::create_dir(&disk).map_err(|e| e.to_string())?;
    let mut stand = Stand::new(folder.path(), vec![disk], vec![(Desk::new("one", 1, 1), 1)], seed)?;
    let trace = folder.path().join("trace.txt");
    let names = call.replace(',', ",?");
    let inject = format!("inject=?{names}:error={error}:when={n}");
    let trace_of = format!("trace=?{names}");
    let wrapper = ["strace", "-f", "-y", "-qq", "-o", text(&trace), "-e", &trace_of, "-e", &inject];
    let started = match crate::Server::run(stand.command(&wrapper)?, Duration::from_secs(60)) {
        Ok(mut server) => {
            let rest = Rest::new(server.rest(), Duration::from_secs(10));
            script(&mut stand, &rest, seed, place, row);
            signal_tracee(server.pid(), "TERM");
            let ended = server.wait_ended(Duration::from_secs(20));
            if ended.is_none_or(|status| !status.success()) && Struck::read(&trace, &stand.disks[0]).elsewhere == 0 {
                let what = format!("told to stop, the server ended with {ended:?}: {}", stand.errors());
                row.violation(place, &Violation::new(Wrong::Other, what));
            }
            true
        }
        Err(_) => false,
    };
    let struck = Struck::read(&trace, &stand.disks[0]);
    row.faults += struck.of_disk;
    let errors = stand.errors();
    if let Some(panicked) = errors.lines().position(|line| line.contains("panicked at") || line.contains("overflowed its stack"))
        && struck.elsewhere == 0
    {
        let told: Vec<_> = errors.lines().skip(panicked).take(2).collect();
        row.violation(place, &Violation::new(Wrong::Other, format!("the server panicked: {}", told.join(" "))));
    }
    row.acknowledged += stand.acknowledged();
    let server = stand.start()?;
    let rest = stand.rest(&server);
    stand.create(&rest)?;
    stand.check(&rest).iter().for_each(|v| row.violation(place, v));
    Ok(started)
}

/// The calls that failed. Those elsewhere are no disk's: what wakes the runtime is written to like a file, and a runtime that
/// cannot be woken may give up.
struct Struck {
    of_disk: u64,
    elsewhere: u64,
}

impl Struck {
    fn read(trace: &Path, disk: &Path) -> Self {
        let trace = std::fs::read_to_string(trace).unwrap_or_default();
        let struck = trace.lines().filter(|line| line.contains("(INJECTED)"));
        let (of_disk, elsewhere): (Vec<_>, Vec<_>) = struck.partition(|line| line.contains(text(disk)));
        Self { of_disk: of_disk.len() as u64, elsewhere: elsewhere.len() as u64 }
    }
}

/// Some writes, a flush, some deletes, another flush.
fn script(stand: &mut Stand, rest: &Rest, seed: u64, place: &str, row: &mut Row) {
    // It may fail: the fault may strike here. Then it is made at the next try.
    if stand.create(rest).is_err() && stand.create(rest).is_err() {
        return;
    }
    let stop = std::sync::atomic::AtomicBool::new(false);
    let never = std::sync::atomic::AtomicBool::new(false);
    let signals = Signals { stop: &stop, doubt: &never };
    let collection = stand.desks[0].collection.clone();
    let pace = Pace { ends_with_server: true, must_succeed: false, rest: Duration::ZERO, operations: 25 };
    let worked = work(rest, &collection, &mut stand.desks[0].ledgers[0], Random::new(seed), pace, signals);
    worked.violations.iter().for_each(|v| row.violation(place, v));
    // A flush may be refused; the writes behind it stay where they are.
    let _ = rest.call("POST", &format!("/v1/collections/{collection}/flush"), &serde_json::json!({}));
    let worked = work(rest, &collection, &mut stand.desks[0].ledgers[0], Random::new(seed + 1), pace, signals);
    worked.violations.iter().for_each(|v| row.violation(place, v));
}

/// The server is a child of strace, which would leave it behind.
fn signal_tracee(tracer: u32, signal: &str) {
    let children = std::fs::read_to_string(format!("/proc/{tracer}/task/{tracer}/children")).unwrap_or_default();
    for child in children.split_whitespace() {
        // It may have ended by itself, which the caller finds out.
        let _ = Command::new("kill").args([&format!("-{signal}"), child]).status();
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap_or("?")
}
