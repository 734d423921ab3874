//! Cosine similarity as a plugin: what the host's own metric does, so that the two can be compared.

use core::cell::Cell;

use exports::proximadb::plugin::metric::{Descriptor, Guest};

wit_bindgen::generate!({ path: "../../wit/v0_1", world: "metric-plugin" });

thread_local! {
    static DIMENSION: Cell<usize> = const { Cell::new(0) };
}

/// Sums that run side by side, so that the compiler uses whole SIMD registers and the loop's own cost is shared.
const LANES: usize = 16;

struct Cosine;

impl Guest for Cosine {
    fn describe(_settings: String, dimension: u32) -> Result<Descriptor, String> {
        DIMENSION.set(dimension as usize);
        Ok(Descriptor { name: "cosine".to_owned(), version: "0.1.0".to_owned(), symmetric: true, lower_is_nearer: false })
    }

    fn score(query: Vec<f32>, block: Vec<f32>) -> Result<Vec<f32>, String> {
        let dimension = DIMENSION.get();
        if dimension == 0 || query.len() != dimension || block.len() % dimension != 0 {
            return Err("the query or the block is not of the dimension".to_owned());
        }
        let length = dot(&query, &query).sqrt();
        Ok(block.chunks_exact(dimension).map(|row| similarity(&query, length, row)).collect())
    }
}

/// The cosine of the angle between the two, or 0 where one of them has no direction. Sums that ran out of f32 say nothing: such a
/// row is as far as a row can be.
fn similarity(query: &[f32], query_length: f32, row: &[f32]) -> f32 {
    let product = query_length * dot(row, row).sqrt();
    let cosine = if product > 0.0 { dot(query, row) / product } else { 0.0 };
    if product.is_finite() && cosine.is_finite() { cosine.clamp(-1.0, 1.0) } else { -1.0 }
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0f32; LANES];
    let (a_parts, b_parts) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest: f32 = a_parts.remainder().iter().zip(b_parts.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in a_parts.zip(b_parts) {
        for lane in 0..LANES {
            sums[lane] += x[lane] * y[lane];
        }
    }
    sums.iter().sum::<f32>() + rest
}

export!(Cosine);
