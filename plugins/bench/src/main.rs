//! What a plugin costs: a distance of the wasm twin of cosine beside the kernel's, in blocks, on vectors that no cache holds; and QPS
//! and recall of a graph by cosine whose rows the twin orders, and of one by the twin itself, beside the graph alone. `cargo run`, with
//! `-- --distances` for the first part; `PROXIMADB_BENCH_DATA` names a directory of
//! `base.f16.npy`, `queries.f16.npy` and `gt_none.npy`. Time is the thread's own on the processor.
#![expect(clippy::disallowed_methods, reason = "a bench reads the clock")]

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use proximadb_axis::{BuiltinMetric, FlatFactory, GraphFactory, OwnGraphFactory, RerankedFactory};
use proximadb_model::{IndexSettings, MetricKind, Timestamp};
use proximadb_plugins::{PluginHost, PluginOptions, WalkBy};
use proximadb_ports::{Budget, Clock, IndexFactory, IndexSpec, Metric, SearchCounters, SearchParams, VectorIndex, Vectors};

use npy::Npy;

#[path = "../../../benches/load/src/npy.rs"]
mod npy;

const COSINE: &[u8] = include_bytes!("../../examples/prebuilt/cosine.wasm");
const K: usize = 10;
const BLOCKS: [usize; 7] = [1, 8, 16, 32, 64, 128, 256];
const EFS: [usize; 5] = [16, 32, 64, 96, 192];
const WIDENS: [usize; 2] = [1, 2];

fn main() {
    let Ok(directory) = std::env::var("PROXIMADB_BENCH_DATA") else {
        println!("set PROXIMADB_BENCH_DATA to a directory with base.f16.npy, queries.f16.npy and gt_none.npy");
        return;
    };
    let directory = Path::new(&directory);
    let (dimension, base) = read(&directory.join("base.f16.npy")).vectors().expect("rows of norm one");
    let (_, queries) = read(&directory.join("queries.f16.npy")).vectors().expect("rows of norm one");
    let truth = read(&directory.join("gt_none.npy")).neighbours().expect("ids");
    let base = Vectors { dimension, data: Arc::new(base) };
    let queries: Vec<&[f32]> = queries.chunks(dimension).collect();
    let cosine: Arc<dyn Metric> = Arc::new(BuiltinMetric::new(MetricKind::Cosine).expect("built in"));

    let host = PluginHost::new(PluginOptions::default(), Arc::new(WallClock(Instant::now()))).expect("a host");
    let twin = |walk: WalkBy| -> Arc<dyn Metric> {
        let plugin = host.load_metric_plugin("twin", COSINE, None, "{}", Some(walk)).expect("a metric");
        plugin.for_dimension(dimension).expect("a metric")
    };
    println!("rows {}, components {dimension}", base.rows());
    let own = twin(WalkBy::Itself);
    for rows in BLOCKS {
        let (native, plugin) = nanos([&*cosine, &*own], &base, queries[0], rows);
        println!("a distance in blocks of {rows:>3}: kernel {native:>5.1} ns, plugin {plugin:>5.1} ns, {:.2} times", plugin / native);
    }
    if std::env::args().any(|argument| argument == "--distances") {
        return;
    }

    let settings = IndexSettings::default();
    let (m, ef_construction) = (settings.m as usize, settings.ef_construction as usize);
    let spec = |metric: &Arc<dyn Metric>| IndexSpec { metric: Arc::clone(metric), m, ef_construction, seed: 0xa15, threads: 2 };
    let budget = endless();
    let graph = GraphFactory.build(&spec(&cosine), base.clone(), &budget).expect("a graph");
    let sidecar = graph.save(1).expect("a sidecar");
    let ask = |name: &str, index: &dyn VectorIndex, params: SearchParams, queries: &[&[f32]]| {
        let (mut hits, mut counters, began) = (0, SearchCounters::default(), cpu_time());
        for (query, truth) in queries.iter().zip(&truth) {
            let found = index.search(query, &params, None, &budget, &mut counters).expect("an answer");
            hits += found.iter().filter(|candidate| truth[..K].contains(&candidate.row)).count();
        }
        let qps = queries.len() as f64 / (cpu_time() - began).as_secs_f64();
        let recall = hits as f64 / (queries.len() * K) as f64;
        let compared = counters.distances / queries.len() as u64;
        println!("{name:<24} ef {:>3}: recall@{K} {recall:.4}, {qps:>7.0} queries/s of CPU, {compared} rows compared", params.ef);
    };
    for ef in EFS {
        ask("cosine, graph", &*graph, SearchParams { k: K, ef, exact: false }, &queries);
    }
    for widen in WIDENS {
        let twin = twin(WalkBy::BuiltIn { metric: MetricKind::Cosine, widen });
        let twin = RerankedFactory(GraphFactory).load(&spec(&twin), base.clone().into(), 1, sidecar.clone()).expect("the graph");
        for ef in EFS {
            ask(&format!("twin, graph, widen {widen}"), &*twin, SearchParams { k: K, ef, exact: false }, &queries);
        }
    }
    let exact = SearchParams { k: K, ef: K, exact: true };
    for (name, metric) in [("cosine, every row", &cosine), ("twin, every row", &own)] {
        ask(name, &*FlatFactory.build(&spec(metric), base.clone(), &budget).expect("an index"), exact, &queries[..50]);
    }
    let began = Instant::now();
    let graph = OwnGraphFactory(GraphFactory).build(&spec(&own), base.clone(), &budget).expect("a graph");
    println!("the graph by the twin itself: built in {:.0} s by 2 threads", began.elapsed().as_secs_f64());
    for ef in EFS {
        ask("twin, graph of its own", &*graph, SearchParams { k: K, ef, exact: false }, &queries);
    }
}

/// Time of one distance by each of two metrics: the best of several passes in turns. By the clock, since the processor time of a thread is
/// counted in steps of milliseconds, and a pass takes only some dozens.
fn nanos(metrics: [&dyn Metric; 2], vectors: &Vectors, query: &[f32], rows: usize) -> (f64, f64) {
    let mut keys = vec![0.0; rows];
    let mut pass = |metric: &dyn Metric| {
        let mut scorer = metric.prepare(query).expect("a scorer");
        let (mut scored, began) = (0, Instant::now());
        for block in vectors.data.chunks_exact(rows * vectors.dimension) {
            scorer.keys(block, &mut keys).expect("keys");
            scored += rows;
        }
        began.elapsed().as_nanos() as f64 / scored as f64
    };
    let passes = (0..15).map(|_| (pass(metrics[0]), pass(metrics[1])));
    passes.fold((f64::INFINITY, f64::INFINITY), |best, now| (best.0.min(now.0), best.1.min(now.1)))
}

fn read(path: &Path) -> Npy {
    Npy::read(path).unwrap_or_else(|error| panic!("{error}"))
}

struct WallClock(Instant);

#[async_trait]
impl Clock for WallClock {
    fn now(&self) -> Timestamp {
        Timestamp(0)
    }

    fn monotonic(&self) -> Duration {
        self.0.elapsed()
    }

    async fn sleep(&self, _duration: Duration) {}
}

/// What this thread has used of a processor, which other work on the machine disturbs less than the time it took.
fn cpu_time() -> Duration {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(text.split(' ').next().and_then(|nanos| nanos.parse().ok()).unwrap_or(0))
}

fn endless() -> Budget {
    Budget::new(Arc::new(WallClock(Instant::now())), None)
}
