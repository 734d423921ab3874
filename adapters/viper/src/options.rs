//! How segments are written and how much of them is kept in memory. Plain data; knows no settings file.

/// How the pages of a segment are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// Zstandard; the level is 1 (fast) to 22 (small), and is brought into that range.
    Zstd {
        /// The level.
        level: i32,
    },
    /// LZ4 in its raw form.
    Lz4,
    /// Snappy.
    Snappy,
}

/// Settings of a [`crate::ViperStore`]. A zero means the smallest value that works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ViperOptions {
    /// How pages are compressed.
    pub compression: Compression,
    /// Rows of a row group: the unit that statistics and bloom filters rule out.
    pub row_group_rows_max: usize,
    /// Bytes of a row group before encoding, after which it is closed early. A scan holds one row group in memory.
    pub row_group_bytes_max: usize,
    /// Bytes of a page before compression, about: the unit that fetching a row reads.
    pub page_bytes_max: usize,
    /// Typed metadata columns of a segment; declared fields count, and are never left out.
    pub metadata_columns_max: usize,
    /// Rows that are looked at before the typed columns are chosen.
    pub sample_rows_max: usize,
    /// Bytes of decoded metadata that all readers of the store keep together.
    pub cache_bytes_max: usize,
}

impl Default for ViperOptions {
    fn default() -> Self {
        Self {
            compression: Compression::Zstd { level: 1 },
            row_group_rows_max: 16_384,
            row_group_bytes_max: 64 << 20,
            page_bytes_max: 64 << 10,
            metadata_columns_max: 128,
            sample_rows_max: 8_192,
            cache_bytes_max: 256 << 20,
        }
    }
}
