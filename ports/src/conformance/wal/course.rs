//! Courses of writes, failures, truncations and crashes over several shards, against a model of what must be there.

use std::sync::Arc;

use proptest::prelude::*;
use proximadb_model::{Epoch, Sequence, WriteBatch};

use super::{WalHarness, batch, replayed, shard};
use crate::error::Fault;
use crate::wal::{Wal, WalWriter};

const SHARDS: usize = 3;

/// One step of a course.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// Appends a batch with some puts to a shard.
    Append {
        /// The shard's number.
        shard: usize,
        /// Puts in the batch.
        count: u32,
    },
    /// Syncs a shard's writer.
    Sync {
        /// The shard's number.
        shard: usize,
    },
    /// The next write of the log fails.
    FailWrite,
    /// The next request for durability fails.
    FailSync,
    /// Frees a shard's batches but the last few.
    Truncate {
        /// The shard's number.
        shard: usize,
        /// How many batches stay.
        keep: usize,
    },
    /// Opens a shard's writer again, with the next epoch.
    Takeover {
        /// The shard's number.
        shard: usize,
    },
    /// Lets the log go idle.
    Idle,
    /// Ends the process and starts the next one.
    Reopen,
    /// Cuts the power and starts again.
    Crash,
    /// Something happens that the harness's medium must put up with.
    Trouble(u64),
}

/// Courses of up to `length` steps.
pub fn steps(length: usize) -> impl Strategy<Value = Vec<Step>> {
    let shard = 0..SHARDS;
    let step = prop_oneof![
        8 => (shard.clone(), 0u32..12).prop_map(|(shard, count)| Step::Append { shard, count }),
        5 => shard.clone().prop_map(|shard| Step::Sync { shard }),
        1 => Just(Step::FailWrite),
        1 => Just(Step::FailSync),
        1 => (shard.clone(), 0usize..3).prop_map(|(shard, keep)| Step::Truncate { shard, keep }),
        1 => shard.prop_map(|shard| Step::Takeover { shard }),
        1 => Just(Step::Idle),
        1 => Just(Step::Reopen),
        2 => Just(Step::Crash),
        3 => any::<u64>().prop_map(Step::Trouble),
    ];
    proptest::collection::vec(step, 1..length)
}

/// What the model knows of a shard.
#[derive(Default)]
struct Model {
    epoch: u64,
    truncated: Sequence,
    /// Acknowledged, or shown by a replay, and not truncated.
    certain: Vec<WriteBatch>,
    /// Appended by the writer that is open now, and not acknowledged.
    open: Vec<WriteBatch>,
    /// Appended by earlier writers and never acknowledged; each list may come back in part, from its beginning.
    ghosts: Vec<Vec<WriteBatch>>,
}

impl Model {
    fn next(&self) -> Sequence {
        let last = self.open.last().or(self.certain.last()).map_or(self.truncated, |b| b.last());
        last.plus(1)
    }

    fn lose_writer(&mut self) {
        self.ghosts.push(std::mem::take(&mut self.open));
    }

    fn acknowledge(&mut self) {
        // What is durable now took the place of whatever earlier writers had put there.
        if !self.open.is_empty() {
            self.ghosts.clear();
        }
        self.certain.append(&mut self.open);
    }

    /// Takes in what a new writer was shown.
    fn recover(&mut self, shown: Vec<WriteBatch>) {
        let certain = self.certain.len();
        assert!(shown.len() >= certain && shown[..certain] == self.certain[..], "acknowledged batches are missing or wrong");
        let more = &shown[certain..];
        let from = |ghost: &Vec<WriteBatch>| more.len() <= ghost.len() && ghost[..more.len()] == *more;
        assert!(more.is_empty() || self.ghosts.iter().any(from), "batches came back that no writer left in this order: {more:?}");
        // What a ghost left may come back later, up to where the next writer goes on; others were replaced by what came back.
        self.ghosts.retain(from);
        self.ghosts.iter_mut().for_each(|ghost| drop(ghost.drain(..more.len())));
        self.certain = shown;
    }
}

