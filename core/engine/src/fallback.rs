//! Placement that goes on when a plugin fails: a built-in strategy decides in its place, and everybody is told.

use std::sync::{Arc, Mutex, PoisonError};

use proximadb_model::{SiteId, SiteMap, Subject};
use proximadb_ports::{Assigner, Fault, PortError, Result, chain};

use crate::placement::BuiltinAssigner;

/// A strategy of which the answer may fail, and one that is asked then.
///
/// That no site has room is an answer. Each question is put to the plugin first, so it decides again as soon as it can.
pub struct FallbackAssigner {
    name: String,
    /// The plugin, or why it was refused.
    plugin: std::result::Result<Arc<dyn Assigner>, String>,
    fallback: BuiltinAssigner,
    last: Mutex<Option<String>>,
}

impl FallbackAssigner {
    /// Asks `plugin` under the name that the configuration gave, and `fallback` where that fails.
    pub fn new(name: impl Into<String>, plugin: std::result::Result<Arc<dyn Assigner>, String>, fallback: BuiltinAssigner) -> Self {
        Self { name: name.into(), plugin, fallback, last: Mutex::default() }
    }

    fn ask<T>(&self, ask: impl FnOnce(&dyn Assigner) -> Result<T>, instead: impl FnOnce() -> Result<T>) -> Result<T> {
        let Ok(plugin) = &self.plugin else { return instead() };
        match ask(&**plugin) {
            Err(e) if matches!(e.fault, Fault::Plugin | Fault::Invalid | Fault::Internal) => {
                self.note(Some(&e));
                instead()
            }
            answer => {
                self.note(None);
                answer
            }
        }
    }

    fn note(&self, failure: Option<&PortError>) {
        let failure = failure.map(chain);
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(why) = failure.as_ref().filter(|_| *last != failure) {
            tracing::warn!(strategy = self.name, fallback = self.fallback.name(), why, "placement by the fallback");
        }
        *last = failure;
    }
}

impl Assigner for FallbackAssigner {
    fn name(&self) -> &str {
        &self.name
    }

    fn trouble(&self) -> Option<String> {
        let why = match &self.plugin {
            Err(refused) => Some(refused.clone()),
            Ok(_) => self.last.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        };
        why.map(|why| format!("{} decides in its place: {why}", self.fallback.name()))
    }

    fn assign(&self, subjects: &[Subject], sites: &SiteMap) -> Result<Vec<SiteId>> {
        self.ask(|plugin| plugin.assign(subjects, sites), || self.fallback.assign(subjects, sites))
    }

    fn reassign(&self, subject: &Subject, current: SiteId, sites: &SiteMap) -> Result<SiteId> {
        self.ask(|plugin| plugin.reassign(subject, current, sites), || self.fallback.reassign(subject, current, sites))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proximadb_model::{CollectionId, DiskKind, ShardId, SiteView, Strategy, Uid};

    /// Takes the last site, unless it is told to fail.
    struct Last(Mutex<Option<Fault>>);

    impl Assigner for Last {
        fn name(&self) -> &str {
            "last"
        }

        fn assign(&self, subjects: &[Subject], sites: &SiteMap) -> Result<Vec<SiteId>> {
            match *self.0.lock().expect("no panic before") {
                Some(fault) => Err(PortError::new(fault, "assign", "last", "fails")),
                None => Ok(subjects.iter().filter_map(|_| sites.sites.last()).map(|site| site.id).collect()),
            }
        }
    }

    fn map() -> SiteMap {
        let site = |n: u8| SiteView {
            id: SiteId(Uid([n; 16])),
            instance: u32::from(n),
            kind: DiskKind::Hdd,
            capacity_bytes: None,
            used_bytes: 0,
            shards: 0,
            weight: 1.0,
            healthy: true,
            append_micros: None,
            tags: Vec::new(),
        };
        SiteMap { sites: vec![site(1), site(2)] }
    }

    fn subject() -> Subject {
        let shard = ShardId { collection: CollectionId(Uid([9; 16])), index: 0 };
        Subject { shard, collection: "photos".to_owned(), expected_bytes: 0, tags: Vec::new() }
    }

    fn fallback() -> BuiltinAssigner {
        BuiltinAssigner::new("RoundRobin", Strategy::RoundRobin)
    }

    #[test]
    fn a_failing_plugin_is_replaced_and_named_until_it_answers_again() {
        let last = Arc::new(Last(Mutex::default()));
        let assigner = FallbackAssigner::new("wasm:last", Ok(Arc::<Last>::clone(&last)), fallback());
        let place = || assigner.assign(&[subject()], &map()).map(|sites| sites[0].0.as_bytes()[0]);
        assert_eq!((place().expect("the plugin's"), assigner.trouble()), (2, None));
        for fault in [Fault::Plugin, Fault::Invalid] {
            *last.0.lock().expect("no panic before") = Some(fault);
            assert_eq!(place().expect("the fallback's"), 1);
            let moved = assigner.reassign(&subject(), SiteId(Uid([2; 16])), &map()).expect("the fallback's");
            assert_eq!(moved.0.as_bytes()[0], 2, "as good where it is");
            let trouble = assigner.trouble().expect("it is told");
            assert!(trouble.starts_with("RoundRobin decides in its place:") && trouble.contains("fails"), "{trouble}");
        }
        *last.0.lock().expect("no panic before") = Some(Fault::Exhausted);
        assert_eq!(place().expect_err("no room is an answer").fault, Fault::Exhausted);
        *last.0.lock().expect("no panic before") = None;
        assert_eq!((place().expect("the plugin's"), assigner.trouble()), (2, None));
    }

    #[test]
    fn a_plugin_that_was_refused_is_named_from_the_start() {
        let assigner = FallbackAssigner::new("wasm:last", Err("other bytes".to_owned()), fallback());
        assert_eq!(assigner.trouble().as_deref(), Some("RoundRobin decides in its place: other bytes"));
        assert_eq!(assigner.assign(&[subject()], &map()).expect("the fallback's")[0].0.as_bytes()[0], 1);
        assert_eq!(assigner.name(), "wasm:last");
    }
}
