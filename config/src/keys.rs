//! The names of all settings, taken from the settings themselves, and which of them somebody may have meant.

use figment::value::Value;
use strsim::normalized_damerau_levenshtein;

use crate::plugins::PluginSettings;
use crate::settings::Settings;
use crate::storage::BasePath;

/// Below this a name is not worth suggesting.
const NEAR: f64 = 0.5;
/// Names in other tables must be nearer, since the table is wrong already.
const NEAR_ELSEWHERE: f64 = 0.8;
/// Tables whose keys the user makes up.
const OPEN_TABLES: [&str; 5] =
    ["storage.object_store.s3", "storage.object_store.adls", "storage.object_store.gcs", "storage.wal_config.manual", "plugins.*.settings"];
/// Stands for any plugin's name.
const ANY_PLUGIN: &str = "*";

/// Every setting's path, tables included; the elements of a list have the path of the list.
pub(crate) struct Keys {
    keys: Vec<(String, bool)>,
}

impl Keys {
    pub(crate) fn known() -> Self {
        let mut settings = Settings::default();
        settings.storage.storage_layout.base_paths = vec![BasePath {
            base_dir: String::new(),
            instance_id: None,
            disk_type: None,
            weight: 1.0,
            tags: Vec::new(),
            capacity_bytes: None,
        }];
        settings.plugins.insert(ANY_PLUGIN.to_owned(), PluginSettings::sample());
        let mut keys = Vec::new();
        if let Ok(tree) = Value::serialize(&settings) {
            collect("", &tree, &mut keys);
        }
        Self { keys }
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(|(key, _)| key.as_str())
    }

    pub(crate) fn has_top_level(&self, name: &str) -> bool {
        self.all().any(|key| key == name)
    }

    /// Whether a setting is text, so that a variable's `007` must stay as it is.
    pub(crate) fn is_text(&self, path: &[String]) -> bool {
        let key = generic(path).join(".");
        let in_object_store = key.starts_with("storage.object_store.") && path.len() == 4;
        in_object_store || self.keys.iter().any(|(known, text)| *known == key && *text)
    }

    /// The setting that was probably meant: the most similar one of the same table, else of any.
    pub(crate) fn nearest(&self, path: &[String]) -> Option<String> {
        let named = path.get(1).filter(|_| path.len() > 2 && path.first().is_some_and(|first| first == "plugins"));
        let path: Vec<&str> = generic(path).into_iter().filter(|part| !is_index(part)).collect();
        let (last, table) = path.split_last()?;
        let table = table.join(".");
        let best = |same_table: bool, floor: f64| {
            self.all()
                .filter(|key| !OPEN_TABLES.iter().any(|open| key.starts_with(&format!("{open}."))))
                .map(|key| (key, key.rsplit_once('.').unwrap_or(("", key))))
                .filter(|(_, (parent, _))| !same_table || *parent == table)
                .map(|(key, (_, name))| (normalized_damerau_levenshtein(name, last), key))
                .filter(|(score, _)| *score >= floor)
                .max_by(|a, b| a.0.total_cmp(&b.0))
                .map(|(_, key)| key.to_owned())
        };
        let found = best(true, NEAR).or_else(|| best(false, NEAR_ELSEWHERE))?;
        Some(match named {
            Some(name) => found.replacen(ANY_PLUGIN, name, 1),
            None => found,
        })
    }
}

/// A path with a word for all in the place of a plugin's name.
fn generic(path: &[String]) -> Vec<&str> {
    let plugin = path.first().is_some_and(|first| first == "plugins");
    path.iter().enumerate().map(|(i, part)| if plugin && i == 1 { ANY_PLUGIN } else { part.as_str() }).collect()
}

/// A path as people write it: `storage.storage_layout.base_paths[0].base_dir`.
pub(crate) fn written(path: &[String]) -> String {
    path.iter().fold(String::new(), |mut text, part| {
        if is_index(part) {
            text.push_str(&format!("[{part}]"));
        } else {
            if !text.is_empty() {
                text.push('.');
            }
            text.push_str(part);
        }
        text
    })
}

fn is_index(part: &str) -> bool {
    !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit())
}

fn collect(parent: &str, tree: &Value, keys: &mut Vec<(String, bool)>) {
    let Some(table) = tree.as_dict() else { return };
    for (name, value) in table {
        let key = if parent.is_empty() { name.clone() } else { format!("{parent}.{name}") };
        keys.push((key.clone(), value.as_str().is_some()));
        let inner = value.as_array().and_then(<[Value]>::first).unwrap_or(value);
        collect(&key, inner, keys);
    }
}
