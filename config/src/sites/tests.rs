//! Pairing of logs and storages, seen through the sites they make.

use std::path::Path;

use super::*;

fn sites(toml: &str) -> Result<Vec<SiteSettings>, String> {
    let settings = Settings::parse(toml, "test.toml", []).map_err(|e| e.to_string())?;
    settings.sites(Path::new("/srv/db")).map_err(|e| e.to_string())
}

fn fragment(wal_urls: &[&str], base_dirs: &[&str]) -> String {
    let logs = wal_urls.iter().map(|url| format!("{url:?}")).collect::<Vec<_>>().join(", ");
    let storages = base_dirs.iter().map(|dir| format!("[[storage.storage_layout.base_paths]]\nbase_dir = {dir:?}\n")).collect::<String>();
    format!("[storage.wal_config]\nwal_urls = [{logs}]\n{storages}")
}

#[track_caller]
fn check(wal_urls: &[&str], base_dirs: &[&str], expected: &[(&str, &str)]) {
    let sites = sites(&fragment(wal_urls, base_dirs)).expect("valid");
    let got: Vec<_> = sites.iter().map(|site| (site.storage_url.as_str(), site.wal_url.as_str())).collect();
    assert_eq!(got, expected);
}

#[track_caller]
fn refuse(toml: &str, words: &[&str]) {
    let error = sites(toml).expect_err("refused");
    for word in words {
        assert!(error.contains(word), "{word:?} is not in: {error}");
    }
}

#[test]
fn nothing_configured_is_one_site_below_data_dir() {
    check(&[], &[], &[("file:///srv/db/data/storage", "file:///srv/db/data/wal")]);
    let site = &sites("data_dir = '/var/lib/p'").expect("valid")[0];
    assert_eq!((site.storage_url.as_str(), site.instance), ("file:///var/lib/p/storage", 1));
    refuse("data_dir = 's3://bucket/x'", &["data_dir", "wal_urls"]);
}

#[test]
fn a_log_goes_with_the_storage_of_the_same_folder_whatever_the_order() {
    check(
        &["file:///data/disk2/wal", "/data/disk1/wal/"],
        &["/data/disk1/storage", "file:///data/disk2/storage"],
        &[("file:///data/disk1/storage", "file:///data/disk1/wal"), ("file:///data/disk2/storage", "file:///data/disk2/wal")],
    );
    check(&["gs://b/p/wal"], &["gcs://b/p/storage"], &[("gcs://b/p/storage", "gs://b/p/wal")]);
    check(
        &["adls://a.dfs.core.windows.net/c/wal"],
        &["abfss://c@a.dfs.core.windows.net/storage"],
        &[("abfss://c@a.dfs.core.windows.net/storage", "adls://a.dfs.core.windows.net/c/wal")],
    );
}

#[test]
fn a_longer_common_way_wins_over_order() {
    check(
        &["/data/disk2/logs/wal", "/data/disk1/logs/wal"],
        &["/data/disk1/storage", "/data/disk2/storage"],
        &[("file:///data/disk1/storage", "file:///data/disk1/logs/wal"), ("file:///data/disk2/storage", "file:///data/disk2/logs/wal")],
    );
    check(
        &["/data/disk2/wal", "/data/disk1/wal"],
        &["/data/disk1", "/data/disk2"],
        &[("file:///data/disk1", "file:///data/disk1/wal"), ("file:///data/disk2", "file:///data/disk2/wal")],
    );
}

#[test]
fn what_shares_no_way_is_paired_in_order() {
    check(
        &["/log/a", "/log/b"],
        &["/data/disk1/storage", "s3://bucket/db/storage"],
        &[("file:///data/disk1/storage", "file:///log/a"), ("s3://bucket/db/storage", "file:///log/b")],
    );
}

#[test]
fn a_storage_without_a_log_gets_one_beside_it() {
    check(
        &["/data/disk2/wal"],
        &["/data/disk1/storage", "/data/disk2/storage", "s3://bucket/db/storage"],
        &[
            ("file:///data/disk1/storage", "file:///data/disk1/wal"),
            ("file:///data/disk2/storage", "file:///data/disk2/wal"),
            ("s3://bucket/db/storage", "s3://bucket/db/wal"),
        ],
    );
}

#[test]
fn a_log_without_a_storage_gets_one_beside_it() {
    check(
        &["s3://my-bucket/proximadb/wal", "/logs/first", "abfss://c@a.dfs.core.windows.net/wal"],
        &[],
        &[
            ("s3://my-bucket/proximadb/storage", "s3://my-bucket/proximadb/wal"),
            ("file:///logs/first-storage", "file:///logs/first"),
            ("abfss://c@a.dfs.core.windows.net/storage", "abfss://c@a.dfs.core.windows.net/wal"),
        ],
    );
}

