//! L2 distance in which some components count more than others: `{"weights": [1.0, 0.5, …]}`, one for each component.

use core::cell::RefCell;

use exports::proximadb::plugin::metric::{Descriptor, Guest};
use serde::Deserialize;

wit_bindgen::generate!({ path: "../../wit/v0_1", world: "metric-plugin" });

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    weights: Vec<f32>,
}

thread_local! {
    static WEIGHTS: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// Sums that run side by side, so that the compiler uses whole SIMD registers and the loop's own cost is shared.
const LANES: usize = 16;

struct WeightedL2;

impl Guest for WeightedL2 {
    fn describe(settings: String, dimension: u32) -> Result<Descriptor, String> {
        let Settings { weights } = serde_json::from_str(&settings).map_err(|error| format!("settings: {error}"))?;
        if weights.len() != dimension as usize {
            return Err(format!("weights: there are {} of them for {dimension} components", weights.len()));
        }
        if let Some(place) = weights.iter().position(|weight| !weight.is_finite() || *weight < 0.0) {
            return Err(format!("weights: number {place} is {}, which is no weight", weights[place]));
        }
        WEIGHTS.set(weights);
        Ok(Descriptor { name: "weighted L2".to_owned(), version: "0.1.0".to_owned(), symmetric: true, lower_is_nearer: true })
    }

    fn score(query: Vec<f32>, block: Vec<f32>) -> Result<Vec<f32>, String> {
        WEIGHTS.with_borrow(|weights| {
            if weights.is_empty() || query.len() != weights.len() || block.len() % weights.len() != 0 {
                return Err("the query or the block is not of the dimension".to_owned());
            }
            Ok(block.chunks_exact(weights.len()).map(|row| distance(weights, &query, row)).collect())
        })
    }
}

fn distance(weights: &[f32], query: &[f32], row: &[f32]) -> f32 {
    let mut sums = [0.0f32; LANES];
    let (w_parts, q_parts, r_parts) = (weights.chunks_exact(LANES), query.chunks_exact(LANES), row.chunks_exact(LANES));
    let rest = w_parts.remainder().iter().zip(q_parts.remainder()).zip(r_parts.remainder());
    let rest: f32 = rest.map(|((w, q), r)| w * (q - r) * (q - r)).sum();
    for ((w, q), r) in w_parts.zip(q_parts).zip(r_parts) {
        for lane in 0..LANES {
            let difference = q[lane] - r[lane];
            sums[lane] += w[lane] * difference * difference;
        }
    }
    // A sum that ran out of f32, or is no number any more, is as far as a row can be.
    (sums.iter().sum::<f32>() + rest).sqrt().min(f32::MAX)
}

export!(WeightedL2);
