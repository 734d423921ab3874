//! The sidecar's bytes: what was written by any version stays readable, and damage beyond the checksums is found.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use proximadb_axis::{BuiltinMetric, GraphFactory, OwnGraphFactory};
use proximadb_model::{Candidate, MetricKind};
use proximadb_ports::conformance::index::{ForeignMetric, endless};
use proximadb_ports::{
    Fault, IndexFactory, IndexSpec, Metric, Originals, Result, SearchCounters, SearchParams, Traverse, VectorIndex, Vectors,
};

const CHECKSUM: u32 = 0x5eed_c0de;
const ROWS: [[f32; 3]; 7] =
    [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 1.0, 0.0], [0.0, 1.0, 1.0], [1.0, 0.0, 1.0], [1.0, 1.0, 1.0]];
/// Offsets of the format's table, for these rows.
const HEADER_CRC: usize = 24;
const ORDER: usize = 28;
const CODES: usize = ORDER + 4 * ROWS.len() + 4;
const MEAN: usize = CODES + 12;
const FACTORS: usize = MEAN + 4 * 3;
const LAYER: usize = FACTORS + (8 + 3) * ROWS.len();
const LISTS: usize = LAYER + 6;

fn spec(kind: MetricKind) -> IndexSpec {
    let metric: Arc<dyn Metric> = Arc::new(BuiltinMetric::new(kind).expect("a built-in metric"));
    IndexSpec { metric, m: 4, ef_construction: 16, seed: 1, threads: 1 }
}

fn vectors() -> Vectors {
    Vectors { dimension: 3, data: Arc::new(ROWS.concat()) }
}

fn fixture(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "..", "..", "tests", "testdata", "index", name].iter().collect()
}

fn load(bytes: Vec<u8>) -> Result<Arc<dyn VectorIndex>> {
    GraphFactory.load(&spec(MetricKind::Euclidean), vectors().into(), CHECKSUM, Bytes::from(bytes))
}

fn built() -> Vec<u8> {
    let index = GraphFactory.build(&spec(MetricKind::Euclidean), vectors(), &endless()).expect("a graph");
    index.save(CHECKSUM).expect("a sidecar").to_vec()
}

/// Makes both checksums hold again, so that what lies behind them is checked.
fn seal(bytes: &mut [u8]) {
    let header = crc32c::crc32c(&bytes[..HEADER_CRC]);
    bytes[HEADER_CRC..ORDER].copy_from_slice(&header.to_le_bytes());
    let end = bytes.len() - 4;
    let all = crc32c::crc32c(&bytes[..end]);
    bytes[end..].copy_from_slice(&all.to_le_bytes());
}

/// Each row is the nearest to itself in an index that was loaded from a fixture.
fn check_fixture(name: &str) {
    let bytes = std::fs::read(fixture(name)).expect("the fixture is there");
    let index = load(bytes).expect("every version is read");
    let params = SearchParams { k: 1, ef: 8, exact: false };
    for (row, vector) in ROWS.iter().enumerate() {
        let found = index.search(vector, &params, None, &endless(), &mut SearchCounters::default()).expect("an answer");
        assert_eq!((found[0].row, found[0].key), (row as u32, 0.0));
    }
}

#[test]
fn version_1_can_be_read() {
    check_fixture("graph_v1.bin");
    let bytes = Bytes::from(std::fs::read(fixture("graph_v1.bin")).expect("the fixture is there"));
    let early = GraphFactory.load(&spec(MetricKind::Euclidean), Originals::awaited(3, ROWS.len()), CHECKSUM, bytes);
    assert_eq!(early.map(|index| index.rows()).map_err(|error| error.fault), Err(Fault::Unavailable), "it holds no codes");
}

#[test]
fn version_2_can_be_read() {
    check_fixture("graph_v2.bin");
}

#[test]
fn version_3_can_be_read() {
    check_fixture("graph_v3.bin");
}

#[test]
fn version_4_can_be_read_and_is_written() {
    if std::env::var("UPDATE_GOLDEN").is_ok() {
        std::fs::write(fixture("graph_v4.bin"), built()).expect("the fixture can be written");
    }
    check_fixture("graph_v4.bin");
    assert_eq!(built(), std::fs::read(fixture("graph_v4.bin")).expect("the fixture is there"));
}

/// Rows in clusters, enough of them for signs and recall to be tried out.
fn many(dimension: usize) -> Vectors {
    let noise = |at: u64| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as f32 / (1u64 << 24) as f32 - 0.5;
    let row = |at: u64| noise(at) + 4.0 * noise(at / dimension as u64 % 40 * 1_000 + at % dimension as u64);
    Vectors { dimension, data: Arc::new((0..(MANY * dimension) as u64).map(row).collect()) }
}

const MANY: usize = 4_200;

/// Bytes of an entry of the table of recall, and of the margin in it.
const TRIED: usize = 12;
const MARGIN: usize = 4;

