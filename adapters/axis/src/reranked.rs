//! Owns the detour: a graph by a built-in metric leads to rows that the collection's own metric then orders. Refuses to know what that
//! metric computes; it may be a plugin's.

use std::any::Any;
use std::sync::Arc;

use bytes::Bytes;
use proximadb_model::{Candidate, RowSet};
use proximadb_ports::{
    Budget, Fault, IndexFactory, IndexSpec, Metric, MetricDescriptor, Originals, PortError, Result, SearchCounters, SearchParams, Traverse,
    VectorIndex, Vectors,
};

use crate::builtin::BuiltinMetric;
use crate::scan::{Scan, check_query};

/// Makes the indexes of another factory, also for metrics that it does not support but that name one to walk by
/// ([`MetricDescriptor::traverse`]).
///
/// The graph is built, written and read as that other metric's, so a sidecar holds nothing of the metric that orders.
#[derive(Clone, Copy, Debug, Default)]
pub struct RerankedFactory<F>(pub F);

/// The metric to walk by and how many rows to order, where a metric asks for a detour that leads somewhere.
fn detour(metric: &MetricDescriptor) -> Option<(Arc<dyn Metric>, usize)> {
    let Some(Traverse::By { metric: by, widen }) = &metric.traverse else { return None };
    let by: Arc<dyn Metric> = Arc::new(BuiltinMetric::new(by.clone())?);
    Some((by, (*widen).max(1)))
}

impl<F: IndexFactory> RerankedFactory<F> {
    /// The specification of the graph, and how many rows to order; none where there is no detour.
    fn detour(&self, spec: &IndexSpec) -> Option<(IndexSpec, usize)> {
        let (by, widen) = detour(spec.metric.descriptor())?;
        Some((IndexSpec { metric: by, ..spec.clone() }, widen))
    }
}

impl<F: IndexFactory> IndexFactory for RerankedFactory<F> {
    fn kind(&self) -> &'static str {
        self.0.kind()
    }

    fn supports(&self, metric: &MetricDescriptor) -> bool {
        match detour(metric) {
            Some((by, _)) => self.0.supports(by.descriptor()),
            None => self.0.supports(metric),
        }
    }

    fn build(&self, spec: &IndexSpec, vectors: Vectors, budget: &Budget) -> Result<Arc<dyn VectorIndex>> {
        let Some((inner, widen)) = self.detour(spec) else { return self.0.build(spec, vectors, budget) };
        let inner = self.0.build(&inner, vectors.clone(), budget)?;
        Ok(Arc::new(RerankedIndex::new(spec, vectors, inner, widen)))
    }

    fn extend(
        &self,
        spec: &IndexSpec,
        vectors: Vectors,
        base: &dyn VectorIndex,
        rows: &[Option<u32>],
        budget: &Budget,
    ) -> Result<Option<Arc<dyn VectorIndex>>> {
        let Some((inner, widen)) = self.detour(spec) else { return self.0.extend(spec, vectors, base, rows, budget) };
        let base: &dyn Any = base;
        let Some(base) = base.downcast_ref::<RerankedIndex>() else { return Ok(None) };
        let extended = self.0.extend(&inner, vectors.clone(), &*base.inner, rows, budget)?;
        let around = |inner| -> Arc<dyn VectorIndex> { Arc::new(RerankedIndex::new(spec, vectors, inner, widen)) };
        Ok(extended.map(around))
    }

    fn load(&self, spec: &IndexSpec, originals: Originals, segment_checksum: u32, sidecar: Bytes) -> Result<Arc<dyn VectorIndex>> {
        let Some((inner, widen)) = self.detour(spec) else { return self.0.load(spec, originals, segment_checksum, sidecar) };
        let inner = self.0.load(&inner, originals.clone(), segment_checksum, sidecar)?;
        Ok(Arc::new(RerankedIndex { metric: Arc::clone(&spec.metric), originals, inner, widen }))
    }
}

/// The index of one segment for a metric that takes the detour.
pub struct RerankedIndex {
    metric: Arc<dyn Metric>,
    originals: Originals,
    inner: Arc<dyn VectorIndex>,
    widen: usize,
}

impl RerankedIndex {
    /// Shares the originals with the graph, so that they are let go together.
    fn new(spec: &IndexSpec, vectors: Vectors, inner: Arc<dyn VectorIndex>, widen: usize) -> Self {
        let originals = inner.originals().cloned().unwrap_or_else(|| vectors.into());
        Self { metric: Arc::clone(&spec.metric), originals, inner, widen }
    }

    /// What to ask of the graph, so that enough rows are left to order.
    fn widened(&self, params: &SearchParams) -> SearchParams {
        let widen = |count: usize| count.saturating_mul(self.widen).min(self.rows());
        SearchParams { k: params.k, ef: widen(params.ef.max(params.k)), exact: params.exact }
    }
}

impl VectorIndex for RerankedIndex {
    fn kind(&self) -> &'static str {
        self.inner.kind()
    }

    fn rows(&self) -> usize {
        self.inner.rows()
    }

    fn resident_bytes(&self) -> usize {
        size_of::<Self>() + self.inner.resident_bytes()
    }

    fn originals(&self) -> Option<&Originals> {
        Some(&self.originals)
    }

    fn walks_without_originals(&self) -> bool {
        self.inner.walks_without_originals()
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
        self.inner.met(query, &self.widened(params), allow, budget, counters)
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
        let missing = || PortError::new(Fault::Unavailable, "index.search", self.inner.kind(), "its originals are not in memory");
        let vectors = self.originals.get().ok_or_else(missing)?;
        let k = params.k.min(allow.map_or(self.rows(), RowSet::count));
        let scan = Scan { metric: &*self.metric, vectors: &vectors, budget };
        if params.exact || k == 0 {
            return scan.nearest(query, k, allow, counters);
        }
        match self.inner.met(query, &self.widened(params), allow, budget, counters)? {
            Some(rows) if rows.len() >= k => scan.among(query, k, rows.into_iter(), counters),
            _ => scan.nearest(query, k, allow, counters),
        }
    }

    fn save(&self, segment_checksum: u32) -> Option<Bytes> {
        self.inner.save(segment_checksum)
    }
}
