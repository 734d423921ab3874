//! Bugs that are sown on purpose, so that every harness can be seen to find them. Only test builds hold them, behind the feature
//! `mutants`; there the variable `PROXIMADB_MUTANT` names the one that is awake.

/// Every bug that can be woken, with what it does.
pub const ALL: [(&str, &str); 7] = [
    ("bug_nosync", "the log is not synced"),
    ("bug_nodirsync", "new files and their directory entries are not synced"),
    ("bug_ack_first", "writes are answered before the log is synced"),
    ("bug_stop_at_bad_crc", "a damaged frame is taken for the end of the log"),
    ("bug_plain_put", "manifests and log objects overwrite what is there"),
    ("bug_replay_dup", "replay does not skip what is in segments"),
    ("bug_early_truncate", "the log is truncated before the manifest is durable"),
];

/// Whether this bug is awake.
#[cfg(feature = "mutants")]
pub fn is_on(name: &str) -> bool {
    static AWAKE: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    AWAKE.get_or_init(|| std::env::var("PROXIMADB_MUTANT").ok()).as_deref() == Some(name)
}

/// No bug is awake in this build.
#[cfg(not(feature = "mutants"))]
pub const fn is_on(_name: &str) -> bool {
    false
}
