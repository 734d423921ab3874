//! SIGKILL in the middle of writes, again and again: every acknowledged record is there once, with its metadata.

use std::collections::BTreeMap;
use std::sync::mpsc;
use std::thread;

use proximadb_tests::Server;
use serde_json::{Value, json};
use tempfile::TempDir;

const ROUNDS: u64 = 20;
const DIMENSION: usize = 8;
const SAMPLE_IS_THERE: &str = "search it yourself";

/// The vector that version `version` of record `id` must have: whoever reads it can tell what it is.
fn vector(id: u64, version: u64) -> Vec<f64> {
    let mut state = id.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ version.wrapping_mul(0xbf58_476d_1ce4_e5b9) | 1;
    (0..DIMENSION)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f64 / 1024.0
        })
        .collect()
}

/// What the client knows of a record: the last acknowledged version, and later ones of which it never heard.
#[derive(Default, Clone, Debug)]
struct Known {
    acknowledged: Option<u64>,
    unknown: Vec<u64>,
}

#[test]
fn twenty_kills_lose_duplicate_and_revive_nothing() {
    let folder = TempDir::new().expect("a folder");
    let mut known: BTreeMap<u64, Known> = BTreeMap::new();
    let mut version = 0;
    // A small memtable, so that flushes and merges are cut off too.
    let config = folder.path().join("config.toml");
    std::fs::write(&config, "[storage.wal_config]\nmemory_flush_size_bytes = 65536\n").expect("written");
    let config = config.to_str().expect("text").to_owned();
    let data = folder.path().join("data");
    for round in 0..ROUNDS {
        let mut server = Server::start(&data, &["--config", &config, "--sample"]);
        server.wait_for_line(SAMPLE_IS_THERE);
        check_sample(&server, round);
        let spec = json!({"name": "points", "dimension": DIMENSION, "metric": "euclidean"});
        assert!(matches!(server.call("POST", "/v1/collections", &spec).0, 200 | 201));
        check(&server, &known, round);
        let (acknowledged, log) = mpsc::channel::<()>();
        let writer = thread::spawn({
            let mut known = known.clone();
            let start = version;
            move || {
                let mut version = start;
                loop {
                    version += 1;
                    let ids: Vec<u64> = (0..25).map(|i| (version * 7 + i * 13) % 600).collect();
                    let upsert: Vec<_> =
                        ids.iter().map(|id| json!({"id": id, "vector": vector(*id, version), "metadata": {"version": version}})).collect();
                    ids.iter().for_each(|id| known.entry(*id).or_default().unknown.push(version));
                    match server.try_call("POST", "/v1/collections/points/records", &json!({"upsert": upsert})) {
                        Ok((200, answer)) if answer["durable"] == json!(true) => {
                            for id in ids {
                                known.insert(id, Known { acknowledged: Some(version), unknown: Vec::new() });
                            }
                            // The receiver is gone once it has seen enough.
                            let _ = acknowledged.send(());
                        }
                        Ok((status, answer)) => panic!("{status} {answer}"),
                        Err(_) => return (known, version),
                    }
                }
            }
        });
        // Later rounds are cut off at other places, some after flushes.
        for _ in 0..(5 + round * 3) {
            log.recv().expect("the writer goes on");
        }
        kill_server_of(&data);
        (known, version) = writer.join().expect("the writer ends");
    }
    let server = Server::start(&data, &["--config", &config]);
    check_sample(&server, ROUNDS);
    check(&server, &known, ROUNDS);
    assert!(version > ROUNDS * 5, "only {version} writes");
}

/// Every sentence of the sample is there, and one of them with all of its metadata.
fn check_sample(server: &Server, round: u64) {
    let (_, count) = server.call("POST", "/v1/collections/sample/count", &json!({}));
    assert_eq!(count["count"], 1_155, "round {round}");
    let (_, sentence) = server.call("GET", "/v1/collections/sample/records/s0046", &Value::Null);
    assert_eq!(
        (&sentence["metadata"]["topic"], &sentence["metadata"]["language"]),
        (&json!("astronomy"), &json!("en")),
        "round {round}: {sentence}"
    );
}

/// The server belongs to the writer's thread, so it is found by its lock.
fn kill_server_of(data: &std::path::Path) {
    let lock = data.join("storage").join("proximadb~lock");
    let pid = std::fs::read_to_string(lock).expect("the lock names its holder");
    let killed = std::process::Command::new("kill").args(["-KILL", pid.trim()]).status().expect("kill runs");
    assert!(killed.success());
}

fn check(server: &Server, known: &BTreeMap<u64, Known>, round: u64) {
    let (mut cursor, mut seen) = (Value::Null, BTreeMap::new());
    loop {
        let mut body = json!({"limit": 200, "with_vector": true});
        if !cursor.is_null() {
            body["cursor"] = cursor;
        }
        let (status, page) = server.call("POST", "/v1/collections/points/scan", &body);
        assert_eq!(status, 200, "{page}");
        for record in page["records"].as_array().expect("records") {
            let id: u64 = record["id"].as_str().expect("text").parse().expect("a number");
            assert!(seen.insert(id, record.clone()).is_none(), "round {round}: {id} is there twice");
        }
        cursor = page["cursor"].clone();
        if cursor.is_null() {
            break;
        }
    }
    for (id, state) in known {
        let found = seen.remove(id);
        let version = found.as_ref().and_then(|r| r["metadata"]["version"].as_u64());
        let allowed = version == state.acknowledged || version.is_some_and(|v| state.unknown.contains(&v));
        assert!(allowed, "round {round}: {id} has version {version:?}, known is {state:?}");
        if let (Some(record), Some(version)) = (&found, version) {
            let stored: Vec<f32> = record["vector"].as_array().expect("a vector").iter().filter_map(|x| Some(x.as_f64()? as f32)).collect();
            let written: Vec<f32> = vector(*id, version).into_iter().map(|x| x as f32).collect();
            assert_eq!(stored, written, "round {round}: the vector of {id}");
            if id % 20 != round % 20 {
                continue;
            }
            let nearest = json!({"vector": stored, "k": 1, "exact": true});
            let (_, hits) = server.call("POST", "/v1/collections/points/search", &nearest);
            assert_eq!(hits["hits"][0]["id"], json!(id.to_string()), "round {round}");
        }
    }
    assert!(seen.is_empty(), "round {round}: nobody wrote {seen:?}");
}
