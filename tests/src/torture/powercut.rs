//! Power cuts over the real server on loop-mounted ext4: one disk or all of them stop taking anything in the middle of the load,
//! then the server is killed and everything is mounted again.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::clock::{Stopwatch, pause};
use super::kill::refused_start;
use super::mounts::{Mount, refusal};
use super::rest::{Desk, Pace};
use super::stand::Stand;
use super::table::Row;

const DISKS: usize = 3;
const MIB: u64 = 64;

/// How much of it.
#[derive(Clone, Copy, Debug)]
pub struct CutPlan {
    /// Where the delays come from.
    pub seed: u64,
    /// Cuts.
    pub cuts: u64,
    /// Seconds after which no further round begins.
    pub seconds: u64,
}

/// Cuts the power until it was cut often enough.
pub fn run(plan: CutPlan) -> Row {
    let watch = Stopwatch::start();
    let folder = match tempfile::tempdir() {
        Ok(folder) => folder,
        Err(e) => return Row::broken("powercut", e.to_string()),
    };
    if let Some(why) = refusal(folder.path()) {
        return Row::skipped("powercut", why);
    }
    let mut row = Row::new("powercut");
    row.faults_min = plan.cuts;
    if let Err(why) = cut(plan, folder.path(), &watch, &mut row) {
        row.broken = Some(why);
    }
    row.seconds = watch.seconds();
    row
}

fn cut(plan: CutPlan, base: &std::path::Path, watch: &Stopwatch, row: &mut Row) -> Result<(), String> {
    let mut mounts = (1..=DISKS).map(|i| Mount::new(base, &format!("disk{i}"), MIB)).collect::<Result<Vec<_>, _>>()?;
    let disks = mounts.iter().map(|m| m.folder.clone()).collect();
    let desks = vec![(Desk::new("one", 1, 2), 1), (Desk::new("two", 2, 1), 2), (Desk::new("three", 1, 1), 3)];
    let mut stand = Stand::new(base, disks, desks, plan.seed)?;
    let mut of_all = 0;
    while row.faults < plan.cuts && watch.seconds() < plan.seconds as f64 {
        row.runs += 1;
        let place = format!("round {}", row.runs);
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
        let (before, after) = (stand.random.below(250), stand.random.below(60));
        let all = stand.random.one_in(2);
        let one = stand.random.below(DISKS as u64) as usize;
        // Those who write to a disk that is gone are refused; that is not a violation.
        let pace = Pace { ends_with_server: true, must_succeed: false, rest: Duration::ZERO, operations: u64::MAX };
        let hit: Vec<usize> = if all { (0..DISKS).collect() } else { vec![one] };
        let doubts: Vec<_> = hit.iter().flat_map(|disk| stand.doubts(*disk)).collect();
        let (cut, worked) = stand.under_load(&rest, pace, || {
            pause(Duration::from_millis(before));
            doubts.iter().for_each(|doubt| doubt.store(true, Ordering::SeqCst));
            let cut = hit.iter().try_for_each(|disk| mounts[*disk].cut());
            pause(Duration::from_millis(after));
            server.kill();
            cut
        });
        cut?;
        doubts.iter().for_each(|doubt| doubt.store(false, Ordering::SeqCst));
        row.faults += 1;
        of_all += u64::from(all);
        for (_, worked) in worked {
            worked.violations.iter().for_each(|v| row.violation(&place, v));
        }
        for mount in &mut mounts {
            mount.unmount()?;
            mount.mount()?;
        }
    }
    let server = match stand.start() {
        Ok(server) => server,
        Err(why) => return refused_start(row, "the last start", why),
    };
    let rest = stand.rest(&server);
    stand.check(&rest).iter().for_each(|v| row.violation("the last start", v));
    server.kill();
    row.acknowledged = stand.acknowledged();
    row.notes.push(format!("{of_all} cuts took all {DISKS} disks at once"));
    mounts.iter_mut().try_for_each(Mount::unmount)
}
