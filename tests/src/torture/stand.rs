//! A server on several folders with several collections, as an operator would configure it, and its clients. The ledgers are
//! kept in this process, away from every folder that is hurt.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Duration;

use super::ledger::Violation;
use super::random::Random;
use super::rest::{Desk, Pace, Rest, Signals, Worked, work};
use crate::Server;

/// A configured server that can be started again and again.
pub(crate) struct Stand {
    /// Where nothing is hurt: configuration and standard error.
    base: PathBuf,
    pub(crate) disks: Vec<PathBuf>,
    pub(crate) desks: Vec<Desk>,
    /// The disk of each desk, from 0.
    places: Vec<usize>,
    pub(crate) random: Random,
    pub(crate) timeout: Duration,
}

/// How long an answer may take before the client gives up.
const PATIENCE: Duration = Duration::from_secs(20);

impl Stand {
    /// A server on these folders, which must be there, and one collection a folder and client count, placed on it.
    ///
    /// # Errors
    /// The configuration cannot be written.
    pub(crate) fn new(base: &Path, disks: Vec<PathBuf>, desks: Vec<(Desk, u32)>, seed: u64) -> Result<Self, String> {
        let quoted = |path: &Path| format!("\"{}\"", path.display());
        let logs: Vec<_> = disks.iter().map(|disk| quoted(&disk.join("wal"))).collect();
        let manual: Vec<_> = desks.iter().map(|(desk, disk)| format!("{} = {disk}", desk.collection)).collect();
        let mut config = format!(
            "[storage.wal_config]\nwal_urls = [{}]\ndistribution_strategy = \"Manual\"\nmanual = {{ {} }}\n\
             memory_flush_size_bytes = 16384\nfile_bytes_max = 65536\n",
            logs.join(", "),
            manual.join(", ")
        );
        for (i, disk) in disks.iter().enumerate() {
            let base_dir = quoted(&disk.join("storage"));
            config.push_str(&format!("[[storage.storage_layout.base_paths]]\nbase_dir = {base_dir}\ninstance_id = {}\n", i + 1));
        }
        let path = base.join("config.toml");
        std::fs::write(&path, config).map_err(|e| format!("{}: {e}", path.display()))?;
        let (desks, places): (Vec<_>, Vec<_>) = desks.into_iter().map(|(desk, disk)| (desk, disk as usize - 1)).unzip();
        Ok(Self { base: base.to_owned(), disks, desks, places, random: Random::new(seed), timeout: PATIENCE })
    }

    /// A stand without anything, to hold the place of one that is lent away.
    pub(crate) fn placeholder() -> Self {
        Self { base: PathBuf::new(), disks: Vec::new(), desks: Vec::new(), places: Vec::new(), random: Random::new(0), timeout: PATIENCE }
    }

    /// The command that starts the server; its standard error goes to a file of this stand.
    pub(crate) fn command(&self, wrapper: &[&str]) -> Result<Command, String> {
        let errors = File::create(self.errors_file()).map_err(|e| e.to_string())?;
        let mut command = Server::command(wrapper, &self.base.join("data"));
        command.arg("--config").arg(self.base.join("config.toml")).stderr(errors);
        Ok(command)
    }

    fn errors_file(&self) -> PathBuf {
        self.base.join("stderr.txt")
    }

    /// What the server last said on its standard error.
    pub(crate) fn errors(&self) -> String {
        std::fs::read_to_string(self.errors_file()).unwrap_or_default()
    }

    /// Starts the server and waits until it serves.
    pub(crate) fn start(&self) -> Result<Server, String> {
        let told = |lines: Vec<String>| format!("the server does not start: {} {}", lines.join("; "), self.errors());
        Server::run(self.command(&[])?, Duration::from_secs(60)).map_err(told)
    }

    pub(crate) fn rest(&self, server: &Server) -> Rest {
        Rest::new(server.rest(), self.timeout)
    }

    /// Makes the collections that are not there.
    pub(crate) fn create(&self, rest: &Rest) -> Result<(), String> {
        self.desks.iter().try_for_each(|desk| desk.create(rest))
    }

    /// Judges what a server shows that goes on; of writes of which nobody knows it may show more after its next start.
    pub(crate) fn look(&mut self, rest: &Rest) -> Vec<Violation> {
        let random = &mut self.random;
        self.desks.iter_mut().flat_map(|desk| desk.check(rest, random, false)).collect()
    }

    /// Judges everything that a server shows after its start.
    pub(crate) fn check(&mut self, rest: &Rest) -> Vec<Violation> {
        let random = &mut self.random;
        let mut found: Vec<_> = self.desks.iter_mut().flat_map(|desk| desk.check(rest, random, true)).collect();
        if found.is_empty() && self.random.one_in(3) {
            found.extend(self.desks.iter_mut().flat_map(|desk| desk.repeat_keyed(rest)));
        }
        found
    }

    /// Lets every client work while `meanwhile` runs, then tells them to stop, and gives what each did, by collection.
    pub(crate) fn under_load<T>(&mut self, rest: &Rest, pace: Pace, meanwhile: impl FnOnce() -> T) -> (T, Vec<(String, Worked)>) {
        let stop = AtomicBool::new(false);
        let random = &mut self.random;
        let desks = &mut self.desks;
        thread::scope(|scope| {
            let mut clients = Vec::new();
            for desk in desks.iter_mut() {
                for ledger in &mut desk.ledgers {
                    let (random, collection) = (random.fork(), desk.collection.as_str());
                    let signals = Signals { stop: &stop, doubt: &desk.doubt };
                    let handle = scope.spawn(move || work(rest, collection, ledger, random, pace, signals));
                    clients.push((collection.to_owned(), handle));
                }
            }
            let out = meanwhile();
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
            let worked = clients.into_iter().map(|(collection, handle)| (collection, handle.join().expect("a client does not panic")));
            (out, worked.collect())
        })
    }

    /// The signals that the disk with this number from 0 is being cut off.
    pub(crate) fn doubts(&self, disk: usize) -> Vec<Arc<AtomicBool>> {
        self.desks.iter().zip(&self.places).filter(|(_, place)| **place == disk).map(|(desk, _)| Arc::clone(&desk.doubt)).collect()
    }

    pub(crate) fn acknowledged(&self) -> u64 {
        self.desks.iter().map(Desk::acknowledged).sum()
    }

    /// Bytes of all files on all disks.
    pub(crate) fn stored_bytes(&self) -> u64 {
        self.disks.iter().map(|disk| bytes_below(disk)).sum()
    }
}

fn bytes_below(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.metadata().map_or(0, |m| if m.is_dir() { bytes_below(&entry.path()) } else { m.len() })).sum()
}
