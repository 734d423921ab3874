//! Placement strategies: which site a new shard goes to. Pure functions of what is known of the sites;
//! their answer is stored with the shard and never computed again.

use std::collections::BTreeMap;
use std::str::FromStr;

use crate::ids::{ShardId, SiteId};
use crate::invalid::Invalid;

/// What kind of place a site is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DiskKind {
    /// Flash on PCIe.
    NvmeSsd {
        /// Operations a second that it is rated for.
        max_iops: u32,
    },
    /// Flash on SATA.
    SataSsd,
    /// Spinning disk.
    Hdd,
    /// A file system behind a network.
    NetworkStorage {
        /// Time of one round trip.
        latency_ms: u32,
    },
    /// A bucket.
    ObjectStore,
}

impl DiskKind {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NvmeSsd { .. } => "nvme_ssd",
            Self::SataSsd => "sata_ssd",
            Self::Hdd => "hdd",
            Self::NetworkStorage { .. } => "network_storage",
            Self::ObjectStore => "object_store",
        }
    }

    /// A rough rate of small random reads a second, for comparing kinds where nothing was measured.
    fn rated_operations(self) -> f64 {
        match self {
            Self::NvmeSsd { max_iops } => f64::from(max_iops.max(1)),
            Self::SataSsd => 50_000.0,
            Self::Hdd => 150.0,
            Self::NetworkStorage { latency_ms } => 1_000.0 / f64::from(latency_ms.max(1)),
            Self::ObjectStore => 20.0,
        }
    }
}

/// A site as placement sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct SiteView {
    /// Its identity.
    pub id: SiteId,
    /// The number it has in the configuration, for manual placement.
    pub instance: u32,
    /// What it is.
    pub kind: DiskKind,
    /// Bytes it can hold; `None` where that is unknown or without end.
    pub capacity_bytes: Option<u64>,
    /// Bytes that shards take on it.
    pub used_bytes: u64,
    /// Shards that lie on it.
    pub shards: u32,
    /// Its share relative to others, 1 by default.
    pub weight: f32,
    /// Whether new shards may go there.
    pub healthy: bool,
    /// Mean time of a durable append in microseconds, once one was measured.
    pub append_micros: Option<u32>,
    /// Words that plugins may look at.
    pub tags: Vec<String>,
}

/// What is to be placed.
#[derive(Clone, Debug, PartialEq)]
pub struct Subject {
    /// The shard.
    pub shard: ShardId,
    /// The collection's name, for manual placement and plugins.
    pub collection: String,
    /// Bytes it is expected to take; 0 when nothing is known.
    pub expected_bytes: u64,
    /// Words that plugins may look at.
    pub tags: Vec<String>,
}

/// The sites that placement chooses from, in the order of the configuration.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SiteMap {
    /// The sites.
    pub sites: Vec<SiteView>,
}

/// A built-in placement strategy.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Strategy {
    /// Each site in turn, in proportion to the weights.
    #[default]
    RoundRobin,
    /// Weighted rendezvous hashing of the shard's identity (Thaler and Ravishankar 1998): stable over releases, and a new
    /// site attracts only its share.
    Hash,
    /// The site with the smallest share of used bytes.
    LoadBalanced,
    /// The fastest site, by measurement where there is one and by kind otherwise, discounted by how full it is.
    PerformanceBased,
    /// The site whose instance number the configuration names for the collection, or the first of the map.
    Manual(BTreeMap<String, u32>),
}

impl FromStr for Strategy {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        Ok(match text {
            "RoundRobin" => Self::RoundRobin,
            "Hash" | "HashBased" => Self::Hash,
            "LoadBalanced" => Self::LoadBalanced,
            "PerformanceBased" => Self::PerformanceBased,
            "Manual" => Self::Manual(BTreeMap::new()),
            _ => {
                let known = "RoundRobin, Hash, HashBased, LoadBalanced, PerformanceBased, Manual or wasm:<plugin>";
                return Err(Invalid::new("distribution_strategy", format!("must be one of {known}")));
            }
        })
    }
}

/// Two loads nearer than this count as equal, so that small differences do not send every shard one way.
const HYSTERESIS: f64 = 0.05;

impl Strategy {
    /// Chooses a site for each subject in turn, counting those already chosen.
    ///
    /// # Errors
    /// [`Invalid`] on `sites` when no healthy site has room, or on `manual` when the site that was named is not one of them.
    pub fn assign(&self, subjects: &[Subject], map: &SiteMap) -> Result<Vec<SiteId>, Invalid> {
        let mut sites = map.sites.clone();
        let mut chosen = Vec::with_capacity(subjects.len());
        for subject in subjects {
            let place = self.choose(subject, &sites)?;
            sites[place].shards = sites[place].shards.saturating_add(1);
            sites[place].used_bytes = sites[place].used_bytes.saturating_add(subject.expected_bytes);
            chosen.push(sites[place].id);
        }
        Ok(chosen)
    }

