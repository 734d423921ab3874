//! A few rounds of what `torture` does at length: SIGKILL over the real server, and seeded crashes in the simulated world.

use proximadb_tests::Server;
use proximadb_tests::torture::{KillPlan, SimPlan, kept_seeds_file, replay_seed, run_kill, run_sim, text};
use serde_json::{Value, json};
use tempfile::TempDir;

const SAMPLE_IS_THERE: &str = "search it yourself";

#[test]
fn a_few_kills_lose_duplicate_and_revive_nothing() {
    let row = run_kill(KillPlan { seed: 7, kills: 8, seconds: u64::MAX });
    assert_eq!(row.failure(), None, "\n{}", text(&[row]));
}

#[test]
fn a_few_simulated_crashes_lose_duplicate_and_revive_nothing() {
    let row = run_sim(SimPlan { seed: 1_000, crashes: 800, seconds: u64::MAX, racing: false });
    assert_eq!(row.failure(), None, "\n{}", text(&[row]));
}

#[test]
fn a_seed_says_everything() {
    let trace = |seed| replay_seed(seed, false).notes.join(" ");
    let mut traces = std::collections::BTreeSet::new();
    for seed in 1..12 {
        let first = trace(seed);
        if first.ends_with("one shard") {
            assert_eq!(first, trace(seed), "seed {seed}");
            assert!(traces.insert(first), "seed {seed} goes the way of another");
        }
    }
    assert!(traces.len() > 2, "{traces:?}");
    assert!(kept_seeds_file().is_file());
}

#[test]
fn a_sample_that_was_cut_off_is_loaded_once() {
    let folder = TempDir::new().expect("a folder");
    for round in 0..3 {
        let mut server = Server::start(folder.path(), &["--sample"]);
        if round < 2 {
            // It serves before the sample is there.
            server.kill();
            continue;
        }
        server.wait_for_line(SAMPLE_IS_THERE);
        let (_, count) = server.call("POST", "/v1/collections/sample/count", &json!({}));
        assert_eq!(count["count"], 1_155);
        let (_, sentence) = server.call("GET", "/v1/collections/sample/records/s0046", &Value::Null);
        assert_eq!((&sentence["metadata"]["topic"], &sentence["metadata"]["language"]), (&json!("astronomy"), &json!("en")), "{sentence}");
    }
}
