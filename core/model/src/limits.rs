//! Every limit that an input, a queue or a cache has, by name. Units come last.

/// Components of a vector.
pub const DIMENSION_MAX: usize = 65_536;
/// Bytes of a record id.
pub const RECORD_ID_BYTES_MAX: usize = 256;
/// Bytes of a collection name.
pub const COLLECTION_NAME_BYTES_MAX: usize = 128;
/// Bytes of a collection's description.
pub const DESCRIPTION_BYTES_MAX: usize = 1_024;
/// Records, patches and deletes in one write request.
pub const BATCH_OPERATIONS_MAX: usize = 10_000;
/// Bytes of a request body after decompression.
pub const BODY_BYTES_MAX: usize = 32 << 20;
/// Nesting of a JSON body.
pub const JSON_DEPTH_MAX: usize = 32;
/// Hits that a search may ask for.
pub const K_MAX: usize = 10_000;
/// `k + offset` of a search.
pub const WINDOW_MAX: usize = 100_000;
/// Breadth of a graph search.
pub const EF_MAX: usize = 8_192;
/// Queries in one batch search.
pub const SEARCH_BATCH_MAX: usize = 1_000;
/// Nesting of a filter.
pub const FILTER_DEPTH_MAX: usize = 32;
/// Conditions in a filter.
pub const FILTER_CONDITIONS_MAX: usize = 1_024;
/// Values in one `$in` or `$nin` list.
pub const FILTER_LIST_MAX: usize = 10_000;
/// Bytes of a record's metadata, counted as its JSON text.
pub const METADATA_BYTES_MAX: usize = 64 << 10;
/// Keys of a record's metadata, nested ones counted.
pub const METADATA_KEYS_MAX: usize = 256;
/// Nesting of a record's metadata.
pub const METADATA_DEPTH_MAX: usize = 16;
/// Fields of one segment that are kept in memory for filters.
pub const FILTER_FIELDS_MAX: usize = 256;
/// Segments whose fields wait to be read into memory for filters.
pub const FILTER_READS_MAX: usize = 256;
/// Shards of a collection.
pub const SHARDS_MAX: u32 = 64;
/// Fields in a declared metadata schema.
pub const SCHEMA_FIELDS_MAX: usize = 256;
/// Records in one page of a scan.
pub const SCAN_PAGE_MAX: usize = 10_000;
/// Bytes of an idempotency key.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 255;
/// Keyed writes that a shard remembers.
pub const IDEMPOTENCY_KEYS_MAX: usize = 1_024;
/// Milliseconds that a request may ask for as its timeout.
pub const TIMEOUT_MS_MAX: u64 = 600_000;
/// Collections in one database.
pub const COLLECTIONS_MAX: usize = 100_000;
/// Write requests that wait for one shard.
pub const SHARD_QUEUE_MAX: usize = 1_024;
/// Write requests that share one group commit.
pub const GROUP_REQUESTS_MAX: usize = 256;
/// Rows of a segment.
pub const SEGMENT_ROWS_MAX: usize = 1 << 30;
/// Bytes of one frame in a log, and so of what one shard writes atomically.
pub const FRAME_BYTES_MAX: usize = 64 << 20;
/// Bytes of frames that wait for their group in one log.
pub const LOG_QUEUE_BYTES_MAX: usize = 96 << 20;
/// Frames that wait for their group in one log.
pub const LOG_QUEUE_FRAMES_MAX: usize = 16_384;
/// Series that are counted for `/metrics`.
pub const SERIES_MAX: usize = 1_024;
/// Bytes after which a log begins its next file.
pub const LOG_FILE_BYTES_MAX: u64 = 1 << 30;
