//! A log on two simulated disks, one of which may fail, hang, rot or be lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use proximadb_ports::conformance::wal::WalHarness;
use proximadb_ports::{Clock, Disk, Fault, Filesystem, Partner, PortError, Result, Wal, WalCodec};
use proximadb_sim::{Effect, Injection, SimDisk};
use proximadb_wal::FileWal;

use crate::world::{FileWorld, Process, SMALL_FILES, codec};

/// What a course may meet besides the failures of the own disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weather {
    Fair,
    /// The second disk fails, hangs, goes and comes back; either disk is lost while the log says that it is not needed.
    Losses,
    /// The bytes of one disk, always the same, change or go to wrong places.
    Rot {
        own: bool,
    },
}

/// The other site: a disk that may be away.
pub(crate) struct SimPartner {
    disk: SimDisk,
    away: Arc<AtomicBool>,
}

impl Partner for SimPartner {
    fn disk(&self) -> Result<Arc<dyn Disk>> {
        if self.away.load(Ordering::SeqCst) {
            return Err(PortError::new(Fault::Unavailable, "partner.disk", "the partner", "is away"));
        }
        Ok(Arc::new(self.disk.clone()))
    }

    fn filesystem(&self) -> Result<Arc<dyn Filesystem>> {
        Err(PortError::new(Fault::Unavailable, "partner.filesystem", "the partner", "has none"))
    }
}

pub(crate) struct MirroredWorld {
    pub(crate) own: FileWorld,
    pub(crate) second: SimDisk,
    pub(crate) away: Arc<AtomicBool>,
    pub(crate) wal: Option<Arc<FileWal>>,
    weather: Weather,
    /// What the next crash destroys, if it is in two copies then: the own disk, or the second.
    loses: Option<bool>,
    /// Whether the own disk was lost and batches may be on the second one alone: then it is spared.
    spared: bool,
}

impl MirroredWorld {
    pub(crate) fn new(seed: u64, bincode: bool, weather: Weather) -> Self {
        Self {
            own: FileWorld::new(seed, bincode),
            second: SimDisk::new(seed ^ 0x2d),
            away: Arc::default(),
            wal: None,
            weather,
            loses: None,
            spared: false,
        }
    }

    pub(crate) fn process(&self) -> &Process {
        &self.own.process
    }

    pub(crate) fn partner(&self) -> Arc<dyn Partner> {
        Arc::new(SimPartner { disk: self.second.clone(), away: Arc::clone(&self.away) })
    }

    pub(crate) fn set_away(&self, away: bool) {
        self.away.store(away, Ordering::SeqCst);
    }

    pub(crate) fn degraded(&self) -> Option<String> {
        self.wal.as_ref().and_then(|wal| wal.degraded())
    }

    /// Opens the log without healing anything.
    pub(crate) async fn open_as_it_is(&mut self) -> Arc<FileWal> {
        self.wal = None;
        self.own.process.end().await;
        let disk = Arc::new(self.own.disk.clone());
        let context = self.own.process.context();
        let wal = FileWal::open(disk, Some(self.partner()), codec(self.own.bincode), SMALL_FILES, context).await;
        let wal = Arc::new(wal.expect("the own disk can be listed"));
        self.wal = Some(Arc::clone(&wal));
        wal
    }

    /// Waits for longer than a failed second copy is left alone.
    pub(crate) async fn rest(&self) {
        self.process().clock.sleep(SMALL_FILES.mirror_retry * 3).await;
    }

    /// Waits until everything that is needed is in two copies.
    pub(crate) async fn until_mirrored(&self) {
        for _ in 0..40 {
            if self.degraded().is_none() {
                return;
            }
            self.rest().await;
        }
        panic!("not in two copies again: {:?}", self.degraded());
    }