#[test]
fn paths_become_absolute_and_plain() {
    check(&[], &["../other/./storage"], &[("file:///srv/other/storage", "file:///srv/other/wal")]);
    check(&[], &["with space/st"], &[("file:///srv/db/with%20space/st", "file:///srv/db/with%20space/wal")]);
}

#[test]
fn the_same_root_twice_is_refused_with_both_names() {
    let twins = fragment(&[], &["/data/a", "file:///data/x/../a/"]);
    refuse(&twins, &["base_paths[0].base_dir", "base_paths[1].base_dir", "file:///data/a"]);
    refuse(&fragment(&["/d/wal", "/e/../d/wal"], &[]), &["wal_urls[0]", "wal_urls[1]"]);
    refuse(&fragment(&["/d/storage"], &["/d/storage"]), &["wal_urls[0]", "base_paths[0].base_dir"]);
    refuse(&fragment(&["gs://b/wal", "gcs://b/wal/"], &[]), &["wal_urls[0]", "wal_urls[1]"]);
    refuse(&fragment(&[], &["/data/a", "/data/b"]), &["the log of", "base_paths[0]", "base_paths[1]"]);
}

#[test]
fn locations_that_mean_nothing_are_refused() {
    for (bad, word) in [
        ("", "must be a path"),
        ("/", "a folder of its own"),
        ("s3://bucket", "a folder of its own"),
        ("adls://account.dfs.core.windows.net/container", "a folder of its own"),
        ("http://host/wal", "\"http\""),
        ("file://data/wal", "must be absolute"),
        ("s3:///wal", "must be"),
        ("s3://bucket//wal", "without a name"),
        ("s3://key:secret@bucket/wal", "storage.object_store"),
        ("s3://bucket/wal?region=x", "storage.object_store"),
    ] {
        refuse(&fragment(&[bad], &[]), &["storage.wal_config.wal_urls[0]", word]);
        refuse(&fragment(&[], &[bad]), &["storage.storage_layout.base_paths[0].base_dir", word]);
    }
}

fn layout(entries: &[&str]) -> String {
    let entry = |(i, entry): (usize, &&str)| format!("[[storage.storage_layout.base_paths]]\nbase_dir = '/d{i}/storage'\n{entry}\n");
    entries.iter().enumerate().map(entry).collect()
}

#[test]
fn sites_without_a_number_get_the_lowest_free_one() {
    let toml =
        format!("{}[storage.wal_config]\nwal_urls = ['/d0/wal', '/d1/wal', '/d2/wal', '/d3/wal']\n", layout(&["", "instance_id = 1", ""]));
    let numbers: Vec<_> = sites(&toml).expect("valid").iter().map(|site| site.instance).collect();
    assert_eq!(numbers, [2, 1, 3, 4]);
    refuse(&layout(&["instance_id = 7", "instance_id = 7"]), &["base_paths[1].instance_id", "base_paths[0]", "7"]);
}

#[test]
fn a_disk_is_what_the_file_says_and_a_bucket_is_a_bucket() {
    let kind = |entry: &str| sites(&layout(&[entry])).expect("valid")[0].kind;
    assert_eq!(kind(""), DiskKind::SataSsd);
    assert_eq!(kind("disk_type = 'Hdd'"), DiskKind::Hdd);
    assert_eq!(kind("disk_type = { NvmeSsd = { max_iops = 5 } }"), DiskKind::NvmeSsd { max_iops: 5 });
    assert_eq!(kind("disk_type = { NetworkStorage = { latency_ms = 5 } }"), DiskKind::NetworkStorage { latency_ms: 5 });
    let bucket = fragment(&[], &["s3://b/storage"]);
    assert_eq!(sites(&bucket).expect("valid")[0].kind, DiskKind::ObjectStore);
    refuse(&format!("{bucket}disk_type = 'Hdd'"), &["base_paths[0].disk_type", "bucket"]);
}

#[test]
fn weights_and_capacities_are_positive() {
    let site = &sites(&layout(&["weight = 2\ntags = ['rack-1']\ncapacity_bytes = 1000"])).expect("valid")[0];
    assert_eq!((site.weight, site.tags.as_slice(), site.capacity_bytes), (2.0, ["rack-1".to_owned()].as_slice(), Some(1000)));
    for bad in ["weight = 0", "weight = -1.0", "weight = inf", "weight = nan"] {
        refuse(&layout(&[bad]), &["base_paths[0].weight", "positive"]);
    }
    refuse(&layout(&["capacity_bytes = 0"]), &["base_paths[0].capacity_bytes"]);
}

#[test]
fn manual_placement_names_instances_that_exist() {
    let manual = |instance: u32| {
        let wal = format!("[storage.wal_config]\ndistribution_strategy = 'Manual'\nmanual = {{ docs = {instance} }}\n");
        format!("{wal}{}", layout(&["instance_id = 3", "instance_id = 5"]))
    };
    assert!(sites(&manual(5)).is_ok());
    refuse(&manual(4), &["storage.wal_config.manual.docs", "no instance 4", "3, 5"]);
}
