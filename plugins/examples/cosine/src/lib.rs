//! Cosine similarity as a plugin: what the host's own metric does, so that the two can be compared.

use proximadb_plugin_guest::{Descriptor, Metric, dot, export_metric, sum_rows};

struct Cosine;

impl Metric for Cosine {
    fn new(_settings: &str, _dimension: usize) -> Result<Self, String> {
        Ok(Self)
    }

    fn describe(&self) -> Descriptor {
        Descriptor { name: "cosine".to_owned(), version: "0.2.0".to_owned(), symmetric: true, lower_is_nearer: false }
    }

    fn score(&self, query: &[f32], block: &[f32], out: &mut [f32]) -> Result<(), String> {
        let length = dot(query, query).sqrt();
        Ok(sum_rows([query], block, out, |[q], x| [q * x, x * x], |[product, square]| similarity(product, length * square.sqrt()))?)
    }
}

/// The cosine of the angle between the two, or 0 where one of them has no direction. Sums that ran out of f32 say nothing: such a
/// row is as far as a row can be.
fn similarity(product: f32, lengths: f32) -> f32 {
    let cosine = if lengths > 0.0 { product / lengths } else { 0.0 };
    if lengths.is_finite() && cosine.is_finite() { cosine.clamp(-1.0, 1.0) } else { -1.0 }
}

export_metric!(Cosine);
