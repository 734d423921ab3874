//! Placement that spreads the shards of a collection over racks, so that losing one rack loses as few of them as possible:
//! `{"prefix": "rack:"}` says how the tag begins that names a site's rack.

use std::collections::BTreeMap;

use exports::proximadb::plugin::assigner::{Guest, Refusal, Site, Subject};
use serde::Deserialize;

wit_bindgen::generate!({ path: "../../wit/v0_1", world: "assigner-plugin" });

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

impl Guest for RackAware {
    fn assign(settings: String, subjects: Vec<Subject>, mut sites: Vec<Site>) -> Result<Vec<u32>, Refusal> {
        let Settings { prefix } = serde_json::from_str(&settings).map_err(|error| Refusal::Invalid(format!("settings: {error}")))?;
        let racks: Vec<String> = sites.iter().map(|site| rack(site, &prefix)).collect();
        let mut placed: BTreeMap<(&str, &str), u32> = BTreeMap::new();
        let mut answer = Vec::with_capacity(subjects.len());
        for subject in &subjects {
            let crowd = |rack: &str| placed.get(&(subject.collection.as_str(), rack)).copied().unwrap_or(0);
            let best = (0..sites.len()).filter(|place| is_open(&sites[*place], subject)).min_by(|a, b| {
                let by_rack = crowd(&racks[*a]).cmp(&crowd(&racks[*b]));
                by_rack.then(load(&sites[*a]).total_cmp(&load(&sites[*b])))
            });
            let Some(best) = best else {
                return Err(Refusal::NoRoom(format!("no healthy site has room for shard {} of {}", subject.shard, subject.collection)));
            };
            *placed.entry((&subject.collection, &racks[best])).or_default() += 1;
            sites[best].shards = sites[best].shards.saturating_add(1);
            sites[best].used_bytes = sites[best].used_bytes.saturating_add(subject.expected_bytes);
            answer.push(best as u32);
        }
        Ok(answer)
    }
}

/// The rack of a site; one that names none is a rack of its own.
fn rack(site: &Site, prefix: &str) -> String {
    let named = site.tags.iter().find_map(|tag| tag.strip_prefix(prefix));
    named.map_or_else(|| format!("site {}", site.id), |name| format!("rack {name}"))
}

fn is_open(site: &Site, subject: &Subject) -> bool {
    let fits = |capacity: u64| site.used_bytes.saturating_add(subject.expected_bytes) <= capacity;
    site.healthy && site.weight > 0.0 && site.capacity_bytes.is_none_or(fits)
}

fn load(site: &Site) -> f64 {
    f64::from(site.shards) / f64::from(site.weight)
}

export!(RackAware);
