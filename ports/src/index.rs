//! Vector indexes of one segment, and the metrics they order by. Synchronous: they run on the engine's compute pool.

use std::any::Any;
use std::ops::Deref;
use std::sync::Arc;

use arc_swap::{ArcSwapOption, Guard};
use bytes::Bytes;
use proximadb_model::{Candidate, MetricKind, RowSet, ScoreKind};

use crate::budget::Budget;
use crate::error::Result;

/// A distance, built in or brought by a plugin.
///
/// Guarantees:
/// - G1 the same query and vector always give the same key, in whatever block they stand;
/// - G2 a smaller key is nearer, and no key is NaN;
/// - G3 `score(key)` and `distance(key)` keep the order: the nearest has the highest similarity or the lowest distance.
pub trait Metric: Send + Sync + 'static {
    /// What kind of metric this is.
    fn descriptor(&self) -> &MetricDescriptor;

    /// Prepares a query of the collection's dimension, row-major scoring to follow.
    ///
    /// # Errors
    /// `Plugin` when a plugin fails.
    fn prepare(&self, query: &[f32]) -> Result<Box<dyn Scorer>>;

    /// What the user sees as the score for an ordering key.
    fn score(&self, key: f32) -> f32;

    /// What the user sees as the distance for an ordering key.
    fn distance(&self, key: f32) -> f32;
}

/// What a metric says of itself.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricDescriptor {
    /// Its kind; indexes have faster ways for built-in ones.
    pub kind: MetricKind,
    /// Which way its score runs.
    pub score_kind: ScoreKind,
    /// Whether d(a, b) = d(b, a); a graph over the metric itself needs it.
    pub symmetric: bool,
    /// The sha256 of the plugin that computes it; none for built-in metrics.
    pub sha256: Option<[u8; 32]>,
    /// How an index comes to the rows that a plugin's metric orders; none where every row is compared, and of built-in metrics, which
    /// indexes know.
    pub traverse: Option<Traverse>,
}

/// How an index comes to rows by a metric that it does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Traverse {
    /// Through a graph by a built-in metric, whose finds the metric then orders.
    By {
        /// The metric that leads to the rows.
        metric: MetricKind,
        /// Rows that are ordered for each that a search's breadth asks for; at least 1.
        widen: usize,
    },
    /// Through a graph by the metric itself, which must be symmetric.
    Itself {
        /// What tells it from metrics that order otherwise: a digest of the plugin and of what it is told. Graphs of another are not used.
        digest: [u8; 32],
    },
}

/// One prepared query.
pub trait Scorer: Send {
    /// The ordering keys of the vectors in `block` (`out.len()` rows of the dimension, row after row).
    ///
    /// # Errors
    /// `Plugin` when a plugin fails, which taking too long is too; `Invalid` when it refuses the query.
    fn keys(&mut self, block: &[f32], out: &mut [f32]) -> Result<()>;
}

/// The f32 originals of a segment, row after row, shared by whoever needs them.
#[derive(Clone, Debug)]
pub struct Vectors {
    /// Components of one vector.
    pub dimension: usize,
    /// `rows * dimension` components.
    pub data: Arc<Vec<f32>>,
}

impl Vectors {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.data.len().checked_div(self.dimension).unwrap_or(0)
    }
}

/// The originals of a segment as its index finds them: in memory, on their way there, or let go for a while, which the index outlives.
/// Clones are handles of one place.
#[derive(Clone, Debug)]
pub struct Originals {
    dimension: usize,
    rows: usize,
    vectors: Arc<ArcSwapOption<Vectors>>,
}

/// Originals that whoever holds this goes on with, also when they are let go meanwhile.
pub struct Lent(Guard<Option<Arc<Vectors>>>);

impl Deref for Lent {
    type Target = Vectors;

    #[inline]
    fn deref(&self) -> &Vectors {
        self.0.as_deref().expect("it is made of vectors that are there, and nobody changes a guard")
    }
}

impl Originals {
    /// Originals of so many components and rows that are still to come.
    pub fn awaited(dimension: usize, rows: usize) -> Self {
        Self { dimension, rows, vectors: Arc::default() }
    }

