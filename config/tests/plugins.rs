//! What the settings say of plugins, and what is refused of it.

use std::ffi::OsString;
use std::path::Path;

use proximadb_config::{DistributionStrategy, PluginKind, Settings, TraverseBy};
use proximadb_model::MetricKind;

const SHA256: &str = "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF";

fn load(toml: &str) -> Result<Settings, String> {
    Settings::parse(toml, "config.toml", []).map_err(|e| e.to_string())
}

fn plugin(lines: &str) -> String {
    format!("[plugins.near]\n{lines}\n")
}

fn good(more: &str) -> String {
    plugin(&format!("kind = 'metric'\npath = 'plugins/near.wasm'\nsha256 = '{SHA256}'\n{more}"))
}

#[test]
fn a_plugin_has_a_place_a_digest_and_words_of_its_own() {
    let settings = load(&good("settings = { scale = 2, names = ['a'] }\nlimits = { call_ms_max = 50 }")).expect("loads");
    let near = &settings.plugins["near"];
    assert_eq!((near.kind, near.limits.call_ms_max, near.limits.faults_max), (PluginKind::Metric, 50, 5));
    assert_eq!(near.digest().expect("checked")[..2], [0, 0x11]);
    assert_eq!(near.digest().expect("checked")[31], 0xff);
    assert_eq!(serde_json::to_string(&near.settings).expect("JSON"), r#"{"names":["a"],"scale":2}"#);
    let (folder, name) = settings.plugin_location("near", Path::new("/srv")).expect("a place");
    assert_eq!((folder.as_str(), name.as_str()), ("file:///srv/plugins", "near.wasm"));
    assert_eq!(settings.plugin_cache_dir(Path::new("/srv")), Path::new("/srv/./data/plugin-cache"));
    let bucket = good("").replace("path = 'plugins/near.wasm'", "url = 's3://bucket/deep/near.wasm'");
    let (folder, name) = load(&bucket).expect("loads").plugin_location("near", Path::new("/")).expect("a place");
    assert_eq!((folder.as_str(), name.as_str()), ("s3://bucket/deep", "near.wasm"));
}

#[test]
fn graphs_are_walked_by_a_built_in_metric_by_the_plugin_or_not_at_all() {
    let traverse = |more: &str| load(&good(more)).expect("loads").plugins["near"].traverse();
    assert_eq!(traverse(""), None);
    assert_eq!(traverse("traverse_by = 'self'"), Some(TraverseBy::Itself));
    assert_eq!(traverse("traverse_by = 'euclidean'"), Some(TraverseBy::BuiltIn(MetricKind::Euclidean)));
}

#[test]
fn variables_set_plugins_too() {
    let variables =
        [("PROXIMADB_PLUGINS__NEAR__SHA256", "1".repeat(64)), ("PROXIMADB_PLUGINS__NEAR__LIMITS__CALL_MS_MAX", "70".to_owned())];
    let variables = variables.map(|(name, value)| (OsString::from(name), OsString::from(value)));
    let settings = Settings::parse(&good(""), "config.toml", variables).expect("loads");
    assert_eq!((settings.plugins["near"].digest(), settings.plugins["near"].limits.call_ms_max), (Some([0x11; 32]), 70));
}

#[test]
fn what_is_wrong_with_a_plugin_is_named() {
    for (toml, words) in [
        (good("paht = 'x'"), r#"unknown setting "plugins.near.paht" in config.toml; did you mean "plugins.near.path"?"#),
        (good("limits = { cal_ms_max = 1 }"), r#"did you mean "plugins.near.limits.call_ms_max"?"#),
        (good("url = 's3://b/x.wasm'"), "plugins.near.path: one of path, url"),
        (plugin(&format!("kind = 'metric'\nsha256 = '{SHA256}'")), "plugins.near.path: one of path, url"),
        (plugin("kind = 'metric'\npath = 'x.wasm'"), r#"plugins.near: "sha256" is missing"#),
        (good("").replace("FF'", "FFF'"), "plugins.near.sha256: must be the 64"),
        (good("").replace("FF'", "ZZ'"), "plugins.near.sha256: must be the 64"),
        (good("").replace("'metric'", "'metrik'"), "plugins.near.kind: must be one of metric, assigner"),
        (good("traverse_by = 'wasm:x'"), "plugins.near.traverse_by: must be self or a built-in metric"),
        (good("traverse_by = 'cosine'").replace("'metric'", "'assigner'"), "plugins.near.traverse_by: is read only"),
        (good("traverse_widen = 0"), "plugins.near.traverse_widen: must be 1 to 64"),
        (good("limits = { call_ms_max = 9 }"), "plugins.near.limits.call_ms_max: must be 10"),
        (good("").replace("path = '", "path = 's3://"), "plugins.near.path: is a URL"),
        (good("").replace("path = '", "url = '"), "plugins.near.url: is a path"),
        (good("").replace("path = 'plugins", "url = 'ftp://plugins"), "plugins.near.url: must be a path, file"),
        (good("").replace(".near]", ".\"ne ar\"]"), "plugins.ne ar: a name must be"),
        ("[plugin_host]\ncache = 'x'".to_owned(), r#"did you mean "plugin_host.cache_dir"?"#),
    ] {
        let error = load(&toml).expect_err(words);
        assert!(error.contains(words), "{error}\n{toml}");
    }
}

#[test]
fn a_placement_plugin_must_be_there_and_has_a_fallback() {
    let strategy = |line: &str| format!("[storage.wal_config]\n{line}\n");
    let assigner = good("").replace("'metric'", "'assigner'");
    let settings = load(&(strategy("distribution_strategy = 'wasm:near'\nfallback_strategy = 'LoadBalanced'") + &assigner)).expect("loads");
    let wal = &settings.storage.wal_config;
    assert_eq!((wal.distribution_strategy.plugin(), wal.built_in()), (Some("near"), &DistributionStrategy::LoadBalanced));
    assert_eq!(wal.distribution_strategy.to_string(), "wasm:near");
    let manual = "distribution_strategy = 'wasm:near'\nfallback_strategy = 'Manual'\nmanual = { docs = 1 }";
    assert!(load(&(strategy(manual) + &assigner)).is_ok());
    for (line, plugin, words) in [
        ("distribution_strategy = 'wasm:far'", &*assigner, "storage.wal_config.distribution_strategy: there is no [plugins.far]"),
        ("distribution_strategy = 'wasm:near'", &*good(""), "storage.wal_config.distribution_strategy: [plugins.near] is no assigner"),
        ("fallback_strategy = 'wasm:near'", &*assigner, "storage.wal_config.fallback_strategy: must be a built-in strategy"),
        ("distribution_strategy = 'wasm:'", &*assigner, "must be one of RoundRobin, Hash"),
        ("distribution_strategy = 'RoundRobn'", "", "did you mean"),
    ] {
        let error = load(&(strategy(line) + plugin)).expect_err(line);
        assert!(error.contains(words), "{error}");
    }
}
