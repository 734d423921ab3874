//! Rules of the house that a program can check, one row a rule. Each row carries a file that breaks it, so that none goes blind.

use proximadb_tests::{TreeFile, tree_files};

/// One rule over one file.
struct Rule {
    says: &'static str,
    /// The lines that break it; 0 for the file as a whole.
    broken: fn(&TreeFile) -> Vec<usize>,
    /// The path and text of a file that breaks it.
    example: (&'static str, &'static str),
}

const PRODUCTION_LINES_MAX: usize = 800;
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Names that say nothing of what a file holds.
const EMPTY_NAMES: [&str; 4] = ["utils.rs", "helpers.rs", "common.rs", "types.rs"];
/// The package index shows nothing else than Markdown and reStructuredText.
const MARKDOWN: [&str; 1] = ["sdk/python/README.md"];

const RULES: [Rule; 13] = [
    Rule { says: "a file opens with //! and says what it owns", broken: no_opening, example: ("a.rs", "use x;\n") },
    Rule {
        says: "at most 800 lines of production code; split it",
        broken: too_long,
        example: ("a.rs", concat!("//! x\n", include_str!("tidy.rs"), include_str!("architecture.rs"), include_str!("architecture.rs"))),
    },
    Rule { says: "a file is named by its noun", broken: empty_name, example: ("config/src/utils.rs", "") },
    Rule { says: "what a crate shows is a curated list", broken: glob_export, example: ("a.rs", concat!("pub ", "use x::*;")) },
    Rule { says: "finished, or not there", broken: unfinished, example: ("a.rs", concat!("    to", "do!()")) },
    Rule { says: "finished, or not there", broken: unfinished, example: ("docs/a.adoc", concat!("TO", "DO: say it")) },
    Rule { says: "a test runs, or is not there", broken: ignored, example: ("a.rs", concat!("#[ig", "nore]")) },
    Rule {
        says: "a lint is turned off with a reason",
        broken: silenced,
        example: ("a.rs", concat!("fn a() {}\n#[al", "low(dead_code)]\nfn b() {}")),
    },
    Rule { says: "docs are AsciiDoc", broken: markdown, example: ("docs/a.md", "# A\n") },
    Rule { says: "more than 1 MiB belongs in tests/testdata", broken: too_large, example: ("docs/a.svg", "") },
    Rule { says: "nobody else has this folder", broken: workplace, example: ("docs/a.adoc", concat!("see /wo", "rk/x")) },
    Rule { says: "no spaces at the end of a line", broken: trailing_space, example: ("a.toml", "a = 1 \n") },
    Rule { says: "spaces, not tabs", broken: tab, example: ("a.rs", "fn a() {\n\tb();\n}") },
];

fn lines(file: &TreeFile, broken: impl Fn(&str) -> bool) -> Vec<usize> {
    let text = file.text.as_deref().unwrap_or_default();
    text.lines().enumerate().filter(|(_, line)| broken(line)).map(|(number, _)| number + 1).collect()
}

fn whole(broken: bool) -> Vec<usize> {
    if broken { vec![0] } else { Vec::new() }
}

fn is_rust(file: &TreeFile) -> bool {
    file.has_extension("rs")
}

fn is_written(file: &TreeFile) -> bool {
    ["rs", "toml", "adoc"].iter().any(|extension| file.has_extension(extension))
}

fn is_test(file: &TreeFile) -> bool {
    ["tests/", "benches/", "fuzz/", "examples/"]
        .iter()
        .any(|folder| file.path.starts_with(folder) || file.path.contains(&format!("/{folder}")))
        || file.name() == "tests.rs"
}

fn no_opening(file: &TreeFile) -> Vec<usize> {
    whole(is_rust(file) && !file.text.as_deref().is_some_and(|text| text.starts_with("//! ")))
}

fn too_long(file: &TreeFile) -> Vec<usize> {
    let production = file.text.as_deref().unwrap_or_default().lines().take_while(|line| line.trim() != "#[cfg(test)]").count();
    whole(is_rust(file) && !is_test(file) && production > PRODUCTION_LINES_MAX)
}

fn empty_name(file: &TreeFile) -> Vec<usize> {
    whole(EMPTY_NAMES.contains(&file.name()))
}

fn glob_export(file: &TreeFile) -> Vec<usize> {
    if !is_rust(file) {
        return Vec::new();
    }
    lines(file, |line| line.trim_start().starts_with("pub") && line.contains(" use ") && line.contains("::*"))
}

