//! The graph and the exact index on real data, as lines of JSON that benches/table.py sets beside the peers'.
//!
//! `PROXIMADB_BENCH_DATA` names a directory of `base.f16.npy`, `queries.f16.npy`, `gt_none.npy` and, for each filter, `gt_<label>.npy`
//! and `mask_<label>.npy`. `PROXIMADB_BENCH_{M,EF_CONSTRUCTION,EF,REPEATS,SECONDS}` change what is built, which breadths are tried and
//! how long. The graph is measured once more without its originals in memory. With `PROXIMADB_BENCH_BREAK_EVEN`, numbers of rows, it only
//! compares graph and scan on so many. With `PROXIMADB_BENCH_RECALL_MIN` it fails where the default breadth finds less.
#![expect(clippy::disallowed_methods, reason = "a bench reads the clock")]

mod host;
mod lean;
#[path = "../../../../benches/load/src/npy.rs"]
mod npy;

use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use proximadb_axis::{BuiltinMetric, FlatFactory, GraphFactory};
use proximadb_model::plan::{Effort, SearchStrategy, SegmentFacts, plan_segment};
use proximadb_model::{Candidate, IndexSettings, MetricKind, RowSet, Timestamp};
use proximadb_ports::{Budget, Clock, IndexFactory, IndexSpec, SearchCounters, SearchParams, VectorIndex, Vectors};
use serde_json::{Value, json};

use crate::npy::Npy;

const K: usize = 10;
const SEED: u64 = 0xa15;
const THREADS: usize = 2;
const EFS: [usize; 15] = [8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024];
/// Beyond the highest level that is compared, so that the curve brackets it.
const RECALL_ENOUGH: f64 = 0.995;
/// Queries that nobody counts, before those of a pass.
const WARMING: usize = 10;
/// A thread takes so much of a batch at a time, so that threads seldom wait for each other's counter and still end together.
const SHARE: usize = 128;
/// A pass has at least so many queries, however long they take.
const QUERIES_MIN: usize = 50;

fn main() {
    let Ok(directory) = std::env::var("PROXIMADB_BENCH_DATA") else {
        println!("set PROXIMADB_BENCH_DATA to a directory with base.f16.npy, queries.f16.npy and gt_none.npy");
        return;
    };
    let directory = Path::new(&directory);
    let questions = Questions::read(directory);
    let whole = Case::read(directory, "none");
    let efs: Vec<usize> = match std::env::var("PROXIMADB_BENCH_EF") {
        Ok(efs) => numbers(&efs),
        Err(_) => EFS.to_vec(),
    };
    let settings = IndexSettings::default();
    let spec = IndexSpec {
        metric: Arc::new(BuiltinMetric::new(MetricKind::Cosine).expect("cosine is built in")),
        m: setting("M", settings.m as usize),
        ef_construction: setting("EF_CONSTRUCTION", settings.ef_construction as usize),
        seed: SEED,
        threads: THREADS,
    };
    if std::env::var_os(lean::FOLDER).is_some() {
        return lean::measure(&questions, &spec, &efs, &whole);
    }
    let before = host::resident_mb();
    let (dimension, base) = read(&directory.join("base.f16.npy")).vectors().expect("rows of norm one");
    let base = Vectors { dimension, data: Arc::new(base) };
    if let Ok(list) = std::env::var("PROXIMADB_BENCH_BREAK_EVEN") {
        for rows in numbers(&list) {
            questions.break_even(&spec, &Vectors { dimension, data: Arc::new(base.data[..rows * dimension].to_vec()) });
        }
        return;
    }
    let graph = build(&questions.data, &spec, &base, before);
    questions.curve("axis", &*graph, &efs, &whole);
    for case in Case::filters(directory) {
        questions.curve("axis", &*graph, &efs, &case);
    }
    lean::in_a_process_of_its_own(&*graph, &base);
    let flat = FlatFactory.build(&spec, base, &endless()).expect("a flat index");
    questions.point("axis-flat", &*flat, &whole, K, true);
    if let Ok(least) = std::env::var("PROXIMADB_BENCH_RECALL_MIN") {
        let recall = questions.point("axis-default", &*graph, &whole, settings.ef_search as usize, false);
        assert!(recall >= least.parse().expect("a share"), "recall@{K} at the defaults is {recall}, less than {least}");
    }
}

