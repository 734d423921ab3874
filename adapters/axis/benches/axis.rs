//! The graph and the exact index on real data, as lines of JSON that compare with the peers' (`PROXIMADB_BENCH_DATA` names a
//! directory of `base.f16.npy`, `queries.f16.npy` and `gt_none.npy`).
//!
//! `PROXIMADB_BENCH_{ROWS,M,EF_CONSTRUCTION,EF}` change what is built and which breadths are tried. With
//! `PROXIMADB_BENCH_RECALL_MIN` it fails where the default breadth finds less.
#![expect(clippy::disallowed_methods, reason = "a bench reads the clock")]

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use proximadb_axis::{BuiltinMetric, FlatFactory, GraphFactory};
use proximadb_kernels::{decode_f16, normalize};
use proximadb_model::{IndexSettings, MetricKind, Timestamp};
use proximadb_ports::{Budget, Clock, IndexFactory, IndexSpec, SearchCounters, SearchParams, VectorIndex, Vectors};
use serde_json::json;

const K: usize = 10;
const SEED: u64 = 0xa15;
const THREADS: usize = 2;
const EFS: [usize; 12] = [10, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512];

fn main() {
    let Ok(directory) = std::env::var("PROXIMADB_BENCH_DATA") else {
        println!("set PROXIMADB_BENCH_DATA to a directory with base.f16.npy, queries.f16.npy and gt_none.npy");
        return;
    };
    let data = Data::read(Path::new(&directory));
    let settings = IndexSettings::default();
    let metric = Arc::new(BuiltinMetric::new(MetricKind::Cosine).expect("cosine is built in"));
    let m = setting("M", settings.m as usize);
    let ef_construction = setting("EF_CONSTRUCTION", settings.ef_construction as usize);
    let spec = IndexSpec { metric, m, ef_construction, seed: SEED, threads: THREADS };
    let started = Instant::now();
    let graph = GraphFactory.build(&spec, data.base.clone(), &endless()).expect("a graph");
    let seconds = started.elapsed().as_secs_f64();
    let saved = graph.save(1).expect("a sidecar");
    let started = Instant::now();
    GraphFactory.load(&spec, data.base.clone().into(), 1, saved.clone()).expect("the graph again");
    let originals = data.base.data.len() * 4;
    emit(json!({
        "system": "axis", "kind": "library", "data": data.name, "what": "build", "m": m, "ef_construction": ef_construction,
        "ingest_s": seconds, "ingest_per_s": data.base.rows() as f64 / seconds, "threads": THREADS,
        "resident_mb": graph.resident_bytes() / 1_000_000, "originals_mb": originals / 1_000_000,
        "sidecar_mb": saved.len() / 1_000_000, "restart_s": started.elapsed().as_secs_f64(),
    }));
    let efs = std::env::var("PROXIMADB_BENCH_EF").ok().map(|efs| efs.split(',').map(|ef| ef.parse().expect("a breadth")).collect());
    for ef in efs.unwrap_or_else(|| EFS.to_vec()) {
        data.search("axis", &*graph, ef, false);
    }
    if let Ok(least) = std::env::var("PROXIMADB_BENCH_RECALL_MIN") {
        let recall = data.search("axis-default", &*graph, settings.ef_search as usize, false);
        assert!(recall >= least.parse().expect("a share"), "recall@{K} at the defaults is {recall}, less than {least}");
    }
    if std::env::var("PROXIMADB_BENCH_NO_FLAT").is_err() {
        let flat = FlatFactory.build(&spec, data.base.clone(), &endless()).expect("a flat index");
        data.search("axis-flat", &*flat, K, true);
    }
}

/// Rows, queries and the true neighbours of each query.
struct Data {
    name: String,
    base: Vectors,
    queries: Vec<Vec<f32>>,
    truth: Vec<Vec<u32>>,
}

impl Data {
    fn read(directory: &Path) -> Self {
        let name = directory.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let (dimension, base) = Npy::read(&directory.join("base.f16.npy")).vectors();
        let (_, queries) = Npy::read(&directory.join("queries.f16.npy")).vectors();
        let truth = Npy::read(&directory.join("gt_none.npy")).ids();
        let base = Vectors { dimension, data: Arc::new(base) };
        Self { name, base, queries: queries.chunks(dimension).map(<[f32]>::to_vec).collect(), truth }
    }

