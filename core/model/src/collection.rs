//! What a collection is: its specification, fixed at creation but for a few settings. Knows no storage.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crate::ids::CollectionId;
use crate::invalid::Invalid;
use crate::limits::{DESCRIPTION_BYTES_MAX, EF_MAX, SCHEMA_FIELDS_MAX, SHARDS_MAX};
use crate::metric::{MetricKind, ScoreKind};
use crate::name::CollectionName;
use crate::record::Dimension;
use crate::time::Timestamp;
use crate::value::{Metadata, Value};

/// The type that a declared metadata field must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FieldType {
    /// Text.
    String,
    /// An integer, i64 or u64.
    Integer,
    /// Any finite number.
    Float,
    /// A truth value.
    Bool,
    /// A point in time, written as RFC 3339 text.
    DateTime,
    /// A list of texts.
    StringList,
}

const FIELD_TYPES: [(&str, FieldType); 6] = [
    ("string", FieldType::String),
    ("integer", FieldType::Integer),
    ("float", FieldType::Float),
    ("bool", FieldType::Bool),
    ("datetime", FieldType::DateTime),
    ("string_list", FieldType::StringList),
];

impl FieldType {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        FIELD_TYPES.iter().find(|(_, t)| *t == self).map_or("", |(name, _)| name)
    }
}

impl FromStr for FieldType {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let known = || FIELD_TYPES.map(|(name, _)| name).join(", ");
        FIELD_TYPES
            .iter()
            .find(|(name, _)| *name == text)
            .map(|(_, t)| *t)
            .ok_or_else(|| Invalid::new("", format!("must be one of {}", known())))
    }
}

/// Declared metadata fields; those that are not declared take any value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schema(BTreeMap<String, FieldType>);

impl Schema {
    /// Checks and takes declared fields.
    ///
    /// # Errors
    /// [`Invalid`] on `schema` for too many fields or an empty name.
    pub fn new(fields: BTreeMap<String, FieldType>) -> Result<Self, Invalid> {
        if fields.len() > SCHEMA_FIELDS_MAX {
            return Err(Invalid::new("schema", format!("has {} fields, at most {SCHEMA_FIELDS_MAX} are allowed", fields.len())));
        }
        if fields.keys().any(|name| name.is_empty() || name.starts_with('$')) {
            return Err(Invalid::new("schema", "a field's name must not be empty or start with '$'"));
        }
        Ok(Self(fields))
    }

    /// The declared fields by name.
    pub fn fields(&self) -> &BTreeMap<String, FieldType> {
        &self.0
    }

    /// Checks metadata against the declaration; text in a datetime field becomes a point in time. A null or missing field passes.
    ///
    /// # Errors
    /// [`Invalid`] naming the first field of another type.
    pub fn apply(&self, metadata: Metadata) -> Result<Metadata, Invalid> {
        if self.0.is_empty() {
            return Ok(metadata);
        }
        let mut fields = metadata.into_fields();
        for (name, wanted) in &self.0 {
            let Some(value) = fields.get_mut(name) else { continue };
            let fits = match (wanted, &*value) {
                (_, Value::Null)
                | (FieldType::String, Value::String(_))
                | (FieldType::Integer, Value::Int(_) | Value::UInt(_))
                | (FieldType::Float, Value::Float(_) | Value::Int(_) | Value::UInt(_))
                | (FieldType::Bool, Value::Bool(_))
                | (FieldType::DateTime, Value::DateTime(_)) => true,
                (FieldType::StringList, Value::Array(items)) => items.iter().all(|item| matches!(item, Value::String(_))),
                (FieldType::DateTime, Value::String(text)) => {
                    *value = Value::DateTime(text.parse().map_err(|e: Invalid| Invalid::new(format!("metadata.{name}"), e.reason))?);
                    true
                }
                _ => false,
            };
            if !fits {
                let reason = format!("the schema says {}, got {}", wanted.as_str(), value.kind());
                return Err(Invalid::new(format!("metadata.{name}"), reason));
            }
        }
        Metadata::new(fields)
    }
}

/// Which vector index the segments of a collection have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum IndexKind {
    /// Chosen by size: flat while small, a graph when it pays.
    #[default]
    Auto,
    /// Always exact.
    Flat,
    /// A graph as soon as a segment has rows.
    Graph,
}

impl IndexKind {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Flat => "flat",
            Self::Graph => "graph",
        }
    }
}

impl fmt::Display for IndexKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for IndexKind {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text {
            "auto" => Ok(Self::Auto),
            "flat" => Ok(Self::Flat),
            "graph" => Ok(Self::Graph),
            _ => Err(Invalid::new("index.kind", "must be one of auto, flat, graph")),
        }
    }
}

