//! The sites that the settings describe: each a storage with its log. Decides names and numbers; creates nothing.

use std::collections::BTreeSet;
use std::path::Path;

use proximadb_model::DiskKind;
use url::Url;

use crate::error::ConfigError;
use crate::location::Location;
use crate::pairing::pair;
use crate::settings::Settings;
use crate::storage::BasePath;
use crate::wal::DistributionStrategy;

/// A place where shards can live.
#[derive(Clone, Debug, PartialEq)]
pub struct SiteSettings {
    /// The number by which manual placement knows it; no two sites share one.
    pub instance: u32,
    /// The root of its log: absolute, without a slash at the end, in the scheme it was written in.
    pub wal_url: Url,
    /// The root of its segments and indexes, likewise.
    pub storage_url: Url,
    /// What it is.
    pub kind: DiskKind,
    /// Its share of new shards relative to the others; finite and positive.
    pub weight: f32,
    /// Words that placement plugins may look at.
    pub tags: Vec<String>,
    /// Bytes that may be used; `None` for all there are.
    pub capacity_bytes: Option<u64>,
}

impl Settings {
    /// The sites, those of `base_paths` first, in the order of the configuration; relative paths are ones of `cwd`.
    ///
    /// A base path goes with the log of the same folder, else with that of the longest common way, else with the next one left;
    /// without any its log is `wal` beside it. A log without a base path gets `storage` beside it (`<name>-storage` when the
    /// log is not called `wal`). Without either there is one site below `data_dir`.
    ///
    /// # Errors
    /// A location that cannot be read, two roots or two instances that are the same, a weight or capacity that is not positive,
    /// or manual placement on an instance that does not exist.
    pub fn sites(&self, cwd: &Path) -> Result<Vec<SiteSettings>, ConfigError> {
        let base_paths = &self.storage.storage_layout.base_paths;
        let mut named = Vec::new();
        for (i, base) in base_paths.iter().enumerate() {
            let key = format!("storage.storage_layout.base_paths[{i}]");
            let storage = located(&format!("{key}.base_dir"), &base.base_dir, cwd)?;
            check_base_path(&key, base, &storage)?;
            named.push((format!("{key}.base_dir"), storage));
        }
        let mut logs = Vec::new();
        for (i, text) in self.storage.wal_config.wal_urls.iter().enumerate() {
            let key = format!("storage.wal_config.wal_urls[{i}]");
            let log = located(&key, text, cwd)?;
            logs.push((key, log));
        }
        if named.is_empty() && logs.is_empty() {
            named.push(("data_dir".to_owned(), self.default_storage(cwd)?));
        }

        let pairs = pair(&locations(&named), &locations(&logs));
        let without_storage: Vec<_> = (0..logs.len()).filter(|l| !pairs.contains(&Some(*l))).collect();
        let mut roots = Vec::new();
        for ((key, storage), log) in named.into_iter().zip(pairs) {
            let log = log.map_or_else(|| (format!("the log of {key}"), storage.beside("wal")), |l| logs[l].clone());
            roots.push(((key, storage), log));
        }
        for l in without_storage {
            let (key, log) = logs[l].clone();
            let name = if log.name() == "wal" { "storage".to_owned() } else { format!("{}-storage", log.name()) };
            roots.push(((format!("the storage of {key}"), log.beside(&name)), (key, log)));
        }
        refuse_twins(&roots.iter().flat_map(|(storage, log)| [storage, log]).collect::<Vec<_>>())?;

        let instances = self.instances(roots.len())?;
        self.check_manual(&instances)?;
        let sites = roots.into_iter().zip(instances).enumerate();
        Ok(sites.map(|(i, (((_, storage), (_, log)), instance))| site(instance, &storage, &log, base_paths.get(i))).collect())
    }

    fn default_storage(&self, cwd: &Path) -> Result<Location, ConfigError> {
        if self.data_dir.to_string_lossy().contains("://") {
            let reason = "must be a folder; buckets are named in storage.wal_config.wal_urls and storage.storage_layout.base_paths";
            return Err(ConfigError::contradiction("data_dir", reason));
        }
        let storage = cwd.join(&self.data_dir).join("storage");
        let text = storage.to_str().ok_or_else(|| ConfigError::contradiction("data_dir", "must be UTF-8"))?;
        located("data_dir", text, cwd)
    }

