//! Plugins from the configuration in the real server: metrics that order collections, placement, and what is said of those that fail.

use proximadb_tests::{PluginStand, Server, sha256};
use serde_json::{Value, json};

use guests::Guest;

#[expect(dead_code, reason = "its other guests are for the tests of the host")]
#[path = "../../plugins/host/tests/plugins/guests.rs"]
mod guests;

const COSINE: &[u8] = include_bytes!("../../plugins/examples/prebuilt/cosine.wasm");
const WEIGHTED_L2: &[u8] = include_bytes!("../../plugins/examples/prebuilt/weighted_l2.wasm");
const RACK_AWARE: &[u8] = include_bytes!("../../plugins/examples/prebuilt/rack_aware.wasm");

#[track_caller]
fn done(server: &Server, method: &str, path: &str, body: &Value) -> Value {
    let (status, answer) = server.call(method, path, body);
    assert!((200..300).contains(&status), "{method} {path}: {status} {answer}");
    answer
}

#[track_caller]
fn refused(server: &Server, method: &str, path: &str, body: &Value, expected: u16) -> String {
    let (status, answer) = server.call(method, path, body);
    assert_eq!(status, expected, "{method} {path}: {answer}");
    answer.to_string()
}

fn make(server: &Server, name: &str, dimension: usize, metric: &str, index: &str) {
    let body = json!({"name": name, "dimension": dimension, "metric": metric, "index": {"kind": index}});
    done(server, "POST", "/v1/collections", &body);
}

fn ids(answer: &Value) -> Vec<String> {
    answer["hits"].as_array().expect("hits").iter().map(|hit| hit["id"].as_str().expect("an id").to_owned()).collect()
}

fn search(server: &Server, name: &str, vector: &[f32], k: usize) -> Value {
    done(server, "POST", &format!("/v1/collections/{name}/search"), &json!({"vector": vector, "k": k, "explain": true}))
}

fn plugin(server: &Server, name: &str) -> Value {
    let all = done(server, "GET", "/v1/plugins", &Value::Null);
    all["plugins"].as_array().expect("plugins").iter().find(|plugin| plugin["name"] == name).cloned().expect("the plugin")
}

fn problems(server: &Server) -> String {
    done(server, "GET", "/health", &Value::Null)["problems"].to_string()
}

/// Two collections with the same three records: one by weights that see only the first component, one by L2.
fn two_collections(server: &Server) {
    make(server, "weighted", 2, "wasm:weighted", "auto");
    make(server, "plain", 2, "euclidean", "auto");
    let records = json!({"upsert": [
        {"id": "first", "vector": [0.0, 9.0]},
        {"id": "second", "vector": [1.0, 1.0]},
        {"id": "third", "vector": [2.0, 0.0]},
    ]});
    for name in ["weighted", "plain"] {
        done(server, "POST", &format!("/v1/collections/{name}/records"), &records);
    }
}

const WEIGHTS: &str = "settings = { weights = [1.0, 0.0] }";

#[test]
fn a_metric_from_the_configuration_orders_memtables_segments_and_what_is_there_after_a_restart() {
    let mut stand = PluginStand::new("");
    stand.put("weighted", "metric", WEIGHTED_L2, WEIGHTS);
    let server = stand.start();
    let error = refused(&server, "POST", "/v1/collections", &json!({"name": "x", "dimension": 2, "metric": "wasm:missing"}), 400);
    assert!(error.contains("these metrics: weighted") && error.contains("\"metric\""), "{error}");
    let error = refused(&server, "POST", "/v1/collections", &json!({"name": "x", "dimension": 3, "metric": "wasm:weighted"}), 400);
    assert!(error.contains("there are 2 of them for 3 components"), "{error}");
    two_collections(&server);
    let by_weights = ["first", "second", "third"];
    let by_l2 = ["second", "third", "first"];
    assert_eq!(ids(&search(&server, "weighted", &[0.0, 0.0], 3)), by_weights);
    assert_eq!(ids(&search(&server, "plain", &[0.0, 0.0], 3)), by_l2);
    for name in ["weighted", "plain"] {
        done(&server, "POST", &format!("/v1/collections/{name}/flush"), &json!({}));
    }
    let answer = search(&server, "weighted", &[0.0, 0.0], 3);
    assert_eq!(ids(&answer), by_weights);
    assert_eq!(answer["hits"][0]["score_kind"], "distance");
    assert_eq!((&answer["hits"][2]["score"], &answer["hits"][2]["distance"]), (&json!(2.0), &json!(2.0)));
    let filtered = json!({"id": "third", "k": 2, "exact": true, "score_threshold": 1.5});
    assert_eq!(ids(&done(&server, "POST", "/v1/collections/weighted/search", &filtered)), ["second"]);
    assert_eq!(done(&server, "GET", "/v1/collections/weighted", &Value::Null)["metric"], "wasm:weighted");
    let listed = plugin(&server, "weighted");
    assert_eq!(
        (&listed["kind"], &listed["state"], &listed["breaker"], &listed["problem"]),
        (&json!("metric"), &json!("ready"), &json!("closed"), &Value::Null)
    );
    assert_eq!(listed["sha256"], sha256(WEIGHTED_L2));
    assert!(listed["calls"].as_u64() >= Some(4) && listed["faults"] == 0, "{listed}");
    assert!(server.stop().success());
    let compiled = std::fs::read_dir(stand.folder().join("data/plugin-cache")).expect("a folder").count();
    assert!(compiled > 0, "what was compiled is kept");

    let server = stand.start();
    assert_eq!(ids(&search(&server, "weighted", &[0.0, 0.0], 3)), by_weights);
    assert_eq!(ids(&search(&server, "plain", &[0.0, 0.0], 3)), by_l2);
}

