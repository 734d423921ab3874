//! Owns the approximate index of a metric that walks by itself: a layered graph built and walked on the originals, which the metric
//! compares in blocks. Refuses to know what the metric computes; it may be a plugin's.

mod blocks;
mod builder;
mod choice;
mod sidecar;
mod walk;

use std::any::Any;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use proximadb_model::{Candidate, RowSet, TopK};
use proximadb_ports::{
    Budget, Fault, IndexFactory, IndexSpec, Metric, MetricDescriptor, Originals, PortError, Result, SearchCounters, SearchParams, Traverse,
    VectorIndex, Vectors,
};

use crate::builder::shuffled;
use crate::extend::Kept;
use crate::graph::{KIND, M_RANGE};
use crate::layers::{GrowingLayer, Layer, Links};
use crate::recall::{self, HeldOut, Recalls};
use crate::scan::{Scan, check_query};
use blocks::{Block, Space};
use builder::{Builder, empty_layers, ranked};
use choice::choose;
use sidecar::{OwnSidecar, Read};
use walk::{Track, Walk};

/// Rows that an exact search compares in the time of one place of a walk's breadth.
const SCANNED_A_PLACE: usize = 16;
/// Among the nodes a walk meets, those that count are as many as their share, give or take this many times the root of their number.
const SPREAD: f32 = 3.0;
/// Walks at a time that reuse memory; more of them allocate their own.
const TRACKS_KEPT: usize = 16;
/// A graph that would grow by more than this factor is built anew, and so is one that keeps less than three of four rows.
const GROWTH_MAX: usize = 3;
const KEPT_MIN: (usize, usize) = (3, 4);

/// Makes graphs for symmetric metrics that walk by themselves ([`Traverse::Itself`]), and leaves all others to another factory.
///
/// The graphs are navigable small worlds in layers (HNSW) like those of [`GraphFactory`](crate::GraphFactory), but on the originals:
/// there are no codes of what nobody knows how to compare.
#[derive(Clone, Copy, Debug, Default)]
pub struct OwnGraphFactory<F>(pub F);

/// What tells the metric apart, where it walks by itself.
fn own(metric: &MetricDescriptor) -> Option<[u8; 32]> {
    match metric.traverse {
        Some(Traverse::Itself { digest }) if metric.symmetric => Some(digest),
        _ => None,
    }
}

fn m_of(spec: &IndexSpec) -> usize {
    spec.m.clamp(*M_RANGE.start(), *M_RANGE.end())
}

