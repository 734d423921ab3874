//! One disk of three is dead, full, read-only or hung, while its collection is written, flushed or recovered: the others go on as
//! before, the health names the disk, and after the repair everything is served again without a restart.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::clock::{Stopwatch, pause};
use super::ledger::{Violation, Wrong};
use super::mounts::{Mount, refusal};
use super::rest::{Desk, Kind, Pace, Rest, Timed, Worked};
use super::stand::Stand;
use super::table::Row;
use crate::Server;

const MIB: u64 = 64;
const BEFORE: Duration = Duration::from_millis(1_200);
const DURING: Duration = Duration::from_millis(2_500);
/// A disk that hangs is found out by its deadlines, so that takes longer.
const WHILE_HUNG: Duration = Duration::from_secs(11);
/// How long a repaired disk may take until it is served again.
const REPAIR_MAX: Duration = Duration::from_secs(20);
/// How long a start beside a bad disk may take.
const START_MAX: Duration = Duration::from_secs(20);
/// How long any answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(15);
const PACE: Pace = Pace { ends_with_server: false, must_succeed: false, rest: Duration::from_millis(2), operations: u64::MAX };

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bad {
    Dead,
    Full,
    ReadOnly,
    Hung,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Writing,
    Flushing,
    Recovering,
}

/// How much of it.
#[derive(Clone, Copy, Debug)]
pub struct DiskPlan {
    /// Where the writes come from.
    pub seed: u64,
    /// Seconds after which no further case begins.
    pub seconds: u64,
}

/// Every fault in every phase.
pub fn run(plan: DiskPlan) -> Row {
    let watch = Stopwatch::start();
    let base = match tempfile::tempdir() {
        Ok(base) => base,
        Err(e) => return Row::broken("disks", e.to_string()),
    };
    if let Some(why) = refusal(base.path()) {
        return Row::skipped("disks", why);
    }
    let mut row = Row::new("disks");
    row.faults_min = 12;
    for bad in [Bad::Dead, Bad::Full, Bad::ReadOnly, Bad::Hung] {
        for phase in [Phase::Writing, Phase::Flushing, Phase::Recovering] {
            if watch.seconds() >= plan.seconds as f64 {
                break;
            }
            row.runs += 1;
            let folder = base.path().join(format!("{}", row.runs));
            let case = std::fs::create_dir(&folder).map_err(|e| e.to_string()).and_then(|()| Case::new(&folder, bad, phase, plan.seed));
            let mut case = match case {
                Ok(case) => case,
                Err(why) => {
                    row.broken = Some(why);
                    return row;
                }
            };
            let outcome = case.play(&mut row);
            row.acknowledged += case.stand.acknowledged();
            if let Err(why) = outcome {
                case.wrong(&mut row, why);
            }
        }
    }
    row.seconds = watch.seconds();
    row
}

struct Case {
    bad: Bad,
    phase: Phase,
    // Before the mounts, which cannot go while a server holds them.
    server: Option<Server>,
    stand: Stand,
    mounts: Vec<Mount>,
    filling: Option<PathBuf>,
    stand_doubts: Vec<Arc<AtomicBool>>,
}

impl Case {
    fn new(base: &std::path::Path, bad: Bad, phase: Phase, seed: u64) -> Result<Self, String> {
        let mounts = (1..=3).map(|i| Mount::new(base, &format!("disk{i}"), MIB)).collect::<Result<Vec<_>, _>>()?;
        let disks = mounts.iter().map(|m| m.folder.clone()).collect();
        let desks = vec![(Desk::new("hurt", 1, 1), 1), (Desk::new("second", 1, 1), 2), (Desk::new("third", 1, 1), 3)];
        let mut stand = Stand::new(base, disks, desks, seed)?;
        stand.timeout = ANSWER_MAX;
        let stand_doubts = stand.doubts(0);
        Ok(Self { bad, phase, server: None, stand, mounts, filling: None, stand_doubts })
    }

