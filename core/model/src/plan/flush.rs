//! When a memtable becomes a segment.

use crate::memtable::Memtable;

/// When to flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlushSettings {
    /// Bytes of a memtable from which on it is flushed.
    pub memtable_bytes_max: usize,
}

impl Default for FlushSettings {
    fn default() -> Self {
        Self { memtable_bytes_max: 128 << 20 }
    }
}

/// Whether the memtable is large enough.
pub fn is_due(memtable: &Memtable, settings: &FlushSettings) -> bool {
    memtable.bytes() >= settings.memtable_bytes_max.max(1)
}