impl<F: IndexFactory> IndexFactory for OwnGraphFactory<F> {
    fn kind(&self) -> &'static str {
        self.0.kind()
    }

    fn supports(&self, metric: &MetricDescriptor) -> bool {
        own(metric).is_some() || self.0.supports(metric)
    }

    fn build(&self, spec: &IndexSpec, vectors: Vectors, budget: &Budget) -> Result<Arc<dyn VectorIndex>> {
        let Some(digest) = own(spec.metric.descriptor()) else { return self.0.build(spec, vectors, budget) };
        budget.check()?;
        let order = shuffled(vectors.rows(), spec.seed);
        let layers = empty_layers(order.len(), m_of(spec));
        let index = finish(spec, digest, vectors, order, (layers, 0), Recalls::default(), budget)?;
        Ok(Arc::new(index))
    }

    fn extend(
        &self,
        spec: &IndexSpec,
        vectors: Vectors,
        base: &dyn VectorIndex,
        rows: &[Option<u32>],
        budget: &Budget,
    ) -> Result<Option<Arc<dyn VectorIndex>>> {
        let Some(digest) = own(spec.metric.descriptor()) else { return self.0.extend(spec, vectors, base, rows, budget) };
        budget.check()?;
        let any: &dyn Any = base;
        let Some(base) = any.downcast_ref::<OwnGraphIndex>() else { return Ok(None) };
        let fits = base.digest == digest
            && base.originals.dimension() == vectors.dimension
            && base.rows() == rows.len()
            && base.layers.first().is_some_and(|lowest| lowest.width() == 2 * m_of(spec));
        let kept = Kept::new(rows.len(), |node| rows[base.order[node as usize] as usize].is_some());
        let count = kept.nodes.len();
        let is_worth_it = vectors.rows() < GROWTH_MAX * count && KEPT_MIN.0 * rows.len() <= KEPT_MIN.1 * count;
        if !fits || !is_worth_it || count == 0 {
            return Ok(None);
        }
        let order = kept.order(&base.order, rows, vectors.rows(), spec.seed)?;
        let space = Space { metric: &*spec.metric, vectors: &vectors, order: &order };
        let mut block = Block::default();
        let layers = kept.layers_by(&base.layers, order.len(), |node, left, width| {
            budget.check()?;
            choose(&space, &ranked(&space, node, &left, &mut block)?, width, &mut block)
        })?;
        let index = finish(spec, digest, vectors.clone(), order.clone(), (layers, count), base.recalls.clone(), budget)?;
        Ok(Some(Arc::new(index)))
    }

    fn load(&self, spec: &IndexSpec, originals: Originals, segment_checksum: u32, sidecar: Bytes) -> Result<Arc<dyn VectorIndex>> {
        let Some(digest) = own(spec.metric.descriptor()) else { return self.0.load(spec, originals, segment_checksum, sidecar) };
        let expected = OwnSidecar { metric: digest, dimension: originals.dimension(), rows: originals.rows(), segment_checksum };
        let Read { order, layers, recalls } =
            expected.decode(&sidecar).map_err(|damage| PortError::new(Fault::Corrupt, "index.load", KIND, damage.to_string()))?;
        let metric = Arc::clone(&spec.metric);
        Ok(Arc::new(OwnGraphIndex { metric, digest, originals, order, layers, recalls, tracks: Mutex::default() }))
    }
}

/// Inserts what the layers do not hold yet, and measures before the last rows are in what searches find.
fn finish(
    spec: &IndexSpec,
    digest: [u8; 32],
    vectors: Vectors,
    order: Vec<u32>,
    (layers, next): (Vec<GrowingLayer>, usize),
    before: Recalls,
    budget: &Budget,
) -> Result<OwnGraphIndex> {
    let space = Space { metric: &*spec.metric, vectors: &vectors, order: &order };
    let builder = Builder::new(space, spec.ef_construction, spec.threads, budget, layers, next);
    let recalls = match recall::held_out(order.len(), order.len() - next) {
        0 => before,
        count => {
            builder.insert_below(order.len() - count)?;
            let held_out = HeldOut::new(&order, count, &vectors, &*spec.metric, spec.threads, budget)?;
            let (layers, mut track) = (builder.layers(), Track::new(order.len()));
            held_out.recalls_of(|query, ef| {
                walk_down(&space, &layers, query, ef, budget, &mut track, &mut SearchCounters::default())?;
                Ok(nearest(&track, &order, recall::K, None))
            })?
        }
    };
    builder.insert_below(order.len())?;
    let layers = builder.layers();
    let metric = Arc::clone(&spec.metric);
    Ok(OwnGraphIndex { metric, digest, originals: vectors.into(), order, layers, recalls, tracks: Mutex::default() })
}

/// Walks from the top, and leaves the `ef` nearest nodes that it met in the track's pool.
fn walk_down(
    space: &Space<'_>,
    layers: &[Layer],
    query: &[f32],
    ef: usize,
    budget: &Budget,
    track: &mut Track,
    counters: &mut SearchCounters,
) -> Result<()> {
    let mut scorer = space.metric.prepare(query)?;
    let mut entry = 0;
    for (height, links) in layers.iter().enumerate().rev() {
        let breadth = if height == 0 { ef } else { 1 };
        Walk { space: *space, links, budget }.run(&mut *scorer, &[entry], breadth, track, counters)?;
        entry = track.pool.places().first().map_or(entry, |place| place.node());
    }
    counters.graph_walks += 1;
    Ok(())
}

/// The `k` nearest of the allowed rows among those that a walk found.
fn nearest(track: &Track, order: &[u32], k: usize, allow: Option<&RowSet>) -> Vec<Candidate> {
    let mut top = TopK::new(k);
    for place in track.pool.places() {
        let row = order[place.node() as usize];
        if allow.is_none_or(|allow| allow.contains(row as usize)) {
            top.push(Candidate { key: place.key(), row });
        }
    }
    top.into_sorted()
}

