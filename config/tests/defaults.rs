//! `default.toml` is the defaults, with a word on each; `UPDATE_GOLDEN=1` writes it anew.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;

use figment::value::Value;
use proximadb_config::{PluginKind, Settings};

/// Every setting with a default, in the order of the file.
const SETTINGS: [(&str, &str); 34] = [
    ("data_dir", "Folder of everything when neither wal_urls nor base_paths are set; relative to the working directory."),
    ("server.rest_listen", "Address of REST; port 0 takes a free one."),
    ("server.grpc_listen", "Address of gRPC; port 0 takes a free one."),
    ("server.reflection", "Whether gRPC describes itself to tools such as grpcurl."),
    ("server.drain_seconds", "Seconds that requests under way get to finish when the server is told to stop."),
    ("server.connections_max", "Connections that REST and gRPC each have at a time; who comes then waits until one of them ends."),
    ("server.threads", "Threads that serve connections, with the short searches that these ask for; 0 means one for each core."),
    (
        "server.allow_unauthenticated_network",
        "The server does not ask who is there, so it refuses to listen beyond loopback. With true, everybody who can reach it\n\
         may read, change and delete everything.",
    ),
    (
        "storage.wal_config.wal_urls",
        "One log for each site: a path, file:///…, s3://bucket/…, adls://account/container/…, gcs://bucket/…\n\
         A log goes with the base path of the same folder. Empty: beside each base path.",
    ),
    (
        "storage.wal_config.distribution_strategy",
        "Which site a new shard gets: RoundRobin, Hash (or HashBased), LoadBalanced, PerformanceBased, Manual, or wasm:NAME for\n\
         the assigner [plugins.NAME].",
    ),
    ("storage.wal_config.fallback_strategy", "What decides in place of an assigner that fails: one of those that are built in."),
    ("storage.wal_config.manual", "With Manual, the instance_id for each collection by name: { documents = 1 }."),
    (
        "storage.wal_config.collection_affinity",
        "A shard's log, segments and indexes stay together; they always do, so that false is refused.",
    ),
    ("storage.wal_config.codec", "Payload of the log: Avro, which other programs can read, or Bincode. A log may mix both."),
    ("storage.wal_config.file_bytes_max", "Bytes after which a log starts its next file."),
    (
        "storage.wal_config.copies",
        "Disks on which the log, the segments and the indexes of a shard are kept, 1 or 2; 0 means 2 where two or more disks are\nconfigured, otherwise 1. Buckets keep their own copies.",
    ),
    ("storage.wal_config.memory_flush_size_bytes", "Bytes that a shard holds in memory before it writes a segment."),
    ("storage.segment.compression_level", "Level of zstd, 1 (fast) to 22 (small)."),
    ("storage.disk.check_every_ms", "Milliseconds between two looks at each disk."),
    (
        "storage.disk.answer_within_ms",
        "Milliseconds that a disk may take to answer such a look, and that a start waits for it before the others are served.",
    ),
    ("storage.disk.deadline_ms", "Milliseconds after which a read or write that has not ended has failed; a large one gets more."),
    ("storage.disk.copy_deadline_ms", "Milliseconds after which the second copy of a write is given up, and the write goes on with one."),
    ("storage.disk.warn_free_bytes", "Free bytes below which a disk is called low; at most a tenth of the disk counts."),
    (
        "storage.disk.refuse_free_bytes",
        "Free bytes below which records are refused, while deletes and compaction go on; at most a twentieth of the disk counts.",
    ),
    ("storage.disk.reserve_bytes", "Bytes that are kept back for when there is no other room; at most a hundredth of the disk counts."),
    (
        "storage.disk.scrub_bytes_per_second",
        "Bytes of stored files that are read and checked again each second; 0 for as many as the disk gives.",
    ),
    ("storage.disk.scrub_every_seconds", "Seconds between two such readings of everything."),
    ("plugin_host.cache_dir", "Folder of compiled plugins, which nobody but the server may write; plugin-cache in data_dir when empty."),
    ("compute.threads", "Threads that compute distances and build indexes; 0 means one for each core."),
    ("search.timeout_ms", "Milliseconds that a search may take when the request does not say."),
    (
        "memory.budget_bytes",
        "Bytes that memtables, segments, indexes, caches and background work may take together, 16777216 or more; 0 means three\n\
         quarters of what the machine or the control group has. Beyond it full vectors are left on disk, those of graphs that were\n\
         searched least recently first, and searches fetch those that they compare; where nothing is left to let go, records are\n\
         refused. No memtable, field for filters or cache of metadata takes more than an eighth of it.",
    ),
    (
        "memory.originals",
        "Where the full vectors of graphs are: \"auto\", in memory where the budget leaves room for them; or \"disk\", so that a graph\n\
         takes about half of what its vectors would, and searches fetch the dozens that each of them compares.",
    ),
    (
        "memory.filter_bytes_max",
        "Bytes of metadata fields that filters have asked for and that are kept in memory, over all segments; 0 keeps none.\n\
         While a field is read it may take as much again. Fields beyond it are read from the segments' files each time, and\n\
         `explain` says so.",
    ),
    ("log.filter", "Levels by target: \"info\", or \"info,proximadb_wal=debug\"."),
];

