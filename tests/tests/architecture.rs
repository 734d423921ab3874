//! The arrows of the architecture, as a table over what the manifests declare. A new crate needs a row here, a new arrow a
//! page in docs/decisions.

use std::collections::BTreeSet;

use cargo_metadata::{CargoOpt, DependencyKind, MetadataCommand};
use proximadb_tests::{TreeFile, root, tree_files};

/// What a crate may depend on.
struct Crate {
    name: &'static str,
    folder: &'static str,
    /// Crates of this workspace.
    inside: Inside,
    /// Crates from elsewhere.
    outside: Outside,
}

enum Inside {
    Only(&'static [&'static str]),
    Everything,
}

enum Outside {
    Only(&'static [&'static str]),
    /// Whatever is not at home elsewhere.
    Free,
}

use Inside::{Everything, Only as These};
use Outside::{Free, Only};

/// An adapter knows the words, the ports and the maths.
const ADAPTER: Inside = These(&["proximadb-model", "proximadb-ports", "proximadb-kernels"]);
/// These know the wire as well.
const ADAPTER_WITH_WIRE: Inside = These(&["proximadb-model", "proximadb-ports", "proximadb-kernels", "proximadb-proto"]);

/// One row a crate, and no crate without a row.
const CRATES: [Crate; 17] = [
    Crate {
        name: "proximadb-model",
        folder: "core/model",
        inside: These(&[]),
        // docs/decisions/0001-crc32c-in-model.adoc
        outside: Only(&["bytes", "crc32c", "thiserror"]),
    },
    Crate { name: "proximadb-kernels", folder: "core/kernels", inside: These(&[]), outside: Only(&[]) },
    Crate {
        name: "proximadb-engine",
        folder: "core/engine",
        inside: These(&["proximadb-model", "proximadb-ports"]),
        outside: Only(&["arc-swap", "async-trait", "bytes", "crc32c", "futures-core", "futures-util", "thiserror", "tokio", "tracing"]),
    },
    Crate {
        name: "proximadb-ports",
        folder: "ports",
        inside: These(&["proximadb-model"]),
        // docs/decisions/0015-memory-budget.adoc
        outside: Only(&["arc-swap", "async-trait", "bytes", "thiserror"]),
    },
    Crate { name: "proximadb-filesystem", folder: "adapters/filesystem", inside: ADAPTER, outside: Free },
    Crate { name: "proximadb-wal", folder: "adapters/wal", inside: ADAPTER_WITH_WIRE, outside: Free },
    Crate { name: "proximadb-viper", folder: "adapters/viper", inside: ADAPTER, outside: Free },
    Crate { name: "proximadb-axis", folder: "adapters/axis", inside: ADAPTER, outside: Free },
    Crate { name: "proximadb-rest", folder: "adapters/rest", inside: ADAPTER_WITH_WIRE, outside: Free },
    Crate { name: "proximadb-grpc", folder: "adapters/grpc", inside: ADAPTER_WITH_WIRE, outside: Free },
    Crate { name: "proximadb-sim", folder: "adapters/sim", inside: ADAPTER, outside: Free },
    Crate { name: "proximadb-plugins", folder: "plugins/host", inside: ADAPTER, outside: Free },
    Crate { name: "proximadb-proto", folder: "proto", inside: These(&[]), outside: Free },
    Crate { name: "proximadb-config", folder: "config", inside: These(&["proximadb-model"]), outside: Free },
    Crate { name: "proximadb-server", folder: "server", inside: Everything, outside: Free },
    Crate { name: "proximadb-tests", folder: "tests", inside: Everything, outside: Free },
    Crate { name: "proximadb-load", folder: "benches/load", inside: These(&["proximadb-kernels", "proximadb-proto"]), outside: Free },
];

/// Technologies with one home; crates whose names go on with a dash belong to them (`tonic-health`).
const HOMES: [(&str, &[&str]); 12] = [
    ("wasmtime", &["proximadb-plugins"]),
    ("parquet", &["proximadb-viper"]),
    ("arrow", &["proximadb-viper"]),
    ("object_store", &["proximadb-filesystem"]),
    // The tests of the whole and the load generator are clients of the real server.
    ("tonic", &["proximadb-grpc", "proximadb-proto", "proximadb-tests", "proximadb-load"]),
    ("prost", &["proximadb-grpc", "proximadb-proto"]),
    ("axum", &["proximadb-rest"]),
    ("tower-http", &["proximadb-rest"]),
    ("figment", &["proximadb-config"]),
    ("apache-avro", &["proximadb-wal"]),
    ("bincode", &["proximadb-wal"]),
    // The runner of the torture takes sub-commands, and the load generator is a program too.
    ("clap", &["proximadb-server", "proximadb-tests", "proximadb-load"]),
];

