//! Disks being emptied, filled again and lost, over the real server: every record is served before, meanwhile and afterwards.

use std::collections::BTreeMap;
use std::path::PathBuf;

use proximadb_tests::Server;
use serde_json::{Value, json};
use tempfile::TempDir;

const COLLECTIONS: [&str; 4] = ["apples", "bears", "cranes", "dunes"];
const RECORDS: u32 = 60;
/// Records that are deleted once their shard has moved.
const DELETED: u32 = 5;
/// Looks at something that must come about; each look is a few requests.
const LOOKS_MAX: u32 = 20_000;

/// Three folders as disks, and the settings that say so.
struct Disks {
    folder: TempDir,
}

impl Disks {
    fn new() -> Self {
        let folder = TempDir::new().expect("a folder");
        let mut config = String::new();
        for disk in 1..=3 {
            let base = folder.path().join(format!("disk{disk}"));
            std::fs::create_dir(&base).expect("made");
            config += &format!(
                "[[storage.storage_layout.base_paths]]\nbase_dir = \"{}\"\ninstance_id = {disk}\n",
                base.join("storage").display()
            );
        }
        std::fs::write(folder.path().join("config.toml"), config).expect("written");
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn start(&self) -> Server {
        let config = self.path("config.toml");
        Server::start(self.folder.path(), &["--config", config.to_str().expect("text")])
    }
}

/// The components of a record that nobody else has.
fn vector(record: u32) -> Value {
    let angle = f64::from(record) / 100.0;
    json!([angle.cos(), angle.sin(), 0.5])
}

fn records(from: u32, count: u32) -> Value {
    (from..from + count).map(|i| json!({"id": format!("r{i}"), "vector": vector(i), "metadata": {"n": i}})).collect()
}

/// Collections of two shards: the first half of each in segments, the second in the log.
fn fill(server: &Server) {
    for name in COLLECTIONS {
        let (status, made) = server.call("POST", "/v1/collections", &json!({"name": name, "dimension": 3, "shards": 2}));
        assert_eq!(status, 201, "{made}");
        upsert(server, name, 0, RECORDS / 2);
        assert_eq!(server.call("POST", &format!("/v1/collections/{name}/flush"), &json!({})).0, 200);
        upsert(server, name, RECORDS / 2, RECORDS / 2);
        let far: Value = (0..DELETED).map(|i| json!({"id": format!("far{i}"), "vector": [-1.0, 0.0, f64::from(i)]})).collect();
        write(server, name, &json!({"upsert": far}), "upserted", DELETED);
    }
}

fn upsert(server: &Server, name: &str, from: u32, count: u32) {
    write(server, name, &json!({"upsert": records(from, count)}), "upserted", count);
}

fn write(server: &Server, name: &str, body: &Value, what: &str, count: u32) {
    let (status, written) = server.call("POST", &format!("/v1/collections/{name}/records"), body);
    assert_eq!((status, &written[what], &written["durable"]), (200, &json!(count), &json!(true)), "{written}");
}

/// All records of all collections are there, and searches find what is nearest.
fn check(server: &Server, count: u32, looks: u32) {
    for name in COLLECTIONS {
        let (status, counted) = server.call("POST", &format!("/v1/collections/{name}/count"), &json!({}));
        assert_eq!((status, &counted["count"]), (200, &json!(count)), "{name}: {counted}");
        let asked = looks % (count - DELETED);
        let body = json!({"vector": vector(asked), "k": 1, "exact": true});
        let (status, found) = server.call("POST", &format!("/v1/collections/{name}/search"), &body);
        assert_eq!((status, &found["hits"][0]["id"]), (200, &json!(format!("r{asked}"))), "{name}: {found}");
        assert_eq!(found["hits"][0]["metadata"]["n"], json!(asked), "{found}");
    }
}

fn get(server: &Server, path: &str) -> Value {
    let (status, answer) = server.call("GET", path, &Value::Null);
    assert_eq!(status, 200, "{path}: {answer}");
    answer
}

fn list(answer: &Value, name: &str) -> Vec<Value> {
    answer[name].as_array().expect(name).clone()
}

fn site(server: &Server, instance: u32) -> Value {
    let sites = list(&get(server, "/v1/sites"), "sites");
    sites.into_iter().find(|site| site["instance"] == json!(instance)).expect("configured")
}

/// Shards of each site; every one of them is well.
fn shards(server: &Server) -> BTreeMap<String, usize> {
    let mut shards = BTreeMap::new();
    for assignment in list(&get(server, "/v1/assignments"), "assignments") {
        assert_eq!(assignment["state"], "ok", "{assignment}");
        *shards.entry(assignment["site"].as_str().expect("known").to_owned()).or_default() += 1;
    }
    shards
}

/// Waits for the end of a task, and does something between two looks.
fn until_done(server: &Server, begun: &Value, mut meanwhile: impl FnMut(u32)) -> Value {
    for look in 0..LOOKS_MAX {
        meanwhile(look);
        let tasks = list(&get(server, "/v1/tasks"), "tasks");
        let task = tasks.iter().find(|task| task["id"] == begun["id"]).expect("remembered");
        if task["state"] != "running" {
            return task.clone();
        }
    }
    panic!("the task does not end: {}", get(server, "/v1/tasks"));
}

#[test]
fn a_disk_is_emptied_and_filled_again_while_everything_is_served() {
    let disks = Disks::new();
    let server = disks.start();
    fill(&server);
    let drained = site(&server, 1);
    let id = drained["id"].as_str().expect("a uuid").to_owned();
    assert_eq!(drained["draining"], false);
    assert!(shards(&server)[&id] > 0, "round robin gives each disk its share");

    for (status, path) in [(404, "/v1/sites/9/drain"), (404, "/v1/sites/9/fail_over"), (409, "/v1/sites/1/fail_over")] {
        let (answered, problem) = server.call("POST", path, &json!({}));
        assert_eq!((answered, &problem["field"]), (status, &json!("site")), "{path}: {problem}");
    }

    let (status, begun) = server.call("POST", "/v1/sites/1/drain", &Value::Null);
    assert_eq!((status, &begun["kind"], &begun["site"]), (202, &json!("drain"), &json!(1)), "{begun}");
    let mut count = RECORDS + DELETED;
    let done = until_done(&server, &begun, |look| {
        check(&server, count, look);
        if look < 10 {
            COLLECTIONS.iter().for_each(|name| upsert(&server, name, count - DELETED, 5));
            count += 5;
        }
    });
    assert_eq!((&done["state"], &done["problem"]), (&json!("done"), &Value::Null), "{done}");
    assert_eq!(done["shards_done"], done["shards_total"], "{done}");
    check(&server, count, 1);
    assert!(!shards(&server).contains_key(&id));
    for name in COLLECTIONS {
        let ids: Value = (0..DELETED).map(|i| json!(format!("far{i}"))).collect();
        write(&server, name, &json!({"delete": ids}), "deleted", DELETED);
    }
    let emptied = site(&server, 1);
    assert_eq!((&emptied["draining"], &emptied["shards"]), (&json!(true), &json!(0)), "{emptied}");

    // An emptied disk stays empty, whatever comes.
    server.kill();
    let server = disks.start();
    let count = count - DELETED;
    check(&server, count, 2);
    assert_eq!(site(&server, 1)["draining"], true);
    assert_eq!(server.call("POST", "/v1/collections", &json!({"name": "later", "dimension": 3, "shards": 4})).0, 201);
    assert!(!shards(&server).contains_key(&id));

    assert_eq!(server.call("DELETE", &format!("/v1/sites/{id}/drain"), &Value::Null).0, 204);
    assert_eq!(site(&server, 1)["draining"], false);
    let (status, begun) = server.call("POST", "/v1/rebalance", &json!({}));
    assert_eq!((status, &begun["kind"], &begun["site"]), (202, &json!("rebalance"), &Value::Null), "{begun}");
    let done = until_done(&server, &begun, |look| check(&server, count, look));
    assert_eq!((&done["state"], &done["problem"]), (&json!("done"), &Value::Null), "{done}");
    let spread = shards(&server);
    assert_eq!(spread.values().sum::<usize>(), 12, "{spread:?}");
    assert!(spread.len() == 3 && spread.values().all(|shards| *shards == 4), "{spread:?}");
    check(&server, count, 3);
    server.kill();
    let server = disks.start();
    // What a disk's log still has from the time before its shards moved away and back is of no effect.
    check(&server, count, 4);
    assert_eq!(shards(&server), spread);
}

fn is_in_step(server: &Server) -> bool {
    let sites = list(&get(server, "/v1/sites"), "sites");
    sites.iter().all(|site| site["mirror"] == "in step" && site["log_copies"] == "in step")
}

#[test]
fn what_a_lost_disk_had_is_brought_back_from_its_second_copies() {
    let disks = Disks::new();
    let server = disks.start();
    fill(&server);
    let count = RECORDS + DELETED;
    assert!((0..LOOKS_MAX).any(|_| is_in_step(&server)), "the second copies are never complete: {}", get(&server, "/v1/sites"));
    let lost = site(&server, 2)["id"].as_str().expect("a uuid").to_owned();
    assert!(shards(&server)[&lost] > 0);
    server.kill();
    std::fs::rename(disks.path("disk2"), disks.path("taken out")).expect("renamed");

    let server = disks.start();
    let away = site(&server, 2);
    assert_ne!(away["state"], "ok");
    assert_eq!((&away["mirror"], &away["log_copies"]), (&Value::Null, &Value::Null), "{away}");
    let (status, refused) = server.call("POST", "/v1/sites/2/drain", &Value::Null);
    assert_eq!((status, &refused["code"]), (503, &json!("unavailable")), "{refused}");
    let (status, refused) = server.call("POST", "/v1/collections/apples/accept_loss", &Value::Null);
    assert_eq!((status, &refused["code"]), (503, &json!("unavailable")), "a disk that is away is no loss: {refused}");
    let (status, begun) = server.call("POST", "/v1/sites/2/fail_over", &Value::Null);
    assert_eq!((status, &begun["kind"], &begun["site"]), (202, &json!("fail_over"), &json!(2)), "{begun}");
    let done = until_done(&server, &begun, |_| {});
    assert_eq!((&done["state"], &done["problem"]), (&json!("done"), &Value::Null), "{done}");
    assert!(!shards(&server).contains_key(&lost));
    check(&server, count, 1);
    for name in COLLECTIONS {
        let ids: Value = (0..DELETED).map(|i| json!(format!("far{i}"))).collect();
        write(&server, name, &json!({"delete": ids}), "deleted", DELETED);
    }
    let spread = shards(&server);
    server.kill();

    // The disk comes back; what it has is older, and left aside.
    std::fs::rename(disks.path("taken out"), disks.path("disk2")).expect("renamed");
    let server = disks.start();
    check(&server, count - DELETED, 2);
    assert_eq!(shards(&server), spread);
    assert_eq!(site(&server, 2)["state"], "ok");
}
