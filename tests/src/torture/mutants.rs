//! Wakes each sown bug in turn and expects a harness to find it. Builds itself and the server with the bugs in them, keeps copies
//! of both for the time it runs, and puts the honest builds back where they were.

use std::path::{Path, PathBuf};
use std::process::Command;

use proximadb_ports::mutants;

use super::clock::Stopwatch;
use super::ledger::{Violation, Wrong};
use super::table::Row;

/// How much of it.
#[derive(Clone, Copy, Debug)]
pub struct MutantPlan {
    /// Where chance begins for each bug.
    pub seed: u64,
    /// Simulated crashes after which a bug counts as not found.
    pub crashes: u64,
}

/// Power cuts after which a bug counts as not found.
const CUTS_MAX: u64 = 40;

/// What a run that was looked at said.
struct Outcome {
    /// 0 all is well, 1 something was found, 2 it did not run.
    code: Option<i32>,
    output: String,
}

impl Outcome {
    fn acknowledged(&self, harness: &str) -> u64 {
        let row = self.output.lines().find(|line| line.starts_with(harness)).unwrap_or_default();
        row.split_whitespace().nth(2).and_then(|cell| cell.parse().ok()).unwrap_or(0)
    }

    fn first_finding(&self) -> &str {
        self.output.lines().find(|line| line.starts_with("VIOLATION")).unwrap_or("VIOLATION of which nothing was told")
    }
}

/// Wakes every bug once.
pub fn run(plan: MutantPlan) -> Row {
    let watch = Stopwatch::start();
    let mut row = Row::new("mutants");
    row.faults_min = mutants::ALL.len() as u64;
    if let Err(why) = wake_all(plan, &mut row) {
        row.broken = Some(why);
    }
    row.seconds = watch.seconds();
    row
}

fn wake_all(plan: MutantPlan, row: &mut Row) -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let (runner, server) = build(folder.path())?;
    let look = |bug: Option<&str>, harness: &str, count: u64| -> Result<Outcome, String> {
        let mut command = Command::new(&runner);
        command.args([harness, "--count", &count.to_string(), "--seed", &plan.seed.to_string()]).env("PROXIMADB_BIN", &server);
        command.env("RUST_BACKTRACE", "0").env_remove("PROXIMADB_MUTANT").envs(bug.map(|bug| ("PROXIMADB_MUTANT", bug)));
        let output = command.output().map_err(|e| format!("{}: {e}", runner.display()))?;
        Ok(Outcome { code: output.status.code(), output: String::from_utf8_lossy(&output.stdout).into_owned() })
    };
    // While every bug sleeps, the same build finds nothing.
    let control = look(None, "sim", plan.crashes / 2)?;
    if control.code != Some(0) {
        return Err(format!("with every bug asleep the harness is red: {}", control.first_finding()));
    }
    for (bug, what) in mutants::ALL {
        row.runs += 1;
        let (harness, count) = if bug == "bug_nodirsync" { ("powercut", CUTS_MAX) } else { ("sim", plan.crashes) };
        let outcome = look(Some(bug), harness, count)?;
        row.acknowledged += outcome.acknowledged(harness);
        if outcome.output.contains("SKIPPED") {
            row.notes.push(format!("SKIPPED {bug}: it takes the harness {harness}, which this machine does not allow"));
            row.faults_min -= 1;
            continue;
        }
        match outcome.code {
            Some(1) => {
                row.faults += 1;
                row.notes.push(format!("{bug} ({what}) found by {harness}: {}", outcome.first_finding()));
            }
            Some(0) => row.violation(bug, &Violation::new(Wrong::Other, format!("{what}, and {harness} is green"))),
            code => row.violation(bug, &Violation::new(Wrong::Other, format!("{harness} did not run: {code:?} {}", outcome.output))),
        }
    }
    Ok(())
}

/// Copies of the runner and the server with the bugs in them.
fn build(folder: &Path) -> Result<(PathBuf, PathBuf), String> {
    let own = std::env::current_exe().map_err(|e| e.to_string())?;
    let profile = own.parent().ok_or("the runner lies in no folder")?;
    let target = profile.parent().ok_or("the runner lies in no target folder")?;
    if !profile.join(".fingerprint").is_dir() {
        return Err(format!("{} is no folder of cargo's, so nothing is built there", target.display()));
    }
    let make = |package: &str, binary: &str, feature: Option<&str>| -> Result<(), String> {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.current_dir(crate::root()).args(["build", "--quiet", "--package", package, "--bin", binary]);
        cargo.arg("--target-dir").arg(target);
        if profile.ends_with("release") {
            cargo.arg("--release");
        }
        if let Some(feature) = feature {
            cargo.args(["--features", feature]);
        }
        match cargo.status() {
            Ok(status) if status.success() => Ok(()),
            other => Err(format!("{package} does not build: {other:?}")),
        }
    };
    let copy = |binary: &str| -> Result<PathBuf, String> {
        let to = folder.join(binary);
        std::fs::copy(profile.join(binary), &to).map_err(|e| format!("{binary}: {e}"))?;
        Ok(to)
    };
    make("proximadb-tests", "torture", Some("mutants"))?;
    let runner = copy("torture");
    make("proximadb-server", "proximadb-server", Some("proximadb-ports/mutants"))?;
    let server = copy("proximadb-server");
    // Before anything else, so that no server with bugs is left lying about.
    make("proximadb-tests", "torture", None)?;
    make("proximadb-server", "proximadb-server", None)?;
    Ok((runner?, server?))
}
