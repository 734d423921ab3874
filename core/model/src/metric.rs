//! Which distance a collection uses and how its raw ordering key becomes the score that users see. Computes no distance.

use std::fmt;
use std::str::FromStr;

use crate::invalid::Invalid;

/// The distance of a collection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum MetricKind {
    /// Cosine similarity.
    Cosine,
    /// L2 distance.
    Euclidean,
    /// Inner product.
    DotProduct,
    /// L1 distance.
    Manhattan,
    /// Number of components that differ.
    Hamming,
    /// A metric plugin, by the name it has in the configuration.
    Wasm(String),
}

/// Whether the score of a hit grows or shrinks as vectors come nearer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ScoreKind {
    /// Higher is nearer.
    Similarity,
    /// Lower is nearer.
    Distance,
}

impl ScoreKind {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Similarity => "similarity",
            Self::Distance => "distance",
        }
    }
}

/// The names of the built-in metrics, in the order that errors list them.
pub const BUILT_IN_METRICS: [&str; 5] = ["cosine", "euclidean", "dot_product", "manhattan", "hamming"];

impl MetricKind {
    /// Which way the metric's score runs; a plugin says so itself, so it has none here.
    pub fn score_kind(&self) -> Option<ScoreKind> {
        match self {
            Self::Cosine | Self::DotProduct => Some(ScoreKind::Similarity),
            Self::Euclidean | Self::Manhattan | Self::Hamming => Some(ScoreKind::Distance),
            Self::Wasm(_) => None,
        }
    }
}

impl FromStr for MetricKind {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        Ok(match text {
            "cosine" => Self::Cosine,
            "euclidean" => Self::Euclidean,
            "dot_product" => Self::DotProduct,
            "manhattan" => Self::Manhattan,
            "hamming" => Self::Hamming,
            _ => match text.strip_prefix("wasm:") {
                Some(name) if is_plugin_name(name) => Self::Wasm(name.to_owned()),
                _ => return Err(Invalid::new("metric", format!("must be one of {} or wasm:<plugin>", BUILT_IN_METRICS.join(", ")))),
            },
        })
    }
}

/// Whether `name` can name a plugin: 1 to 64 letters, digits, `_` or `-`.
pub fn is_plugin_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= 64 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

impl fmt::Display for MetricKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cosine => f.write_str("cosine"),
            Self::Euclidean => f.write_str("euclidean"),
            Self::DotProduct => f.write_str("dot_product"),
            Self::Manhattan => f.write_str("manhattan"),
            Self::Hamming => f.write_str("hamming"),
            Self::Wasm(name) => write!(f, "wasm:{name}"),
        }
    }
}
