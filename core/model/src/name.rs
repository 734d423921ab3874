//! The two strings that users choose as names: a collection's and a record's. Neither is ever part of a path.

use std::fmt;
use std::sync::Arc;

use crate::ids::{CollectionId, Uid};
use crate::invalid::Invalid;
use crate::limits::{COLLECTION_NAME_BYTES_MAX, RECORD_ID_BYTES_MAX};

/// The name of a collection: `[A-Za-z0-9][A-Za-z0-9_-]{0,127}`, and not the text of a uuid.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CollectionName(Arc<str>);

impl CollectionName {
    /// Checks and takes a name.
    ///
    /// # Errors
    /// [`Invalid`] on `name` when it breaks the pattern, or reads as a uuid and so could mean two collections.
    pub fn new(text: &str) -> Result<Self, Invalid> {
        let pattern = || Invalid::new("name", "must be 1 to 128 letters, digits, '_' or '-', starting with a letter or digit");
        let first = text.bytes().next().ok_or_else(pattern)?;
        let rest = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        if !first.is_ascii_alphanumeric() || !rest || text.len() > COLLECTION_NAME_BYTES_MAX {
            return Err(pattern());
        }
        if text.parse::<Uid>().is_ok() {
            return Err(Invalid::new("name", "must not have the form of a uuid"));
        }
        Ok(Self(text.into()))
    }

    /// The name's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CollectionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for CollectionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

/// How a request names a collection: by its uuid or by its name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum CollectionRef {
    /// By uuid.
    Id(CollectionId),
    /// By name.
    Name(CollectionName),
}

impl CollectionRef {
    /// Reads what a user wrote; the text of a uuid means the uuid, since no name has that form.
    ///
    /// # Errors
    /// [`Invalid`] on `collection` when the text can be neither.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        match text.parse() {
            Ok(id) => Ok(Self::Id(id)),
            Err(_) => CollectionName::new(text).map(Self::Name).map_err(|e| Invalid::new("collection", e.reason)),
        }
    }
}

impl fmt::Display for CollectionRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => fmt::Display::fmt(id, f),
            Self::Name(name) => fmt::Display::fmt(name, f),
        }
    }
}

/// A record's id: 1 to 256 bytes of UTF-8 without control characters. Comes back as the string it is.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordId(Arc<str>);

impl RecordId {
    /// Checks and takes an id.
    ///
    /// # Errors
    /// [`Invalid`] on `id` when it is empty, too long or holds a control character.
    pub fn new(text: &str) -> Result<Self, Invalid> {
        if text.is_empty() || text.len() > RECORD_ID_BYTES_MAX {
            return Err(Invalid::new("id", format!("must be 1 to {RECORD_ID_BYTES_MAX} bytes of text, got {}", text.len())));
        }
        if text.chars().any(char::is_control) {
            return Err(Invalid::new("id", "must not contain control characters"));
        }
        Ok(Self(text.into()))
    }

    /// The id's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn collection_names_keep_to_the_pattern() {
        for good in ["a", "documents", "0-1_x", &"a".repeat(128)] {
            assert!(CollectionName::new(good).is_ok(), "{good}");
        }
        for bad in ["", "../x", "-a", "_a", "a b", "é", &"a".repeat(129), "0190f3a2-7c4e-7d11-8a5b-0123456789ab"] {
            assert_eq!(CollectionName::new(bad).expect_err(bad).field, "name");
        }
    }

    #[test]
    fn record_ids_are_any_printable_text() {
        for good in ["1", "doc_0", "../x", "日本", &"a".repeat(256)] {
            assert!(RecordId::new(good).is_ok(), "{good}");
        }
        for bad in ["", "a\nb", "\u{0}", &"a".repeat(257)] {
            assert_eq!(RecordId::new(bad).expect_err(bad).field, "id");
        }
    }
}