/// The graph of one segment by the collection's own metric. It shares the originals, without which it cannot be walked.
pub struct OwnGraphIndex {
    metric: Arc<dyn Metric>,
    digest: [u8; 32],
    originals: Originals,
    /// The row of each node.
    order: Vec<u32>,
    /// Lowest first.
    layers: Vec<Layer>,
    recalls: Recalls,
    /// Memory of earlier walks.
    tracks: Mutex<Vec<Track>>,
}

impl OwnGraphIndex {
    /// The nearest that a walk finds.
    fn walked(
        &self,
        vectors: &Vectors,
        query: &[f32],
        (k, breadth): (usize, usize),
        allow: Option<&RowSet>,
        budget: &Budget,
        counters: &mut SearchCounters,
    ) -> Result<Vec<Candidate>> {
        let kept = self.tracks.try_lock().ok().and_then(|mut tracks| tracks.pop());
        let mut track = kept.unwrap_or_else(|| Track::new(self.order.len()));
        let space = Space { metric: &*self.metric, vectors, order: &self.order };
        walk_down(&space, &self.layers, query, breadth, budget, &mut track, counters)?;
        let found = nearest(&track, &self.order, k, allow);
        if let Ok(mut tracks) = self.tracks.try_lock()
            && tracks.len() < TRACKS_KEPT
        {
            tracks.push(track);
        }
        Ok(found)
    }
}

impl VectorIndex for OwnGraphIndex {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn rows(&self) -> usize {
        self.originals.rows()
    }

    fn resident_bytes(&self) -> usize {
        let tracks = self.tracks.try_lock().map_or(0, |tracks| tracks.len() * self.order.len() / 8);
        size_of::<Self>() + self.layers.iter().map(Layer::bytes).sum::<usize>() + size_of_val(&*self.order) + tracks
    }

    fn breadth_for(&self, recall: f32, k: usize) -> Option<usize> {
        self.recalls.breadth_for(recall, k)
    }

    fn recall_at(&self, ef: usize) -> Option<f32> {
        self.recalls.at(ef)
    }

    fn originals(&self) -> Option<&Originals> {
        Some(&self.originals)
    }

    fn search(
        &self,
        query: &[f32],
        params: &SearchParams,
        allow: Option<&RowSet>,
        budget: &Budget,
        counters: &mut SearchCounters,
    ) -> Result<Vec<Candidate>> {
        check_query(query, self.originals.dimension())?;
        budget.check()?;
        let missing = || PortError::new(Fault::Unavailable, "index.search", KIND, "its originals are not in memory");
        let vectors = self.originals.get().ok_or_else(missing)?;
        // A set of all rows is no filter.
        let allow = allow.filter(|allow| allow.count() < self.rows());
        let allowed = allow.map_or(self.rows(), RowSet::count);
        let (k, scan) = (params.k.min(allowed), Scan { metric: &*self.metric, vectors: &vectors, budget });
        if params.exact || k == 0 {
            return scan.nearest(query, k, allow, counters);
        }
        let ef = params.ef.max(k).min(self.rows());
        let breadth = match allow {
            None => ef,
            // Among the nearest there are so many rows for each that counts, if those that count lie as the others do.
            Some(_) => ef.max(k + (SPREAD * (k as f32).sqrt()) as usize).saturating_mul(self.rows()).div_ceil(allowed).min(self.rows()),
        };
        if allow.is_some() && allowed <= breadth.saturating_mul(SCANNED_A_PLACE) {
            return scan.nearest(query, k, allow, counters);
        }
        let found = self.walked(&vectors, query, (k, breadth), allow, budget, counters)?;
        if found.len() < k { scan.nearest(query, k, allow, counters) } else { Ok(found) }
    }

    fn save(&self, segment_checksum: u32) -> Option<Bytes> {
        let written = OwnSidecar { metric: self.digest, dimension: self.originals.dimension(), rows: self.rows(), segment_checksum };
        Some(written.encode(&self.order, &self.layers, &self.recalls))
    }
}
