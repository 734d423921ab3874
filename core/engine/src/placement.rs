//! The built-in placement strategies as players of the assigner's role.

use proximadb_model::{SiteId, SiteMap, Strategy, Subject};
use proximadb_ports::{Assigner, Fault, PortError, Result};

/// A built-in strategy under its name in the configuration.
#[derive(Clone, Debug)]
pub struct BuiltinAssigner {
    name: String,
    strategy: Strategy,
}

impl BuiltinAssigner {
    /// The strategy, under the name that the configuration gave.
    pub fn new(name: impl Into<String>, strategy: Strategy) -> Self {
        Self { name: name.into(), strategy }
    }
}

impl Assigner for BuiltinAssigner {
    fn name(&self) -> &str {
        &self.name
    }

    fn assign(&self, subjects: &[Subject], sites: &SiteMap) -> Result<Vec<SiteId>> {
        self.strategy.assign(subjects, sites).map_err(|e| PortError::new(Fault::Exhausted, "assign", &self.name, e.reason))
    }

    fn reassign(&self, subject: &Subject, current: SiteId, sites: &SiteMap) -> Result<SiteId> {
        let chosen = self.strategy.reassign(subject, current, sites);
        chosen.map_err(|e| PortError::new(Fault::Exhausted, "reassign", &self.name, e.reason))
    }
}