/// Builds the graph and says what that took; `before` is the memory without the rows.
fn build(data: &str, spec: &IndexSpec, base: &Vectors, before: f64) -> Arc<dyn VectorIndex> {
    host::reset_peak();
    let turn = host::turn();
    let (load, cpu_started, started) = (host::load(), host::process_seconds(), Instant::now());
    let graph = GraphFactory.build(spec, base.clone(), &endless()).expect("a graph");
    let (seconds, cpu) = (started.elapsed().as_secs_f64(), host::process_seconds() - cpu_started);
    drop(turn);
    let (resident, peak) = (host::resident_mb() - before, host::peak_mb() - before);
    let saved = graph.save(1).expect("a sidecar");
    let sidecar = saved.len();
    let started = Instant::now();
    GraphFactory.load(spec, base.clone().into(), 1, saved).expect("the graph again");
    emit(json!({
        "system": "axis", "kind": "library", "data": data, "what": "build", "version": env!("CARGO_PKG_VERSION"), "rows": base.rows(),
        "dimension": base.dimension, "m": spec.m, "ef_construction": spec.ef_construction, "build_s": rounded(seconds, 3),
        "build_cpu_s": rounded(cpu, 3), "rss_mb": rounded(resident, 1), "rss_peak_mb": rounded(peak, 1), "load1": load,
        "index_mb": rounded(graph.resident_bytes() as f64 / 1e6, 1), "originals_mb": rounded(base.data.len() as f64 * 4e-6, 1),
        "sidecar_mb": rounded(sidecar as f64 / 1e6, 1), "load_s": rounded(started.elapsed().as_secs_f64(), 3),
    }));
    graph
}

fn read(path: &Path) -> Npy {
    Npy::read(path).unwrap_or_else(|error| panic!("{error}"))
}

/// The rows for which a column of truth values is true.
fn rows(mask: &Npy) -> RowSet {
    assert_eq!(mask.descriptor, "|b1");
    RowSet::from_fn(mask.body.len(), |row| mask.body[row] != 0)
}

/// The true neighbours of each query, of all rows or of those of one filter.
struct Case {
    label: String,
    truth: Vec<Vec<u32>>,
    allow: Option<RowSet>,
}

impl Case {
    fn read(directory: &Path, label: &str) -> Self {
        let mask = directory.join(format!("mask_{label}.npy"));
        let allow = mask.exists().then(|| rows(&read(&mask)));
        Self { label: label.to_owned(), truth: read(&directory.join(format!("gt_{label}.npy"))).neighbours().expect("ids"), allow }
    }

    /// Those that the directory has masks of, the widest first.
    fn filters(directory: &Path) -> Vec<Self> {
        let paths: Vec<PathBuf> = fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").path()).collect();
        let labels = paths.iter().filter_map(|path| path.file_name()?.to_str()?.strip_prefix("mask_")?.strip_suffix(".npy"));
        let mut cases: Vec<Self> = labels.map(|label| Self::read(directory, label)).collect();
        cases.sort_by_key(|case| std::cmp::Reverse(case.allow.as_ref().map(RowSet::count)));
        cases
    }
}

/// Held-out queries, and how long they are asked.
struct Questions {
    data: String,
    queries: Vec<Vec<f32>>,
    repeats: usize,
    pass: Duration,
}

/// What passes on one thread found.
#[derive(Default)]
struct Pass {
    hits: usize,
    wanted: usize,
    queries: usize,
    counters: SearchCounters,
}

impl Pass {
    fn take(&mut self, case: &Case, answered: Answered) {
        for (number, found) in &answered.answers {
            let truth = &case.truth[*number][..K.min(case.truth[*number].len())];
            self.hits += found.iter().filter(|candidate| truth.contains(&candidate.row)).count();
            self.wanted += truth.len();
        }
        self.queries += answered.answers.len();
        self.counters.add(&answered.counters);
    }

    fn recall(&self) -> f64 {
        self.hits as f64 / self.wanted.max(1) as f64
    }
}

impl Questions {
    fn read(directory: &Path) -> Self {
        let (dimension, queries) = read(&directory.join("queries.f16.npy")).vectors().expect("rows of norm one");
        Self {
            data: directory.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
            queries: queries.chunks(dimension).map(<[f32]>::to_vec).collect(),
            repeats: setting("REPEATS", 3),
            pass: Duration::from_secs_f64(setting("SECONDS", 0.3)),
        }
    }

