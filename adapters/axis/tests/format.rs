//! The sidecar's bytes: what was written by version 1 stays readable, and damage beyond the checksums is found.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use proximadb_axis::{BuiltinMetric, GraphFactory};
use proximadb_model::MetricKind;
use proximadb_ports::conformance::index::endless;
use proximadb_ports::{Fault, IndexFactory, IndexSpec, Metric, Result, SearchCounters, SearchParams, VectorIndex, Vectors};

const CHECKSUM: u32 = 0x5eed_c0de;
const ROWS: [[f32; 3]; 7] =
    [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 1.0, 0.0], [0.0, 1.0, 1.0], [1.0, 0.0, 1.0], [1.0, 1.0, 1.0]];
/// Offsets of the format's table, for these rows.
const HEADER_CRC: usize = 24;
const ORDER: usize = 28;
const LAYER: usize = ORDER + 4 * ROWS.len();

fn spec(kind: MetricKind) -> IndexSpec {
    let metric: Arc<dyn Metric> = Arc::new(BuiltinMetric::new(kind).expect("a built-in metric"));
    IndexSpec { metric, m: 4, ef_construction: 16, seed: 1, threads: 1 }
}

fn vectors() -> Vectors {
    Vectors { dimension: 3, data: Arc::new(ROWS.concat()) }
}

fn fixture() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "..", "..", "tests", "testdata", "index", "graph_v1.bin"].iter().collect()
}

fn load(bytes: Vec<u8>) -> Result<Arc<dyn VectorIndex>> {
    GraphFactory.load(&spec(MetricKind::Euclidean), vectors(), CHECKSUM, Bytes::from(bytes))
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

#[test]
fn version_1_can_be_read() {
    if std::env::var("UPDATE_GOLDEN").is_ok() {
        std::fs::write(fixture(), built()).expect("the fixture can be written");
    }
    let bytes = std::fs::read(fixture()).expect("the fixture is there");
    let index = load(bytes).expect("version 1 is read");
    let params = SearchParams { k: 1, ef: 8, exact: false };
    for (row, vector) in ROWS.iter().enumerate() {
        let found = index.search(vector, &params, None, &endless(), &mut SearchCounters::default()).expect("an answer");
        assert_eq!((found[0].row, found[0].key), (row as u32, 0.0));
    }
}

#[test]
fn well_sealed_lies_are_found() {
    // Each writes a value that cannot be at an offset of the table.
    let lies: [(&str, usize, &[u8]); 12] = [
        ("magic", 0, b"P"),
        ("magic", 0, b"QXGR"),
        ("version", 4, &[2, 0]),
        ("metric", 6, &[1]),
        ("layers", 7, &[0]),
        ("layers", 7, &[33]),
        ("dimension", 12, &[4]),
        ("rows", 16, &[0xff, 0xff, 0xff, 0xff]),
        ("a row that is not there", ORDER, &[7, 0, 0, 0]),
        ("nodes", LAYER, &[0xff, 0xff, 0xff, 0x7f]),
        ("width", LAYER + 4, &[0xff, 0xff]),
        ("a list longer than the width", LAYER + 6, &[0xff, 0]),
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
    neighbour[LAYER + 8..LAYER + 12].copy_from_slice(&7u32.to_le_bytes());
    let mut twice = built();
    twice.copy_within(ORDER..ORDER + 4, ORDER + 4);
    for mut bytes in [neighbour, twice] {
        seal(&mut bytes);
        assert_eq!(load(bytes).map(|index| index.rows()).map_err(|error| error.fault), Err(Fault::Corrupt));
    }
}
