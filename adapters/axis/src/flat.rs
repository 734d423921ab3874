//! Owns the exact index, which is the rows themselves. Refuses to approximate.

use std::sync::Arc;

use bytes::Bytes;
use proximadb_model::{Candidate, RowSet};
use proximadb_ports::{
    Budget, Fault, IndexFactory, IndexSpec, Metric, MetricDescriptor, Originals, PortError, Result, SearchCounters, SearchParams,
    VectorIndex, Vectors,
};

use crate::scan::Scan;

const KIND: &str = "flat";

/// Makes exact indexes, for any metric, without work or memory.
#[derive(Clone, Copy, Debug, Default)]
pub struct FlatFactory;

impl IndexFactory for FlatFactory {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn supports(&self, _metric: &MetricDescriptor) -> bool {
        true
    }

    fn build(&self, spec: &IndexSpec, vectors: Vectors, budget: &Budget) -> Result<Arc<dyn VectorIndex>> {
        budget.check()?;
        Ok(Arc::new(FlatIndex { metric: spec.metric.clone(), originals: vectors.into() }))
    }

    fn load(&self, _spec: &IndexSpec, _originals: Originals, _segment_checksum: u32, sidecar: Bytes) -> Result<Arc<dyn VectorIndex>> {
        // An exact index writes no sidecar, so whatever this is, a flat index did not write it.
        Err(PortError::new(Fault::Corrupt, "index.load", KIND, format!("an exact index has no sidecar, got {} bytes", sidecar.len())))
    }
}

/// The exact index of one segment: shares the rows and compares them all.
pub struct FlatIndex {
    metric: Arc<dyn Metric>,
    originals: Originals,
}

impl VectorIndex for FlatIndex {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn rows(&self) -> usize {
        self.originals.rows()
    }

    fn resident_bytes(&self) -> usize {
        size_of::<Self>()
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
        let missing = || PortError::new(Fault::Unavailable, "index.search", KIND, "its originals are not in memory");
        let vectors = self.originals.get().ok_or_else(missing)?;
        Scan { metric: &*self.metric, vectors: &vectors, budget }.nearest(query, params.k, allow, counters)
    }

    fn save(&self, _segment_checksum: u32) -> Option<Bytes> {
        None
    }
}
