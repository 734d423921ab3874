//! The real server without full vectors in memory: what its process takes, and that it answers as before.

#![cfg(target_os = "linux")]

use std::path::Path;
use std::time::Duration;

use proximadb_proto::v1;
use proximadb_proto::v1::proxima_db_client::ProximaDbClient;
use proximadb_tests::Server;
use serde_json::{Value, json};
use tempfile::TempDir;
use tonic::transport::Channel;

const ROWS: u64 = 4_000;
const DIMENSION: u64 = 1_024;
/// Bytes of all vectors.
const VECTORS: u64 = ROWS * DIMENSION * 4;
const BATCH: u64 = 250;

fn vector(row: u64) -> Vec<f32> {
    // SplitMix64; only its noise matters here.
    let noise = |n: u64| {
        let bits = (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ n >> 7).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        ((bits ^ bits >> 31) >> 40) as f32 / (1u64 << 24) as f32 - 0.5
    };
    (0..DIMENSION).map(|component| noise(row * DIMENSION + component + 1)).collect()
}

fn packed(row: u64) -> v1::Vector {
    let bytes: Vec<u8> = vector(row).iter().flat_map(|x| x.to_le_bytes()).collect();
    v1::Vector { components: Some(v1::vector::Components::Packed(bytes.into())) }
}

fn start(folder: &Path, variables: &[(&str, &str)]) -> Server {
    let mut command = Server::command(&[], folder);
    command.envs(variables.iter().copied());
    Server::run(command, Duration::from_secs(60)).expect("the server serves")
}

fn fill(server: &Server) {
    let made = server.call(
        "POST",
        "/v1/collections",
        &json!({"name": "wide", "dimension": DIMENSION, "index": {"kind": "graph", "m": 8, "ef_construction": 32}}),
    );
    assert_eq!(made.0, 201, "{}", made.1);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let channel = Channel::from_shared(server.grpc()).expect("a URL").connect().await.expect("connected");
        let mut client = ProximaDbClient::new(channel);
        for first in (0..ROWS).step_by(BATCH as usize) {
            let record =
                |row: u64| v1::Record { id: row.to_string(), vector: Some(packed(row)), metadata: Default::default(), expires: None };
            let upsert = (first..first + BATCH).map(record).collect();
            client.write(v1::WriteRequest { collection: "wide".to_owned(), upsert, ..Default::default() }).await.expect("written");
        }
    });
    assert_eq!(server.call("POST", "/v1/collections/wide/flush", &json!({})).0, 200);
}

/// Asks until everything that is to be in memory is there.
fn ready(server: &Server) -> Value {
    loop {
        let (_, index) = server.call("GET", "/v1/collections/wide/index", &Value::Null);
        if index["status"] == "ready" && index["kind"] == "graph" && index["segments"].as_array().map(Vec::len) == Some(1) {
            return index;
        }
    }
}

fn hits(server: &Server) -> Vec<Value> {
    let ask = |row: u64, exact: bool| {
        let body = json!({"vector": vector(ROWS + row), "k": 10, "exact": exact});
        let (status, found) = server.call("POST", "/v1/collections/wide/search", &body);
        assert_eq!(status, 200, "{found}");
        found["hits"].clone()
    };
    (0..10).flat_map(|row| [ask(row, false), ask(row, true)]).collect()
}

/// Bytes of the process that are in memory.
fn resident(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1_024
}

#[test]
fn a_process_without_vectors_is_smaller_by_them_and_answers_the_same() {
    let folder = TempDir::new().expect("a folder");
    let server = start(folder.path(), &[]);
    fill(&server);
    ready(&server);
    server.stop();

    let roomy = start(folder.path(), &[]);
    assert_eq!(ready(&roomy)["originals_bytes"], VECTORS);
    let (before, roomy_bytes) = (hits(&roomy), resident(&roomy));
    let (_, health) = roomy.call("GET", "/health", &Value::Null);
    assert_eq!((&health["memory"]["state"], &health["memory"]["parts"]["originals"]), (&json!("roomy"), &json!(VECTORS)), "{health}");
    roomy.stop();

    // Once because it is told to, once because the budget is too small; 16 MiB is the least there is.
    for variables in [[("PROXIMADB_MEMORY__ORIGINALS", "disk")], [("PROXIMADB_MEMORY__BUDGET_BYTES", "16777216")]] {
        let lean = start(folder.path(), &variables);
        let index = ready(&lean);
        assert_eq!((&index["originals_bytes"], &index["segments"][0]["originals"]), (&json!(0), &json!("disk")), "{index}");
        assert_eq!(hits(&lean), before);
        let lean_bytes = resident(&lean);
        assert!(lean_bytes + VECTORS / 2 < roomy_bytes, "{lean_bytes} bytes without {VECTORS} of vectors, {roomy_bytes} with them");
        let (_, health) = lean.call("GET", "/health", &Value::Null);
        assert_eq!((&health["status"], &health["memory"]["state"]), (&json!("ok"), &json!("lean")), "{health}");
        lean.stop();
    }
}
