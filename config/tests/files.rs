//! The fragments that the product promises, to the letter, and the examples beside this crate.

use std::path::Path;

use proximadb_config::{BasePath, DiskType, DistributionStrategy, Settings, SiteSettings};
use proximadb_model::DiskKind;

const THREE_DISKS: &str = r#"
[storage.wal_config]
wal_urls = ["file:///data/disk1/wal", "file:///data/disk2/wal", "file:///data/disk3/wal"]
distribution_strategy = "LoadBalanced"
collection_affinity = true
memory_flush_size_bytes = 1048576

[[storage.storage_layout.base_paths]]
base_dir = "/data/disk1/storage"
instance_id = 1
disk_type = { NvmeSsd = { max_iops = 100000 } }
"#;

fn sites(settings: &Settings) -> Vec<SiteSettings> {
    settings.sites(Path::new("/srv")).expect("sites")
}

fn places(sites: &[SiteSettings]) -> Vec<(u32, &str, &str, DiskKind)> {
    sites.iter().map(|site| (site.instance, site.wal_url.as_str(), site.storage_url.as_str(), site.kind)).collect()
}

#[test]
fn the_promised_fragment_loads_by_itself() {
    let settings = Settings::parse(THREE_DISKS, "config.toml", []).expect("loads");
    let mut expected = Settings::default();
    let wal = &mut expected.storage.wal_config;
    wal.wal_urls = [1, 2, 3].map(|n| format!("file:///data/disk{n}/wal")).to_vec();
    wal.distribution_strategy = DistributionStrategy::LoadBalanced;
    wal.memory_flush_size_bytes = 1_048_576;
    expected.storage.storage_layout.base_paths = vec![BasePath {
        base_dir: "/data/disk1/storage".to_owned(),
        instance_id: Some(1),
        disk_type: Some(DiskType::NvmeSsd { max_iops: 100_000 }),
        weight: 1.0,
        tags: Vec::new(),
        capacity_bytes: None,
    }];
    assert_eq!(settings, expected);
    assert_eq!(
        places(&sites(&settings)),
        [
            (1, "file:///data/disk1/wal", "file:///data/disk1/storage", DiskKind::NvmeSsd { max_iops: 100_000 }),
            (2, "file:///data/disk2/wal", "file:///data/disk2/storage", DiskKind::SataSsd),
            (3, "file:///data/disk3/wal", "file:///data/disk3/storage", DiskKind::SataSsd),
        ]
    );
}

#[test]
fn the_promised_disk_types_load() {
    let second = r#"
[[storage.storage_layout.base_paths]]
base_dir = "/data/disk2/storage"
instance_id = 2
disk_type = "#;
    for (text, kind) in [
        (r#""SataSsd""#, DiskKind::SataSsd),
        (r#""Hdd""#, DiskKind::Hdd),
        ("{ NetworkStorage = { latency_ms = 5 } }", DiskKind::NetworkStorage { latency_ms: 5 }),
    ] {
        let settings = Settings::parse(&format!("{THREE_DISKS}{second}{text}\n"), "config.toml", []).expect(text);
        let sites = sites(&settings);
        assert_eq!((sites.len(), sites[1].instance, sites[1].kind), (3, 2, kind));
    }
}

#[test]
fn the_promised_buckets_load_by_themselves() {
    for (line, storage) in [
        (r#"wal_urls = ["s3://my-bucket/proximadb/wal"]"#, "s3://my-bucket/proximadb/storage"),
        (r#"wal_urls = ["adls://account.dfs.core.windows.net/container/wal"]"#, "adls://account.dfs.core.windows.net/container/storage"),
        (r#"wal_urls = ["gcs://my-bucket/proximadb/wal"]"#, "gcs://my-bucket/proximadb/storage"),
    ] {
        let settings = Settings::parse(&format!("[storage.wal_config]\n{line}\n"), "config.toml", []).expect(line);
        assert_eq!(places(&sites(&settings)), [(1, &*storage.replace("storage", "wal"), storage, DiskKind::ObjectStore)]);
    }
}

#[test]
fn every_strategy_has_its_name() {
    for name in ["RoundRobin", "Hash", "HashBased", "LoadBalanced", "PerformanceBased", "Manual"] {
        let text = format!("[storage.wal_config]\ndistribution_strategy = {name:?}\n");
        let settings = Settings::parse(&text, "config.toml", []).expect(name);
        assert_eq!(settings.storage.wal_config.strategy(), name.parse().expect("the model knows it"));
    }
}

#[test]
fn every_example_loads_and_has_its_sites() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let expected = [("adls", 1), ("gcs", 1), ("s3", 1), ("single", 1), ("three-disks", 3)];
    let mut found: Vec<_> =
        std::fs::read_dir(&folder).expect("folder").map(|entry| entry.expect("entry").file_name().into_string()).collect();
    found.sort();
    assert_eq!(found, expected.map(|(name, _)| Ok(format!("{name}.toml"))));
    for (name, count) in expected {
        let settings = Settings::load(Some(&folder.join(format!("{name}.toml"))), []).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(sites(&settings).len(), count, "{name}");
        assert_ne!(settings, Settings::default(), "{name}");
    }
}
