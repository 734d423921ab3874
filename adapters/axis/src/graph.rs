//! Owns the approximate index: a layered graph walked on compact codes, its finds compared again on the originals. Refuses to
//! know how the graph is built and how it is written.

use std::sync::Arc;

use bytes::Bytes;
use proximadb_model::{Candidate, RowSet, TopK};
use proximadb_ports::{
    Budget, Fault, IndexFactory, IndexSpec, Metric, MetricDescriptor, Originals, PortError, Result, SearchCounters, SearchParams,
    VectorIndex, Vectors,
};

use crate::beam::{Beam, Place};
use crate::builder::{Builder, Shape, shuffled};
use crate::builtin::Measure;
use crate::codes::Codes;
use crate::layers::Layer;
use crate::scan::{Scan, check_query};
use crate::scratch::{Scratch, ScratchPool};
use crate::sidecar::{Read, Sidecar};

pub(crate) const KIND: &str = "graph";
/// Neighbours that a node can be given; the model's settings allow no others.
pub(crate) const M_RANGE: std::ops::RangeInclusive<usize> = 4..=128;
/// Finds compared again beyond those asked for, at first.
const AGAIN_MORE: usize = 8;
/// Finds compared again at a time, as long as that still changes the answer.
const AGAIN_STEP: usize = 16;

/// Makes graphs for cosine, euclidean and dot product.
///
/// Graphs are navigable small worlds in layers (HNSW). Manhattan and hamming have no compact code here yet, so they are not
/// supported.
#[derive(Clone, Copy, Debug, Default)]
pub struct GraphFactory;

impl GraphFactory {
    fn measure(&self, spec: &IndexSpec, op: &'static str) -> Result<Measure> {
        let kind = &spec.metric.descriptor().kind;
        Measure::of(kind)
            .filter(|&measure| Codes::supports(measure))
            .ok_or_else(|| PortError::new(Fault::Invalid, op, KIND, format!("cannot order by {kind}")).with_field("metric"))
    }
}

impl IndexFactory for GraphFactory {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn supports(&self, metric: &MetricDescriptor) -> bool {
        metric.symmetric && Measure::of(&metric.kind).is_some_and(Codes::supports)
    }

    fn build(&self, spec: &IndexSpec, vectors: Vectors, budget: &Budget) -> Result<Arc<dyn VectorIndex>> {
        let measure = self.measure(spec, "index.build")?;
        budget.check()?;
        let order = shuffled(vectors.rows(), spec.seed);
        let codes = Codes::encode(&vectors, measure, &order);
        let shape = Shape { m: spec.m.clamp(*M_RANGE.start(), *M_RANGE.end()), ef: spec.ef_construction, threads: spec.threads };
        let layers = Builder::new(&codes, order.len(), shape, budget).build()?;
        let (metric, originals, scratch) = (spec.metric.clone(), vectors.into(), ScratchPool::default());
        Ok(Arc::new(GraphIndex { metric, measure, originals, codes, order, layers, scratch }))
    }

    fn load(&self, spec: &IndexSpec, originals: Originals, segment_checksum: u32, sidecar: Bytes) -> Result<Arc<dyn VectorIndex>> {
        let measure = self.measure(spec, "index.load")?;
        let expected = Sidecar { measure, dimension: originals.dimension(), rows: originals.rows(), segment_checksum };
        let Read { order, layers, codes } =
            expected.decode(&sidecar).map_err(|damage| PortError::new(Fault::Corrupt, "index.load", KIND, damage.to_string()))?;
        let codes = match (codes, originals.get()) {
            (Some(codes), _) => codes,
            (None, Some(vectors)) => Codes::encode(vectors, measure, &order),
            (None, None) => {
                return Err(PortError::new(
                    Fault::Unavailable,
                    "index.load",
                    KIND,
                    "a sidecar of version 1 is read with the originals only",
                ));
            }
        };
        let (metric, scratch) = (spec.metric.clone(), ScratchPool::default());
        Ok(Arc::new(GraphIndex { metric, measure, originals, codes, order, layers, scratch }))
    }
}

/// The graph of one segment. It shares the originals, which may come after it, and has codes and links of its own.
pub struct GraphIndex {
    metric: Arc<dyn Metric>,
    measure: Measure,
    originals: Originals,
    codes: Codes,
    /// The row of each node.
    order: Vec<u32>,
    /// Lowest first.
    layers: Vec<Layer>,
    scratch: ScratchPool,
}

