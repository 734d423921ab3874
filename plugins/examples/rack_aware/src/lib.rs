//! Placement that spreads the shards of a collection over racks, so that losing one rack loses as few of them as possible:
//! `{"prefix": "rack:"}` says how the tag begins that names a site's rack.

use std::collections::BTreeMap;

use proximadb_plugin_guest::{Assigner, Refusal, Site, Subject, export_assigner};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    #[serde(default = "default_prefix")]
    prefix: String,
}

fn default_prefix() -> String {
    "rack:".to_owned()
}

struct RackAware;

impl Assigner for RackAware {
    fn assign(settings: &str, subjects: &[Subject], sites: &mut [Site]) -> Result<Vec<u32>, Refusal> {
        let Settings { prefix } = serde_json::from_str(settings).map_err(|error| Refusal::Invalid(format!("settings: {error}")))?;
        let racks: Vec<String> = sites.iter().map(|site| rack(site, &prefix)).collect();
        let mut placed: BTreeMap<(&str, &str), u32> = BTreeMap::new();
        let mut answer = Vec::with_capacity(subjects.len());
        for subject in subjects {
            let crowd = |rack: &str| placed.get(&(subject.collection.as_str(), rack)).copied().unwrap_or(0);
            let best = (0..sites.len()).filter(|place| sites[*place].is_open_to(subject)).min_by(|a, b| {
                let by_rack = crowd(&racks[*a]).cmp(&crowd(&racks[*b]));
                by_rack.then(sites[*a].load().total_cmp(&sites[*b].load()))
            });
            let Some(best) = best else {
                return Err(Refusal::NoRoom(format!("no healthy site has room for shard {} of {}", subject.shard, subject.collection)));
            };
            *placed.entry((&subject.collection, &racks[best])).or_default() += 1;
            sites[best].take(subject);
            answer.push(best as u32);
        }
        Ok(answer)
    }
}

/// The rack of a site; one that names none is a rack of its own.
fn rack(site: &Site, prefix: &str) -> String {
    site.tag(prefix).map_or_else(|| format!("site {}", site.id), |name| format!("rack {name}"))
}

export_assigner!(RackAware);
