//! Which keys and names are well-formed. Everything else is refused before any IO, so that no key leaves the root.

use proximadb_ports::{Fault, PortError, Result};

/// Whether `segment` may stand between the slashes of a key.
pub(crate) fn is_segment(segment: &str) -> bool {
    !matches!(segment, "" | "." | "..") && segment.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

/// Refuses what is no key.
pub(crate) fn check_key(op: &'static str, key: &str) -> Result<()> {
    if key.split('/').all(is_segment) {
        return Ok(());
    }
    Err(PortError::new(
        Fault::Invalid,
        op,
        format!("{key:?}"),
        "a key is segments of letters, digits, dot, underscore and dash, joined by slashes",
    ))
}

/// Refuses what is no prefix; the empty one is.
pub(crate) fn check_prefix(op: &'static str, prefix: &str) -> Result<()> {
    if prefix.is_empty() { Ok(()) } else { check_key(op, prefix) }
}

/// Refuses what is no name of a file on a [`proximadb_ports::Disk`].
pub(crate) fn check_name(op: &'static str, name: &str) -> Result<()> {
    if is_segment(name) && name.len() <= 128 {
        return Ok(());
    }
    Err(PortError::new(Fault::Invalid, op, format!("{name:?}"), "a file name is 1 to 128 letters, digits, dots, underscores and dashes"))
}