    /// Components of one vector.
    pub fn dimension(&self) -> usize {
        self.dimension
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Bytes that they take while they are in memory.
    pub fn bytes(&self) -> u64 {
        (self.rows as u64).saturating_mul(self.dimension as u64).saturating_mul(size_of::<f32>() as u64)
    }

    /// Whether they are in memory.
    #[inline]
    pub fn are_there(&self) -> bool {
        self.vectors.load().is_some()
    }

    /// The vectors, where they are in memory; nobody waits for anybody.
    #[inline]
    pub fn get(&self) -> Option<Lent> {
        Some(self.vectors.load()).filter(|vectors| vectors.is_some()).map(Lent)
    }

    /// Hands over the vectors; whoever holds a clone has them from then on. False when they are of another shape, and are not taken.
    #[must_use]
    pub fn arrive(&self, vectors: Vectors) -> bool {
        let fits = vectors.dimension == self.dimension && vectors.data.len() == self.rows * self.dimension;
        if fits {
            self.vectors.store(Some(Arc::new(vectors)));
        }
        fits
    }

    /// Lets the vectors go; their memory is free once the searches that use them have ended. False where they were not there.
    pub fn let_go(&self) -> bool {
        self.vectors.swap(None).is_some()
    }
}

impl From<Vectors> for Originals {
    fn from(vectors: Vectors) -> Self {
        Self { dimension: vectors.dimension, rows: vectors.rows(), vectors: Arc::new(ArcSwapOption::from_pointee(vectors)) }
    }
}

/// How an index is to be built.
#[derive(Clone)]
pub struct IndexSpec {
    /// The collection's metric.
    pub metric: Arc<dyn Metric>,
    /// Neighbours of a node.
    pub m: usize,
    /// Breadth of the search for neighbours.
    pub ef_construction: usize,
    /// Seed of every random choice; the same seed, rows and thread count of one give the same index.
    pub seed: u64,
    /// Threads that the build may use.
    pub threads: usize,
}

/// Makes one kind of index.
///
/// Guarantees:
/// - G1 `load(save(index))` answers every search as `index` does;
/// - G2 `load` of any bytes ends in an index or `Corrupt`: no panic, and memory in proportion to bytes and rows;
/// - G3 `load` refuses a sidecar that was not made for the segment's checksum;
/// - G4 `load` does not wait for originals: an index without them answers by `shortlist`, and by `search` while they are there.
pub trait IndexFactory: Send + Sync + 'static {
    /// The kind's name, as in `GET …/index` and in manifests: `"flat"`, `"graph"`.
    fn kind(&self) -> &'static str;

    /// Whether this kind can order by a metric like this.
    fn supports(&self, metric: &MetricDescriptor) -> bool;

    /// Builds an index over all rows.
    ///
    /// # Errors
    /// `Deadline` when the budget is over or cancelled; `Plugin`; `Invalid` for an unsupported metric.
    fn build(&self, spec: &IndexSpec, vectors: Vectors, budget: &Budget) -> Result<Arc<dyn VectorIndex>>;

    /// Builds an index over all rows from one over some of them: `rows[i]` is the row that row `i` of `base` has become, none where it
    /// is gone. `None` where that would be no faster, or not as good, as building it anew.
    ///
    /// # Errors
    /// As of [`Self::build`]; `Invalid` for `rows` that name a row twice or one that is not there.
    fn extend(
        &self,
        _spec: &IndexSpec,
        _vectors: Vectors,
        _base: &dyn VectorIndex,
        _rows: &[Option<u32>],
        _budget: &Budget,
    ) -> Result<Option<Arc<dyn VectorIndex>>> {
        Ok(None)
    }

    /// Loads what `save` wrote for the same rows, with as many threads as the spec allows.
    ///
    /// # Errors
    /// `Corrupt`; `Unavailable` for a sidecar of an older version that can only be read with the originals there.
    fn load(&self, spec: &IndexSpec, originals: Originals, segment_checksum: u32, sidecar: Bytes) -> Result<Arc<dyn VectorIndex>>;
}

/// How a search of one index is to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SearchParams {
    /// Candidates wanted.
    pub k: usize,
    /// Breadth of an approximate search, at least `k` in effect.
    pub ef: usize,
    /// Whether every allowed row must be compared.
    pub exact: bool,
}

