//! The graph while its originals lie on disk, as in an engine that saves memory: a process of its own, so that what it takes in memory is
//! the graph's. Rows of the shortlist are read from a file, which the kernel may keep in its page cache.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use proximadb_axis::GraphFactory;
use proximadb_model::{Candidate, RowSet, TopK};
use proximadb_ports::{Budget, IndexFactory, IndexSpec, Metric, Originals, Result, SearchCounters, SearchParams, VectorIndex, Vectors};
use serde_json::json;

use crate::{Case, Questions, emit, host, rounded};

/// The folder that the second process finds in its environment.
pub(crate) const FOLDER: &str = "PROXIMADB_BENCH_LEAN";

/// Writes graph and rows into a folder for as long as another process of this program measures them.
pub(crate) fn in_a_process_of_its_own(graph: &dyn VectorIndex, base: &Vectors) {
    let folder = std::env::temp_dir().join(format!("proximadb-lean-{}", std::process::id()));
    fs::create_dir(&folder).expect("a folder");
    fs::write(folder.join("graph"), graph.save(1).expect("a sidecar")).expect("room for the graph");
    let rows: Vec<u8> = base.data.iter().flat_map(|component| component.to_le_bytes()).collect();
    fs::write(folder.join("rows"), rows).expect("room for the rows");
    let ended = Command::new(std::env::current_exe().expect("a program")).env(FOLDER, &folder).status().expect("a process");
    fs::remove_dir_all(&folder).expect("the folder goes");
    assert!(ended.success(), "the process without originals ended with {ended}");
}

/// What the second process does.
pub(crate) fn measure(questions: &Questions, spec: &IndexSpec, efs: &[usize], whole: &Case) {
    let folder = PathBuf::from(std::env::var_os(FOLDER).expect("the first process says where"));
    let dimension = questions.queries[0].len();
    let file = File::open(folder.join("rows")).expect("rows");
    let rows = file.metadata().expect("a size").len() as usize / (dimension * size_of::<f32>());
    let before = host::resident_mb();
    host::reset_peak();
    let started = Instant::now();
    let sidecar = Bytes::from(fs::read(folder.join("graph")).expect("a graph"));
    let graph = GraphFactory.load(spec, Originals::awaited(dimension, rows), 1, sidecar).expect("the graph that was saved");
    let lean = Lean { graph, metric: spec.metric.clone(), file, dimension };
    let load_s = rounded(started.elapsed().as_secs_f64(), 3);
    emit(json!({
        "system": "axis-lean", "kind": "library", "data": questions.data, "what": "build", "rows": rows, "dimension": dimension,
        "rss_mb": rounded(host::resident_mb() - before, 1), "rss_peak_mb": rounded(host::peak_mb() - before, 1), "load1": host::load(),
        "index_mb": rounded(lean.resident_bytes() as f64 / 1e6, 1), "load_s": load_s,
    }));
    questions.curve("axis-lean", &lean, efs, whole);
}

/// An index that reads what its graph shortlists.
struct Lean {
    graph: Arc<dyn VectorIndex>,
    metric: Arc<dyn Metric>,
    file: File,
    dimension: usize,
}

impl VectorIndex for Lean {
    fn kind(&self) -> &'static str {
        "lean"
    }

    fn rows(&self) -> usize {
        self.graph.rows()
    }

    fn resident_bytes(&self) -> usize {
        self.graph.resident_bytes()
    }

    fn search(
        &self,
        query: &[f32],
        params: &SearchParams,
        allow: Option<&RowSet>,
        budget: &Budget,
        counters: &mut SearchCounters,
    ) -> Result<Vec<Candidate>> {
        let rows = self.graph.shortlist(query, params, allow, budget, counters)?.expect("a walk needs no originals");
        let mut scorer = self.metric.prepare(query)?;
        let mut bytes = vec![0; self.dimension * size_of::<f32>()];
        counters.distances += rows.len() as u64;
        let mut top = TopK::new(params.k);
        for row in rows {
            let at = u64::from(row) * bytes.len() as u64;
            self.file.read_exact_at(&mut bytes, at).expect("a row of the file");
            let vector: Vec<f32> = bytes.as_chunks().0.iter().map(|component| f32::from_le_bytes(*component)).collect();
            let mut key = [0.0];
            scorer.keys(&vector, &mut key)?;
            top.push(Candidate { row, key: key[0] });
        }
        Ok(top.into_sorted())
    }

    fn save(&self, _segment_checksum: u32) -> Option<Bytes> {
        None
    }
}
