//! What is wrong with a configuration, in words that let its writer mend it: which setting, what is accepted, where it stands.

use std::io;
use std::path::PathBuf;

use figment::error::{Actual, Kind};
use strsim::normalized_damerau_levenshtein;
use thiserror::Error;

use crate::environment::Variable;
use crate::keys::{Keys, written};

/// Why a configuration is refused; the server must not start on a part of it.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not TOML.
    #[error("{origin} is not TOML: {message}")]
    Syntax {
        /// The file.
        origin: String,
        /// Where and why.
        message: String,
    },
    /// There is no such setting.
    #[error("unknown setting {key:?} in {origin}{}", nearest.as_ref().map(|n| format!("; did you mean {n:?}?")).unwrap_or_default())]
    Unknown {
        /// Its full path.
        key: String,
        /// The setting that was probably meant.
        nearest: Option<String>,
        /// The file or variable that holds it.
        origin: String,
    },
    /// A setting has a value that is not accepted.
    #[error("{key}: {reason} (in {origin})")]
    Wrong {
        /// Its full path.
        key: String,
        /// What is accepted, and what stands there.
        reason: String,
        /// The file or variable that holds it.
        origin: String,
    },
    /// Settings, each right for itself, do not go together.
    #[error("{key}: {reason}")]
    Contradiction {
        /// The first of them.
        key: String,
        /// What is accepted.
        reason: String,
    },
}

impl ConfigError {
    pub(crate) fn unknown(key: &str, nearest: Option<String>, origin: &str) -> Self {
        Self::Unknown { key: key.to_owned(), nearest, origin: origin.to_owned() }
    }

    pub(crate) fn wrong(key: impl Into<String>, reason: impl Into<String>, origin: impl Into<String>) -> Self {
        Self::Wrong { key: key.into(), reason: reason.into(), origin: origin.into() }
    }

    pub(crate) fn contradiction(key: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Contradiction { key: key.into(), reason: reason.into() }
    }

    pub(crate) fn from_figment(error: &figment::Error, file: &str) -> Self {
        let origin = match &error.metadata {
            Some(metadata) if metadata.name.starts_with(Variable::ORIGIN) => metadata.name.to_string(),
            _ => file.to_owned(),
        };
        let key = written(&error.path);
        match &error.kind {
            Kind::UnknownField(..) => Self::Unknown { key, nearest: Keys::known().nearest(&error.path), origin },
            kind => Self::Wrong { key, reason: reason(&error.path, kind), origin },
        }
    }
}

/// Settings whose type alone does not tell what is accepted.
const ACCEPTED: [(&str, &str); 3] = [
    ("disk_type", r#""SataSsd", "Hdd", { NvmeSsd = { max_iops = 100000 } } or { NetworkStorage = { latency_ms = 5 } }"#),
    ("rest_listen", r#"an IP address and a port, such as "127.0.0.1:5678""#),
    ("grpc_listen", r#"an IP address and a port, such as "127.0.0.1:5679""#),
];

fn reason(path: &[String], kind: &Kind) -> String {
    let special = path.iter().find_map(|part| ACCEPTED.iter().find(|(name, _)| name == part)).map(|(_, accepted)| *accepted);
    match (kind, special) {
        (Kind::InvalidType(found, _) | Kind::InvalidValue(found, _), Some(accepted)) => format!("must be {accepted}, got {}", shown(found)),
        (_, Some(accepted)) => format!("must be {accepted}"),
        (Kind::InvalidType(found, expected) | Kind::InvalidValue(found, expected), None) => {
            format!("must be {}, got {}", wanted(expected), shown(found))
        }
        (Kind::UnknownVariant(found, known), None) => {
            let near = known.iter().map(|name| (normalized_damerau_levenshtein(&name.to_lowercase(), &found.to_lowercase()), name));
            let near = near.filter(|(score, _)| *score >= 0.6).max_by(|a, b| a.0.total_cmp(&b.0));
            let hint = near.map(|(_, name)| format!("; did you mean {name:?}?")).unwrap_or_default();
            format!("must be one of {}, got {found:?}{hint}", known.join(", "))
        }
        (Kind::MissingField(name), None) => format!("{name:?} is missing"),
        (kind, None) => kind.to_string(),
    }
}

fn wanted(expected: &str) -> String {
    match expected {
        "u8" => format!("a whole number from 0 to {}", u8::MAX),
        "u32" => format!("a whole number from 0 to {}", u32::MAX),
        "u64" => "a whole number, not negative".to_owned(),
        "f32" => "a number".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a string" | "path string" => "text".to_owned(),
        "a sequence" => "a list".to_owned(),
        _ if expected.starts_with("struct ") => "a table".to_owned(),
        _ => expected.to_owned(),
    }
}

fn shown(found: &Actual) -> String {
    match found {
        Actual::Bool(value) => value.to_string(),
        Actual::Unsigned(value) => value.to_string(),
        Actual::Signed(value) => value.to_string(),
        Actual::Float(value) => value.to_string(),
        Actual::Str(text) => format!("{text:?}"),
        Actual::Seq => "a list".to_owned(),
        Actual::Map => "a table".to_owned(),
        other => other.to_string(),
    }
}