#[test]
fn other_bytes_under_the_name_of_a_plugin_are_refused_and_everything_else_is_served() {
    let mut stand = PluginStand::new("");
    stand.put("weighted", "metric", WEIGHTED_L2, WEIGHTS);
    let server = stand.start();
    two_collections(&server);
    server.kill();

    // Bytes that are not those of the digest: the plugin is refused.
    stand.put_with_digest("weighted", "metric", COSINE, &sha256(WEIGHTED_L2), WEIGHTS);
    stand.put("other", "metric", COSINE, "");
    let server = stand.start();
    assert!(server.lines().iter().any(|line| line.starts_with("plugin weighted is refused") && line.contains(&sha256(COSINE))));
    let listed = plugin(&server, "weighted");
    assert!(listed["state"] == "refused" && listed["problem"].to_string().contains("sha256"), "{listed}");
    assert_eq!(plugin(&server, "other")["state"], "ready");
    assert!(problems(&server).contains("plugin weighted is refused"), "{}", problems(&server));
    let error = refused(&server, "POST", "/v1/collections/weighted/search", &json!({"vector": [0, 0], "k": 1}), 502);
    assert!(error.contains("weighted") && error.contains("sha256"), "{error}");
    refused(&server, "POST", "/v1/collections/weighted/records", &json!({"upsert": [{"id": "x", "vector": [0, 0]}]}), 502);
    let all = done(&server, "GET", "/v1/collections", &Value::Null);
    assert_eq!(all["collections"].as_array().map(Vec::len), Some(2), "{all}");
    assert_eq!(done(&server, "GET", "/v1/collections/weighted", &Value::Null)["score_kind"], "distance");
    assert_eq!(ids(&search(&server, "plain", &[0.0, 0.0], 1)), ["second"]);
    make(&server, "new", 2, "wasm:other", "auto");
    server.kill();

    // Other bytes with their own digest are a good plugin, but not the collection's.
    stand.put("weighted", "metric", COSINE, "");
    let server = stand.start();
    assert_eq!(plugin(&server, "weighted")["state"], "ready");
    let error = refused(&server, "POST", "/v1/collections/weighted/search", &json!({"vector": [0, 0], "k": 1}), 502);
    assert!(error.contains(&sha256(WEIGHTED_L2)) && error.contains(&sha256(COSINE)), "{error}");
    server.kill();

    // The plugin is gone from the configuration; the collection can be dropped all the same.
    stand.remove("weighted");
    let server = stand.start();
    refused(&server, "POST", "/v1/collections/weighted/search", &json!({"vector": [0, 0], "k": 1}), 502);
    server.kill();

    // The right bytes again: nothing was lost.
    stand.put("weighted", "metric", WEIGHTED_L2, WEIGHTS);
    let server = stand.start();
    assert_eq!(ids(&search(&server, "weighted", &[0.0, 0.0], 3)), ["first", "second", "third"]);
    assert_eq!(problems(&server), "[]");
    server.kill();

    stand.remove("weighted");
    let server = stand.start();
    done(&server, "DELETE", "/v1/collections/weighted", &Value::Null);
    make(&server, "weighted", 2, "cosine", "auto");
    server.kill();
    let server = stand.start();
    assert_eq!(problems(&server), "[]");
    assert_eq!(done(&server, "GET", "/v1/collections/weighted", &Value::Null)["records"], 0);
}