/// How a collection is indexed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexSettings {
    /// Which index.
    pub kind: IndexKind,
    /// Neighbours a node of the graph keeps on its upper layers; twice as many on the lowest.
    pub m: u32,
    /// Breadth of the search for neighbours while the graph is built.
    pub ef_construction: u32,
    /// Breadth of a search that does not say its own.
    pub ef_search: u32,
}

impl Default for IndexSettings {
    fn default() -> Self {
        Self { kind: IndexKind::Auto, m: 32, ef_construction: 200, ef_search: 96 }
    }
}

impl IndexSettings {
    /// Checks the ranges.
    ///
    /// # Errors
    /// [`Invalid`] on the setting that is out of its range.
    pub fn check(&self) -> Result<(), Invalid> {
        let range = |field: &str, value: u32, low: u32, high: u32| {
            let fits = (low..=high).contains(&value);
            if fits { Ok(()) } else { Err(Invalid::new(field, format!("must be {low} to {high}, got {value}"))) }
        };
        range("index.m", self.m, 4, 128)?;
        range("index.ef_construction", self.ef_construction, 8, 2_048)?;
        range("index.ef_search", self.ef_search, 1, EF_MAX as u32)
    }
}

/// What a user asks for when creating a collection.
#[derive(Clone, Debug, PartialEq)]
pub struct CollectionSpec {
    /// Its name.
    pub name: CollectionName,
    /// Components of its vectors.
    pub dimension: Dimension,
    /// Its distance.
    pub metric: MetricKind,
    /// Declared metadata fields.
    pub schema: Schema,
    /// Number of shards.
    pub shards: u32,
    /// Its index.
    pub index: IndexSettings,
    /// Words for people.
    pub description: String,
}

impl CollectionSpec {
    /// A specification with defaults for all that is not named.
    pub fn new(name: CollectionName, dimension: Dimension, metric: MetricKind) -> Self {
        Self { name, dimension, metric, schema: Schema::default(), shards: 1, index: IndexSettings::default(), description: String::new() }
    }

    /// Checks what the parts' own constructors could not.
    ///
    /// # Errors
    /// [`Invalid`] on the field that is out of its range.
    pub fn check(&self) -> Result<(), Invalid> {
        if !(1..=SHARDS_MAX).contains(&self.shards) {
            return Err(Invalid::new("shards", format!("must be 1 to {SHARDS_MAX}, got {}", self.shards)));
        }
        if self.description.len() > DESCRIPTION_BYTES_MAX {
            return Err(Invalid::new("description", format!("must be at most {DESCRIPTION_BYTES_MAX} bytes")));
        }
        self.index.check()
    }
}

/// A change to the settings of a collection that may change.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CollectionPatch {
    /// New words for people.
    pub description: Option<String>,
    /// New index settings. `ef_search` and the kind hold for searches at once; `m` and `ef_construction` for graphs built from then on.
    pub index: Option<IndexSettings>,
}

/// The plugin that computes a collection's distances, held fast: under the same name other bytes could give other ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PinnedMetric {
    /// The sha256 of its component.
    pub sha256: [u8; 32],
    /// Which way its score runs, also to be told while the plugin is not there.
    pub score_kind: ScoreKind,
}

/// A collection as it exists.
#[derive(Clone, Debug, PartialEq)]
pub struct Collection {
    /// Its uuid.
    pub id: CollectionId,
    /// What was asked for, with later changes.
    pub spec: CollectionSpec,
    /// When it was made.
    pub created: Timestamp,
    /// The plugin that was its metric when it was made; none for built-in metrics.
    pub pinned: Option<PinnedMetric>,
}

impl Collection {
    /// Which way its scores run.
    pub fn score_kind(&self) -> ScoreKind {
        // One of the two is there: a manifest without is refused.
        self.spec.metric.score_kind().or(self.pinned.map(|pinned| pinned.score_kind)).unwrap_or(ScoreKind::Distance)
    }

    /// Checks that a plugin's collection says which plugin, and no other does.
    ///
    /// # Errors
    /// [`Invalid`] on `metric`.
    pub fn check(&self) -> Result<(), Invalid> {
        match (&self.spec.metric, &self.pinned) {
            (MetricKind::Wasm(_), None) => Err(Invalid::new("metric", "is a plugin's, and nothing says which bytes the plugin has")),
            (MetricKind::Wasm(_), Some(_)) => Ok(()),
            (_, Some(_)) => Err(Invalid::new("metric", "is built in, and has the digest of a plugin")),
            (_, None) => Ok(()),
        }
    }
}