    fn place(&self) -> String {
        format!("{:?} while {:?}", self.bad, self.phase).to_lowercase()
    }

    fn wrong(&self, row: &mut Row, what: impl Into<String>) {
        row.violation(&self.place(), &Violation::new(Wrong::Other, what.into()));
    }

    fn hurt(&mut self) -> Result<(), String> {
        let mount = &self.mounts[0];
        match self.bad {
            Bad::Dead => {
                self.stand_doubts.iter().for_each(|doubt| doubt.store(true, Ordering::SeqCst));
                let cut = mount.cut();
                // Longer than any sync that was under way.
                pause(Duration::from_millis(100));
                self.stand_doubts.iter().for_each(|doubt| doubt.store(false, Ordering::SeqCst));
                cut
            }
            Bad::Full => mount.fill().map(|file| self.filling = Some(file)),
            Bad::ReadOnly => mount.read_only(),
            Bad::Hung => mount.freeze(true),
        }
    }

    fn repair(&mut self) -> Result<(), String> {
        match self.bad {
            Bad::Dead => self.mounts[0].replace(),
            Bad::Full => self.filling.take().map_or(Ok(()), |file| std::fs::remove_file(file).map_err(|e| e.to_string())),
            Bad::ReadOnly => self.mounts[0].remount("rw").or_else(|_| self.mounts[0].replace()),
            Bad::Hung => self.mounts[0].freeze(false),
        }
    }

    fn play(&mut self, row: &mut Row) -> Result<(), String> {
        let server = self.stand.start()?;
        let mut rest = self.stand.rest(&server);
        self.stand.create(&rest)?;
        self.server = Some(server);
        let mut before = None;
        if self.phase == Phase::Recovering {
            let ((), worked) = self.stand.under_load(&rest, PACE, || pause(BEFORE));
            before = Some(worked);
            if let Some(server) = self.server.take() {
                server.kill();
            }
            self.hurt()?;
            row.faults += 1;
            rest = match self.start_beside() {
                Some(server) => {
                    let rest = self.stand.rest(&server);
                    self.server = Some(server);
                    rest
                }
                None => {
                    self.wrong(
                        row,
                        format!("the server does not start within {} s beside the bad disk: {}", START_MAX.as_secs(), self.stand.errors()),
                    );
                    // The wait for the start has thawed what was frozen.
                    if self.bad != Bad::Hung {
                        self.repair()?;
                    }
                    return self.restart_and_check(row);
                }
            };
        }
        // The stand is lent to the load, and the disks to what happens meanwhile.
        let watch = Stopwatch::start();
        let mut stand = std::mem::replace(&mut self.stand, Stand::placeholder());
        let (told, worked) = stand.under_load(&rest, PACE, || self.meanwhile(&rest, &watch));
        self.stand = stand;
        let told = told?;
        row.faults += u64::from(self.phase != Phase::Recovering);
        self.judge(row, &told, before.as_deref(), &worked);
        for (_, worked) in &worked {
            worked.violations.iter().for_each(|v| row.violation(&self.place(), v));
        }
        if told.served_after.is_some() {
            let found = self.stand.look(&rest);
            found.iter().for_each(|v| row.violation(&format!("{}, repaired", self.place()), v));
        }
        self.restart_and_check(row)
    }

    fn restart_and_check(&mut self, row: &mut Row) -> Result<(), String> {
        if let Some(server) = self.server.take() {
            server.kill();
        }
        let server = self.stand.start()?;
        let rest = self.stand.rest(&server);
        self.stand.create(&rest)?;
        let found = self.stand.check(&rest);
        found.iter().for_each(|v| row.violation(&format!("{}, restarted", self.place()), v));
        server.kill();
        Ok(())
    }

