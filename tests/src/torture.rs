//! Harnesses that try to make the database lose, duplicate or revive something, and their table. Each judges with one oracle:
//! records whose vector follows from id and version, and a client's ledger of what it sent and what was acknowledged.

mod clock;
mod disks;
mod kill;
mod ledger;
mod mounts;
mod mutants;
mod powercut;
mod random;
mod rest;
mod sim;
mod stand;
mod syscalls;
mod table;

pub use disks::{DiskPlan, run as run_disks};
pub use kill::{KillPlan, run as run_kill};
pub use ledger::{Violation, Wrong};
pub use mutants::{MutantPlan, run as run_mutants};
pub use powercut::{CutPlan, run as run_powercut};
pub use sim::{SimPlan, kept_seeds_file, replay as replay_seed, run as run_sim};
pub use syscalls::{SyscallPlan, run as run_syscalls};
pub use table::{Row, asciidoc, text};