/// A unit vector that differs for each number.
fn direction(number: u32, dimension: usize) -> Vec<f32> {
    let mut state = number.wrapping_mul(2_654_435_761).wrapping_add(1);
    let mut component = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 24) as f32 - 0.5
    };
    let vector: Vec<f32> = (0..dimension).map(|_| component()).collect();
    let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    vector.iter().map(|x| x / length).collect()
}

#[test]
fn a_graph_by_another_metric_leads_to_what_the_plugin_orders() {
    const ROWS: u32 = 2_000;
    let mut stand = PluginStand::new("");
    stand.put("twin", "metric", COSINE, "traverse_by = \"cosine\"");
    let server = stand.start();
    make(&server, "twin", 32, "wasm:twin", "graph");
    make(&server, "cosine", 32, "cosine", "graph");
    let records: Vec<_> = (0..ROWS).map(|n| json!({"id": n.to_string(), "vector": direction(n, 32)})).collect();
    for name in ["twin", "cosine"] {
        done(&server, "POST", &format!("/v1/collections/{name}/records"), &json!({"upsert": records}));
        done(&server, "POST", &format!("/v1/collections/{name}/flush"), &json!({}));
        let mut ready = false;
        for _ in 0..600 {
            let status = done(&server, "GET", &format!("/v1/collections/{name}/index"), &Value::Null);
            ready = status["status"] == "ready" && status["kind"] == "graph";
            if ready {
                assert!(status["recall_estimate"].as_f64() >= Some(0.95), "{status}");
                break;
            }
            wait();
        }
        assert!(ready, "the graph of {name} is built");
    }
    let status = done(&server, "GET", "/v1/collections/twin/index", &Value::Null);
    assert_eq!(status["segments"][0]["reason"], "a graph by cosine leads to the rows that wasm:twin orders");
    let (mut same, mut wanted) = (0, 0);
    for n in 0..50 {
        let query = direction(100_000 + n, 32);
        let (twin, cosine) = (search(&server, "twin", &query, 10), search(&server, "cosine", &query, 10));
        assert_eq!((&twin["explain"][0]["index"], &twin["explain"][0]["graph_walks"]), (&json!("graph"), &json!(1)), "{twin}");
        assert!(twin["stats"]["distances"].as_u64() < Some(u64::from(ROWS) / 4), "{}", twin["stats"]);
        let found = ids(&twin);
        wanted += 10;
        same += ids(&cosine).iter().filter(|id| found.contains(id)).count();
        let exact = done(&server, "POST", "/v1/collections/twin/search", &json!({"vector": query, "k": 1, "exact": true}));
        assert_eq!(exact["stats"]["distances"], ROWS);
    }
    assert!(same * 100 >= wanted * 95, "{same} of {wanted} are those of the built-in metric");
    assert!(server.stop().success());
    let server = stand.start();
    let answer = search(&server, "twin", &direction(7, 32), 1);
    assert_eq!((ids(&answer), &answer["explain"][0]["graph_walks"]), (vec!["7".to_owned()], &json!(1)), "{answer}");
}

/// Waits until a collection has a graph; gives what is told of it.
fn graph_of(server: &Server, name: &str) -> Value {
    for _ in 0..600 {
        let status = done(server, "GET", &format!("/v1/collections/{name}/index"), &Value::Null);
        if status["status"] == "ready" && status["kind"] == "graph" {
            return status;
        }
        wait();
    }
    panic!("the graph of {name} is not built: {}", problems(server));
}

