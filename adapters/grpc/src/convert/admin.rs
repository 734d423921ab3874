//! Tasks, losses, plugins, and the sites that requests name.

use proximadb_model::Invalid;
use proximadb_ports::{Loss, PluginStatus, TaskStatus, check_site};
use proximadb_proto::v1;

/// The site that a request names.
pub(crate) fn read_site(name: &str) -> Result<&str, Invalid> {
    check_site(name)?;
    Ok(name)
}

pub(crate) fn task(task: &TaskStatus) -> v1::Task {
    v1::Task {
        id: task.id,
        kind: task.kind.to_owned(),
        site: task.site,
        state: task.state.to_owned(),
        shards_total: task.shards_total,
        shards_done: task.shards_done,
        bytes_total: task.bytes_total,
        bytes_done: task.bytes_done,
        problem: task.problem.clone(),
        started: task.started.to_string(),
    }
}

pub(crate) fn loss(loss: &Loss) -> v1::Loss {
    v1::Loss { shard: loss.shard, what: loss.what.clone(), rows: loss.rows }
}

pub(crate) fn plugin(plugin: &PluginStatus) -> v1::Plugin {
    v1::Plugin {
        name: plugin.name.clone(),
        kind: plugin.kind.to_owned(),
        sha256: plugin.sha256.clone(),
        state: plugin.state.to_owned(),
        breaker: plugin.breaker.to_owned(),
        problem: plugin.problem.clone(),
        calls: plugin.calls,
        faults: plugin.faults,
        micros: plugin.micros,
    }
}