/// What a search of one index did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SearchCounters {
    /// Distances computed on full vectors.
    pub distances: u64,
    /// Distances computed on compact codes.
    pub code_distances: u64,
    /// Graph nodes expanded.
    pub hops: u64,
    /// Searches that walked a graph, 0 or 1; how a caller knows that it was not a scan.
    pub graph_walks: u64,
}

impl SearchCounters {
    /// Adds another search's counters.
    pub fn add(&mut self, other: &Self) {
        self.distances += other.distances;
        self.code_distances += other.code_distances;
        self.hops += other.hops;
        self.graph_walks += other.graph_walks;
    }
}

/// An index over the rows of one segment; searched by many threads at once without locks.
///
/// Guarantees:
/// - G1 candidates come nearest first, no row twice, at most `k`, and none outside `allow`;
/// - G2 keys are the metric's keys of the f32 originals, up to rounding (1e-5 relative);
/// - G3 with `exact`, the answer is that of comparing every allowed row;
/// - G4 with at least `k` rows allowed an approximate search gives `k` candidates too;
/// - G5 a search ends soon after its budget is over, with `Deadline`;
/// - G6 the rows that `search` gives are among those of `shortlist` with the same arguments, where there is a shortlist, and these
///   among those of `met`: no row twice, at least `k` of them and none outside `allow`;
/// - G7 an index whose `originals` were let go answers as one whose originals are still to come, and as before once they are back.
pub trait VectorIndex: Any + Send + Sync {
    /// The kind that made it.
    fn kind(&self) -> &'static str;

    /// Number of rows.
    fn rows(&self) -> usize;

    /// Bytes resident, shared originals not counted.
    fn resident_bytes(&self) -> usize;

    /// The breadth at which a search for `k` reached `recall` on a sample of held-out rows when the index was built; `None` where it
    /// was not calibrated or is never reached.
    fn breadth_for(&self, _recall: f32, _k: usize) -> Option<usize> {
        None
    }

    /// The recall@10 that a search of breadth `ef` had on that sample.
    fn recall_at(&self, _ef: usize) -> Option<f32> {
        None
    }

    /// The originals that it shares, and that may be let go and come back; `None` for a kind that holds its own.
    fn originals(&self) -> Option<&Originals> {
        None
    }

    /// Whether it finds by a shortlist, without the originals, what it finds with them; others compare every row then.
    fn walks_without_originals(&self) -> bool {
        false
    }

    /// Whether the originals are there, which `search` needs.
    fn has_originals(&self) -> bool {
        self.originals().is_none_or(Originals::are_there)
    }

    /// The rows that `search` would compare, for a caller who compares them for as long as the index has no originals; `None` where
    /// it takes all originals to tell, as in an exact search.
    ///
    /// # Errors
    /// `Deadline`.
    fn shortlist(
        &self,
        _query: &[f32],
        _params: &SearchParams,
        _allow: Option<&RowSet>,
        _budget: &Budget,
        _counters: &mut SearchCounters,
    ) -> Result<Option<Vec<u32>>> {
        Ok(None)
    }

    /// Every row that a search of this breadth comes to, for a caller that orders them by another metric; `None` as in `shortlist`.
    ///
    /// # Errors
    /// `Deadline`.
    fn met(
        &self,
        query: &[f32],
        params: &SearchParams,
        allow: Option<&RowSet>,
        budget: &Budget,
        counters: &mut SearchCounters,
    ) -> Result<Option<Vec<u32>>> {
        self.shortlist(query, params, allow, budget, counters)
    }

    /// The nearest rows to a query of the index's dimension.
    ///
    /// # Errors
    /// `Deadline`; `Plugin`; `Unavailable` while the originals are not there.
    fn search(
        &self,
        query: &[f32],
        params: &SearchParams,
        allow: Option<&RowSet>,
        budget: &Budget,
        counters: &mut SearchCounters,
    ) -> Result<Vec<Candidate>>;

    /// The sidecar's bytes for a segment with this checksum; `None` for a kind that needs none.
    fn save(&self, segment_checksum: u32) -> Option<Bytes>;
}