    /// Measures one breadth: all queries once, then all of them by two threads, each from a place of its own. Gives the recall.
    fn search(&self, system: &str, index: &dyn VectorIndex, ef: usize, exact: bool) -> f64 {
        let params = SearchParams { k: K, ef, exact };
        let queries = if exact { &self.queries[..self.queries.len().min(200)] } else { &self.queries[..] };
        let (mut hits, mut counters) = (0, SearchCounters::default());
        // The queries at the end warm the caches of code; those measured come from the start.
        self.pass(index, &params, &self.queries[self.queries.len().saturating_sub(100)..], &mut SearchCounters::default(), |_, _| {});
        let (started, cpu_started) = (Instant::now(), cpu_time());
        self.pass(index, &params, queries, &mut counters, |query, found| {
            hits += found.iter().filter(|row| self.truth[query][..K].contains(row)).count();
        });
        let qps = queries.len() as f64 / started.elapsed().as_secs_f64();
        let cpu_qps = queries.len() as f64 / (cpu_time() - cpu_started).as_secs_f64();
        let started = Instant::now();
        std::thread::scope(|scope| {
            for half in queries.chunks(queries.len().div_ceil(2)) {
                scope.spawn(|| self.pass(index, &params, half, &mut SearchCounters::default(), |_, _| {}));
            }
        });
        let qps2 = queries.len() as f64 / started.elapsed().as_secs_f64();
        let per_query = |count: u64| count / queries.len() as u64;
        let recall = hits as f64 / (queries.len() * K) as f64;
        assert!(exact || counters.graph_walks == queries.len() as u64, "the graph answers, not a scan");
        emit(json!({
            "system": system, "kind": "library", "data": self.name, "what": "search", "params": {"ef": ef}, "filter": "none",
            "recall": recall, "qps": qps.round(), "cpu_qps": cpu_qps.round(), "qps2": qps2.round(), "queries": queries.len(),
            "distances": per_query(counters.distances), "code_distances": per_query(counters.code_distances), "hops": per_query(counters.hops),
        }));
        recall
    }

    fn pass(
        &self,
        index: &dyn VectorIndex,
        params: &SearchParams,
        queries: &[Vec<f32>],
        counters: &mut SearchCounters,
        mut each: impl FnMut(usize, &[u32]),
    ) {
        let budget = endless();
        for (number, query) in queries.iter().enumerate() {
            let found = index.search(query, params, None, &budget, counters).expect("an answer");
            each(number, &found.iter().map(|candidate| candidate.row).collect::<Vec<_>>());
        }
    }
}

/// A file of numpy's: two dimensions, C order, little-endian.
struct Npy {
    descriptor: String,
    columns: usize,
    body: Vec<u8>,
}

impl Npy {
    fn read(path: &Path) -> Self {
        let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert_eq!(&bytes[..7], b"\x93NUMPY\x01", "{}", path.display());
        let end = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
        let header = String::from_utf8_lossy(&bytes[10..end]).into_owned();
        let between = |from: &str, to: &str| header.split(from).nth(1).and_then(|rest| rest.split(to).next()).expect("a header").to_owned();
        let columns = between("'shape': (", ")").split(',').nth(1).and_then(|columns| columns.trim().parse().ok()).expect("a shape");
        Self { descriptor: between("'descr': '", "'"), columns, body: bytes[end..].to_vec() }
    }

    /// Rows of norm one.
    fn vectors(&self) -> (usize, Vec<f32>) {
        assert_eq!(self.descriptor, "<f2");
        let halves: Vec<u16> = self.body.as_chunks::<2>().0.iter().map(|half| u16::from_le_bytes(*half)).collect();
        let mut floats = vec![0.0; halves.len()];
        decode_f16(&halves, &mut floats);
        let rows = setting("ROWS", usize::MAX).min(floats.len() / self.columns);
        floats.truncate(rows * self.columns);
        floats.chunks_mut(self.columns).for_each(|row| assert!(normalize(row)));
        (self.columns, floats)
    }

    fn ids(&self) -> Vec<Vec<u32>> {
        let ids: Vec<u32> = match self.descriptor.as_str() {
            "<i4" => self.body.as_chunks::<4>().0.iter().map(|id| i32::from_le_bytes(*id) as u32).collect(),
            "<i8" => self.body.as_chunks::<8>().0.iter().map(|id| i64::from_le_bytes(*id) as u32).collect(),
            other => panic!("ids of {other}"),
        };
        ids.chunks(self.columns).map(<[u32]>::to_vec).collect()
    }
}

/// A clock that tells the time of this machine.
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

fn setting(name: &str, default: usize) -> usize {
    std::env::var(format!("PROXIMADB_BENCH_{name}")).map_or(default, |text| text.parse().expect("a number"))
}

fn emit(line: serde_json::Value) {
    println!("{line}");
}