    /// One breadth after the other until nearly all is found, each as the engine would search a segment for it.
    fn curve(&self, system: &str, graph: &dyn VectorIndex, efs: &[usize], case: &Case) {
        for &ef in efs {
            let allowed = case.allow.as_ref().map_or(graph.rows(), RowSet::count);
            let (rows, dimension) = (graph.rows(), self.queries.first().map_or(0, Vec::len));
            let facts = SegmentFacts { rows, allowed, dimension, foreign: false, approximate: true, originals: true };
            let plan = plan_segment(facts, K, Effort::Breadth(ef));
            let recall = match plan.strategy {
                SearchStrategy::Approximate { ef } => self.point(system, graph, case, ef, false),
                SearchStrategy::Exact => self.point(system, graph, case, ef, true),
                SearchStrategy::Nothing => return,
            };
            if recall >= RECALL_ENOUGH {
                return;
            }
        }
    }

    /// One breadth: passes on one thread, then on two, of which the medians count. No query comes twice in a pass, and each pass has
    /// an order of its own. Gives the recall.
    fn point(&self, system: &str, index: &dyn VectorIndex, case: &Case, ef: usize, exact: bool) -> f64 {
        let params = SearchParams { k: K, ef, exact };
        let (mut rates, mut cpu_rates, mut two, mut sum) = (Vec::new(), Vec::new(), Vec::new(), Pass::default());
        for repeat in 0..self.repeats {
            let order = shuffled(self.queries.len(), SEED + repeat as u64);
            let (warming, asked) = order.split_at(WARMING.min(order.len() / 2));
            let _turn = host::turn();
            self.batch(warming).ask(index, case, &params, Duration::MAX);
            let batch = self.batch(asked);
            let (cpu_started, started) = (host::thread_time(), Instant::now());
            let answered = batch.ask(index, case, &params, self.pass);
            let (took, cpu) = (started.elapsed(), host::thread_time() - cpu_started);
            let queries = answered.answers.len() as f64;
            rates.push(queries / took.as_secs_f64());
            cpu_rates.push(queries / cpu.as_secs_f64());
            sum.take(case, answered);
        }
        let rate = median(&mut rates);
        for repeat in 0..self.repeats {
            let order = shuffled(self.queries.len(), SEED + (self.repeats + repeat) as u64);
            let count = ((2.0 * rate * self.pass.as_secs_f64()) as usize).max(QUERIES_MIN).min(order.len());
            let _turn = host::turn();
            two.push(count as f64 / self.two_threads(index, case, &params, &order[..count]).as_secs_f64());
        }
        let recall = sum.recall();
        let walks = sum.counters.graph_walks as f64 / sum.queries as f64;
        // Under a filter the index may scan its codes.
        assert!(exact || case.allow.is_some() || walks == 1.0, "the graph answers where all rows are asked for");
        assert!(!exact || walks == 0.0, "a scan answers where that is asked for");
        let per_query = |count: u64| count / sum.queries as u64;
        emit(json!({
            "system": system, "kind": "library", "data": self.data, "what": "search", "filter": case.label,
            "params": {"ef": ef, "exact": exact}, "recall": rounded(recall, 5), "qps": rounded(rate, 1),
            "cpu_qps": rounded(median(&mut cpu_rates), 1), "qps2": rounded(median(&mut two), 1), "queries": sum.queries,
            "repeats": self.repeats, "walks": rounded(walks, 3), "distances": per_query(sum.counters.distances),
            "code_distances": per_query(sum.counters.code_distances), "hops": per_query(sum.counters.hops),
        }));
        recall
    }

    /// How long two threads, which are there and warm before the clock starts, take for some queries; each takes the next one.
    fn two_threads(&self, index: &dyn VectorIndex, case: &Case, params: &SearchParams, numbers: &[usize]) -> Duration {
        let (batch, warming, start) = (self.batch(numbers), &numbers[..WARMING.min(numbers.len())], Barrier::new(2));
        let one = || {
            self.batch(warming).ask(index, case, params, Duration::MAX);
            start.wait();
            let started = Instant::now();
            batch.ask(index, case, params, Duration::MAX);
            started.elapsed()
        };
        std::thread::scope(|scope| {
            let other = scope.spawn(one);
            one().max(other.join().expect("a thread"))
        })
    }

