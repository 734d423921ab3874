//! Logs on simulated media, as the port's suite wants to have them.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use proximadb_ports::conformance::wal::WalHarness;
use proximadb_ports::{Clock, Disk, Fault, Filesystem, PutMode, Wal, WalCodec};
use proximadb_sim::{Effect, Injection, SimClock, SimDisk, SimEntropy, SimExecutor, SimFilesystem};
use proximadb_wal::{AvroCodec, BincodeCodec, FileWal, ObjectWal, WalContext, WalSettings};

pub(crate) const SMALL_FILES: WalSettings = WalSettings {
    file_bytes_max: 4_096,
    idle: Duration::from_millis(10),
    deadline: Duration::from_secs(10),
    mirror_deadline: Duration::from_secs(2),
    mirror_retry: Duration::from_secs(5),
};

/// The codec a log writes with, and the other one.
pub(crate) fn codec(bincode: bool) -> Arc<dyn WalCodec> {
    if bincode { Arc::new(BincodeCodec) } else { Arc::new(AvroCodec) }
}

/// What a process of the simulated world brings along.
pub(crate) struct Process {
    pub(crate) clock: Arc<SimClock>,
    entropy: Arc<SimEntropy>,
    executor: Arc<SimExecutor>,
}

impl Process {
    pub(crate) fn new(seed: u64) -> Self {
        Self { clock: Arc::new(SimClock::of_tokio()), entropy: Arc::new(SimEntropy::new(seed)), executor: Arc::new(SimExecutor::current()) }
    }

    pub(crate) fn context(&self) -> WalContext {
        WalContext { clock: self.clock.clone(), entropy: self.entropy.clone(), executor: self.executor.clone() }
    }

    pub(crate) fn executor(&self) -> Arc<SimExecutor> {
        Arc::clone(&self.executor)
    }

    /// Ends its tasks where they stand.
    pub(crate) async fn end(&mut self) {
        std::mem::replace(&mut self.executor, Arc::new(SimExecutor::current())).shutdown().await;
    }
}

pub(crate) struct FileWorld {
    pub(crate) disk: SimDisk,
    pub(crate) process: Process,
    pub(crate) bincode: bool,
}

impl FileWorld {
    pub(crate) fn new(seed: u64, bincode: bool) -> Self {
        Self { disk: SimDisk::new(seed), process: Process::new(seed), bincode }
    }
}

#[async_trait]
impl WalHarness for FileWorld {
    async fn open(&mut self) -> Arc<dyn Wal> {
        self.process.end().await;
        self.disk.heal();
        let disk = Arc::new(self.disk.clone());
        Arc::new(FileWal::open(disk, None, codec(self.bincode), SMALL_FILES, self.process.context()).await.expect("the disk can be listed"))
    }

    async fn crash(&mut self) {
        self.process.end().await;
        self.disk = self.disk.crash();
    }

    fn fail_next_write(&mut self) {
        self.disk.inject(Injection::next(Effect::Fail(Fault::Exhausted)).on("append"));
    }

    fn fail_next_sync(&mut self) {
        self.disk.inject(Injection::next(Effect::Fail(Fault::Unavailable)).on("sync"));
    }

    async fn idle(&mut self) {
        self.process.clock.sleep(Duration::from_millis(50)).await;
    }

    async fn files(&mut self) -> Vec<(String, Vec<u8>)> {
        let mut files = Vec::new();
        for (name, _) in self.disk.list().await.expect("lists") {
            let bytes = self.disk.read(&name).await.expect("reads");
            files.push((name, bytes.to_vec()));
        }
        files
    }

    async fn set_file(&mut self, name: &str, bytes: Vec<u8>) {
        if !self.disk.damage(name, |content| *content = bytes.clone()) {
            drop(self.disk.create(name).await.expect("creates"));
            assert!(self.disk.damage(name, |content| *content = bytes));
        }
    }

    async fn remove_file(&mut self, name: &str) {
        self.disk.delete(name).await.expect("deletes");
    }

    fn can_tear(&self) -> bool {
        true
    }

    fn other_codec(&self) -> Arc<dyn WalCodec> {
        codec(!self.bincode)
    }
}

pub(crate) const PREFIX: &str = "wal/site";

pub(crate) struct ObjectWorld {
    pub(crate) objects: SimFilesystem,
    pub(crate) process: Process,
    pub(crate) bincode: bool,
}

impl ObjectWorld {
    pub(crate) fn new(seed: u64, bincode: bool) -> Self {
        Self { objects: SimFilesystem::new(seed), process: Process::new(seed), bincode }
    }

    pub(crate) async fn open_beside(&mut self) -> Arc<dyn Wal> {
        let objects = Arc::new(self.objects.clone());
        Arc::new(ObjectWal::open(objects, PREFIX, codec(self.bincode), SMALL_FILES, self.process.context()).await.expect("can be listed"))
    }
}

#[async_trait]
impl WalHarness for ObjectWorld {
    async fn open(&mut self) -> Arc<dyn Wal> {
        self.process.end().await;
        self.objects.heal();
        self.open_beside().await
    }

    async fn crash(&mut self) {
        self.process.end().await;
        self.objects = self.objects.crash();
    }

    fn fail_next_write(&mut self) {
        self.objects.inject(Injection::next(Effect::Fail(Fault::Unavailable)).on("put"));
    }

    fn fail_next_sync(&mut self) {
        self.objects.inject(Injection::next(Effect::LoseReply).on("put"));
    }

    async fn idle(&mut self) {
        self.process.clock.sleep(Duration::from_millis(50)).await;
    }

    async fn files(&mut self) -> Vec<(String, Vec<u8>)> {
        let mut files = Vec::new();
        for key in self.objects.keys() {
            let bytes = self.objects.get(&key).await.expect("reads");
            files.push((key, bytes.to_vec()));
        }
        files
    }

    async fn set_file(&mut self, name: &str, bytes: Vec<u8>) {
        self.objects.put(name, bytes.into(), PutMode::Overwrite).await.expect("puts");
    }

    async fn remove_file(&mut self, name: &str) {
        self.objects.delete(name).await.expect("deletes");
    }

    fn can_tear(&self) -> bool {
        false
    }

    fn other_codec(&self) -> Arc<dyn WalCodec> {
        codec(!self.bincode)
    }
}

/// Runs a test in a world of its own, in which time passes when nothing else happens.
pub(crate) fn run<F: Future>(test: impl FnOnce() -> F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
    runtime.block_on(async { test().await })
}
