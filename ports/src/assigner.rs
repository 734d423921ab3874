//! Deciding where shards go: new ones, and those that may be better off elsewhere.

use proximadb_model::{SiteId, SiteMap, Subject};

use crate::error::Result;

/// A placement strategy, built in or brought by a plugin. Asked only for new shards and when shards are to be
/// moved; its answer is stored.
///
/// Guarantees:
/// - G1 the same subjects and sites give the same answer, as long as there is no trouble;
/// - G2 there is one site for each subject, and each is one of the map's.
pub trait Assigner: Send + Sync + 'static {
    /// The strategy's name in the configuration.
    fn name(&self) -> &str;

    /// A site for each subject.
    ///
    /// # Errors
    /// `Exhausted` when no site has room; `Plugin` when a plugin fails, `Invalid` when it refuses its settings.
    fn assign(&self, subjects: &[Subject], sites: &SiteMap) -> Result<Vec<SiteId>>;

    /// Why it answers otherwise than its name says at the moment; none while all is well.
    fn trouble(&self) -> Option<String> {
        None
    }

    /// The site for a shard that lies on `current` already, where `sites` count it nowhere; `current` to let it stay.
    ///
    /// # Errors
    /// As [`Assigner::assign`].
    fn reassign(&self, subject: &Subject, current: SiteId, sites: &SiteMap) -> Result<SiteId> {
        let chosen = self.assign(std::slice::from_ref(subject), sites)?;
        Ok(chosen.first().copied().unwrap_or(current))
    }
}
