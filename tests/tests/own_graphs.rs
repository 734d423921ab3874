//! Graphs that a plugin compares the rows of: what becomes of them, and of everything else, while the plugin fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use proximadb_axis::{BuiltinMetric, GraphFactory, OwnGraphFactory};
use proximadb_engine::{EngineSettings, MetricSource};
use proximadb_model::{CollectionName, CollectionRef, CollectionSpec, Dimension, Metadata, MetricKind, RecordId};
use proximadb_ports::{
    Change, Clock, Database, Fault, Metric, MetricDescriptor, NewRecord, PortError, Query, Result, Scorer, SearchRequest, Traverse,
    WriteRequest,
};
use proximadb_sim::SimClock;
use proximadb_tests::{Doubles, Log, World, WorldPlan, small_settings};
use proximadb_viper::Compression;
use proximadb_wal::BincodeCodec;

/// The Euclidean metric as a plugin brings it, which may fail.
#[derive(Clone)]
struct Moody {
    metric: Arc<dyn Metric>,
    descriptor: MetricDescriptor,
    fails: Arc<AtomicBool>,
    failures: Arc<AtomicU64>,
}

struct MoodyScorer {
    scorer: Box<dyn Scorer>,
    moody: Moody,
}

impl Metric for Moody {
    fn descriptor(&self) -> &MetricDescriptor {
        &self.descriptor
    }

    fn prepare(&self, query: &[f32]) -> Result<Box<dyn Scorer>> {
        Ok(Box::new(MoodyScorer { scorer: self.metric.prepare(query)?, moody: self.clone() }))
    }

    fn score(&self, key: f32) -> f32 {
        self.metric.score(key)
    }

    fn distance(&self, key: f32) -> f32 {
        self.metric.distance(key)
    }
}

impl Scorer for MoodyScorer {
    fn keys(&mut self, block: &[f32], out: &mut [f32]) -> Result<()> {
        if self.moody.fails.load(Ordering::Relaxed) {
            self.moody.failures.fetch_add(1, Ordering::Relaxed);
            return Err(PortError::new(Fault::Plugin, "metric.keys", "moody", "the plugin failed"));
        }
        self.scorer.keys(block, out)
    }
}

impl MetricSource for Moody {
    fn metric(&self, kind: &MetricKind, _dimension: usize) -> Result<Arc<dyn Metric>> {
        let descriptor = MetricDescriptor { kind: kind.clone(), ..self.descriptor.clone() };
        Ok(Arc::new(Self { descriptor, ..self.clone() }))
    }
}

fn moody() -> Moody {
    let metric: Arc<dyn Metric> = Arc::new(BuiltinMetric::new(MetricKind::Euclidean).expect("built in"));
    let traverse = Some(Traverse::Itself { digest: [7; 32] });
    let descriptor = MetricDescriptor { sha256: Some([7; 32]), traverse, ..metric.descriptor().clone() };
    Moody { metric, descriptor, fails: Arc::default(), failures: Arc::default() }
}

fn collection() -> CollectionRef {
    CollectionRef::Name(CollectionName::new("moody").expect("a name"))
}

fn vector(row: u64) -> Vec<f32> {
    (0..8).map(|at| ((row * 8 + at) as f32 * 0.731).sin()).collect()
}

async fn write(world: &World, rows: std::ops::Range<u64>) {
    let record = |row: u64| NewRecord {
        id: RecordId::new(&format!("row-{row}")).expect("an id"),
        vector: vector(row),
        metadata: Metadata::default(),
        expires: None,
    };
    let request = WriteRequest { changes: rows.map(|row| Change::Upsert(record(row))).collect(), ..WriteRequest::default() };
    world.engine().write(&collection(), request).await.expect("written");
    world.engine().flush(&collection()).await.expect("flushed");
}

#[test]
fn a_plugin_that_fails_at_a_graph_is_asked_again_ever_more_seldom_and_keeps_no_merge_waiting() {
    let test = async {
        let (moody, clock) = (moody(), Arc::new(SimClock::of_tokio()));
        let mut settings = small_settings();
        settings.flush = EngineSettings::default().flush;
        settings.maintenance.graph_rows_min = 100;
        settings.maintenance.graph_components_min = 0;
        let compression = Compression::Zstd { level: 1 };
        let plan = WorldPlan { sites: 1, log: Log::Files, codec: Arc::new(BincodeCodec), mirrored: false, compression, settings };
        let doubles =
            Doubles { clock: Some(Arc::clone(&clock)), graph: Arc::new(OwnGraphFactory(GraphFactory)), metrics: Arc::new(moody.clone()) };
        let world = World::with(9, plan, doubles).await;
        let CollectionRef::Name(name) = collection() else { unreachable!("it is named above") };
        let spec = CollectionSpec::new(name, Dimension::new(8).expect("in range"), MetricKind::Wasm("moody".to_owned()));
        world.engine().create_collection(spec).await.expect("created");
        moody.fails.store(true, Ordering::Relaxed);
        for part in 0..4 {
            write(&world, part * 200..(part + 1) * 200).await;
        }
        clock.sleep(Duration::from_secs(1_800)).await;
        let failures = moody.failures.load(Ordering::Relaxed);
        assert!((3..=16).contains(&failures), "{failures} attempts in half an hour");
        let status = world.engine().index_status(&collection()).await.expect("a status");
        assert_eq!((status.status, status.segments.len()), ("building", 1), "all that was merged is one segment: {status:?}");
        let problems = world.engine().health().await.problems.join("\n");
        assert!(problems.contains("the plugin failed"), "{problems}");

        moody.fails.store(false, Ordering::Relaxed);
        let exact = |row: u64| SearchRequest { explain: true, ..SearchRequest::nearest(Query::Vector(vector(row)), 1) };
        let found = world.engine().search(&collection(), vec![exact(333)]).await.expect("an answer").remove(0);
        assert_eq!((found.hits[0].id.to_string(), found.stats.counters.graph_walks), ("row-333".to_owned(), 0));
        clock.sleep(Duration::from_secs(3_700)).await;
        let status = world.engine().index_status(&collection()).await.expect("a status");
        assert_eq!((status.status, status.kind), ("ready", "graph"), "{status:?}");
        let found = world.engine().search(&collection(), vec![exact(333)]).await.expect("an answer").remove(0);
        assert_eq!((found.hits[0].id.to_string(), found.stats.counters.graph_walks), ("row-333".to_owned(), 1));
        let problems = world.engine().health().await.problems;
        assert!(problems.is_empty(), "{problems:?}");
    };
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime").block_on(test);
}