/// Crates of which only some features may be turned on.
const FEATURES: [(&str, &str, &[&str]); 1] = [("proximadb-engine", "tokio", &["sync", "macros"])];

/// Crates that come in only with a feature that tests alone turn on: the suites of the ports.
const BEHIND_A_FEATURE: [(&str, &[&str]); 1] = [("proximadb-ports", &["futures-util", "proptest"])];

/// What tests of any crate may use besides: the suites of the ports, and the simulated world.
const FOR_TESTS: [&str; 3] = ["proximadb-model", "proximadb-ports", "proximadb-sim"];

/// Packages that are built for another target or with another tool, and so stand outside the workspace.
const OUTSIDE_THE_WORKSPACE: [&str; 4] = ["fuzz", "plugins/bench", "plugins/guest", "plugins/examples"];

/// A declared dependency.
#[derive(Clone, Debug)]
struct Arrow {
    from: String,
    to: String,
    for_tests: bool,
    optional: bool,
    features: Vec<String>,
    default_features: bool,
}

fn violation(arrow: &Arrow) -> Option<String> {
    let found = |rule: String| Some(format!("{} -> {}: {rule}", arrow.from, arrow.to));
    let Some(row) = CRATES.iter().find(|row| row.name == arrow.from) else {
        return found("the crate has no row in the table of tests/architecture.rs".to_owned());
    };
    let to = arrow.to.as_str();
    if CRATES.iter().any(|row| row.name == to) {
        return match row.inside {
            Everything => None,
            These(allowed) if allowed.contains(&to) || (arrow.for_tests && FOR_TESTS.contains(&to)) => None,
            These([]) => found("depends on nothing of this workspace".to_owned()),
            These(allowed) => found(format!("of this workspace it may know only {}", allowed.join(", "))),
        };
    }
    if to.starts_with("proximadb-") {
        return found("there is no such crate in the table of tests/architecture.rs".to_owned());
    }
    let home = HOMES.iter().find(|(name, _)| to == *name || to.strip_prefix(name).is_some_and(|rest| rest.starts_with('-')));
    if let Some((name, homes)) = home
        && !homes.contains(&row.name)
    {
        return found(format!("{name} is at home in {}", homes.join(" and ")));
    }
    let behind = arrow.optional && BEHIND_A_FEATURE.iter().any(|(from, allowed)| *from == row.name && allowed.contains(&to));
    match row.outside {
        Only(allowed) if !behind && !arrow.for_tests && !allowed.contains(&to) => {
            let allowed = if allowed.is_empty() { "nothing".to_owned() } else { allowed.join(", ") };
            return found(format!("from outside it may know only {allowed}"));
        }
        _ => {}
    }
    let limited = FEATURES.iter().find(|(from, dependency, _)| *from == row.name && *dependency == to && !arrow.for_tests);
    if let Some((_, _, allowed)) = limited {
        let beyond: Vec<_> = arrow.features.iter().map(String::as_str).filter(|feature| !allowed.contains(feature)).collect();
        if arrow.default_features || !beyond.is_empty() {
            return found(format!(
                "only its features {} may be turned on, not {}",
                allowed.join(", "),
                [&["default"], &*beyond].concat().join(", ")
            ));
        }
    }
    None
}

