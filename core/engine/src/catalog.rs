//! The collections that are known, by name and by uuid. Built from what the sites hold; there is no file of its own to lose.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use arc_swap::ArcSwap;
use proximadb_model::{Collection, CollectionId, CollectionRef};
use proximadb_ports::{Fault, PortError, Result};

use crate::shard::Shard;
use crate::snapshot::Snapshot;

/// A shard of a collection, or why it cannot be reached.
#[derive(Clone)]
pub(crate) enum Slot {
    Open(Arc<Shard>),
    Missing(Arc<Gap>),
}

/// Why a shard cannot be reached.
pub(crate) struct Gap {
    pub(crate) fault: Fault,
    pub(crate) why: String,
    /// The site it lies on, as far as is known.
    pub(crate) site: Option<proximadb_model::SiteId>,
}

impl Slot {
    pub(crate) fn missing(fault: Fault, why: impl Into<String>, site: Option<proximadb_model::SiteId>) -> Self {
        Self::Missing(Arc::new(Gap { fault, why: why.into(), site }))
    }

    pub(crate) fn shard(&self) -> Option<&Arc<Shard>> {
        match self {
            Self::Open(shard) => Some(shard),
            Self::Missing(_) => None,
        }
    }
}

/// A collection and its shards.
pub(crate) struct OpenCollection {
    pub(crate) id: CollectionId,
    slots: ArcSwap<Vec<Slot>>,
    /// Tells of the collection also when no shard can be reached.
    fallback: Collection,
}

impl OpenCollection {
    pub(crate) fn new(collection: Collection, slots: Vec<Slot>) -> Arc<Self> {
        Arc::new(Self { id: collection.id, slots: ArcSwap::from_pointee(slots), fallback: collection })
    }

    /// The collection as its newest manifest has it.
    pub(crate) fn describe(&self) -> Collection {
        match self.reachable().first() {
            Some(shard) => shard.snapshot().manifest.collection.clone(),
            None => self.fallback.clone(),
        }
    }

    pub(crate) fn slots(&self) -> Arc<Vec<Slot>> {
        self.slots.load_full()
    }

    pub(crate) fn set_slot(&self, index: u32, slot: Slot) {
        self.slots.rcu(|slots| {
            let mut slots = Vec::clone(slots);
            if let Some(place) = slots.get_mut(index as usize) {
                *place = slot.clone();
            }
            slots
        });
    }

    pub(crate) fn reachable(&self) -> Vec<Arc<Shard>> {
        self.slots.load().iter().filter_map(Slot::shard).cloned().collect()
    }

    /// A shard by its number.
    ///
    /// # Errors
    /// With the fault of the gap when it cannot be reached.
    pub(crate) fn shard(&self, index: u32) -> Result<Arc<Shard>> {
        match self.slots.load().get(index as usize) {
            Some(Slot::Open(shard)) => Ok(Arc::clone(shard)),
            Some(Slot::Missing(gap)) => {
                let message = format!("shard {index} cannot be reached: {}", gap.why);
                Err(PortError::new(gap.fault, "collection", self.id, message))
            }
            None => Err(PortError::new(Fault::Internal, "collection", self.id, format!("there is no shard {index}"))),
        }
    }

    /// Every shard.
    ///
    /// # Errors
    /// When one cannot be reached: an answer from the others would silently miss its records.
    pub(crate) fn all(&self) -> Result<Vec<Arc<Shard>>> {
        let count = self.slots.load().len() as u32;
        (0..count).map(|index| self.shard(index)).collect()
    }

    /// The states of all shards at this moment.
    ///
    /// # Errors
    /// As [`OpenCollection::all`].
    pub(crate) fn snapshots(&self) -> Result<Vec<Arc<Snapshot>>> {
        Ok(self.all()?.iter().map(|s| s.snapshot()).collect())
    }
}

/// All collections.
#[derive(Default)]
pub(crate) struct Catalog {
    state: RwLock<Names>,
}

#[derive(Default)]
struct Names {
    by_id: HashMap<CollectionId, Arc<OpenCollection>>,
    by_name: BTreeMap<String, CollectionId>,
}

impl Catalog {
    /// Finds a collection.
    ///
    /// # Errors
    /// `NotFound`.
    pub(crate) fn find(&self, collection: &CollectionRef) -> Result<Arc<OpenCollection>> {
        let names = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let id = match collection {
            CollectionRef::Id(id) => Some(id),
            CollectionRef::Name(name) => names.by_name.get(name.as_str()),
        };
        let found = id.and_then(|id| names.by_id.get(id)).cloned();
        found.ok_or_else(|| {
            PortError::new(Fault::NotFound, "collection", collection, "there is no such collection").with_field("collection")
        })
    }

    /// Finds a collection by its uuid.
    pub(crate) fn get(&self, id: CollectionId) -> Option<Arc<OpenCollection>> {
        self.state.read().unwrap_or_else(PoisonError::into_inner).by_id.get(&id).cloned()
    }

    /// Adds a collection; gives it back when its name is taken.
    pub(crate) fn insert(&self, collection: Arc<OpenCollection>) -> std::result::Result<(), Arc<OpenCollection>> {
        let mut names = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let name = collection.describe().spec.name.as_str().to_owned();
        if names.by_name.contains_key(&name) {
            return Err(collection);
        }
        names.by_name.insert(name, collection.id);
        names.by_id.insert(collection.id, collection);
        Ok(())
    }

    pub(crate) fn remove(&self, collection: &OpenCollection) {
        let mut names = self.state.write().unwrap_or_else(PoisonError::into_inner);
        names.by_id.remove(&collection.id);
        names.by_name.retain(|_, id| *id != collection.id);
    }

    /// All collections by name.
    pub(crate) fn all(&self) -> Vec<Arc<OpenCollection>> {
        let names = self.state.read().unwrap_or_else(PoisonError::into_inner);
        names.by_name.values().filter_map(|id| names.by_id.get(id).cloned()).collect()
    }

    /// Every shard that can be reached.
    pub(crate) fn shards(&self) -> Vec<Arc<Shard>> {
        self.all().iter().flat_map(|c| c.reachable()).collect()
    }
}