struct Course<'a> {
    harness: &'a mut dyn WalHarness,
    wal: Arc<dyn Wal>,
    models: Vec<Model>,
    writers: Vec<Box<dyn WalWriter>>,
}

/// Runs a course; whatever happens, replay gives every acknowledged batch, in order, and others only as the model allows.
///
/// # Panics
/// When the log breaks a promise.
pub async fn keeps_to_the_model(harness: &mut dyn WalHarness, steps: &[Step]) {
    let wal = harness.open().await;
    let models = (0..SHARDS).map(|_| Model::default()).collect();
    let mut course = Course { harness, wal, models, writers: Vec::new() };
    for shard in 0..SHARDS {
        let writer = course.take_over(shard).await;
        course.writers.push(writer);
    }
    for step in steps.iter().chain(&[Step::Reopen, Step::Crash]) {
        course.take(*step).await;
        course.check().await;
    }
}

impl Course<'_> {
    async fn take_over(&mut self, index: usize) -> Box<dyn WalWriter> {
        let model = &mut self.models[index];
        model.lose_writer();
        // A fault that was injected for a write may strike the open of a log that announces itself; the next try goes through.
        for _ in 0..3 {
            model.epoch += 1;
            if let Ok(writer) = self.wal.open(shard(index as u32), Epoch(model.epoch)).await {
                let shown = replayed(&*self.wal, shard(index as u32), model.truncated).await.expect("no damage, so no error");
                model.recover(shown);
                return writer;
            }
        }
        panic!("shard {index} does not open")
    }

    async fn take(&mut self, step: Step) {
        match step {
            Step::Append { shard, count } => self.append(shard, count).await,
            Step::Sync { shard } => self.sync(shard).await,
            Step::FailWrite => self.harness.fail_next_write(),
            Step::FailSync => self.harness.fail_next_sync(),
            Step::Truncate { shard: index, keep } => {
                let model = &mut self.models[index];
                let gone = model.certain.len().saturating_sub(keep);
                let Some(through) = model.certain[..gone].last().map(WriteBatch::last) else { return };
                model.certain.drain(..gone);
                model.truncated = through;
                self.wal.truncate(shard(index as u32), through).await.expect("truncates");
            }
            Step::Takeover { shard } => self.writers[shard] = self.take_over(shard).await,
            Step::Idle => self.harness.idle().await,
            Step::Reopen => self.restart(false).await,
            Step::Crash => self.restart(true).await,
            Step::Trouble(draw) => self.harness.trouble(draw).await,
        }
    }

    async fn append(&mut self, index: usize, count: u32) {
        let model = &mut self.models[index];
        let batch = batch(shard(index as u32), Epoch(model.epoch), model.next(), count);
        match self.writers[index].append(&batch).await {
            Ok(_) => model.open.push(batch),
            Err(e) => {
                assert!(matches!(e.fault, Fault::Unavailable | Fault::Exhausted), "{e:?}");
                self.writers[index] = self.take_over(index).await;
            }
        }
    }

    async fn sync(&mut self, index: usize) {
        match self.writers[index].sync().await {
            Ok(_) => self.models[index].acknowledge(),
            Err(e) => {
                assert!(matches!(e.fault, Fault::Unavailable | Fault::Exhausted), "{e:?}");
                self.writers[index] = self.take_over(index).await;
            }
        }
    }

    async fn restart(&mut self, crash: bool) {
        self.writers.clear();
        if crash {
            self.harness.crash().await;
        }
        self.wal = self.harness.open().await;
        for index in 0..SHARDS {
            let writer = self.take_over(index).await;
            self.writers.push(writer);
        }
    }

    async fn check(&mut self) {
        for (index, model) in (0..).zip(&self.models) {
            let shown = replayed(&*self.wal, shard(index), model.truncated).await.expect("no damage, so no error");
            assert!(
                shown.len() >= model.certain.len() && shown[..model.certain.len()] == model.certain[..],
                "acknowledged batches are missing"
            );
            let more = &shown[model.certain.len()..];
            assert!(more.len() <= model.open.len() && model.open[..more.len()] == *more, "batches that nobody may see yet: {more:?}");
        }
    }
}
