//! Cosine similarity as a plugin: what the host's own metric does, so that the two can be compared.

use proximadb_plugin_guest::{Descriptor, Metric, dot, export_metric, score_rows};

struct Cosine;

impl Metric for Cosine {
    fn new(_settings: &str, _dimension: usize) -> Result<Self, String> {
        Ok(Self)
    }

    fn describe(&self) -> Descriptor {
        Descriptor { name: "cosine".to_owned(), version: "0.1.0".to_owned(), symmetric: true, lower_is_nearer: false }
    }

    fn score(&self, query: &[f32], block: &[f32], out: &mut [f32]) -> Result<(), String> {
        let length = dot(query, query).sqrt();
        Ok(score_rows(query, block, out, |query, row| similarity(query, length, row))?)
    }
}

/// The cosine of the angle between the two, or 0 where one of them has no direction. Sums that ran out of f32 say nothing: such a
/// row is as far as a row can be.
fn similarity(query: &[f32], query_length: f32, row: &[f32]) -> f32 {
    let product = query_length * dot(row, row).sqrt();
    let cosine = if product > 0.0 { dot(query, row) / product } else { 0.0 };
    if product.is_finite() && cosine.is_finite() { cosine.clamp(-1.0, 1.0) } else { -1.0 }
}

export_metric!(Cosine);