fn entries(saved: &[u8]) -> usize {
    u32::from_le_bytes(saved[20..24].try_into().expect("four bytes")) as usize
}

/// What version 3 wrote in place of version 4: no margins.
fn as_version_3(saved: &[u8]) -> Vec<u8> {
    let (head, rest) = saved.split_at(ORDER + 4 * MANY);
    let (table, rest) = rest.split_at(TRIED * entries(saved));
    let table: Vec<u8> = table.chunks(TRIED).flat_map(|entry| &entry[..TRIED - MARGIN]).copied().collect();
    let mut older = [head, &table, rest].concat();
    older[4] = 3;
    seal(&mut older);
    older
}

/// What version 2 wrote in place of version 4: a table and signs, of which a reader takes no notice, each row's norm once more,
/// and no recall.
fn as_version_2(saved: &[u8], dimension: usize, lift: usize) -> Vec<u8> {
    let (head, rest) = saved.split_at(ORDER + 4 * MANY);
    let (scales, rest) = rest[TRIED * entries(saved) + 4..].split_at(12 + 4 * dimension);
    let (factors, rest) = rest.split_at(8 * MANY);
    let (codes, layers) = rest.split_at((lift + dimension) * MANY);
    let mut older = [head, scales, &vec![0; 4 * (dimension + 1)]].concat();
    factors.chunks(8).for_each(|pair| older.extend([pair, &[0; 4]].concat()));
    older.extend([codes, &vec![0xff; 8 * dimension.div_ceil(64) * MANY], layers].concat());
    older[4] = 2;
    older[20..24].copy_from_slice(&(dimension as u32 + 1).to_le_bytes());
    seal(&mut older);
    older
}

#[test]
fn recall_and_lifts_come_back_and_signs_of_version_2_are_passed_over() {
    for (kind, dimension, lift) in [(MetricKind::Cosine, 128, 0), (MetricKind::DotProduct, 100, 4)] {
        let vectors = many(dimension);
        // A graph that finds nearly all: then what is found is no matter of luck.
        let spec = IndexSpec { m: 16, ef_construction: 100, ..spec(kind) };
        let built = GraphFactory.build(&spec, vectors.clone(), &endless()).expect("a graph");
        let saved = built.save(CHECKSUM).expect("a sidecar");
        let load = |bytes: Bytes| GraphFactory.load(&spec, vectors.clone().into(), CHECKSUM, bytes).expect("the graph again");
        let (loaded, older) = (load(saved.clone()), load(as_version_2(&saved, dimension, lift).into()));
        let (mut alike, mut asked) = (0, 0);
        for query in vectors.data.chunks(dimension).step_by(100) {
            let ask = |index: &dyn VectorIndex| search(index, query, 40);
            assert_eq!(ask(&*loaded), ask(&*built), "the same answer by the same steps");
            let (mine, theirs) = (ask(&*older).0, ask(&*built).0);
            alike += theirs.iter().filter(|candidate| mine.contains(candidate)).count();
            asked += theirs.len();
        }
        assert!(10 * alike >= 7 * asked, "mostly the same answers, by a slack of its own: {alike} of {asked}");
        assert!(built.recall_at(512).is_some_and(|recall| recall > 0.5), "recall was measured");
        assert_eq!(loaded.recall_at(64), built.recall_at(64));
        assert_eq!(older.recall_at(64), None, "version 2 knows of none");
    }
}

fn search(index: &dyn VectorIndex, query: &[f32], ef: usize) -> (Vec<Candidate>, SearchCounters) {
    let (params, mut counters) = (SearchParams { k: 10, ef, exact: false }, SearchCounters::default());
    (index.search(query, &params, None, &endless(), &mut counters).expect("an answer"), counters)
}

