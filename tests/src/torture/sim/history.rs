//! One history: clients at work, the power cut at any moment, opened again, cut while opening, judged; all from one seed.

use std::sync::Arc;
use std::time::Duration;

use proximadb_model::plan::OriginalsPlace;
use proximadb_model::{CollectionName, CollectionRef, CollectionSpec, Dimension, IndexKind, MetricKind};
use proximadb_ports::{Clock, Database, Fault, WalCodec};
use proximadb_sim::{Effect, Injection, SimClock};
use proximadb_viper::Compression;
use proximadb_wal::{AvroCodec, BincodeCodec};

use super::check::{Finding, cross_check, judge, read_all, repeat_keyed};
use super::client::{Book, Client, DIMENSION};
use super::{loss, rot, takeover};
use crate::torture::ledger::{Violation, Wrong};
use crate::torture::random::Random;
use crate::world::{Log, World, WorldPlan, give_way, small_settings};

/// A life ends after this time even when nothing happens any more.
pub(super) const LIFE_MAX: Duration = Duration::from_secs(2);
/// Lives of one history.
const LIVES: u64 = 12;
pub(super) const CLIENTS: u64 = 2;
/// Starts without writes, one after the other, the last of which must leave no more than the one before.
const GROWTH_STARTS: usize = 5;

/// What one history did, and what it found.
#[derive(Default)]
pub(super) struct Tale {
    pub(super) crashes: u64,
    pub(super) crashes_while_opening: u64,
    pub(super) crashes_under_writes: u64,
    pub(super) faults: u64,
    pub(super) damages: u64,
    pub(super) damages_refused: u64,
    pub(super) takeovers: u64,
    pub(super) disks_lost: u64,
    pub(super) moves: u64,
    pub(super) repairs: u64,
    pub(super) acknowledged: u64,
    pub(super) violations: Vec<Violation>,
    pub(super) digest: u64,
    /// Whether the seed says everything. Those who wait for one log are woken in an order that tokio draws, not the seed.
    pub(super) repeatable: bool,
}

impl Tale {
    pub(super) fn found(&mut self, found: impl IntoIterator<Item = Violation>) {
        self.violations.extend(found);
    }

    pub(super) fn finding(&mut self, place: &str, finding: Finding) {
        self.violations.push(match finding {
            Finding::Error(e) => Violation::new(Wrong::Lost, format!("{place}: cannot be read: {e:?}")),
            Finding::Violation(v) => Violation { what: format!("{place}: {}", v.what), ..v },
        });
    }
}

/// The world of a history, and the choices that its seed made.
pub(super) struct Stage {
    pub(super) world: World,
    pub(super) random: Random,
    pub(super) collection: CollectionRef,
    pub(super) shards: u32,
    pub(super) books: Vec<Book>,
    flushes: bool,
}

impl Stage {
    async fn new(seed: u64, log: Log, fencing: bool) -> Result<Self, Finding> {
        let mut random = Random::new(seed);
        // With one shard, whoever writes first has everything.
        let (sites, shards) = if fencing { (1, 1) } else { (1 + random.below(3), 1 + random.below(4) as u32) };
        let codec: Arc<dyn WalCodec> = if random.one_in(2) { Arc::new(BincodeCodec) } else { Arc::new(AvroCodec) };
        let mut settings = small_settings();
        settings.flush.memtable_bytes_max = 600 + random.below(3_000) as usize;
        if fencing {
            // Numbers of the log that were freed could be taken by a stale writer; that is the matter of the racing servers.
            settings.flush.memtable_bytes_max = 1 << 30;
        }
        settings.maintenance.graph_rows_min = 8 + random.below(16) as usize;
        settings.maintenance.graph_components_min = 0;
        settings.quiet_after = Duration::from_millis(10 + random.below(60));
        // Not drawn, so that what was drawn for kept seeds stays what it was.
        if seed % 4 == 3 {
            settings.memory.originals = OriginalsPlace::Disk;
        }
        // Compressing costs more than everything else, so it is done now and then.
        let compression = if random.one_in(8) { Compression::Zstd { level: 1 } } else { Compression::None };
        let mirrored = sites > 1 && log == Log::Files && random.one_in(2);
        let world = World::new(seed, WorldPlan { sites, log, codec, mirrored, compression, settings }).await;
        let name = CollectionName::new("history").expect("a valid name");
        let mut spec = CollectionSpec::new(name.clone(), Dimension::new(DIMENSION as u64).expect("in range"), MetricKind::Euclidean);
        spec.shards = shards;
        spec.index.kind = IndexKind::Auto;
        world.engine().create_collection(spec).await?;
        let books = (0..CLIENTS).map(|client| Book::new(client, CLIENTS)).collect();
        Ok(Self { world, random, collection: CollectionRef::Name(name), shards, books, flushes: !fencing })
    }

