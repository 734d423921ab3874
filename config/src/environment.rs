//! `PROXIMADB_` variables as settings. Does not read the environment; it is handed over.

use std::ffi::OsString;

use figment::value::{Dict, Map, Value};
use figment::{Metadata, Profile, Provider};
use strsim::normalized_damerau_levenshtein;

use crate::error::ConfigError;
use crate::keys::Keys;

const PREFIX: &str = "PROXIMADB_";
const SEPARATOR: &str = "__";
/// From here on a name without levels is a setting written wrongly; below, it is somebody else's.
const MEANT: f64 = 0.85;

/// One variable that sets something.
pub(crate) struct Variable {
    name: String,
    path: Vec<String>,
    value: Value,
}

impl Variable {
    pub(crate) const ORIGIN: &str = "environment variable ";
}

/// The variables that are settings, by name.
///
/// Orchestrators put variables of their own under a service's name (`PROXIMADB_SERVICE_HOST`), and clients have theirs. So a
/// name without `__` that is no top-level setting is left alone, unless it is nearly that of a setting.
pub(crate) fn variables(environment: impl IntoIterator<Item = (OsString, OsString)>) -> Result<Vec<Variable>, ConfigError> {
    let keys = Keys::known();
    let mut found = Vec::new();
    for (name, value) in environment {
        let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX)) else { continue };
        let key = name.trim_start_matches(PREFIX).to_ascii_lowercase();
        let path: Vec<String> = key.split(SEPARATOR).map(str::to_owned).collect();
        if let [single] = path.as_slice()
            && !keys.has_top_level(single)
        {
            match meant(&keys, single) {
                Some(setting) => return Err(ConfigError::unknown(name, Some(variable_of(&setting)), "the environment")),
                None => continue,
            }
        }
        let wrong = |reason: &str| ConfigError::wrong(path.join("."), reason, format!("{}{name}", Variable::ORIGIN));
        let text = value.to_str().ok_or_else(|| wrong("must be UTF-8"))?;
        if path.iter().any(String::is_empty) {
            return Err(wrong("must have a name between each pair of underscores"));
        }
        let value = if keys.is_text(&path) { Value::from(text) } else { text.parse().unwrap_or_else(|_| Value::from(text)) };
        found.push(Variable { name: name.to_owned(), path, value });
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

fn meant(keys: &Keys, name: &str) -> Option<String> {
    let near = |key: &str| normalized_damerau_levenshtein(&key.replace('.', "_"), name);
    keys.all()
        .map(|key| (near(key), key))
        .filter(|(score, _)| *score >= MEANT)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, key)| key.to_owned())
}

fn variable_of(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', SEPARATOR).to_ascii_uppercase())
}

impl Provider for Variable {
    fn metadata(&self) -> Metadata {
        Metadata::named(format!("{}{}", Self::ORIGIN, self.name))
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        let nested = self.path.iter().rev().fold(self.value.clone(), |inner, key| Value::from(Dict::from([(key.clone(), inner)])));
        Ok(Map::from([(Profile::Default, nested.into_dict().unwrap_or_default())]))
    }
}
