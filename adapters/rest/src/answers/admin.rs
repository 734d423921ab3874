//! Tasks and losses in answers.

use proximadb_ports::{Loss, TaskStatus};
use serde::Serialize;

use super::{Each, Under};

#[derive(Serialize)]
struct TaskOut<'a> {
    id: u64,
    kind: &'a str,
    site: Option<u32>,
    state: &'a str,
    shards_total: u32,
    shards_done: u32,
    bytes_total: u64,
    bytes_done: u64,
    problem: Option<&'a str>,
    started: String,
}

pub(crate) fn task(task: &TaskStatus) -> impl Serialize {
    TaskOut {
        id: task.id,
        kind: task.kind,
        site: task.site,
        state: task.state,
        shards_total: task.shards_total,
        shards_done: task.shards_done,
        bytes_total: task.bytes_total,
        bytes_done: task.bytes_done,
        problem: task.problem.as_deref(),
        started: task.started.to_string(),
    }
}

pub(crate) fn tasks(all: &[TaskStatus]) -> impl Serialize {
    Under("tasks", Each(move || all.iter().map(task)))
}

#[derive(Serialize)]
struct LossOut<'a> {
    shard: u32,
    what: &'a str,
    rows: u64,
}

fn loss(loss: &Loss) -> LossOut<'_> {
    LossOut { shard: loss.shard, what: &loss.what, rows: loss.rows }
}

pub(crate) fn losses(all: &[Loss]) -> impl Serialize {
    Under("losses", Each(move || all.iter().map(loss)))
}
