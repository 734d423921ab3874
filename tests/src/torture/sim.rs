//! The real engine, log, segments and indexes on simulated disks: seeded histories on a few threads, each with its own virtual
//! time, until enough crashes have happened.

use std::cell::RefCell;
use std::panic;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, Once, PoisonError};
use std::thread;

use super::clock::Stopwatch;
use super::ledger::{Violation, Wrong};
use super::table::Row;

mod check;
mod client;
mod history;
mod loss;
mod rot;
mod takeover;

const THREADS: u64 = 2;
/// After so many violations no further history begins: the bug is found.
const VIOLATIONS_MAX: u64 = 20;
/// Every so many histories one is played twice, to see that the seed says everything.
const TWICE_EVERY: u64 = 16;

/// How much of it.
#[derive(Clone, Copy, Debug)]
pub struct SimPlan {
    /// The first seed.
    pub seed: u64,
    /// Crashes after which no further history begins.
    pub crashes: u64,
    /// Seconds after which no further history begins.
    pub seconds: u64,
    /// Whether every history is one of two servers that race for one bucket.
    pub racing: bool,
}

/// The seeds that once failed, in a file that is never shortened.
pub fn kept_seeds_file() -> PathBuf {
    crate::root().join("tests/testdata/torture/seeds.txt")
}

fn kept_seeds() -> Result<Vec<u64>, String> {
    let path = kept_seeds_file();
    let text = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim()).filter(|line| !line.is_empty());
    lines.map(|line| line.parse().map_err(|_| format!("{}: {line:?} is no seed", path.display()))).collect()
}

thread_local! {
    static PANICS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Panics of tasks vanish in their runtime; this keeps what they said, for the thread that they happened on.
fn keep_panics() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            PANICS.with_borrow_mut(|panics| panics.push(info.to_string().replace('\n', " ")));
            before(info);
        }));
    });
}

/// Plays one history in a runtime of its own.
fn play(seed: u64, racing: bool) -> history::Tale {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
    let played = panic::catch_unwind(panic::AssertUnwindSafe(|| runtime.block_on(history::play(seed, racing))));
    drop(runtime);
    let panics = PANICS.take();
    let mut tale = played.unwrap_or_default();
    tale.found(panics.into_iter().map(|what| Violation::new(Wrong::Other, format!("panicked: {what}"))));
    tale
}

/// Plays histories until there were enough crashes.
pub fn run(plan: SimPlan) -> Row {
    let watch = Stopwatch::start();
    let mut row = Row::new("sim");
    keep_panics();
    let kept = match kept_seeds() {
        Ok(kept) => kept,
        Err(why) => {
            row.broken = Some(why);
            return row;
        }
    };
    let (next, crashes) = (AtomicU64::new(0), AtomicU64::new(0));
    let total = Mutex::new((row, Counts::default()));
    let work = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let old = kept.get(number as usize).copied();
            let enough = crashes.load(Ordering::Relaxed) >= plan.crashes || watch.seconds() >= plan.seconds as f64;
            if old.is_none() && enough {
                return;
            }
            let seed = old.unwrap_or_else(|| plan.seed.wrapping_add(number));
            let mut tale = play(seed, plan.racing);
            let twice = number.is_multiple_of(TWICE_EVERY) && tale.repeatable && tale.violations.is_empty();
            if twice && play(seed, plan.racing).digest != tale.digest {
                tale.found([Violation::new(Wrong::Other, "played again, it went another way".to_owned())]);
            }
            crashes.fetch_add(tale.crashes, Ordering::Relaxed);
            let mut total = total.lock().unwrap_or_else(PoisonError::into_inner);
            let (row, counts) = &mut *total;
            row.runs += 1;
            row.acknowledged += tale.acknowledged;
            row.faults += tale.crashes;
            counts.add(&tale, twice);
            for violation in &tale.violations {
                row.violation(&format!("seed {seed}"), violation);
            }
            if row.violations() >= VIOLATIONS_MAX {
                crashes.store(u64::MAX / 2, Ordering::Relaxed);
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(work);
        }
    });
    let (mut row, counts) = total.into_inner().unwrap_or_else(PoisonError::into_inner);
    row.seconds = watch.seconds();
    row.faults_min = plan.crashes.min(if plan.seconds < u64::MAX { 1 } else { plan.crashes });
    row.notes.push(counts.text(row.faults as f64 / row.seconds.max(0.001)));
    row
}

/// Plays one seed and tells everything about it.
pub fn replay(seed: u64, racing: bool) -> Row {
    let watch = Stopwatch::start();
    keep_panics();
    let mut row = Row::new("sim");
    let tale = play(seed, racing);
    row.runs = 1;
    row.acknowledged = tale.acknowledged;
    row.faults = tale.crashes;
    for violation in &tale.violations {
        row.violation(&format!("seed {seed}"), violation);
    }
    let shards = if tale.repeatable { "one shard" } else { "several shards, whose order tokio draws" };
    row.notes.push(format!("trace {:016x}, {shards}", tale.digest));
    row.seconds = watch.seconds();
    row
}

#[derive(Default)]
struct Counts {
    while_opening: u64,
    under_writes: u64,
    faults: u64,
    damages: u64,
    refused: u64,
    takeovers: u64,
    disks_lost: u64,
    moves: u64,
    repairs: u64,
    twice: u64,
}

impl Counts {
    fn add(&mut self, tale: &history::Tale, twice: bool) {
        self.while_opening += tale.crashes_while_opening;
        self.under_writes += tale.crashes_under_writes;
        self.faults += tale.faults;
        self.damages += tale.damages;
        self.refused += tale.damages_refused;
        self.takeovers += tale.takeovers;
        self.disks_lost += tale.disks_lost;
        self.moves += tale.moves;
        self.repairs += tale.repairs;
        self.twice += u64::from(twice);
    }

    fn text(&self, rate: f64) -> String {
        format!(
            "{rate:.0} crashes a second; {} while opening, {} with writes under way; {} faults injected; {} damages, of which {} were \
             refused with a typed error and the others read right, all {} that had a second copy among them; {} disks lost; {} moves; \
             {} takeovers; {} histories played twice",
            self.while_opening,
            self.under_writes,
            self.faults,
            self.damages,
            self.refused,
            self.repairs,
            self.disks_lost,
            self.moves,
            self.takeovers,
            self.twice
        )
    }
}