    pub(super) fn client(&mut self, database: Arc<dyn Database>, book: &Book) -> Client {
        Client { database, collection: self.collection.clone(), book: book.clone(), random: self.random.fork(), flushes: self.flushes }
    }

    /// Lets some things go wrong; gives their number.
    fn inject(&mut self) -> u64 {
        let count = 1 + self.random.below(2);
        for _ in 0..count {
            let site = &self.world.sites[self.random.below(self.world.sites.len() as u64) as usize];
            let random = &mut self.random;
            let fault = if random.one_in(3) { Fault::Exhausted } else { Fault::Unavailable };
            let of_log = random.one_in(2);
            let ops: &[&str] = if of_log {
                &["append", "sync", "sync", "create", "delete", "read", "list"]
            } else {
                &["put", "put", "get", "get_ranges", "delete", "list"]
            };
            let op = ops[random.below(ops.len() as u64) as usize];
            let effect = match random.below(8) {
                0 => Effect::Hang,
                1..3 => Effect::LoseReply,
                3 => Effect::Delay(20 + random.below(200) as u32),
                // Deleting and reading need no room.
                _ if matches!(op, "delete" | "read" | "list" | "get" | "get_ranges" | "sync") => Effect::Fail(Fault::Unavailable),
                _ => Effect::Fail(fault),
            };
            let injection = Injection::next(effect).on(op).after(random.below(12)).times(1 + random.below(3));
            match op {
                _ if random.one_in(10) => {
                    let room = random.below(4_000);
                    let used = self.world.sites.iter().map(|s| s.disk_bytes()).max().unwrap_or(0);
                    site.disk.set_capacity_bytes(Some(used + room));
                }
                _ if of_log => {
                    site.log_store.inject(injection.clone());
                    if random.one_in(3) {
                        site.copies.inject(injection);
                    } else {
                        site.disk.inject(injection);
                    }
                }
                _ => site.filesystem.inject(injection),
            }
        }
        count
    }

    fn heal(&self) {
        for site in &self.world.sites {
            site.disk.heal();
            site.copies.heal();
            site.disk.set_capacity_bytes(None);
            site.filesystem.heal();
            site.log_store.heal();
        }
    }

    /// One life of the process: clients at work until the power goes.
    async fn live(&mut self, tale: &mut Tale) {
        let faulty = self.random.one_in(3);
        if faulty {
            tale.faults += self.inject();
        }
        let books = self.books.clone();
        let engine = self.world.engine();
        let clients: Vec<_> = books
            .iter()
            .map(|book| {
                let client = self.client(Arc::clone(&engine) as Arc<dyn Database>, book);
                tokio::spawn(client.work())
            })
            .collect();
        let operations = self.random.below(160);
        self.world.operations(operations, LIFE_MAX).await;
        give_way(self.random.below(8)).await;
        let under_way = books.iter().any(|book| !book.ledger().is_certain());
        tale.crashes += 1;
        tale.crashes_under_writes += u64::from(under_way);
        self.world.cut().await;
        for client in clients {
            client.abort();
            // A panic was counted where it happened.
            let _ = client.await;
        }
    }

    /// Opens what the crash left, perhaps not at the first try.
    async fn reopen(&mut self, tale: &mut Tale) {
        if !self.random.one_in(4) {
            self.heal();
        }
        let tries = if self.random.one_in(3) { 0 } else { 1 + self.random.below(6) };
        for _ in 0..tries {
            let turns = self.random.below(90);
            let while_opening = self.world.cut_while_opening(turns).await;
            tale.crashes += 1;
            tale.crashes_while_opening += u64::from(while_opening);
        }
        self.heal();
        self.world.reopen().await;
    }

