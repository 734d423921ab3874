//! The keys of a shard's files on its site. Made of uuids and numbers only; no string of a user's is ever in one.

use proximadb_model::{FileId, ManifestNumber, ShardId, SiteId};

/// The key of the site's marker.
pub(crate) const SITE_MARKER: &str = "site";

/// Below this prefix lies one folder a shard: everything of a site that is worth a second copy.
pub const SHARDS: &str = "shards";

/// Below this prefix lies one card for each shard of another site: a copy of its manifest without its segments, from which a start
/// knows what is missing while that site is.
pub(crate) const CARDS: &str = "cards";

/// Below this prefix lies one file for each other site, which says where that site was.
pub(crate) const PEERS: &str = "peers";

/// Written and removed to see whether a site takes writes.
pub(crate) const PROBE: &str = "probe";

/// Is there while the site's shards are to be moved away.
pub(crate) const DRAINING: &str = "draining";

/// The card of a shard of another site.
pub(crate) fn card(shard: ShardId) -> String {
    format!("{CARDS}/{shard}")
}

/// What is known of another site.
pub(crate) fn peer(site: SiteId) -> String {
    format!("{PEERS}/{site}")
}

/// The folder of a shard's manifests.
pub(crate) fn manifests(shard: ShardId) -> String {
    format!("{SHARDS}/{shard}/manifest")
}

/// A manifest; twenty digits, so that names sort as numbers do.
pub(crate) fn manifest(shard: ShardId, number: ManifestNumber) -> String {
    format!("{SHARDS}/{shard}/manifest/{:020}", number.0)
}

/// The number of a manifest from the last segment of its key.
pub(crate) fn manifest_number(name: &str) -> Option<ManifestNumber> {
    (name.len() == 20 && name.bytes().all(|b| b.is_ascii_digit())).then(|| name.parse().ok().map(ManifestNumber))?
}

/// A deletion vector.
pub(crate) fn dead(shard: ShardId, id: FileId) -> String {
    format!("{SHARDS}/{shard}/dead/{id}")
}

/// An index sidecar.
pub(crate) fn index(shard: ShardId, id: FileId) -> String {
    format!("{SHARDS}/{shard}/index/{id}")
}

/// The folder of a shard.
pub(crate) fn shard(shard: ShardId) -> String {
    format!("{SHARDS}/{shard}")
}