    /// The number of each site: what the file says, else the lowest that is free, from 1.
    fn instances(&self, count: usize) -> Result<Vec<u32>, ConfigError> {
        let base_paths = &self.storage.storage_layout.base_paths;
        let mut used = BTreeSet::new();
        for (i, base) in base_paths.iter().enumerate() {
            if let Some(id) = base.instance_id
                && !used.insert(id)
            {
                let first = base_paths.iter().position(|other| other.instance_id == Some(id)).unwrap_or(0);
                let key = format!("storage.storage_layout.base_paths[{i}].instance_id");
                return Err(ConfigError::contradiction(key, format!("is {id} like that of base_paths[{first}]; each needs its own")));
            }
        }
        let mut free = (1..=u32::MAX).filter(|id| !used.contains(id));
        let given = (0..count).map(|i| base_paths.get(i).and_then(|base| base.instance_id));
        given
            .map(|id| {
                id.or_else(|| free.next())
                    .ok_or_else(|| ConfigError::contradiction("storage.storage_layout.base_paths", "has too many entries"))
            })
            .collect()
    }

    fn check_manual(&self, instances: &[u32]) -> Result<(), ConfigError> {
        let wal = &self.storage.wal_config;
        let unknown = wal.manual.iter().find(|(_, instance)| !instances.contains(instance));
        match unknown {
            Some((collection, instance)) if wal.may_ask_for(&DistributionStrategy::Manual) => {
                let known = instances.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
                let key = format!("storage.wal_config.manual.{collection}");
                Err(ConfigError::contradiction(key, format!("there is no instance {instance}, only {known}")))
            }
            _ => Ok(()),
        }
    }
}

fn located(key: &str, text: &str, cwd: &Path) -> Result<Location, ConfigError> {
    Location::parse(text, cwd).map_err(|reason| ConfigError::contradiction(key, reason))
}

fn locations(named: &[(String, Location)]) -> Vec<Location> {
    named.iter().map(|(_, location)| location.clone()).collect()
}

fn check_base_path(key: &str, base: &BasePath, storage: &Location) -> Result<(), ConfigError> {
    if !(base.weight.is_finite() && base.weight > 0.0) {
        return Err(ConfigError::contradiction(format!("{key}.weight"), format!("must be a positive number, got {}", base.weight)));
    }
    if base.capacity_bytes == Some(0) {
        return Err(ConfigError::contradiction(format!("{key}.capacity_bytes"), "must be positive; leave it out to use all there is"));
    }
    if storage.is_bucket() && base.disk_type.is_some() {
        return Err(ConfigError::contradiction(format!("{key}.disk_type"), "must be left out for a bucket"));
    }
    Ok(())
}

fn refuse_twins(roots: &[&(String, Location)]) -> Result<(), ConfigError> {
    for (i, (key, location)) in roots.iter().enumerate() {
        if let Some((first, _)) = roots.iter().take(i).find(|(_, other)| other.is_same(location)) {
            let reason = format!("is {} like {first}; each storage and each log needs a folder of its own", location.url());
            return Err(ConfigError::contradiction(key, reason));
        }
    }
    Ok(())
}

fn site(instance: u32, storage: &Location, log: &Location, base: Option<&BasePath>) -> SiteSettings {
    let local = base.and_then(|base| base.disk_type).map_or(DiskKind::SataSsd, DiskKind::from);
    SiteSettings {
        instance,
        wal_url: log.url().clone(),
        storage_url: storage.url().clone(),
        kind: if storage.is_bucket() { DiskKind::ObjectStore } else { local },
        weight: base.map_or(1.0, |base| base.weight),
        tags: base.map(|base| base.tags.clone()).unwrap_or_default(),
        capacity_bytes: base.and_then(|base| base.capacity_bytes),
    }
}

#[cfg(test)]
mod tests;
