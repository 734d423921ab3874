//! The one error of validation: which field is wrong, and why. Says nothing of transports or status codes.

use thiserror::Error;

/// An input that breaks a rule; nothing was changed by it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{field}: {reason}")]
pub struct Invalid {
    /// Path of the offending field in the request, such as `upsert[3].vector` or `filter.year.$foo`.
    pub field: String,
    /// What the rule is, in lowercase.
    pub reason: String,
}

impl Invalid {
    /// The error that `field` breaks the rule `reason`.
    pub fn new(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { field: field.into(), reason: reason.into() }
    }

    /// The same error seen from one level further out: `within("upsert[3]")` turns `vector` into `upsert[3].vector`.
    #[must_use]
    pub fn within(mut self, parent: &str) -> Self {
        self.field = match (parent.is_empty(), self.field.is_empty()) {
            (true, _) => self.field,
            (_, true) => parent.to_owned(),
            _ if self.field.starts_with('[') => format!("{parent}{}", self.field),
            _ => format!("{parent}.{}", self.field),
        };
        self
    }
}