#[test]
fn margins_come_back_and_version_3_does_without() {
    // No clusters: beyond the edge of one the next row may be farther than any margin.
    let noise = |at: u64| {
        let bits = (at + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (bits >> 40) as f32 / (1u64 << 24) as f32 - 0.5
    };
    let vectors = Vectors { dimension: 24, data: Arc::new((0..24 * MANY as u64).map(noise).collect()) };
    let spec = IndexSpec { m: 16, ef_construction: 100, ..spec(MetricKind::Euclidean) };
    let built = GraphFactory.build(&spec, vectors.clone(), &endless()).expect("a graph");
    let saved = built.save(CHECKSUM).expect("a sidecar");
    let load = |bytes: Bytes| GraphFactory.load(&spec, vectors.clone().into(), CHECKSUM, bytes).expect("the graph again");
    let (loaded, older) = (load(saved.clone()), load(as_version_3(&saved).into()));
    assert_eq!(older.recall_at(64), built.recall_at(64), "version 3 knows of recall");
    let (mut hops, mut hops_without) = (0, 0);
    for query in vectors.data.chunks(24).step_by(50) {
        let found = search(&*built, query, 24);
        assert_eq!(search(&*loaded, query, 24), found, "the same answer by the same steps");
        hops += found.1.hops;
        hops_without += search(&*older, query, 24).1.hops;
    }
    assert_ne!(hops, hops_without, "a margin decides when walks end");
    assert!(hops < hops_without * 6 / 5, "it was measured not to cost more: {hops} hops and {hops_without}");
}

#[test]
fn well_sealed_lies_are_found() {
    // Each writes a value that cannot be at an offset of the table.
    let lies: [(&str, usize, &[u8]); 22] = [
        ("magic", 0, b"P"),
        ("magic", 0, b"QXGR"),
        ("version", 4, &[0, 0]),
        ("version", 4, &[1, 0]),
        ("version", 4, &[5, 0]),
        ("metric", 6, &[1]),
        ("layers", 7, &[0]),
        ("layers", 7, &[33]),
        ("dimension", 12, &[4]),
        ("rows", 16, &[0xff, 0xff, 0xff, 0xff]),
        ("recall that no part of the file holds", 20, &[0xff, 0xff, 0xff, 0xff]),
        ("recall in place of codes", 20, &[1]),
        ("a slack that is no number", CODES - 4, &[0xff; 4]),
        ("nothing as the scale of all rows", CODES, &[0; 8]),
        ("a scale that is no number", CODES, &[0xff; 8]),
        ("a radius that is no number", CODES + 8, &[0xff; 4]),
        ("a mean that is no number", MEAN, &[0xff; 4]),
        ("a norm beyond all numbers", FACTORS + 4, &[0, 0, 0x80, 0x7f]),
        ("a row that is not there", ORDER, &[7, 0, 0, 0]),
        ("nodes", LAYER, &[0xff, 0xff, 0xff, 0x7f]),
        ("width", LAYER + 4, &[0xff, 0xff]),
        ("a neighbour behind the end of a list", LISTS, &[0xff; 4]),
    ];
    for (what, at, lie) in lies {
        let mut bytes = built();
        bytes[at..at + lie.len()].copy_from_slice(lie);
        seal(&mut bytes);
        let outcome = load(bytes).map(|index| index.rows()).map_err(|error| error.fault);
        let expected = if lie == b"P" { Ok(ROWS.len()) } else { Err(Fault::Corrupt) };
        assert_eq!(outcome, expected, "{what}");
    }
}

#[test]
fn a_neighbour_beyond_the_layer_and_a_row_twice_are_found() {
    let mut neighbour = built();
    neighbour[LISTS..LISTS + 4].copy_from_slice(&7u32.to_le_bytes());
    let mut twice = built();
    twice.copy_within(ORDER..ORDER + 4, ORDER + 4);
    for mut bytes in [neighbour, twice] {
        seal(&mut bytes);
        assert_eq!(load(bytes).map(|index| index.rows()).map_err(|error| error.fault), Err(Fault::Corrupt));
    }
}

/// The graph by a metric of its own, twice the Manhattan distance.
fn own_spec(digest: u8) -> IndexSpec {
    let metric: Arc<dyn Metric> = Arc::new(ForeignMetric::walking_by(Traverse::Itself { digest: [digest; 32] }));
    IndexSpec { metric, ..spec(MetricKind::Euclidean) }
}

#[test]
fn version_1_of_graphs_by_a_plugins_metric_can_be_read_and_is_written() {
    let factory = OwnGraphFactory(GraphFactory);
    let saved = factory.build(&own_spec(7), vectors(), &endless()).expect("a graph").save(CHECKSUM).expect("a sidecar");
    let path = fixture("own_graph_v1.bin");
    if std::env::var_os("UPDATE_GOLDEN").is_some() && !path.exists() {
        std::fs::write(&path, &saved).expect("the fixture can be written");
    }
    let bytes = Bytes::from(std::fs::read(path).expect("the fixture is there"));
    assert_eq!(saved, bytes);
    let index = factory.load(&own_spec(7), vectors().into(), CHECKSUM, bytes.clone()).expect("every version is read");
    let params = SearchParams { k: 1, ef: 8, exact: false };
    for (row, vector) in ROWS.iter().enumerate() {
        let mut counters = SearchCounters::default();
        let found = index.search(vector, &params, None, &endless(), &mut counters).expect("an answer");
        assert_eq!((found[0].row, found[0].key, counters.graph_walks), (row as u32, 0.0, 1));
    }
    let fault = |spec: &IndexSpec, bytes: Bytes| factory.load(spec, vectors().into(), CHECKSUM, bytes).err().map(|error| error.fault);
    assert_eq!(fault(&own_spec(8), bytes.clone()), Some(Fault::Corrupt), "another plugin, or other settings");
    assert_eq!(fault(&spec(MetricKind::Euclidean), bytes), Some(Fault::Corrupt), "a built-in metric's graph is another");
    assert_eq!(fault(&own_spec(7), Bytes::from(built())), Some(Fault::Corrupt));
}