    /// Some queries, one after the other in memory, as the peers' batches are.
    fn batch<'a>(&self, numbers: &'a [usize]) -> Batch<'a> {
        Batch {
            numbers,
            queries: numbers.iter().flat_map(|&number| self.queries[number].iter().copied()).collect(),
            next: AtomicUsize::new(0),
        }
    }

    /// What a search of so few rows costs by comparing them all, and by a graph at the default breadth; the least of all passes.
    fn break_even(&self, spec: &IndexSpec, base: &Vectors) {
        let graph = GraphFactory.build(spec, base.clone(), &endless()).expect("a graph");
        let flat = FlatFactory.build(spec, base.clone(), &endless()).expect("a flat index");
        let ef = IndexSettings::default().ef_search as usize;
        let (exact, walk) = (SearchParams { k: K, ef: K, exact: true }, SearchParams { k: K, ef, exact: false });
        let mut all = Case { label: "none".to_owned(), truth: vec![Vec::new(); self.queries.len()], allow: None };
        for (query, truth) in self.queries.iter().zip(&mut all.truth) {
            let found = flat.search(query, &exact, None, &endless(), &mut SearchCounters::default()).expect("an answer");
            truth.extend(found.into_iter().map(|candidate| candidate.row));
        }
        let measure = |index: &dyn VectorIndex, params: &SearchParams| {
            let (mut micros, mut recall) = (f64::INFINITY, 0.0);
            for repeat in 0..self.repeats.max(5) {
                let order = shuffled(self.queries.len(), SEED + repeat as u64);
                let batch = self.batch(&order);
                let started = Instant::now();
                let answered = batch.ask(index, &all, params, self.pass);
                micros = micros.min(started.elapsed().as_secs_f64() * 1e6 / answered.answers.len() as f64);
                let mut pass = Pass::default();
                pass.take(&all, answered);
                recall = pass.recall();
            }
            (micros, recall)
        };
        let ((flat_us, _), (graph_us, recall)) = (measure(&*flat, &exact), measure(&*graph, &walk));
        emit(json!({
            "system": "axis", "data": self.data, "what": "break-even", "rows": base.rows(), "dimension": base.dimension, "ef": ef,
            "flat_us": rounded(flat_us, 1), "graph_us": rounded(graph_us, 1), "recall": rounded(recall, 4),
        }));
    }
}

/// Queries that are asked in this order, each once, by whoever takes the next.
struct Batch<'a> {
    numbers: &'a [usize],
    queries: Vec<f32>,
    next: AtomicUsize,
}

/// What one thread was answered: the number of each query and what was found.
struct Answered {
    answers: Vec<(usize, Vec<Candidate>)>,
    counters: SearchCounters,
}

impl Batch<'_> {
    /// Asks until none is left or the time is over. What is found is kept and looked at later, which takes time too.
    fn ask(&self, index: &dyn VectorIndex, case: &Case, params: &SearchParams, time: Duration) -> Answered {
        let (budget, started, dimension) = (endless(), Instant::now(), self.queries.len() / self.numbers.len());
        let (mut answers, mut counters) = (Vec::with_capacity(self.numbers.len()), SearchCounters::default());
        let share = self.numbers.len().div_ceil(SHARE);
        loop {
            let at = self.next.fetch_add(share, Ordering::Relaxed);
            let Some(numbers) = self.numbers.get(at..self.numbers.len().min(at + share)) else { break };
            for (&number, query) in numbers.iter().zip(self.queries[at * dimension..].chunks(dimension)) {
                answers.push((number, index.search(query, params, case.allow.as_ref(), &budget, &mut counters).expect("an answer")));
            }
            if answers.len() >= QUERIES_MIN && started.elapsed() > time {
                break;
            }
        }
        Answered { answers, counters }
    }
}

/// Numbers with commas between them.
fn numbers(list: &str) -> Vec<usize> {
    list.split(',').map(|number| number.parse().expect("numbers with commas")).collect()
}

/// The numbers below `count` in an order that the seed decides (splitmix64, Fisher-Yates).
fn shuffled(count: usize, seed: u64) -> Vec<usize> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    };
    let mut order: Vec<usize> = (0..count).collect();
    for place in (1..count).rev() {
        order.swap(place, (next() % (place as u64 + 1)) as usize);
    }
    order
}

/// The middle one, or the mean of the two in the middle.
fn median(rates: &mut [f64]) -> f64 {
    rates.sort_by(f64::total_cmp);
    f64::midpoint(rates[(rates.len() - 1) / 2], rates[rates.len() / 2])
}

fn rounded(value: f64, digits: i32) -> f64 {
    let scale = 10f64.powi(digits);
    (value * scale).round() / scale
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

fn endless() -> Budget {
    Budget::new(Arc::new(WallClock(Instant::now())), None)
}

fn setting<T: FromStr>(name: &str, default: T) -> T {
    let name = format!("PROXIMADB_BENCH_{name}");
    std::env::var(&name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is {text:?}, not a number")))
}

fn emit(line: Value) {
    println!("{line}");
}