    /// Changes some bytes of a file of the rotting disk.
    async fn rot(&self, own: bool, draw: u64) {
        let disk = if own { &self.own.disk } else { &self.second };
        let files = Disk::list(disk).await.unwrap_or_default();
        let Some((name, bytes)) = files.get(draw as usize % files.len().max(1)) else { return };
        let at = if *bytes == 0 { 0 } else { (draw >> 8) % bytes };
        match draw >> 60 {
            // A bit, or many of them one after the other.
            0..6 => {
                disk.flip(name, at);
            }
            6..10 => {
                for at in at..at + 200 {
                    disk.flip(name, at);
                }
            }
            // A sector of this or another file lies here now.
            _ => {
                let (from, _) = &files[(draw >> 20) as usize % files.len()];
                let Ok(block) = Disk::read_at(disk, from, (draw >> 30) % 2_048 / 512 * 512, 512).await else { return };
                let at = (at / 512 * 512) as usize;
                // The file may have been freed while the block was read.
                disk.damage(name, |content| {
                    let end = content.len().min(at + block.len());
                    if let Some(place) = content.get_mut(at..end) {
                        place.copy_from_slice(&block[..end - at]);
                    }
                });
            }
        }
    }

    async fn lose(&mut self, draw: u64) {
        let inject = |effect, times| self.second.inject(Injection::next(effect).times(times).about("wal"));
        self.spared &= self.degraded().is_some();
        match draw % 9 {
            0..=4 if self.spared => self.rest().await,
            0 => inject(Effect::Fail(Fault::Unavailable), 1),
            1 => inject(Effect::Fail(Fault::Exhausted), 1 + draw % 7),
            2 => inject(Effect::LoseReply, 1),
            3 => inject(Effect::Hang, 1 + draw % 3),
            4 => self.set_away(true),
            5 => {
                self.set_away(false);
                self.second.heal();
                self.rest().await;
            }
            6 => self.rest().await,
            which => self.loses = Some(which == 7),
        }
    }
}

#[async_trait]
impl WalHarness for MirroredWorld {
    async fn open(&mut self) -> Arc<dyn Wal> {
        self.own.disk.heal();
        self.second.heal();
        self.open_as_it_is().await
    }

    async fn crash(&mut self) {
        let lost = self.loses.take().filter(|_| self.degraded().is_none());
        self.wal = None;
        self.own.crash().await;
        self.second = self.second.crash();
        match lost {
            Some(true) => {
                self.own.disk.wipe();
                self.spared = true;
            }
            Some(false) => self.second.wipe(),
            None => {}
        }
        if lost.is_some() {
            // What is on the other disk only must be found.
            self.set_away(false);
        }
    }

    fn fail_next_write(&mut self) {
        self.own.fail_next_write();
    }

    fn fail_next_sync(&mut self) {
        self.own.fail_next_sync();
    }

    async fn trouble(&mut self, draw: u64) {
        match self.weather {
            Weather::Fair => {}
            Weather::Losses => self.lose(draw).await,
            Weather::Rot { own } => self.rot(own, draw).await,
        }
    }

    async fn idle(&mut self) {
        self.own.idle().await;
    }

    async fn files(&mut self) -> Vec<(String, Vec<u8>)> {
        self.own.files().await
    }

    /// In both copies: what is wrong in one of them is not to be noticed.
    async fn set_file(&mut self, name: &str, bytes: Vec<u8>) {
        self.own.set_file(name, bytes.clone()).await;
        if !self.second.damage(name, |content| *content = bytes.clone()) {
            drop(self.second.create(name).await.expect("creates"));
            assert!(self.second.damage(name, |content| *content = bytes));
        }
    }

    async fn remove_file(&mut self, name: &str) {
        self.own.remove_file(name).await;
        self.second.delete(name).await.expect("deletes");
    }

    fn can_tear(&self) -> bool {
        true
    }

    fn other_codec(&self) -> Arc<dyn WalCodec> {
        self.own.other_codec()
    }
}

/// Time passes and nothing else does.
pub(crate) async fn wait(world: &MirroredWorld, duration: Duration) {
    world.process().clock.sleep(duration).await;
}
