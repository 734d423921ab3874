//! Placement of collections on the sites with the tags that they want: `{"wants": {"photos": "fast", "logs-": "cheap"}}` names a tag for
//! each beginning of a collection's name; the longest that fits counts. Others go anywhere, and so do those whose tag no site with room has.

use std::collections::BTreeMap;

use proximadb_plugin_guest::{Assigner, Refusal, Site, Subject, export_assigner};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    wants: BTreeMap<String, String>,
}

impl Settings {
    fn tag_of(&self, collection: &str) -> Option<&str> {
        let fitting = self.wants.iter().filter(|(beginning, _)| collection.starts_with(beginning.as_str()));
        fitting.max_by_key(|(beginning, _)| beginning.len()).map(|(_, tag)| tag.as_str())
    }
}

struct TagAffinity;

impl Assigner for TagAffinity {
    fn assign(settings: &str, subjects: &[Subject], sites: &mut [Site]) -> Result<Vec<u32>, Refusal> {
        let settings: Settings = serde_json::from_str(settings).map_err(|error| Refusal::Invalid(format!("settings: {error}")))?;
        let mut answer = Vec::with_capacity(subjects.len());
        for subject in subjects {
            let wanted = settings.tag_of(&subject.collection);
            let misses = |site: &Site| wanted.is_some_and(|tag| !site.tags.iter().any(|there| there == tag));
            let open = (0..sites.len()).filter(|place| sites[*place].is_open_to(subject));
            let best = open.min_by(|a, b| {
                let (a, b) = (&sites[*a], &sites[*b]);
                misses(a).cmp(&misses(b)).then(a.load().total_cmp(&b.load()))
            });
            let Some(best) = best else {
                return Err(Refusal::NoRoom(format!("no healthy site has room for shard {} of {}", subject.shard, subject.collection)));
            };
            sites[best].take(subject);
            answer.push(best as u32);
        }
        Ok(answer)
    }
}

export_assigner!(TagAffinity);
