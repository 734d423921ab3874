//! A placement strategy that a component brings. Chooses nothing itself, and takes no site that is not one of the map's.

use proximadb_model::{DiskKind, SiteId, SiteMap, SiteView};
use proximadb_ports::{Assigner, Result};

use crate::bindings::assigner::AssignerPlugin;
use crate::bindings::assigner::exports::proximadb::plugin::assigner::{Kind, Refusal, Site, Subject};
use crate::plugin::{Plugin, PluginUse};
use crate::plugin_error::PluginError;

/// An assigner plugin with its settings; from [`PluginHost::load_assigner`](crate::PluginHost::load_assigner).
///
/// Every question goes to a new instance, so no answer can depend on an earlier one.
pub struct WasmAssigner {
    plugin: Plugin,
    settings: String,
    name: String,
}

impl WasmAssigner {
    /// # Errors
    /// A component that is no assigner, or that fails as it starts.
    pub(crate) fn new(plugin: Plugin, settings: &str) -> std::result::Result<Self, PluginError> {
        let (mut store, instance) = plugin.instance()?;
        AssignerPlugin::new(&mut store, &instance).map_err(wrong_world)?;
        Ok(Self { name: format!("wasm:{}", plugin.name), plugin, settings: settings.to_owned() })
    }

    /// The sha256 of the component.
    pub fn sha256(&self) -> &[u8; 32] {
        &self.plugin.sha256
    }

    /// What it was used for.
    pub fn use_so_far(&self) -> PluginUse {
        self.plugin.use_so_far()
    }

    fn ask(&self, subjects: &[proximadb_model::Subject], map: &SiteMap) -> std::result::Result<Vec<SiteId>, PluginError> {
        let (mut store, instance) = self.plugin.instance()?;
        let guest = AssignerPlugin::new(&mut store, &instance).map_err(wrong_world)?;
        let questions: Vec<Subject> = subjects.iter().map(subject).collect();
        let sites: Vec<Site> = map.sites.iter().map(site).collect();
        let assigner = guest.proximadb_plugin_assigner();
        let answer = assigner.call_assign(&mut store, &self.settings, &questions, &sites).map_err(PluginError::trapped)?;
        let places = answer.map_err(|refusal| match refusal {
            Refusal::Invalid(text) => PluginError::said(&text),
            Refusal::NoRoom(text) => PluginError::no_room(&text),
        })?;
        if places.len() != subjects.len() {
            return Err(PluginError::BadAnswer(format!("{} sites for {} shards", places.len(), subjects.len())));
        }
        let chosen = |place: u32| {
            let site = usize::try_from(place).ok().and_then(|place| map.sites.get(place));
            match site {
                Some(site) if site.healthy => Ok(site.id),
                Some(_) => Err(PluginError::BadAnswer(format!("site {place} of {} takes no shards", map.sites.len()))),
                None => Err(PluginError::BadAnswer(format!("site {place} of {}", map.sites.len()))),
            }
        };
        places.into_iter().map(chosen).collect()
    }
}

impl Assigner for WasmAssigner {
    fn name(&self) -> &str {
        &self.name
    }

    fn assign(&self, subjects: &[proximadb_model::Subject], sites: &SiteMap) -> Result<Vec<SiteId>> {
        self.plugin.guard("assigner.assign", || self.ask(subjects, sites))
    }
}

fn wrong_world(source: wasmtime::Error) -> PluginError {
    PluginError::WrongWorld { interface: "proximadb:plugin/assigner@0.1.0", source }
}

fn subject(subject: &proximadb_model::Subject) -> Subject {
    Subject {
        collection: subject.collection.clone(),
        shard: subject.shard.index,
        expected_bytes: subject.expected_bytes,
        tags: subject.tags.clone(),
    }
}

fn site(site: &SiteView) -> Site {
    let kind = match site.kind {
        DiskKind::NvmeSsd { .. } => Kind::Nvme,
        DiskKind::SataSsd => Kind::Ssd,
        DiskKind::Hdd => Kind::Hdd,
        DiskKind::NetworkStorage { .. } => Kind::Network,
        DiskKind::ObjectStore => Kind::ObjectStore,
    };
    Site {
        id: site.id.to_string(),
        kind,
        capacity_bytes: site.capacity_bytes,
        used_bytes: site.used_bytes,
        shards: site.shards,
        weight: site.weight,
        healthy: site.healthy,
        tags: site.tags.clone(),
    }
}