/// Name, folder and arrows of each member, as the manifests declare them; needs no network and no lock.
fn members() -> Vec<(String, String, Vec<Arrow>)> {
    let options = ["--offline", "--locked"].map(str::to_owned).to_vec();
    let mut command = MetadataCommand::new();
    command.current_dir(root()).no_deps().features(CargoOpt::AllFeatures).other_options(options);
    let metadata = command.exec().expect("cargo metadata");
    let member = |package: &cargo_metadata::Package| {
        let folder = package.manifest_path.parent().and_then(|folder| folder.strip_prefix(&metadata.workspace_root).ok());
        let arrows = package.dependencies.iter().map(|dependency| Arrow {
            from: package.name.to_string(),
            to: dependency.name.clone(),
            for_tests: dependency.kind == DependencyKind::Development,
            optional: dependency.optional,
            features: dependency.features.clone(),
            default_features: dependency.uses_default_features,
        });
        (package.name.to_string(), folder.map(ToString::to_string).unwrap_or_default(), arrows.collect())
    };
    metadata.packages.iter().map(member).collect()
}

fn files() -> Vec<TreeFile> {
    tree_files().expect("a clone with git")
}

#[track_caller]
fn none_of(violations: &[String]) {
    assert!(violations.is_empty(), "\n{}\n", violations.join("\n"));
}

#[test]
fn every_arrow_is_one_of_the_architecture() {
    let members = members();
    none_of(&members.iter().flat_map(|(_, _, arrows)| arrows).filter_map(violation).collect::<Vec<_>>());
    assert!(members.iter().map(|(_, _, arrows)| arrows.len()).sum::<usize>() > 50, "the arrows were not found");
}

#[test]
fn every_member_has_a_row_with_its_folder() {
    let rows: BTreeSet<_> = CRATES.iter().map(|row| (row.name, row.folder)).collect();
    let members = members();
    let strays = members.iter().filter(|(name, folder, _)| !rows.contains(&(name.as_str(), folder.as_str())));
    none_of(
        &strays
            .map(|(name, folder, _)| format!("{name} in {folder:?} has no row in the table of tests/architecture.rs"))
            .collect::<Vec<_>>(),
    );
}

#[test]
fn every_crate_in_the_tree_is_a_member() {
    let members: BTreeSet<_> = members().into_iter().map(|(_, folder, _)| folder).collect();
    let is_outside = |folder: &str| OUTSIDE_THE_WORKSPACE.iter().any(|out| folder == *out || folder.starts_with(&format!("{out}/")));
    let files = files();
    let folders = files.iter().filter_map(|file| file.path.strip_suffix("/Cargo.toml")).filter(|folder| !is_outside(folder));
    none_of(
        &folders
            .filter(|folder| !members.contains(*folder))
            .map(|folder| format!("{folder} is no member of the workspace"))
            .collect::<Vec<_>>(),
    );
}

/// The lines of one table of a manifest.
fn table<'a>(manifest: &'a str, header: &str) -> Vec<&'a str> {
    manifest.lines().skip_while(|line| line.trim() != header).skip(1).take_while(|line| !line.starts_with('[')).collect()
}

