//! Owns the built-in metrics: which kernel orders by each, and what its key means to a user. Refuses to know indexes.

use proximadb_kernels::{Kernel, Kernels, active, normalize};
use proximadb_model::{MetricKind, ScoreKind};
use proximadb_ports::{Metric, MetricDescriptor, Result, Scorer};

/// One of the metrics that need no plugin: cosine, euclidean, dot product, manhattan, hamming.
///
/// Keys: the negated similarity for cosine (of a row or query of norm zero: 0) and dot product, the squared distance for
/// euclidean, the distance itself for manhattan, the number of differing components for hamming.
#[derive(Clone, Debug)]
pub struct BuiltinMetric {
    descriptor: MetricDescriptor,
    measure: Measure,
}

/// What is measured; [`MetricKind`] without the plugins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Measure {
    Cosine,
    Euclidean,
    Dot,
    Manhattan,
    Hamming,
}

impl Measure {
    /// The measure of a built-in metric; none for a plugin.
    pub(crate) fn of(kind: &MetricKind) -> Option<Self> {
        match kind {
            MetricKind::Cosine => Some(Self::Cosine),
            MetricKind::Euclidean => Some(Self::Euclidean),
            MetricKind::DotProduct => Some(Self::Dot),
            MetricKind::Manhattan => Some(Self::Manhattan),
            MetricKind::Hamming => Some(Self::Hamming),
            MetricKind::Wasm(_) => None,
        }
    }

    /// Prepares a query; one for cosine is brought to norm one.
    pub(crate) fn prepare(self, query: &[f32]) -> BuiltinScorer {
        let mut query = query.to_vec();
        if self == Self::Cosine {
            // A query of norm zero stays zero, and is as near to everything.
            normalize(&mut query);
        }
        BuiltinScorer { measure: self, query }
    }

    fn kernel(self, kernels: &Kernels) -> &Kernel<f32, f32, f32> {
        match self {
            Self::Cosine => &kernels.cosine,
            Self::Euclidean => &kernels.l2_squared,
            Self::Dot => &kernels.dot,
            Self::Manhattan => &kernels.l1,
            Self::Hamming => &kernels.hamming,
        }
    }

    /// Turns what the kernel gave into keys that are smaller the nearer, and never NaN.
    fn keys_from(self, scores: &mut [f32]) {
        let sign = if matches!(self, Self::Cosine | Self::Dot) { -1.0 } else { 1.0 };
        for score in scores {
            // Sums that ran out of f32 may be infinity minus infinity: such a row is as far as a row can be. Adding zero makes
            // one of the two zeros.
            let key = *score * sign + 0.0;
            *score = if key.is_nan() { f32::INFINITY } else { key };
        }
    }
}

impl BuiltinMetric {
    /// The built-in metric of this kind; none for a plugin's.
    pub fn new(kind: MetricKind) -> Option<Self> {
        let measure = Measure::of(&kind)?;
        let score_kind = kind.score_kind().unwrap_or(ScoreKind::Distance);
        Some(Self { descriptor: MetricDescriptor { kind, score_kind, symmetric: true, sha256: None, traverse: None }, measure })
    }
}

impl Metric for BuiltinMetric {
    fn descriptor(&self) -> &MetricDescriptor {
        &self.descriptor
    }

    fn prepare(&self, query: &[f32]) -> Result<Box<dyn Scorer>> {
        Ok(Box::new(self.measure.prepare(query)))
    }

    fn score(&self, key: f32) -> f32 {
        match self.measure {
            Measure::Cosine => (0.0 - key).clamp(-1.0, 1.0),
            Measure::Dot => 0.0 - key,
            Measure::Euclidean => key.sqrt(),
            Measure::Manhattan | Measure::Hamming => key,
        }
    }

    fn distance(&self, key: f32) -> f32 {
        match self.measure {
            Measure::Cosine => 1.0 - self.score(key),
            Measure::Euclidean => key.sqrt(),
            Measure::Dot | Measure::Manhattan | Measure::Hamming => key,
        }
    }
}

/// A query prepared for a built-in metric.
#[derive(Clone, Debug)]
pub struct BuiltinScorer {
    measure: Measure,
    query: Vec<f32>,
}

impl BuiltinScorer {
    /// Keys of the rows named by `ids`, in their order.
    ///
    /// # Panics
    /// If an id lies outside `rows`, or `out` is not as long as `ids`.
    pub(crate) fn gather(&self, rows: &[f32], ids: &[u32], out: &mut [f32]) {
        self.measure.kernel(active()).gather(&self.query, rows, self.query.len(), ids, out);
        self.measure.keys_from(out);
    }

    /// Keys of adjacent rows.
    ///
    /// # Panics
    /// If `block` is not one row of the query's length for each key.
    pub(crate) fn block(&self, block: &[f32], out: &mut [f32]) {
        self.measure.kernel(active()).block(&self.query, block, out);
        self.measure.keys_from(out);
    }
}

impl Scorer for BuiltinScorer {
    fn keys(&mut self, block: &[f32], out: &mut [f32]) -> Result<()> {
        self.block(block, out);
        Ok(())
    }
}
