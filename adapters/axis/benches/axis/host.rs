//! Asks the kernel what this process uses: memory and processor time. Knows nothing of indexes.

use std::fs::{self, File};
use std::thread;
use std::time::Duration;

/// `sysconf(_SC_CLK_TCK)` of every Linux that Rust runs on.
const TICKS_PER_SECOND: f64 = 100.0;

/// While it is held nothing else is measured, where systems run at once and take turns.
pub(crate) struct Turn(Option<File>);

/// For so long after a turn another process has time to begin its own.
const TURN_ENDS: Duration = Duration::from_millis(5);

pub(crate) fn turn() -> Turn {
    Turn(std::env::var_os("PROXIMADB_BENCH_TURN").map(|path| {
        let file = File::options().append(true).create(true).open(path).expect("a file for turns");
        file.lock().expect("a lock");
        file
    }))
}

impl Drop for Turn {
    fn drop(&mut self) {
        if self.0.take().is_some() {
            thread::sleep(TURN_ENDS);
        }
    }
}

/// Megabytes in memory now.
pub(crate) fn resident_mb() -> f64 {
    status_mb("VmRSS:")
}

/// The most megabytes in memory since `reset_peak`.
pub(crate) fn peak_mb() -> f64 {
    status_mb("VmHWM:")
}

pub(crate) fn reset_peak() {
    fs::write("/proc/self/clear_refs", "5").expect("a process may reset its own peak");
}

/// What all threads of this process have used of processors.
pub(crate) fn process_seconds() -> f64 {
    let text = fs::read_to_string("/proc/self/stat").expect("Linux");
    // Behind the name, which may hold spaces, stand the state and ten fields, then the user's and the system's time.
    let (_, fields) = text.rsplit_once(')').expect("a name in parentheses");
    fields.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<f64>().expect("ticks")).sum::<f64>() / TICKS_PER_SECOND
}

/// What this thread has used of a processor, which other work on the machine disturbs less than the time it took.
pub(crate) fn thread_time() -> Duration {
    // The kernel adds up what a thread used when it might put another in its place, and at ticks some milliseconds apart.
    thread::yield_now();
    let text = fs::read_to_string("/proc/thread-self/schedstat").expect("Linux with scheduler statistics");
    Duration::from_nanos(text.split(' ').next().and_then(|nanos| nanos.parse().ok()).expect("nanoseconds"))
}

/// The load of the last minute.
pub(crate) fn load() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").expect("Linux");
    text.split(' ').next().and_then(|load| load.parse().ok()).expect("a load")
}

fn status_mb(field: &str) -> f64 {
    let text = fs::read_to_string("/proc/self/status").expect("Linux");
    let line = text.lines().find_map(|line| line.strip_prefix(field)).expect("the kernel tells memory");
    line.split_whitespace().next().and_then(|kibibytes| kibibytes.parse::<f64>().ok()).expect("kibibytes") * 1024.0 / 1e6
}
