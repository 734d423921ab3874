//! The user guide: each request works on a fresh server, in order, and each settings file loads.

use std::path::Path;

use proximadb_config::Settings;
use proximadb_tests::{Server, root};
use serde_json::Value;
use tempfile::TempDir;

/// The listings of a page in a language.
fn listings(page: &str, language: &str) -> Vec<String> {
    let text = std::fs::read_to_string(root().join(page)).expect("the page is there");
    let opening = format!("[source,{language}]\n----\n");
    text.split(&opening).skip(1).map(|rest| rest.split("\n----").next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn every_request_is_answered() {
    let requests = listings("docs/user_guide.adoc", "http");
    assert!(requests.len() >= 15, "{} requests", requests.len());
    let folder = TempDir::new().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    for request in requests {
        let (line, body) = request.split_once('\n').unwrap_or((&request, ""));
        let (method, path) = line.split_once(' ').expect("a method and a path");
        let (status, answer) = server.try_raw(method, path, body, &[("content-type", "application/json")]).expect("an answer");
        assert!((200..300).contains(&status), "{request}: {status} {answer}");
        match path.rsplit('/').next() {
            Some("search") => assert_eq!(answer["hits"].as_array().map(Vec::len), Some(2), "{answer}"),
            Some("count") => assert_eq!(answer["count"], 1, "{answer}"),
            Some("scan") => assert_eq!(answer["records"].as_array().map(Vec::len), Some(2), "{answer}"),
            Some("a1") => {
                assert_eq!((&answer["metadata"]["year"], &answer["metadata"]["lang"]), (&Value::from(2022), &Value::Null), "{answer}")
            }
            _ => {}
        }
    }
}

#[test]
fn every_settings_file_loads() {
    let files = listings("docs/user_guide.adoc", "toml");
    assert!(files.len() >= 2);
    for file in files {
        let settings = Settings::parse(&file, "the guide", []).unwrap_or_else(|e| panic!("{e}\n{file}"));
        assert!(!settings.sites(Path::new("/")).expect("sites").is_empty());
    }
}