#[test]
fn unsafe_code_is_forbidden_everywhere_but_in_kernels() {
    let files = files();
    let workspace = files.iter().find(|file| file.path == "Cargo.toml").and_then(|file| file.text.clone()).expect("the workspace");
    assert!(table(&workspace, "[workspace.lints.rust]").contains(&r#"unsafe_code = "forbid""#));
    let mut violations = Vec::new();
    for (name, folder, _) in members() {
        let manifest = std::fs::read_to_string(root().join(&folder).join("Cargo.toml")).expect("a manifest");
        let inherits = table(&manifest, "[lints]").iter().any(|line| line.trim() == "workspace = true");
        if !inherits && folder != "core/kernels" {
            violations.push(format!("{name} does not take over the lints of the workspace, which forbid unsafe code"));
        }
    }
    none_of(&violations);
}

fn unsafe_lines(text: &str) -> Vec<usize> {
    let word = concat!("un", "safe");
    let opens = |next: &str| next.starts_with('{') || ["fn", "impl", "trait", "extern"].contains(&next);
    let holds = |line: &str| {
        let code = line.split("//").next().unwrap_or_default().replace('{', " { ");
        let words: Vec<&str> =
            code.split(|c: char| c.is_whitespace() || matches!(c, '(' | ')' | ';' | '=')).filter(|word| !word.is_empty()).collect();
        words.windows(2).any(|pair| matches!(pair, [first, next] if *first == word && opens(next)))
    };
    text.lines().enumerate().filter(|(_, line)| holds(line)).map(|(number, _)| number + 1).collect()
}

#[test]
fn no_source_outside_kernels_is_unsafe() {
    let files = files();
    let sources =
        files.iter().filter(|file| file.has_extension("rs") && !file.path.starts_with("core/kernels/") && !file.path.starts_with("fuzz/"));
    let mut violations = Vec::new();
    for file in sources {
        let lines = unsafe_lines(file.text.as_deref().unwrap_or_default());
        violations.extend(lines.iter().map(|line| format!("{}:{line}: only core/kernels may hold such code", file.path)));
    }
    none_of(&violations);
}

#[test]
fn every_dependency_has_its_line_in_the_docs() {
    let page = std::fs::read_to_string(root().join("docs/dependencies.adoc")).expect("the page");
    let lines = page.lines().filter_map(|line| line.strip_prefix("|`")?.split_once("` |"));
    let said: BTreeSet<String> = lines.filter(|(_, purpose)| !purpose.trim().is_empty()).map(|(name, _)| name.to_owned()).collect();
    let arrows = members().into_iter().flat_map(|(_, _, arrows)| arrows);
    let used: BTreeSet<String> = arrows.map(|arrow| arrow.to).filter(|to| !to.starts_with("proximadb-")).collect();
    let missing = used.difference(&said).map(|name| format!("{name} has no line in docs/dependencies.adoc"));
    let stale = said.difference(&used).map(|name| format!("docs/dependencies.adoc explains {name}, which nobody uses"));
    none_of(&missing.chain(stale).collect::<Vec<_>>());
}

#[track_caller]
fn check(from: &str, to: &str, for_tests: bool, features: &[&str], expected: Option<&str>) {
    let features = features.iter().map(|feature| (*feature).to_owned()).collect();
    let arrow = Arrow { from: from.to_owned(), to: to.to_owned(), for_tests, optional: false, features, default_features: false };
    match (violation(&arrow), expected) {
        (None, None) => {}
        (Some(found), Some(words)) if found.contains(words) && found.contains(from) && found.contains(to) => {}
        (found, _) => panic!("{arrow:?}: found {found:?}, expected {expected:?}"),
    }
}

#[test]
fn the_table_bites() {
    check("proximadb-model", "tokio", false, &[], Some("may know only bytes"));
    check("proximadb-model", "proximadb-ports", false, &[], Some("nothing of this workspace"));
    check("proximadb-ports", "proptest", false, &[], Some("may know only arc-swap"));
    check("proximadb-kernels", "bytes", false, &[], Some("only nothing"));
    check("proximadb-engine", "proximadb-wal", false, &[], Some("may know only proximadb-model"));
    check("proximadb-engine", "tokio", false, &["sync", "macros"], None);
    check("proximadb-engine", "tokio", false, &["sync", "rt"], Some("not default, rt"));
    check("proximadb-engine", "tokio", true, &["rt"], None);
    check("proximadb-wal", "proximadb-engine", false, &[], Some("may know only"));
    check("proximadb-wal", "proximadb-filesystem", true, &[], Some("may know only"));
    check("proximadb-wal", "proximadb-proto", false, &[], None);
    check("proximadb-viper", "proximadb-proto", false, &[], Some("may know only"));
    check("proximadb-viper", "proximadb-sim", true, &[], None);
    check("proximadb-viper", "proximadb-sim", false, &[], Some("may know only"));
    check("proximadb-rest", "arrow-ipc", false, &[], Some("arrow is at home in proximadb-viper"));
    check("proximadb-server", "tonic-health", false, &[], Some("tonic is at home in"));
    check("proximadb-tests", "axum", true, &[], Some("axum is at home in"));
    check("proximadb-rest", "tower", false, &[], None);
    check("proximadb-extra", "bytes", false, &[], Some("no row"));
    check("proximadb-server", "proximadb-extra", false, &[], Some("no such crate"));
}

#[test]
fn such_code_is_seen() {
    let word = concat!("un", "safe");
    for bad in [format!("{word} {{"), format!("let x = {word}{{ y }};"), format!("pub {word} fn f()"), format!("({word} {{ x }})")] {
        assert_eq!(unsafe_lines(&format!("\n{bad}")), [2], "{bad}");
    }
    for good in [format!("// {word} is not here"), format!("{word}_code = 1"), format!("/// {word} {{")] {
        assert!(unsafe_lines(&good).is_empty(), "{good}");
    }
}
