//! The runner of the torture: picks harnesses, prints their table, and fails when one found something or did not really run.

use std::io::Write;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use proximadb_tests::torture::{self, CutPlan, KillPlan, Row, SimPlan, SyscallPlan};

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
    /// Every system call failing once.
    Syscalls(Amount),
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

    fn syscalls(self) -> Row {
        torture::run_syscalls(SyscallPlan { seed: self.seed, times: self.count(4), seconds: self.seconds() })
    }
}

fn main() -> ExitCode {
    let rows = match Arguments::parse().command {
        Command::Sim { amount, only: true, racing } => vec![torture::replay_seed(amount.seed, racing)],
        Command::Sim { amount, only: false, racing } => vec![amount.sim(racing)],
        Command::Kill(amount) => vec![amount.kill()],
        Command::Powercut(amount) => vec![amount.powercut()],
        Command::Syscalls(amount) => vec![amount.syscalls()],
    };
    report(&rows)
}

fn report(rows: &[Row]) -> ExitCode {
    // A closed standard output is no reason to fail otherwise than the rows say.
    let _ = writeln!(std::io::stdout(), "{}", torture::text(rows));
    if rows.iter().any(|row| row.failure().is_some()) { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