#[test]
fn a_graph_by_the_plugin_itself_finds_what_no_built_in_metric_leads_to() {
    const ROWS: u32 = 2_000;
    // What only some components tell, while the others, as large, would lead anywhere.
    let weights: Vec<f32> = (0..32).map(|at| if at < 8 { 1.0 } else { 0.001 }).collect();
    let entry = |first: f32| {
        let weights = json!([&[first], &weights[1..]].concat());
        format!("traverse_by = \"self\"\nsettings = {{ weights = {weights} }}")
    };
    let mut stand = PluginStand::new("");
    stand.put("weighted", "metric", WEIGHTED_L2, &entry(1.0));
    let server = stand.start();
    make(&server, "own", 32, "wasm:weighted", "graph");
    let records: Vec<_> = (0..ROWS).map(|n| json!({"id": n.to_string(), "vector": direction(n, 32)})).collect();
    done(&server, "POST", "/v1/collections/own/records", &json!({"upsert": records}));
    done(&server, "POST", "/v1/collections/own/flush", &json!({}));
    let status = graph_of(&server, "own");
    assert_eq!(status["segments"][0]["reason"], "a graph by wasm:weighted itself answers faster at this size");
    assert!(status["recall_estimate"].as_f64() >= Some(0.95), "{status}");
    let recall = |server: &Server| {
        let mut same = 0;
        for n in 0..50 {
            let query = direction(100_000 + n, 32);
            let found = search(server, "own", &query, 10);
            assert_eq!((&found["explain"][0]["index"], &found["explain"][0]["graph_walks"]), (&json!("graph"), &json!(1)), "{found}");
            let stats = &found["stats"];
            assert!(stats["distances"].as_u64() < Some(u64::from(ROWS)) && stats["code_distances"] == 0, "{stats}");
            let exact = json!({"vector": query, "k": 10, "exact": true});
            let exact = done(server, "POST", "/v1/collections/own/search", &exact);
            assert_eq!(exact["stats"]["distances"], ROWS);
            let found = ids(&found);
            same += ids(&exact).iter().filter(|id| found.contains(id)).count();
        }
        f64::from(same as u32) / 500.0
    };
    let found = recall(&server);
    assert!(found >= 0.95, "recall {found} against the plugin's own exact order");
    assert!(server.stop().success());

    // The graph is read again after a restart, and made anew for other settings, which order otherwise.
    let server = stand.start();
    assert_eq!(search(&server, "own", &direction(7, 32), 1)["explain"][0]["graph_walks"], 1);
    assert!(server.stop().success());
    stand.put("weighted", "metric", WEIGHTED_L2, &entry(9.0));
    let server = stand.start();
    graph_of(&server, "own");
    let found = recall(&server);
    assert!(found >= 0.95, "recall {found} by other weights");
}

#[test]
fn a_metric_that_is_not_symmetric_has_no_graph_of_its_own() {
    let mut stand = PluginStand::new("");
    let slanted = Guest { describe: "(i32.store8 (i32.const 36) (i32.const 0)) (i32.const 16)", ..Guest::default() };
    stand.put("slanted", "metric", &slanted.component(), "traverse_by = \"self\"");
    let server = stand.start();
    let body = json!({"name": "slanted", "dimension": 1, "metric": "wasm:slanted"});
    let answer = refused(&server, "POST", "/v1/collections", &body, 400);
    assert!(answer.contains("must be symmetric"), "{answer}");
}

#[expect(clippy::disallowed_methods, reason = "a real process is waited for")]
fn wait() {
    std::thread::sleep(std::time::Duration::from_millis(100));
}

/// Three sites, two of them in one rack, and a strategy.
fn racks(stand: &PluginStand, strategy: &str) -> String {
    let site = |number: u32, rack: &str| {
        let folder = stand.folder().join(format!("disk{number}"));
        std::fs::create_dir_all(&folder).expect("writable");
        format!("[[storage.storage_layout.base_paths]]\nbase_dir = {:?}\ntags = [{rack:?}]\n", folder.join("storage").display().to_string())
    };
    let sites = site(1, "rack:a") + &site(2, "rack:a") + &site(3, "rack:b");
    format!("[storage.wal_config]\n{strategy}\ncopies = 1\n{sites}")
}

fn shards_by_instance(server: &Server, name: &str) -> Vec<u64> {
    let sites = done(server, "GET", "/v1/sites", &Value::Null);
    let placed = done(server, "GET", "/v1/assignments", &Value::Null);
    let of = |site: &Value| {
        let mine = |a: &&Value| a["name"] == name && a["site"] == site["id"];
        placed["assignments"].as_array().expect("assignments").iter().filter(mine).count() as u64
    };
    sites["sites"].as_array().expect("sites").iter().map(of).collect()
}

