//! The guide to plugins: its listings are the examples that are built and tested, its settings load, and its requests are answered.

use std::path::Path;

use proximadb_config::Settings;
use proximadb_tests::{PluginStand, root, sha256};
use serde_json::{Value, json};

const PAGE: &str = "docs/guides/plugins.adoc";
const HAVERSINE: &[u8] = include_bytes!("../../plugins/examples/prebuilt/haversine.wasm");
const JACCARD: &[u8] = include_bytes!("../../plugins/examples/prebuilt/jaccard_c.wasm");

fn listings(language: &str) -> Vec<String> {
    let text = std::fs::read_to_string(root().join(PAGE)).expect("the page is there");
    let opening = format!("[source,{language}]\n----\n");
    text.split(&opening).skip(1).map(|rest| rest.split("\n----").next().unwrap_or_default().to_owned()).collect()
}

fn source(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).expect("the example is there").trim_end().to_owned()
}

#[test]
fn the_plugins_of_the_guide_are_those_that_are_built() {
    assert_eq!(listings("rust")[0], source("plugins/examples/haversine/src/lib.rs"));
    assert_eq!(listings("c"), [source("plugins/examples/jaccard_c/jaccard.c")]);
    // What the guide tells to run is what the script runs.
    let script = source("plugins/examples/build.sh").replace('\\', " ").split_whitespace().collect::<Vec<_>>().join(" ");
    for part in [
        "--target=wasm32 -O3 -msimd128 -nostdlib",
        "-Wl,--no-entry -Wl,--strip-all",
        "wasm-tools component embed",
        "wasm-tools component new",
    ] {
        assert!(script.contains(part) && listings("sh").iter().any(|listing| listing.contains(part)), "{part}");
    }
}

#[test]
fn the_settings_of_the_guide_load() {
    let files = listings("toml");
    assert_eq!(files.len(), 2);
    for file in files {
        let settings = Settings::parse(&file, "the guide", []).unwrap_or_else(|e| panic!("{e}\n{file}"));
        let name = settings.plugins.keys().next().expect("a plugin").clone();
        assert!(settings.plugin_location(&name, Path::new("/")).is_ok());
    }
}

#[test]
fn the_requests_of_the_guide_are_answered() {
    let mut stand = PluginStand::new("");
    let lines: Vec<String> = listings("toml")[0].lines().map(str::to_owned).collect();
    let own = lines.iter().filter(|line| line.starts_with("settings") || line.starts_with("traverse_by")).cloned().collect::<Vec<_>>();
    assert_eq!(own.len(), 2, "{lines:?}");
    stand.put("haversine", "metric", HAVERSINE, &own.join("\n"));
    stand.put("jaccard", "metric", JACCARD, "");
    let server = stand.start();
    for request in listings("http") {
        let (line, body) = request.split_once('\n').unwrap_or((&request, ""));
        let (method, path) = line.split_once(' ').expect("a method and a path");
        let (status, answer) = server.try_raw(method, path, body, &[("content-type", "application/json")]).expect("an answer");
        assert!((200..300).contains(&status), "{request}: {status} {answer}");
        if path.ends_with("/search") {
            assert_eq!((&answer["hits"][0]["id"], &answer["hits"][1]["id"]), (&json!("Suva"), &json!("Apia")), "{answer}");
            let far = answer["hits"][1]["score"].as_f64().expect("kilometres");
            assert!((950.0..1_100.0).contains(&far), "{far}");
        }
        if path == "/v1/plugins" {
            assert_eq!((&answer["plugins"][0]["name"], &answer["plugins"][0]["sha256"]), (&json!("haversine"), &json!(sha256(HAVERSINE))));
        }
    }
    let (status, _) = server.call("POST", "/v1/collections", &json!({"name": "bags", "dimension": 3, "metric": "wasm:jaccard"}));
    assert_eq!(status, 201);
    let records =
        json!({"upsert": [{"id": "same", "vector": [1, 2, 0]}, {"id": "half", "vector": [2, 4, 0]}, {"id": "none", "vector": [0, 0, 5]}]});
    assert_eq!(server.call("POST", "/v1/collections/bags/records", &records).0, 200);
    let (_, answer) = server.call("POST", "/v1/collections/bags/search", &json!({"vector": [1, 2, 0], "k": 3}));
    let hit = |place: usize| (answer["hits"][place]["id"].clone(), answer["hits"][place]["score"].as_f64());
    assert_eq!(
        [hit(0), hit(1), hit(2)],
        [(Value::from("same"), Some(0.0)), (Value::from("half"), Some(0.5)), (Value::from("none"), Some(1.0))]
    );
}
