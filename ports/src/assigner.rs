//! Deciding where new shards go.

use proximadb_model::{SiteId, SiteMap, Subject};

use crate::error::Result;

/// A placement strategy, built in or brought by a plugin. Asked only for new shards; its answer is stored.
///
/// Guarantees:
/// - G1 the same subjects and sites give the same answer;
/// - G2 there is one site for each subject, and each is one of the map's.
pub trait Assigner: Send + Sync + 'static {
    /// The strategy's name in the configuration.
    fn name(&self) -> &str;

    /// A site for each subject.
    ///
    /// # Errors
    /// `Exhausted` when no site has room; `Plugin` when a plugin fails, `Invalid` when it refuses its settings.
    fn assign(&self, subjects: &[Subject], sites: &SiteMap) -> Result<Vec<SiteId>>;
}