    /// The site for a shard that lies on `current` already; `map` counts it nowhere. It stays unless another site is better by
    /// more than moving is worth, so that a second call moves nothing.
    ///
    /// # Errors
    /// As [`Strategy::assign`].
    pub fn reassign(&self, subject: &Subject, current: SiteId, map: &SiteMap) -> Result<SiteId, Invalid> {
        let best = &map.sites[self.choose(subject, &map.sites)?];
        let Some(here) = map.sites.iter().find(|site| site.id == current && open_to(site, subject)) else { return Ok(best.id) };
        let with = |site: &SiteView| SiteView {
            shards: site.shards.saturating_add(1),
            used_bytes: site.used_bytes.saturating_add(subject.expected_bytes),
            ..site.clone()
        };
        let stays = match self {
            Self::Manual(places) => !places.contains_key(&subject.collection),
            Self::Hash => false,
            Self::RoundRobin => self.cost(subject, &with(here)) <= self.cost(subject, &with(best)),
            Self::LoadBalanced => load(&with(here)) <= load(&with(best)) + HYSTERESIS,
            Self::PerformanceBased => slowness(&with(here)) <= slowness(&with(best)) * (1.0 + 5.0 * HYSTERESIS),
        };
        Ok(if stays { current } else { best.id })
    }

    fn choose(&self, subject: &Subject, sites: &[SiteView]) -> Result<usize, Invalid> {
        if let Self::Manual(places) = self {
            return manual(places, subject, sites);
        }
        sites
            .iter()
            .enumerate()
            .filter(|(_, site)| open_to(site, subject))
            .min_by(|(_, a), (_, b)| self.cost(subject, a).total_cmp(&self.cost(subject, b)))
            .map(|(place, _)| place)
            .ok_or_else(|| Invalid::new("sites", "no healthy site has room for a shard"))
    }

    fn cost(&self, subject: &Subject, site: &SiteView) -> f64 {
        match self {
            Self::RoundRobin | Self::Manual(_) => f64::from(site.shards) / f64::from(site.weight),
            Self::Hash => rendezvous_cost(subject.shard, site),
            Self::LoadBalanced => (load(site) / HYSTERESIS).floor() + f64::from(site.shards) * 1e-6,
            Self::PerformanceBased => slowness(site),
        }
    }
}

fn open_to(site: &SiteView, subject: &Subject) -> bool {
    site.healthy && site.weight > 0.0 && site.capacity_bytes.is_none_or(|c| site.used_bytes.saturating_add(subject.expected_bytes) <= c)
}

fn manual(places: &BTreeMap<String, u32>, subject: &Subject, sites: &[SiteView]) -> Result<usize, Invalid> {
    let wanted = places.get(&subject.collection);
    let place = match wanted {
        Some(instance) => sites.iter().position(|s| s.instance == *instance),
        None => (!sites.is_empty()).then_some(0),
    };
    match place {
        Some(place) if sites[place].healthy => Ok(place),
        Some(_) => Err(Invalid::new("manual", format!("the site named for {} is not healthy", subject.collection))),
        None => Err(Invalid::new("manual", format!("no site has the instance_id named for {}", subject.collection))),
    }
}

/// Used share of capacity; where capacity is unknown, gibibytes used stand in, which orders such sites among themselves.
fn load(site: &SiteView) -> f64 {
    let used = site.used_bytes as f64 / f64::from(site.weight);
    match site.capacity_bytes {
        Some(capacity) if capacity > 0 => used / capacity as f64,
        _ => used / (1u64 << 30) as f64,
    }
}

fn slowness(site: &SiteView) -> f64 {
    let micros = site.append_micros.map_or_else(|| 1e6 / site.kind.rated_operations(), f64::from);
    micros * (1.0 + f64::from(site.shards)) / f64::from(site.weight)
}

/// `-ln(u) / weight` with u drawn by hashing: the smallest wins, each site in proportion to its weight
/// (Schindelhauer and Schomaker 2005, logarithmic method).
fn rendezvous_cost(shard: ShardId, site: &SiteView) -> f64 {
    let mut hash = stable_hash(0x9e37_79b9_7f4a_7c15, shard.collection.0.as_bytes());
    hash = stable_hash(hash, &shard.index.to_le_bytes());
    hash = stable_hash(hash, site.id.0.as_bytes());
    let unit = ((hash >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
    -unit.ln() / f64::from(site.weight)
}

/// FNV-1a over the bytes, then the finalizer of splitmix64. Frozen: placements depend on it.
fn stable_hash(seed: u64, bytes: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325 ^ seed;
    for byte in bytes {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests;