/// What has no default, as comments; a test takes the comment signs away and loads it.
const EXAMPLES: &str = r#"
# One entry for each disk or bucket; without any, storage lies beside each log.
# [[storage.storage_layout.base_paths]]
# base_dir = "/data/disk1/storage"
# instance_id = 1                                   # for Manual; the lowest free number by default
# disk_type = { NvmeSsd = { max_iops = 100000 } }   # or "SataSsd" (default), "Hdd", { NetworkStorage = { latency_ms = 5 } }
# weight = 1.0                                      # share of new shards relative to the others
# tags = ["rack-1"]                                 # words for placement plugins
# capacity_bytes = 1000000000000                    # all there is by default

# Metrics and placement strategies of your own, as WebAssembly components: distance "wasm:weighted" of a collection.
# [plugins.weighted]
# kind = "metric"                                   # or "assigner", for distribution_strategy = "wasm:weighted"
# path = "plugins/weighted.wasm"                    # or url = "s3://bucket/weighted.wasm"
# sha256 = "b1e6f3a1c5d47a09f2b6f0d8f1c3e5a7b9d1f3e5a7c9b1d3f5e7a9c1b3d5f7e9"
# settings = { weights = [1.0, 0.5] }               # what the plugin is told
# traverse_by = "euclidean"                         # walks graphs by this metric, or by the plugin ("self"); without it every row is compared
# traverse_widen = 2                                # rows handed to the plugin for each that ef asks of a graph
# limits = { memory_bytes_max = 67108864, call_ms_max = 100 }

# Credentials and endpoints of buckets, in the words of the object_store crate; adls and gcs likewise. Better kept in variables:
# PROXIMADB_STORAGE__OBJECT_STORE__S3__SECRET_ACCESS_KEY
# [storage.object_store.s3]
# region = "eu-central-1"
# endpoint = "http://127.0.0.1:9000"
# allow_http = true
"#;

fn defaults() -> Value {
    Value::serialize(Settings::default()).expect("plain data")
}

fn toml_of(value: &Value) -> String {
    match value {
        Value::String(_, text) => format!("{text:?}"),
        Value::Bool(_, value) => value.to_string(),
        Value::Num(_, number) => number.to_u128().expect("no default is negative or a fraction").to_string(),
        Value::Array(_, items) => format!("[{}]", items.iter().map(toml_of).collect::<Vec<_>>().join(", ")),
        Value::Dict(_, table) if table.is_empty() => "{}".to_owned(),
        other => panic!("{other:?} is not a setting"),
    }
}

fn render() -> String {
    let mut text =
        String::from("# Every setting with its default. A file holds only what is to differ; PROXIMADB_ variables go before the file:\n");
    text.push_str("# PROXIMADB_SERVER__REST_LISTEN=127.0.0.1:6678 sets server.rest_listen.\n");
    let mut open = "";
    for (key, comment) in SETTINGS {
        let (table, name) = key.rsplit_once('.').unwrap_or(("", key));
        if table != open {
            write!(text, "\n[{table}]").expect("memory");
            open = table;
        }
        let comment = comment.replace('\n', "\n# ");
        let value = defaults().find(key).unwrap_or_else(|| panic!("{key} is no setting"));
        write!(text, "\n# {comment}\n{name} = {}\n", toml_of(&value)).expect("memory");
    }
    text + EXAMPLES
}

fn leaves(parent: &str, value: &Value, found: &mut BTreeSet<String>) {
    match value.as_dict().filter(|table| !table.is_empty()) {
        Some(table) => table.iter().for_each(|(name, inner)| leaves(&format!("{parent}.{name}"), inner, found)),
        None => {
            found.insert(parent.trim_start_matches('.').to_owned());
        }
    }
}

#[test]
fn default_toml_is_the_defaults() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("default.toml");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, render()).expect("writable");
    }
    let committed = std::fs::read_to_string(&path).expect("default.toml is committed");
    assert_eq!(committed, render(), "default.toml is old; UPDATE_GOLDEN=1 cargo test -p proximadb-config --test defaults");
    assert_eq!(Settings::load(Some(&path), []).expect("loads"), Settings::default());
}

#[test]
fn default_toml_knows_every_setting() {
    let mut all = BTreeSet::new();
    leaves("", &defaults(), &mut all);
    all.retain(|key| !key.starts_with("storage.object_store.") && key != "storage.storage_layout.base_paths" && key != "plugins");
    assert_eq!(all, SETTINGS.iter().map(|(key, _)| (*key).to_owned()).collect());
}

#[test]
fn the_examples_in_default_toml_load() {
    let lines = EXAMPLES.lines().filter_map(|line| line.strip_prefix("# ")).filter(|line| line.starts_with('[') || line.contains(" = "));
    let settings = Settings::parse(&lines.collect::<Vec<_>>().join("\n"), "examples", []).expect("loads");
    assert_eq!(settings.storage.storage_layout.base_paths.len(), 1);
    let plugin = &settings.plugins["weighted"];
    assert_eq!(plugin.settings["weights"], serde_json::json!([1.0, 0.5]));
    assert_eq!((plugin.kind, plugin.digest().map(|d| d[0]), plugin.limits.call_ms_max), (PluginKind::Metric, Some(0xb1), 100));
    let options: Vec<_> = settings.storage.object_store.s3.iter().collect();
    assert_eq!(options, [("allow_http", "true"), ("endpoint", "http://127.0.0.1:9000"), ("region", "eu-central-1")]);
}

#[test]
fn no_file_and_no_variables_are_the_defaults() {
    assert_eq!(Settings::load(None, []).expect("loads"), Settings::default());
}
