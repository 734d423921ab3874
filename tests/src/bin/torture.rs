//! The runner of the torture: picks harnesses, prints their table, and fails when one found something or did not really run.

use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use proximadb_tests::torture::{self, Row, SimPlan};

/// Tries to make the database lose something.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// The engine on simulated disks, cut off anywhere.
    Sim {
        /// Crashes.
        #[arg(long, default_value_t = 50_000)]
        count: u64,
        /// The first seed.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Seconds after which no further history begins.
        #[arg(long)]
        seconds: Option<u64>,
        /// Play this seed alone.
        #[arg(long)]
        only: bool,
    },
}

fn main() -> ExitCode {
    let rows = match Arguments::parse().command {
        Command::Sim { seed, only: true, .. } => vec![torture::replay_seed(seed)],
        Command::Sim { count, seed, seconds, only: false } => {
            vec![torture::run_sim(SimPlan { seed, crashes: count, seconds: seconds.unwrap_or(u64::MAX), stop_at_first: false })]
        }
    };
    report(&rows)
}

fn report(rows: &[Row]) -> ExitCode {
    // A closed standard output is no reason to fail otherwise than the rows say.
    let _ = writeln!(std::io::stdout(), "{}", torture::text(rows));
    if rows.iter().any(|row| row.failure().is_some()) { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
