//! SIGKILL over the real server, again and again: under load, while it flushes and merges, and while it starts.

use std::process::{Command, Stdio};
use std::time::Duration;

use super::clock::{Stopwatch, pause};
use super::ledger::{Violation, Wrong};
use super::rest::{Desk, Pace};
use super::stand::Stand;
use super::table::Row;

/// Every so many rounds the server is started twice without a write, and nothing may grow.
const GROWTH_EVERY: u64 = 20;

/// How much of it.
#[derive(Clone, Copy, Debug)]
pub struct KillPlan {
    /// Where the delays come from.
    pub seed: u64,
    /// Kills.
    pub kills: u64,
    /// Seconds after which no further round begins.
    pub seconds: u64,
}

/// Kills the server until it was killed often enough.
pub fn run(plan: KillPlan) -> Row {
    let mut row = Row::new("kill");
    let watch = Stopwatch::start();
    row.faults_min = plan.kills;
    if let Err(why) = kill(plan, &watch, &mut row) {
        row.broken = Some(why);
    }
    row.seconds = watch.seconds();
    row
}

fn kill(plan: KillPlan, watch: &Stopwatch, row: &mut Row) -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let disks: Vec<_> = (1..=3).map(|i| folder.path().join(format!("disk{i}"))).collect();
    for disk in &disks {
        std::fs::create_dir(disk).map_err(|e| e.to_string())?;
    }
    let desks = vec![(Desk::new("one", 1, 2), 1), (Desk::new("two", 1, 1), 2), (Desk::new("three", 2, 1), 3), (Desk::new("four", 1, 1), 1)];
    let mut stand = Stand::new(folder.path(), disks, desks, plan.seed)?;
    let (mut while_starting, mut growth_checks) = (0, 0);
    while row.faults < plan.kills && watch.seconds() < plan.seconds as f64 {
        row.runs += 1;
        let place = format!("round {}", row.runs);
        if stand.random.one_in(4) {
            kill_while_starting(&mut stand)?;
            row.faults += 1;
            while_starting += 1;
        }
        if row.runs.is_multiple_of(GROWTH_EVERY) {
            check_growth(&stand, &place, row)?;
            growth_checks += 1;
        }
        let server = match stand.start() {
            Ok(server) => server,
            Err(why) => return refused_start(row, &place, why),
        };
        let rest = stand.rest(&server);
        // Once: a collection that was answered for and is gone must not come back empty.
        if row.runs == 1 {
            stand.create(&rest)?;
        }
        stand.check(&rest).iter().for_each(|v| row.violation(&place, v));
        if row.violations() > 0 {
            break;
        }
        let delay = Duration::from_millis(5 + stand.random.below(196));
        let pace = Pace { ends_with_server: true, must_succeed: true, rest: Duration::ZERO, operations: u64::MAX };
        let ((), worked) = stand.under_load(&rest, pace, move || {
            pause(delay);
            server.kill();
        });
        row.faults += 1;
        for (_, worked) in worked {
            worked.violations.iter().for_each(|v| row.violation(&place, v));
        }
    }
    let server = match stand.start() {
        Ok(server) => server,
        Err(why) => return refused_start(row, "the last start", why),
    };
    let rest = stand.rest(&server);
    stand.check(&rest).iter().for_each(|v| row.violation("the last start", v));
    row.acknowledged = stand.acknowledged();
    row.notes.push(format!("{while_starting} kills while starting; {growth_checks} checks that starts without writes let nothing grow"));
    Ok(())
}

/// A server that was hurt and does not start again has lost everything, for now.
pub(super) fn refused_start(row: &mut Row, place: &str, why: String) -> Result<(), String> {
    if row.faults == 0 {
        return Err(why);
    }
    row.violation(place, &Violation::new(Wrong::Lost, why));
    Ok(())
}

/// Starts the server and kills it before it can have done much.
fn kill_while_starting(stand: &mut Stand) -> Result<(), String> {
    let delay = Duration::from_micros(500 + stand.random.below(60_000));
    let mut command: Command = stand.command(&[])?;
    let mut child = command.stdout(Stdio::null()).spawn().map_err(|e| e.to_string())?;
    pause(delay);
    // It is there: nobody has waited for it.
    child.kill().and_then(|()| child.wait()).map_err(|e| e.to_string())?;
    Ok(())
}

/// Two starts and stops without a write: the second leaves no more than the first.
fn check_growth(stand: &Stand, place: &str, row: &mut Row) -> Result<(), String> {
    let mut sizes = Vec::new();
    for _ in 0..3 {
        let server = stand.start()?;
        // What is to be tidied after a crash is tidied after a while without writes.
        pause(Duration::from_millis(2_600));
        server.stop();
        sizes.push(stand.stored_bytes());
    }
    if sizes[2] > sizes[1] {
        let what = format!("starts without writes let the files grow: {sizes:?} bytes");
        row.violation(place, &Violation::new(Wrong::Other, what));
    }
    Ok(())
}