    /// Starts the server beside a bad disk. A start that hangs on a frozen disk cannot even be killed before the disk thaws.
    fn start_beside(&mut self) -> Option<Server> {
        let (sender, receiver) = channel();
        let stand = &self.stand;
        let mounts = &self.mounts;
        let hung = self.bad == Bad::Hung;
        thread::scope(|scope| {
            scope.spawn(move || {
                // Nobody waits any more when it took too long; the server is then killed as it is dropped.
                let _ = sender.send(stand.start());
            });
            match receiver.recv_timeout(START_MAX) {
                Ok(started) => started.ok(),
                Err(_) => {
                    if hung {
                        // Thawed by hand, or the scope never ends; a second thaw does no harm.
                        let _ = mounts[0].freeze(false);
                    }
                    None
                }
            }
        })
    }

    /// Hurts the disk, looks at what the server says, repairs it, and waits until it is served again.
    fn meanwhile(&mut self, rest: &Rest, watch: &Stopwatch) -> Result<Told, String> {
        let none = || Err("not asked".to_owned());
        let (hurt_at, repaired_at) = (Duration::ZERO, Duration::ZERO);
        let mut told = Told { hurt_at, repaired_at, health: none(), sites: none(), served_after: None, refusal: None };
        if self.phase != Phase::Recovering {
            pause(BEFORE);
            told.hurt_at = watch.elapsed();
            if self.phase == Phase::Flushing {
                let rest = rest.clone();
                // Its answer is one of those that the disk decides.
                thread::spawn(move || rest.call("POST", "/v1/collections/hurt/flush", &json!({})));
                pause(Duration::from_millis(1));
            }
            self.hurt()?;
        }
        pause(if self.bad == Bad::Hung { WHILE_HUNG } else { DURING });
        told.health = rest.call("GET", "/health", &Value::Null);
        told.sites = rest.call("GET", "/v1/sites", &Value::Null);
        told.repaired_at = watch.elapsed();
        self.repair()?;
        let repaired = Stopwatch::start();
        // Of an id that no client has.
        let probe = json!({"upsert": [{"id": "probe", "vector": [1, 2, 3, 4, 5, 6, 7, 8]}]});
        while repaired.elapsed() < REPAIR_MAX {
            let answer = rest.call("POST", "/v1/collections/hurt/records", &probe);
            if matches!(answer, Ok((200, _))) {
                told.served_after = Some(repaired.elapsed());
                break;
            }
            told.refusal = Some(format!("{answer:?}"));
            pause(Duration::from_millis(100));
        }
        // Removed again, so that what is visible is the clients'.
        let _ = rest.call("POST", "/v1/collections/hurt/records", &json!({"delete": ["probe"]}));
        pause(Duration::from_millis(300));
        Ok(told)
    }

    fn judge(&self, row: &mut Row, told: &Told, before: Option<&[(String, Worked)]>, worked: &[(String, Worked)]) {
        let during = |t: &&Timed| t.at >= told.hurt_at && t.at <= told.repaired_at;
        let mut ratios = Vec::new();
        for (collection, worked) in worked {
            let hit: Vec<&Timed> = worked.timed.iter().filter(during).collect();
            if collection == "hurt" {
                self.judge_hurt(row, &hit, worked);
                continue;
            }
            let refused = hit.iter().filter(|t| !matches!(t.status, 200 | 404 | 409)).count();
            if refused > 0 || hit.is_empty() {
                let last = worked.refusal.as_deref().unwrap_or("none");
                self.wrong(row, format!("{collection}, on another disk, had {} operations, {refused} of them refused: {last}", hit.len()));
            }
            let earlier: Vec<&Timed> = match before {
                Some(before) => before.iter().filter(|(c, _)| c == collection).flat_map(|(_, w)| &w.timed).collect(),
                None => worked.timed.iter().filter(|t| t.at < told.hurt_at).collect(),
            };
            let (earlier, later) = (p99(&earlier), p99(&hit));
            ratios.push(format!("{collection} {:.0} -> {:.0} ms", earlier * 1e3, later * 1e3));
            if later > 5.0 * earlier + 0.05 {
                self.wrong(row, format!("the p99 of {collection}, on another disk, went from {earlier:.3} s to {later:.3} s"));
            }
        }
        let names_disk = |answer: &Result<(u16, Value), String>, list: &str, part: &str| match answer {
            Ok((_, body)) => body[list].as_array().into_iter().flatten().any(|entry| {
                let text = entry.to_string();
                text.contains("disk1") && (part.is_empty() || entry[part] != json!("ok"))
            }),
            Err(_) => false,
        };
        if !names_disk(&told.health, "problems", "") {
            self.wrong(row, format!("/health does not name the disk: {}", shortened(&told.health, "problems")));
        }
        if !names_disk(&told.sites, "sites", "state") {
            self.wrong(row, format!("/v1/sites says that all is well: {}", shortened(&told.sites, "sites")));
        }
        let served = match told.served_after {
            Some(after) => format!("served again after {:.1} s", after.as_secs_f64()),
            None => {
                self.wrong(row, format!("not served within {} s after the repair: {:?}", REPAIR_MAX.as_secs(), told.refusal));
                "never served again without a restart".to_owned()
            }
        };
        row.notes.push(format!("{}: p99 {}; {served}", self.place(), ratios.join(", ")));
    }

