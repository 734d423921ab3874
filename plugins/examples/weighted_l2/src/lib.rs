//! L2 distance in which some components count more than others: `{"weights": [1.0, 0.5, …]}`, one for each component.

use proximadb_plugin_guest::{Descriptor, Metric, export_metric, sum_rows};
use serde::Deserialize;

/// The settings are all that the metric is.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WeightedL2 {
    weights: Vec<f32>,
}

impl Metric for WeightedL2 {
    fn new(settings: &str, dimension: usize) -> Result<Self, String> {
        let Self { weights } = serde_json::from_str(settings).map_err(|error| format!("settings: {error}"))?;
        if weights.len() != dimension {
            return Err(format!("weights: there are {} of them for {dimension} components", weights.len()));
        }
        if let Some(place) = weights.iter().position(|weight| !weight.is_finite() || *weight < 0.0) {
            return Err(format!("weights: number {place} is {}, which is no weight", weights[place]));
        }
        Ok(Self { weights })
    }

    fn describe(&self) -> Descriptor {
        Descriptor { name: "weighted L2".to_owned(), version: "0.2.0".to_owned(), symmetric: true, lower_is_nearer: true }
    }

    fn score(&self, query: &[f32], block: &[f32], out: &mut [f32]) -> Result<(), String> {
        let square = |[weight, q]: [f32; 2], x: f32| [weight * (q - x) * (q - x)];
        // A sum that ran out of f32, or is no number any more, is as far as a row can be.
        Ok(sum_rows([&self.weights, query], block, out, square, |[sum]| sum.sqrt().min(f32::MAX))?)
    }
}

export_metric!(WeightedL2);
