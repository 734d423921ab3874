//! L2 distance in which some components count more than others: `{"weights": [1.0, 0.5, …]}`, one for each component.

use proximadb_plugin_guest::{Descriptor, Metric, export_metric, score_rows, weighted_squared_l2};
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
        Descriptor { name: "weighted L2".to_owned(), version: "0.1.0".to_owned(), symmetric: true, lower_is_nearer: true }
    }

    fn score(&self, query: &[f32], block: &[f32], out: &mut [f32]) -> Result<(), String> {
        // A sum that ran out of f32, or is no number any more, is as far as a row can be.
        let distance = |query: &[f32], row: &[f32]| weighted_squared_l2(&self.weights, query, row).sqrt().min(f32::MAX);
        Ok(score_rows(query, block, out, distance)?)
    }
}

export_metric!(WeightedL2);