impl GraphIndex {
    /// Walks, and answers with what `take` makes of the finds.
    fn walked<T>(
        &self,
        query: &[f32],
        ef: usize,
        allow: Option<&RowSet>,
        budget: &Budget,
        counters: &mut SearchCounters,
        take: impl FnOnce(&[Place], &mut SearchCounters) -> T,
    ) -> Result<T> {
        // A set of all rows is no filter.
        let allow = allow.filter(|allow| allow.count() < self.rows());
        counters.graph_walks += 1;
        self.scratch.with(self.order.len(), |scratch| {
            self.walk(query, ef.min(self.rows()), allow, budget, scratch, counters)?;
            Ok(take(scratch.trail.pool.places(), counters))
        })
    }

    /// Leaves what the walk found in the scratch's pool.
    fn walk(
        &self,
        query: &[f32],
        ef: usize,
        allow: Option<&RowSet>,
        budget: &Budget,
        scratch: &mut Scratch,
        counters: &mut SearchCounters,
    ) -> Result<()> {
        let Scratch { trail, query: code, floats } = scratch;
        self.codes.query(query, code, floats);
        let probe = self.codes.probe(code);
        let Some((lowest, upper)) = self.layers.split_first() else { return Ok(()) };
        let mut entry = 0;
        for links in upper.iter().rev() {
            entry = Beam { codes: &self.codes, links, probe, budget }.descend(entry, trail, counters);
        }
        let beam = Beam { codes: &self.codes, links: lowest, probe, budget };
        match allow {
            None => beam.walk(&[entry], ef, trail, counters),
            Some(allow) => beam.walk_through(&[entry], ef, |node| allow.contains(self.order[node as usize] as usize), trail, counters),
        }
    }

    /// Orders finds by the originals: as many as are asked for and a few, then on while the answer still changes.
    fn rerank(&self, vectors: &Vectors, query: &[f32], k: usize, found: &[Place], counters: &mut SearchCounters) -> Vec<Candidate> {
        let scorer = self.measure.prepare(query);
        let mut top = TopK::new(k);
        let (mut rows, mut keys) = (Vec::new(), Vec::new());
        let (mut rest, mut step) = (found, k + k / 2 + AGAIN_MORE);
        while !rest.is_empty() {
            let (now, later) = rest.split_at(step.min(rest.len()));
            rows.clear();
            rows.extend(now.iter().map(|place| self.order[place.node() as usize]));
            keys.clear();
            keys.resize(rows.len(), 0.0);
            scorer.gather(&vectors.data, &rows, &mut keys);
            counters.distances += rows.len() as u64;
            let changes = rows.iter().zip(&keys).filter(|&(&row, &key)| top.push(Candidate { key, row })).count();
            if changes == 0 {
                break;
            }
            (rest, step) = (later, AGAIN_STEP);
        }
        top.into_sorted()
    }
}

impl VectorIndex for GraphIndex {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn rows(&self) -> usize {
        self.originals.rows()
    }

    fn resident_bytes(&self) -> usize {
        let layers: usize = self.layers.iter().map(Layer::bytes).sum();
        size_of::<Self>() + layers + self.codes.bytes() + size_of_val(&*self.order) + self.scratch.bytes()
    }

    fn has_originals(&self) -> bool {
        self.originals.get().is_some()
    }

    fn shortlist(
        &self,
        query: &[f32],
        params: &SearchParams,
        allow: Option<&RowSet>,
        budget: &Budget,
        counters: &mut SearchCounters,
    ) -> Result<Option<Vec<u32>>> {
        check_query(query, self.originals.dimension())?;
        budget.check()?;
        let k = params.k.min(allow.map_or(self.rows(), RowSet::count));
        if params.exact {
            return Ok(None);
        }
        if k == 0 {
            return Ok(Some(Vec::new()));
        }
        let rows = self.walked(query, params.ef.max(k), allow, budget, counters, |found, _| {
            found.iter().map(|place| self.order[place.node() as usize]).collect::<Vec<_>>()
        })?;
        Ok((rows.len() >= k).then_some(rows))
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
        let vectors = self.originals.get();
        let vectors = vectors.ok_or_else(|| PortError::new(Fault::Unavailable, "index.search", KIND, "its originals have not come yet"))?;
        let k = params.k.min(allow.map_or(self.rows(), RowSet::count));
        let scan = Scan { metric: &*self.metric, vectors, budget };
        if params.exact || k == 0 {
            return scan.nearest(query, k, allow, counters);
        }
        let rerank = |found: &[Place], counters: &mut SearchCounters| self.rerank(vectors, query, k, found, counters);
        let candidates = self.walked(query, params.ef.max(k), allow, budget, counters, rerank)?;
        if candidates.len() < k { scan.nearest(query, k, allow, counters) } else { Ok(candidates) }
    }

    fn save(&self, segment_checksum: u32) -> Option<Bytes> {
        let written = Sidecar { measure: self.measure, dimension: self.originals.dimension(), rows: self.rows(), segment_checksum };
        Some(written.encode(&self.order, &self.layers, &self.codes))
    }
}
