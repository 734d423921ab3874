//! What is refused, and in which words; and what variables set.

use std::ffi::OsString;
use std::io::Write;

use proximadb_config::{ConfigError, Settings};

fn load(toml: &str, variables: &[(&str, &str)]) -> Result<Settings, ConfigError> {
    let variables = variables.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
    Settings::parse(toml, "config.toml", variables)
}

#[track_caller]
fn refuse(toml: &str, variables: &[(&str, &str)], message: &str) {
    assert_eq!(load(toml, variables).expect_err("refused").to_string(), message);
}

#[test]
fn an_unknown_setting_is_named_with_the_nearest() {
    refuse(
        "[server]\nrest_lissten = 'x'",
        &[],
        r#"unknown setting "server.rest_lissten" in config.toml; did you mean "server.rest_listen"?"#,
    );
    refuse("[sever]\nreflection = true", &[], r#"unknown setting "sever" in config.toml; did you mean "server"?"#);
    refuse(
        "[storage.wal_config]\nwal_url = []",
        &[],
        r#"unknown setting "storage.wal_config.wal_url" in config.toml; did you mean "storage.wal_config.wal_urls"?"#,
    );
    refuse("wal_urls = []", &[], r#"unknown setting "wal_urls" in config.toml; did you mean "storage.wal_config.wal_urls"?"#);
    refuse(
        "[[storage.storage_layout.base_paths]]\nbase_dir = '/d'\n[[storage.storage_layout.base_paths]]\nbase_dir = '/e'\ndisc_type = 'Hdd'",
        &[],
        r#"unknown setting "storage.storage_layout.base_paths[1].disc_type" in config.toml; did you mean "storage.storage_layout.base_paths.disk_type"?"#,
    );
    refuse("[log]\nqqqq = 1", &[], r#"unknown setting "log.qqqq" in config.toml"#);
}

#[test]
fn a_wrong_value_is_named_with_what_is_accepted() {
    refuse("[server]\nreflection = 'yes'", &[], r#"server.reflection: must be true or false, got "yes" (in config.toml)"#);
    refuse("[compute]\nthreads = -1", &[], "compute.threads: must be a whole number from 0 to 4294967295, got -1 (in config.toml)");
    refuse("[search]\ntimeout_ms = 0", &[], "search.timeout_ms: must be 1 to 600000, got 0");
    refuse("server = 5", &[], "server: must be a table, got 5 (in config.toml)");
    refuse("[storage.wal_config]\nwal_urls = 'x'", &[], r#"storage.wal_config.wal_urls: must be a list, got "x" (in config.toml)"#);
    refuse("[storage.wal_config]\nwal_urls = ['/a/wal', 5]", &[], "storage.wal_config.wal_urls[1]: must be text, got 5 (in config.toml)");
    refuse(
        "[storage.wal_config]\ncodec = 'avro'",
        &[],
        r#"storage.wal_config.codec: must be one of Avro, Bincode, got "avro"; did you mean "Avro"? (in config.toml)"#,
    );
    refuse(
        "[server]\nrest_listen = 'localhost'",
        &[],
        r#"server.rest_listen: must be an IP address and a port, such as "127.0.0.1:5678" (in config.toml)"#,
    );
    let disks = r#"must be "SataSsd", "Hdd", { NvmeSsd = { max_iops = 100000 } } or { NetworkStorage = { latency_ms = 5 } }"#;
    for disk in ["'Nvme'", "'NvmeSsd'", "{ Hdd = { rpm = 1 } }", "7"] {
        let error =
            load(&format!("[[storage.storage_layout.base_paths]]\nbase_dir = '/d'\ndisk_type = {disk}"), &[]).expect_err(disk).to_string();
        assert!(error.starts_with("storage.storage_layout.base_paths[0].disk_type") && error.contains(disks), "{error}");
    }
    refuse(
        "[[storage.storage_layout.base_paths]]\nweight = 1",
        &[],
        r#"storage.storage_layout.base_paths[0]: "base_dir" is missing (in config.toml)"#,
    );
}

#[test]
fn settings_that_would_not_be_honoured_are_refused() {
    let affinity = load("[storage.wal_config]\ncollection_affinity = false", &[]).expect_err("refused").to_string();
    assert!(affinity.starts_with("storage.wal_config.collection_affinity: must be true"), "{affinity}");
    let manual = load("[storage.wal_config]\nmanual = { docs = 1 }", &[]).expect_err("refused").to_string();
    assert!(manual.starts_with("storage.wal_config.manual: is read only with"), "{manual}");
}

#[test]
fn ranges_end_where_they_say() {
    for (table, name, good, bad) in [
        ("compute", "threads", ["0", "1024"], ["-1", "1025"]),
        ("search", "timeout_ms", ["1", "600000"], ["0", "600001"]),
        ("memory", "budget_bytes", ["0", "16777216"], ["16777215", "1125899906842625"]),
        ("memory", "filter_bytes_max", ["0", "1125899906842624"], ["1125899906842625", "1125899906842626"]),
        ("server", "drain_seconds", ["0", "3600"], ["-1", "3601"]),
        ("server", "connections_max", ["1", "1048576"], ["0", "1048577"]),
        ("server", "threads", ["0", "1024"], ["-1", "1025"]),
        ("storage.segment", "compression_level", ["1", "22"], ["0", "23"]),
        ("storage.wal_config", "file_bytes_max", ["65536", "4294967295"], ["65535", "4294967296"]),
        ("storage.wal_config", "memory_flush_size_bytes", ["1", "1099511627776"], ["0", "1099511627777"]),
    ] {
        for value in good {
            load(&format!("[{table}]\n{name} = {value}"), &[]).unwrap_or_else(|e| panic!("{e}"));
        }
        for value in bad {
            let error = load(&format!("[{table}]\n{name} = {value}"), &[]).expect_err(value).to_string();
            assert!(error.starts_with(&format!("{table}.{name}: must be")), "{error}");
        }
    }
}

#[test]
fn only_loopback_is_open_without_authentication() {
    for loopback in ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
        load(&format!("[server]\nrest_listen = '{loopback}'"), &[]).unwrap_or_else(|e| panic!("{e}"));
    }
    for open in ["0.0.0.0:1", "[::]:1", "192.168.1.1:1", "[::ffff:10.0.0.1]:1"] {
        for key in ["rest_listen", "grpc_listen"] {
            let error = load(&format!("[server]\n{key} = '{open}'"), &[]).expect_err(open).to_string();
            assert!(error.starts_with(&format!("server.{key}: ")) && error.contains("server.allow_unauthenticated_network"), "{error}");
            load(&format!("[server]\n{key} = '{open}'\nallow_unauthenticated_network = true"), &[]).unwrap_or_else(|e| panic!("{e}"));
        }
    }
}

#[test]
fn one_address_serves_one_protocol() {
    let both = |address: &str| load(&format!("[server]\nrest_listen = '{address}'\ngrpc_listen = '{address}'"), &[]);
    assert!(both("127.0.0.1:7000").expect_err("refused").to_string().starts_with("server.grpc_listen: is 127.0.0.1:7000"));
    assert!(both("127.0.0.1:0").is_ok());
}

#[test]
fn variables_go_before_the_file() {
    let toml = "[server]\nrest_listen = '127.0.0.1:1000'\ndrain_seconds = 3\n";
    let settings = load(
        toml,
        &[
            ("PROXIMADB_SERVER__REST_LISTEN", "127.0.0.1:2000"),
            ("PROXIMADB_SERVER__REFLECTION", "true"),
            ("PROXIMADB_DATA_DIR", "007"),
            ("PROXIMADB_STORAGE__WAL_CONFIG__WAL_URLS", r#"["s3://b/x/wal", "/a/wal"]"#),
            ("PROXIMADB_STORAGE__WAL_CONFIG__DISTRIBUTION_STRATEGY", "Manual"),
            ("PROXIMADB_STORAGE__WAL_CONFIG__MANUAL", "{Docs=2}"),
            ("PROXIMADB_STORAGE__OBJECT_STORE__S3__SECRET_ACCESS_KEY", "0012"),
            ("PROXIMADB_STORAGE__OBJECT_STORE__S3__ALLOW_HTTP", "true"),
            ("PATH", "/bin"),
        ],
    )
    .expect("loads");
    assert_eq!(settings.server.rest_listen.port(), 2000);
    assert_eq!((settings.server.reflection, settings.server.drain_seconds), (true, 3));
    assert_eq!(settings.data_dir.to_str(), Some("007"));
    assert_eq!(settings.storage.wal_config.wal_urls, ["s3://b/x/wal", "/a/wal"]);
    assert_eq!(settings.storage.wal_config.manual.get("Docs"), Some(&2));
    let options: Vec<_> = settings.storage.object_store.s3.iter().collect();
    assert_eq!(options, [("allow_http", "true"), ("secret_access_key", "0012")]);
    assert!(!format!("{settings:?}").contains("0012"), "a secret in {settings:?}");
}

#[test]
fn a_variable_in_error_is_named() {
    refuse(
        "",
        &[("PROXIMADB_SERVER__REST_LISSTEN", "x")],
        r#"unknown setting "server.rest_lissten" in environment variable PROXIMADB_SERVER__REST_LISSTEN; did you mean "server.rest_listen"?"#,
    );
    refuse(
        "",
        &[("PROXIMADB_SERVER__DRAIN_SECONDS", "soon")],
        r#"server.drain_seconds: must be a whole number, not negative, got "soon" (in environment variable PROXIMADB_SERVER__DRAIN_SECONDS)"#,
    );
    refuse(
        "",
        &[("PROXIMADB_SERVER_REST_LISTEN", "127.0.0.1:1")],
        r#"unknown setting "PROXIMADB_SERVER_REST_LISTEN" in the environment; did you mean "PROXIMADB_SERVER__REST_LISTEN"?"#,
    );
    refuse(
        "",
        &[("PROXIMADB_DATADIR", "/d")],
        r#"unknown setting "PROXIMADB_DATADIR" in the environment; did you mean "PROXIMADB_DATA_DIR"?"#,
    );
    let error = load("", &[("PROXIMADB_SERVER____X", "1")]).expect_err("refused").to_string();
    assert!(error.contains("a name between"), "{error}");
}

#[test]
fn variables_of_others_under_the_prefix_are_left_alone() {
    let theirs = [
        "SERVICE_HOST",
        "SERVICE_PORT",
        "PORT",
        "PORT_5678_TCP",
        "SERVER_SERVICE_HOST",
        "SERVER_PORT_5678_TCP_ADDR",
        "URL",
        "API_KEY",
        "HOME",
    ];
    for name in theirs {
        let settings = load("", &[(&format!("PROXIMADB_{name}"), "tcp://10.0.0.1:5678")]).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(settings, Settings::default());
    }
}

#[test]
fn a_file_that_is_missing_or_no_toml_is_named() {
    let missing = Settings::load(Some("/nowhere/config.toml".as_ref()), []).expect_err("missing");
    assert_eq!(missing.to_string(), "cannot read the configuration /nowhere/config.toml");
    let mut file = tempfile::NamedTempFile::new().expect("file");
    file.write_all(b"[server\nx").expect("write");
    let error = Settings::load(Some(file.path()), []).expect_err("syntax").to_string();
    assert!(error.contains("is not TOML") && error.contains("line 1") && error.contains(&file.path().display().to_string()), "{error}");
}
