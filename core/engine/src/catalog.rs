//! The collections that are open, by name and by uuid. Built from what the sites hold; there is no file of its own to lose.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use proximadb_model::{Collection, CollectionId, CollectionRef};
use proximadb_ports::{Fault, PortError, Result};

use crate::shard::Shard;
use crate::snapshot::Snapshot;

/// A collection and its shards; a shard that cannot be reached leaves a gap.
pub(crate) struct OpenCollection {
    pub(crate) id: CollectionId,
    pub(crate) shards: Vec<Option<Arc<Shard>>>,
    /// Tells of the collection also when no shard can be reached.
    fallback: Collection,
}

impl OpenCollection {
    pub(crate) fn new(collection: Collection, shards: Vec<Option<Arc<Shard>>>) -> Arc<Self> {
        Arc::new(Self { id: collection.id, shards, fallback: collection })
    }

    /// The collection as its newest manifest has it.
    pub(crate) fn describe(&self) -> Collection {
        match self.shards.iter().flatten().next() {
            Some(shard) => shard.snapshot().manifest.collection.clone(),
            None => self.fallback.clone(),
        }
    }

    pub(crate) fn reachable(&self) -> impl Iterator<Item = &Arc<Shard>> {
        self.shards.iter().flatten()
    }

    /// Every shard.
    ///
    /// # Errors
    /// `Unavailable` when one cannot be reached: an answer from the others would silently miss its records.
    pub(crate) fn all(&self) -> Result<Vec<Arc<Shard>>> {
        let missing = |i: usize| PortError::new(Fault::Unavailable, "collection", self.id, format!("shard {i} cannot be reached"));
        self.shards.iter().enumerate().map(|(i, s)| s.clone().ok_or_else(|| missing(i))).collect()
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
}