    /// Reads and judges everything.
    pub(super) async fn check(&mut self, place: &str, tale: &mut Tale) {
        let problems = self.world.engine().health().await.problems;
        tale.found(problems.into_iter().map(|p| Violation::new(Wrong::Other, format!("{place}: a problem: {p}"))));
        self.judge_all(place, tale).await;
    }

    /// Reads and judges every record, whatever the health says.
    pub(super) async fn judge_all(&mut self, place: &str, tale: &mut Tale) {
        let engine = self.world.engine();
        let mut visible = match read_all(&*engine, &self.collection).await {
            Ok(visible) => visible,
            Err(finding) => return tale.finding(place, finding),
        };
        if let Err(finding) = cross_check(&*engine, &self.collection, &visible, &mut self.random).await {
            tale.finding(place, finding);
        }
        let found = judge(&self.books, &visible, self.shards, true);
        tale.found(found.into_iter().map(|v| Violation { what: format!("{place}: {}", v.what), ..v }));
        if self.random.one_in(4) {
            for book in self.books.clone() {
                if let Err(finding) = repeat_keyed(&*engine, &self.collection, &book, &mut visible).await {
                    tale.finding(place, finding);
                }
            }
        }
    }

    /// A start without writes leaves no more than the one before.
    async fn check_growth(&mut self, tale: &mut Tale) {
        let clock = SimClock::of_tokio();
        clock.sleep(Duration::from_secs(5)).await;
        let mut sizes = Vec::new();
        for _ in 0..GROWTH_STARTS {
            self.world.cut().await;
            tale.crashes += 1;
            self.world.reopen().await;
            clock.sleep(Duration::from_secs(5)).await;
            sizes.push(self.world.stored_bytes());
        }
        // The first starts may write anew what the crash left in doubt, in either copy.
        if sizes[GROWTH_STARTS - 1] > sizes[GROWTH_STARTS - 2] {
            tale.found([Violation::new(Wrong::Other, format!("starts without writes let the files grow: {sizes:?} bytes"))]);
        }
    }
}

/// Plays the history of a seed.
pub(super) async fn play(seed: u64, racing: bool) -> Tale {
    let mut tale = Tale::default();
    let kind = Random::new(seed ^ 0x6b69_6e64).below(10);
    let kind = if racing { 9 } else { kind };
    let log = if kind < 8 { Log::Files } else { Log::Objects };
    let mut stage = match Stage::new(seed, log, kind == 9 && !racing).await {
        Ok(stage) => stage,
        Err(finding) => {
            tale.finding("creating the collection", finding);
            return tale;
        }
    };
    if kind == 9 {
        takeover::play(&mut stage, &mut tale, racing).await;
    } else {
        for life in 0..LIVES {
            stage.live(&mut tale).await;
            stage.reopen(&mut tale).await;
            stage.check(&format!("life {life}"), &mut tale).await;
            if !tale.violations.is_empty() {
                break;
            }
        }
        if tale.violations.is_empty() {
            stage.check_growth(&mut tale).await;
            stage.check("at the end", &mut tale).await;
        }
        if tale.violations.is_empty() {
            rot::play(&mut stage, &mut tale).await;
            // It may end with the power cut.
            stage.world.cut().await;
            stage.world.reopen().await;
            tale.crashes += 1;
        }
        if tale.violations.is_empty() && stage.world.sites.len() > 1 && kind < 8 {
            loss::play_moves(&mut stage, &mut tale).await;
        }
        if tale.violations.is_empty() && stage.world.is_mirrored() {
            loss::play(&mut stage, &mut tale).await;
        }
    }
    stage.world.process.executor.shutdown().await;
    tale.acknowledged = stage.books.iter().map(|book| book.ledger().acknowledged).sum();
    tale.repeatable = stage.shards == 1;
    tale.digest = stage.world.digest() ^ tale.acknowledged.rotate_left(40) ^ tale.crashes;
    tale
}
