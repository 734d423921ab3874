//! `load`: puts a set into a running server, searches it in closed loops, and says how fast, how well and at what cost.
//!
//! Held-out queries only, each once in a run and in another order in each; the medians of the runs are told, and the CPU time of
//! server and client over all of them.

use std::error::Error;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::Parser;
use serde_json::{Map, Value, json};

use crate::arguments::{Arguments, Protocol};
use crate::data_set::DataSet;
use crate::grpc::Grpc;
use crate::measure::{Run, median, permuted};
use crate::query::{Ask, Progress, packed};
use crate::rest::Rest;

mod arguments;
mod data_set;
mod grpc;
mod measure;
mod npy;
mod processor;
mod query;
mod rest;

/// Searches before those that count: rows of the base, which are no queries.
const WARM_UP: usize = 500;
/// How often the server is asked whether it is done.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long its state must stay the same before searches begin, since segments that are indexed may still be merged.
const SETTLE: Duration = Duration::from_secs(8);

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Standard error may be closed; there is nobody else to tell.
            let _ = writeln!(std::io::stderr(), "load: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The server, over either protocol.
enum Target {
    Grpc(Grpc),
    Rest(Rest),
}

impl Target {
    fn connect(arguments: &Arguments) -> Result<Self, Box<dyn Error + Send + Sync>> {
        let address = arguments.address.as_deref().unwrap_or(arguments.protocol.default_address());
        let connections = usize::try_from(arguments.connections)?;
        Ok(match arguments.protocol {
            Protocol::Grpc => {
                Self::Grpc(Grpc::connect(address, connections, usize::try_from(arguments.streams)?).map_err(|e| format!("{address}: {e}"))?)
            }
            Protocol::Rest => Self::Rest(Rest::connect(address, connections)),
        })
    }

    fn progress(&self, collection: &str) -> Result<Progress, Box<dyn Error + Send + Sync>> {
        Ok(match self {
            Self::Grpc(grpc) => grpc.progress(collection)?,
            Self::Rest(rest) => rest.progress(collection)?,
        })
    }

    fn run(&self, ask: &Ask, queries: &[Bytes], order: &[usize]) -> Result<Run, Box<dyn Error + Send + Sync>> {
        Ok(match self {
            Self::Grpc(grpc) => grpc.run(ask, queries, order)?,
            Self::Rest(rest) => rest.run(ask, queries, order)?,
        })
    }

    /// Writes the base, and waits until all of it is indexed. Tells the seconds of both.
    fn ingest(&self, arguments: &Arguments, data: &DataSet) -> Result<Value, Box<dyn Error + Send + Sync>> {
        let metadata = arguments.metadata.as_deref().map(data_set::read_metadata).transpose()?.unwrap_or_default();
        let base = data.base()?;
        let rows = base.rows().len();
        if arguments.metadata.is_some() && metadata.len() != rows {
            return Err(format!("--metadata has {} lines for {rows} rows", metadata.len()).into());
        }
        let (batch, collection) = (usize::try_from(arguments.batch)?, &arguments.collection);
        let cpu_before = arguments.server_pid.map(processor::cpu_time).transpose()?;
        let started = now();
        match self {
            Self::Grpc(grpc) => grpc.ingest(collection, &base, &metadata, batch)?,
            Self::Rest(rest) => rest.ingest(collection, &base, &metadata, batch)?,
        }
        let ingested = started.elapsed();
        match self {
            Self::Grpc(grpc) => grpc.flush(collection)?,
            Self::Rest(rest) => rest.flush(collection)?,
        }
        let (progress, since) = self.settled(collection, rows as u64)?;
        let ready = since.duration_since(started).saturating_sub(ingested);
        let cpu = arguments.server_pid.map(processor::cpu_time).transpose()?.zip(cpu_before);
        Ok(json!({
            "what": "build", "n": rows, "dim": base.dimension, "batch": batch, "ingest_s": ingested.as_secs_f64(),
            "ready_s": ready.as_secs_f64(), "ingest_vps": rows as f64 / ingested.as_secs_f64(),
            "total_vps": rows as f64 / (ingested + ready).as_secs_f64(), "segments": progress.segments,
            "server_cpu_s": cpu.map(|(after, before)| (after - before).as_secs_f64()),
        }))
    }

    /// Waits until all rows are indexed and nothing has changed for a while; tells since when.
    #[expect(clippy::disallowed_methods, reason = "a load generator waits for a real server")]
    fn settled(&self, collection: &str, rows: u64) -> Result<(Progress, Instant), Box<dyn Error + Send + Sync>> {
        let mut last = (self.progress(collection)?, now());
        while !(last.0.is_done(rows) && last.1.elapsed() >= SETTLE) {
            std::thread::sleep(LOOK_EVERY);
            let progress = self.progress(collection)?;
            if progress != last.0 {
                last = (progress, now());
            }
        }
        Ok(last)
    }
}

#[expect(clippy::disallowed_methods, reason = "a load generator reads the clock")]
fn now() -> Instant {
    Instant::now()
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn Error + Send + Sync>> {
    let data = DataSet::open(&arguments.data, arguments.filter.as_deref())?;
    let target = Target::connect(arguments)?;
    if arguments.ingest {
        tell(arguments, &data, target.ingest(arguments, &data)?)?;
    }
    let queries: Vec<Bytes> = data.queries.rows().map(packed).collect();
    let base = data.base()?;
    let warm_up: Vec<Bytes> = base.rows().take(WARM_UP).map(packed).collect();
    let efs = if arguments.ef.is_empty() { vec![None] } else { arguments.ef.iter().copied().map(Some).collect() };
    for ef in efs {
        let ask = Ask { collection: arguments.collection.clone(), ef, filter: data.filter.clone(), with_metadata: arguments.with_metadata };
        target.run(&ask, &warm_up, &permuted(warm_up.len(), 0))?;
        tell(arguments, &data, measured(arguments, &data, &target, &ask, &queries)?)?;
    }
    Ok(())
}

fn measured(
    arguments: &Arguments,
    data: &DataSet,
    target: &Target,
    ask: &Ask,
    queries: &[Bytes],
) -> Result<Value, Box<dyn Error + Send + Sync>> {
    let cpu_of = |pid: Option<u32>| pid.map(processor::cpu_time).transpose();
    let (server_before, client_before) = (cpu_of(arguments.server_pid)?, processor::cpu_time(std::process::id())?);
    let mut runs = Vec::new();
    for seed in 1..=u64::try_from(arguments.runs)? {
        runs.push(target.run(ask, queries, &permuted(queries.len(), seed))?);
    }
    let searches = (runs.len() * queries.len()) as f64;
    let micros = |time: Duration| (time.as_secs_f64() * 1e6 / searches).round();
    let client = processor::cpu_time(std::process::id())? - client_before;
    let server = cpu_of(arguments.server_pid)?.zip(server_before).map(|(after, before)| after - before);
    Ok(json!({
        "what": "search", "params": {"ef": ask.ef}, "filter": data.filter.as_ref().map_or("none", |range| &range.name),
        "with_metadata": ask.with_metadata, "connections": arguments.connections, "streams": arguments.streams, "runs": runs.len(), "queries": queries.len(),
        "recall": median(runs.iter().map(|run| run.recall(&data.truth))),
        "qps": median(runs.iter().map(Run::rate)).round(),
        "qps_best": runs.iter().map(Run::rate).fold(0.0, f64::max).round(),
        "p50_ms": median(runs.iter().map(|run| run.percentile(0.5))),
        "p99_ms": median(runs.iter().map(|run| run.percentile(0.99))),
        "server_cpu_us": server.map(micros), "client_cpu_us": micros(client),
        "cpu_qps": server.map(|server| (searches / (server + client).as_secs_f64()).round()),
    }))
}

/// Prints a line, and appends it to the file.
fn tell(arguments: &Arguments, data: &DataSet, line: Value) -> Result<(), Box<dyn Error + Send + Sync>> {
    let system = arguments.system.clone().unwrap_or_else(|| format!("proximadb-{}", arguments.protocol.name()));
    let mut all = Map::from_iter([("system".to_owned(), system.into()), ("kind".to_owned(), "server".into())]);
    all.insert("data".to_owned(), data.name.clone().into());
    if let Value::Object(line) = line {
        all.extend(line);
    }
    let text = format!("{}\n", Value::Object(all));
    std::io::stdout().write_all(text.as_bytes())?;
    if let Some(path) = &arguments.out {
        append(path, &text)?;
    }
    Ok(())
}

fn append(path: &Path, text: &str) -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut file = OpenOptions::new().create(true).append(true).open(path).map_err(|e| format!("{}: {e}", path.display()))?;
    Ok(file.write_all(text.as_bytes())?)
}
