//! What is asked of the server, in the words of neither protocol.

use bytes::Bytes;

use crate::data_set::Range;

/// How every search of a run is asked.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) collection: String,
    pub(crate) ef: Option<u64>,
    pub(crate) filter: Option<Range>,
    pub(crate) with_metadata: bool,
}

/// How far the server is with indexing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) indexed: u64,
    pub(crate) unindexed: u64,
    pub(crate) memtable: u64,
    pub(crate) segments: usize,
    pub(crate) ready: bool,
}

impl Progress {
    /// Whether all of so many rows are in a graph, or in a segment that is too small for one.
    pub(crate) fn is_done(self, rows: u64) -> bool {
        self.ready && self.indexed == rows && self.unindexed == 0 && self.memtable == 0
    }
}

/// A vector as both protocols carry it: little-endian f32.
pub(crate) fn packed(vector: &[f32]) -> Bytes {
    vector.iter().flat_map(|x| x.to_le_bytes()).collect()
}

/// An id as a row of the base.
pub(crate) fn row_of(id: &str) -> Result<i64, String> {
    id.parse().map_err(|_| format!("the hit {id:?} is no row of the base"))
}