    fn judge_hurt(&self, row: &mut Row, hit: &[&Timed], worked: &Worked) {
        let expected = if self.bad == Bad::Full { 507 } else { 503 };
        let refused = hit.iter().filter(|t| t.status == expected).count();
        let last = worked.refusal.as_deref().unwrap_or("none");
        let slowest = worked.timed.iter().max_by_key(|t| t.took);
        let slowest = slowest.map_or_else(String::new, |t| {
            format!("the slowest, a {:?}, took {:.1} s and ended with {}", t.kind, t.took.as_secs_f64(), t.status)
        });
        // A disk that is full may have had room for what was written.
        if refused == 0 {
            self.wrong(
                row,
                format!(
                    "no operation on the bad disk was refused with {expected} ({} answered); the last refusal: {last}; {slowest}",
                    hit.len()
                ),
            );
        }
        let others: Vec<_> = hit.iter().filter(|t| t.status != expected && !matches!(t.status, 200 | 404 | 409)).collect();
        if let Some(first) = others.first() {
            let what = format!(
                "{} operations on the bad disk ended with {} and not {expected}, first a {:?}",
                others.len(),
                first.status,
                first.kind
            );
            self.wrong(row, format!("{what}; the last refusal: {last}"));
        }
        let kept = |t: &&&Timed| match self.bad {
            Bad::Full => matches!(t.kind, Kind::Read | Kind::Delete),
            Bad::ReadOnly => t.kind == Kind::Read,
            Bad::Dead | Bad::Hung => false,
        };
        let stopped = hit.iter().filter(kept).filter(|t| !matches!(t.status, 200 | 404 | 409)).count();
        if stopped > 0 {
            self.wrong(row, format!("{stopped} reads or deletes on the bad disk were refused, which need no room"));
        }
    }
}

struct Told {
    hurt_at: Duration,
    repaired_at: Duration,
    health: Answered,
    sites: Answered,
    served_after: Option<Duration>,
    refusal: Option<String>,
}

type Answered = Result<(u16, Value), String>;

fn p99(timed: &[&Timed]) -> f64 {
    let mut took: Vec<f64> = timed.iter().map(|t| t.took.as_secs_f64()).collect();
    took.sort_by(f64::total_cmp);
    took.get((took.len() * 99 / 100).min(took.len().saturating_sub(1))).copied().unwrap_or(0.0)
}

fn shortened(answer: &Answered, list: &str) -> String {
    match answer {
        Ok((status, body)) => format!("{status} {}", body[list].to_string().chars().take(300).collect::<String>()),
        Err(why) => why.clone(),
    }
}

impl Drop for Case {
    fn drop(&mut self) {
        // Nobody can be killed or unmounted while the disk is frozen.
        let _ = self.mounts[0].freeze(false);
        self.server = None;
    }
}
