//! The runner of the torture: picks harnesses, prints their table, and fails when one found something (1) or did not really
//! run (2).

use std::io::Write;
use std::process::{Command as Program, ExitCode};

use clap::{Args, Parser, Subcommand};
use proximadb_tests::torture::{self, CutPlan, DiskPlan, KillPlan, MutantPlan, Row, SimPlan, SyscallPlan};

/// Tries to make the database lose something.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

/// How much.
#[derive(Args, Clone, Copy)]
struct Amount {
    /// Crashes, kills, cuts or cases; each harness has its own default.
    #[arg(long)]
    count: Option<u64>,
    /// Where chance begins.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Seconds after which nothing new begins.
    #[arg(long)]
    seconds: Option<u64>,
}

#[derive(Subcommand)]
enum Command {
    /// The engine on simulated disks, cut off anywhere.
    Sim {
        #[command(flatten)]
        amount: Amount,
        /// Play the seed alone.
        #[arg(long)]
        only: bool,
        /// Nothing but two servers that race for one bucket.
        #[arg(long)]
        racing: bool,
    },
    /// SIGKILL over the real server.
    Kill(Amount),
    /// Power cuts over the real server on loop-mounted ext4.
    Powercut(Amount),
    /// One disk of three dead, full, read-only or hung.
    Disks(Amount),
    /// Every system call failing once.
    Syscalls(Amount),
    /// Every sown bug must be found.
    Mutants(Amount),
    /// Everything, one after the other.
    All {
        #[command(flatten)]
        amount: Amount,
        /// As much as fits into ten minutes of two cores.
        #[arg(long)]
        small: bool,
    },
    /// Everything, for hours; leaves its table in docs/evidence.
    Soak(Amount),
}

impl Amount {
    fn count(self, default: u64) -> u64 {
        self.count.unwrap_or(default)
    }

    fn seconds(self) -> u64 {
        self.seconds.unwrap_or(u64::MAX)
    }

    fn sim(self, racing: bool) -> Row {
        torture::run_sim(SimPlan { seed: self.seed, crashes: self.count(50_000), seconds: self.seconds(), racing })
    }

    fn kill(self) -> Row {
        torture::run_kill(KillPlan { seed: self.seed, kills: self.count(100), seconds: self.seconds() })
    }

    fn powercut(self) -> Row {
        torture::run_powercut(CutPlan { seed: self.seed, cuts: self.count(50), seconds: self.seconds() })
    }

    fn disks(self) -> Row {
        torture::run_disks(DiskPlan { seed: self.seed, seconds: self.seconds() })
    }

    fn syscalls(self) -> Row {
        torture::run_syscalls(SyscallPlan { seed: self.seed, times: self.count(2), seconds: self.seconds() })
    }

    fn mutants(self) -> Row {
        torture::run_mutants(MutantPlan { seed: self.seed, crashes: self.count(4_000) })
    }

    /// Everything, each harness with `scale` times its own count.
    fn all(self, scale: u64) -> Vec<Row> {
        let of = |count: u64| Self { count: Some(count * scale), ..self };
        let harnesses: [&dyn Fn() -> Row; 6] =
            [&|| of(50_000).sim(false), &|| of(100).kill(), &|| of(50).powercut(), &|| self.disks(), &|| of(2).syscalls(), &|| {
                of(4_000).mutants()
            }];
        let mut rows = Vec::new();
        for harness in harnesses {
            let row = harness();
            say(&torture::text(std::slice::from_ref(&row)));
            rows.push(row);
        }
        rows
    }
}

fn main() -> ExitCode {
    let rows = match Arguments::parse().command {
        Command::Sim { amount, only: true, racing } => vec![torture::replay_seed(amount.seed, racing)],
        Command::Sim { amount, only: false, racing } => vec![amount.sim(racing)],
        Command::Kill(amount) => vec![amount.kill()],
        Command::Powercut(amount) => vec![amount.powercut()],
        Command::Disks(amount) => vec![amount.disks()],
        Command::Syscalls(amount) => vec![amount.syscalls()],
        Command::Mutants(amount) => vec![amount.mutants()],
        Command::All { amount, small } => amount.all(if small { 1 } else { 4 }),
        Command::Soak(amount) => {
            let rows = amount.all(20);
            if let Err(why) = leave_evidence(amount.seed, &rows) {
                say(&format!("the evidence could not be written: {why}"));
                return ExitCode::from(2);
            }
            rows
        }
    };
    say(&torture::text(&rows));
    let failed = |found: bool| rows.iter().any(|row| row.failure().is_some() && (row.violations() > 0) == found);
    match (failed(true), failed(false)) {
        (true, _) => ExitCode::from(1),
        (false, true) => ExitCode::from(2),
        (false, false) => ExitCode::SUCCESS,
    }
}

fn say(text: &str) {
    // A closed standard output is no reason to end otherwise than the rows say.
    let _ = writeln!(std::io::stdout(), "{text}");
}

fn line_of(program: &str, arguments: &[&str]) -> Result<String, String> {
    let output = Program::new(program).args(arguments).output().map_err(|e| format!("{program}: {e}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn leave_evidence(seed: u64, rows: &[Row]) -> Result<(), String> {
    let (date, commit) = (line_of("date", &["-u", "+%F"])?, line_of("git", &["rev-parse", "--short", "HEAD"])?);
    let mut page = format!(
        "= Evidence: torture\n\nOf {date}, commit {commit}, first seed {seed}. Again with\n\n----\ncargo run -p proximadb-tests --bin torture -- \
         soak --seed {seed}\n----\n\n{}\n",
        torture::asciidoc(rows)
    );
    for row in rows {
        page.extend(row.notes.iter().map(|note| format!("* {}: {note}\n", row.name)));
        page.extend(row.told().iter().map(|told| format!("* {} found: {told}\n", row.name)));
    }
    std::fs::write(proximadb_tests::root().join("docs/evidence/torture.adoc"), page).map_err(|e| e.to_string())
}
