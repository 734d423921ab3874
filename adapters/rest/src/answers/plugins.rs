//! Plugins in answers.

use proximadb_ports::PluginStatus;
use serde::Serialize;

use super::{Each, Under};

#[derive(Serialize)]
struct PluginOut<'a> {
    name: &'a str,
    kind: &'a str,
    sha256: &'a str,
    state: &'a str,
    breaker: &'a str,
    problem: Option<&'a str>,
    calls: u64,
    faults: u64,
    micros: u64,
}

fn plugin(plugin: &PluginStatus) -> PluginOut<'_> {
    PluginOut {
        name: &plugin.name,
        kind: plugin.kind,
        sha256: &plugin.sha256,
        state: plugin.state,
        breaker: plugin.breaker,
        problem: plugin.problem.as_deref(),
        calls: plugin.calls,
        faults: plugin.faults,
        micros: plugin.micros,
    }
}

pub(crate) fn plugins(all: &[PluginStatus]) -> impl Serialize {
    Under("plugins", Each(move || all.iter().map(plugin)))
}