#[test]
fn a_plugin_places_shards_and_when_it_fails_the_fallback_does_and_says_so() {
    let mut stand = PluginStand::new("");
    stand.set_head(&racks(&stand, "distribution_strategy = \"wasm:racks\"\nfallback_strategy = \"Hash\""));
    stand.put("racks", "assigner", RACK_AWARE, "");
    let server = stand.start();
    let body = json!({"name": "spread", "dimension": 2, "metric": "cosine", "shards": 4});
    done(&server, "POST", "/v1/collections", &body);
    assert_eq!(shards_by_instance(&server, "spread"), [1, 1, 2], "two in each rack");
    assert_eq!((problems(&server).as_str(), &plugin(&server, "racks")["calls"]), ("[]", &json!(1)));
    server.kill();

    // Settings that the plugin refuses with its first question.
    stand.put("racks", "assigner", RACK_AWARE, "settings = { perfix = \"rack:\" }");
    let server = stand.start();
    assert_eq!((shards_by_instance(&server, "spread"), problems(&server).as_str()), (vec![1, 1, 2], "[]"));
    done(&server, "POST", "/v1/collections", &json!({"name": "hashed", "dimension": 2, "metric": "cosine", "shards": 4}));
    assert_eq!(shards_by_instance(&server, "hashed").iter().sum::<u64>(), 4);
    let said = problems(&server);
    assert!(said.contains("placement by wasm:racks: Hash decides in its place") && said.contains("perfix"), "{said}");
    assert_eq!(done(&server, "GET", "/health", &Value::Null)["status"], "degraded");
    server.kill();

    // Other bytes: refused, and said from the start.
    stand.put_with_digest("racks", "assigner", RACK_AWARE, &"0".repeat(64), "");
    let server = stand.start();
    assert!(problems(&server).contains("placement by wasm:racks: Hash decides in its place"), "{}", problems(&server));
    done(&server, "POST", "/v1/collections", &json!({"name": "third", "dimension": 2, "metric": "cosine", "shards": 2}));
}

/// A distance that calls itself a similarity.
fn liar() -> Vec<u8> {
    let score = "(local $i i32) (local $at i32)
        (loop $next
          (local.set $at (i32.add (local.get $block) (i32.mul (local.get $i) (i32.const 4))))
          (f32.store (local.get $at) (f32.abs (f32.sub (f32.load (local.get $query)) (f32.load (local.get $at)))))
          (local.set $i (i32.add (local.get $i) (i32.const 1)))
          (br_if $next (i32.lt_u (local.get $i) (local.get $length))))
        (i32.store (i32.const 68) (local.get $block)) (i32.store (i32.const 72) (local.get $length)) (i32.const 64)";
    let describe = "(i32.store8 (i32.const 37) (i32.const 0)) (i32.const 16)";
    Guest { describe, score, ..Guest::default() }.component()
}

fn check_plugin(arguments: &[&str]) -> (bool, String) {
    let output = Server::tool(arguments);
    (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr))
}

#[test]
fn a_component_can_be_checked_before_it_is_used() {
    let stand = PluginStand::new("");
    let file = |name: &str, bytes: &[u8]| {
        let path = stand.folder().join(name);
        std::fs::write(&path, bytes).expect("writable");
        path.display().to_string()
    };
    let (good, text) = check_plugin(&["--check-plugin", &file("twin.wasm", COSINE)]);
    assert!(good, "{text}");
    for part in ["a metric of", "cosine 0.2.0", "a similarity, symmetric", "ns, the kernel of cosine", "[plugins.twin]", &sha256(COSINE)] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(text.matches("  ok ").count(), 5, "{text}");
    let weighted = file("weighted.wasm", WEIGHTED_L2);
    let (good, text) = check_plugin(&["--check-plugin", &weighted, "--plugin-settings", r#"{"weights":[1,2]}"#, "--plugin-dimension", "2"]);
    assert!(good && text.contains("a distance, symmetric"), "{text}");
    let (good, text) = check_plugin(&["--check-plugin", &weighted]);
    assert!(!good && text.contains("weights") && text.contains("--plugin-settings"), "{text}");
    let (good, text) = check_plugin(&["--check-plugin", &weighted, "--plugin-settings", "[]"]);
    assert!(!good && text.contains("--plugin-settings must be a JSON object"), "{text}");
    let (good, text) = check_plugin(&["--check-plugin", &file("racks.wasm", RACK_AWARE)]);
    assert!(good && text.contains("an assigner of") && text.contains("kind = \"assigner\""), "{text}");
    let (good, text) = check_plugin(&["--check-plugin", &file("broken.wasm", &COSINE[..1_000])]);
    assert!(!good && text.contains("no WebAssembly component"), "{text}");
    // It says of itself that higher is nearer, and gives distances.
    let (good, text) = check_plugin(&["--check-plugin", &file("liar.wasm", &liar()), "--plugin-dimension", "1"]);
    assert!(!good && text.contains("FAILED") && text.contains("is lower-is-nearer right?"), "{text}");
}