fn unfinished(file: &TreeFile) -> Vec<usize> {
    let marks = [concat!("TO", "DO"), concat!("FIX", "ME")];
    let calls = [concat!("to", "do!("), concat!("unimple", "mented!("), concat!("db", "g!(")];
    if !is_written(file) {
        return Vec::new();
    }
    lines(file, |line| {
        let words = line.split(|c: char| !c.is_alphanumeric() && c != '_');
        words.into_iter().any(|word| marks.contains(&word)) || (is_rust(file) && calls.iter().any(|call| line.contains(call)))
    })
}

fn ignored(file: &TreeFile) -> Vec<usize> {
    if is_rust(file) { lines(file, |line| line.contains(concat!("#[ig", "nore"))) } else { Vec::new() }
}

/// Attributes that turn a lint off, without a reason in them and without a comment on the line or the one above.
fn silenced(file: &TreeFile) -> Vec<usize> {
    let Some(text) = file.text.as_deref().filter(|_| is_rust(file)) else { return Vec::new() };
    let all: Vec<&str> = text.lines().collect();
    let openings = [concat!("#[al", "low("), concat!("#![al", "low("), concat!("#[ex", "pect("), concat!("#![ex", "pect(")];
    let mut found = Vec::new();
    for (i, line) in all.iter().enumerate() {
        if !openings.iter().any(|opening| line.trim_start().starts_with(opening)) {
            continue;
        }
        let above = i.checked_sub(1).and_then(|i| all.get(i)).is_some_and(|line| line.trim_start().starts_with("// "));
        let end = all.iter().skip(i).position(|line| line.contains(")]")).unwrap_or(0);
        let attribute = all.iter().skip(i).take(end + 1);
        if !above && !attribute.into_iter().any(|line| line.contains("reason = \"") || line.contains("// ")) {
            found.push(i + 1);
        }
    }
    found
}

fn markdown(file: &TreeFile) -> Vec<usize> {
    whole(file.has_extension("md") && !MARKDOWN.contains(&file.path.as_str()))
}

fn too_large(file: &TreeFile) -> Vec<usize> {
    whole(file.bytes > FILE_BYTES_MAX && !file.path.starts_with("tests/testdata/"))
}

fn workplace(file: &TreeFile) -> Vec<usize> {
    let folder = concat!("/wo", "rk");
    let own = |rest: &str| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_' || c == '-');
    let starts = |before: &str| !before.ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '}'));
    lines(file, |line| line.match_indices(folder).any(|(at, _)| starts(&line[..at]) && own(&line[at + folder.len()..])))
}

fn trailing_space(file: &TreeFile) -> Vec<usize> {
    if is_written(file) { lines(file, |line| line.ends_with([' ', '\t'])) } else { Vec::new() }
}

fn tab(file: &TreeFile) -> Vec<usize> {
    if is_written(file) { lines(file, |line| line.contains('\t')) } else { Vec::new() }
}

fn is_generated(file: &TreeFile) -> bool {
    file.path.starts_with("proto/src/generated/")
}

#[test]
fn the_tree_keeps_the_rules() {
    let files = tree_files().expect("a clone with git");
    assert!(files.iter().filter(|file| is_rust(file)).count() > 20, "the sources were not found");
    let mut found = Vec::new();
    for file in files.iter().filter(|file| !is_generated(file)) {
        for rule in &RULES {
            found.extend((rule.broken)(file).iter().map(|line| format!("{}:{line}: {}", file.path, rule.says)));
        }
    }
    found.sort();
    found.dedup();
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn every_rule_bites() {
    for rule in &RULES {
        let (path, text) = rule.example;
        let bytes = if text.is_empty() { FILE_BYTES_MAX + 1 } else { text.len() as u64 };
        let bad = TreeFile { path: path.to_owned(), bytes, text: Some(text.to_owned()) };
        assert!(!(rule.broken)(&bad).is_empty(), "{:?} does not see {path}", rule.says);
    }
}

#[test]
fn a_reason_or_a_comment_is_enough() {
    let attribute = concat!("#[al", "low(dead_code");
    for text in [
        format!("{attribute}, reason = \"shown\")]"),
        format!("{attribute})] // shown"),
        format!("// shown\n{attribute})]"),
        format!("{attribute},\n    reason = \"shown\",\n)]"),
    ] {
        let file = TreeFile { path: "a.rs".to_owned(), bytes: 0, text: Some(text.clone()) };
        assert!(silenced(&file).is_empty(), "{text}");
    }
}

#[test]
fn other_folders_of_that_name_are_nobodys_business() {
    for text in ["frame-works", concat!("/wo", "rkspace/x"), concat!("~/wo", "rk_items"), concat!("adapters/wo", "rk")] {
        let file = TreeFile { path: "a.adoc".to_owned(), bytes: 0, text: Some(text.to_owned()) };
        assert!(workplace(&file).is_empty(), "{text}");
    }
}
