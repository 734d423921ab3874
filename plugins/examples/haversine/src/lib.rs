//! The distance between two places on the globe in kilometres, of vectors `[latitude, longitude]` in degrees:
//! `{"radius_km": 6371.0088}` says how large the globe is.

use proximadb_plugin_guest::{Descriptor, Metric, export_metric, score_rows};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Haversine {
    #[serde(default = "mean_radius_of_the_earth")]
    radius_km: f64,
}

fn mean_radius_of_the_earth() -> f64 {
    6371.0088
}

impl Metric for Haversine {
    fn new(settings: &str, dimension: usize) -> Result<Self, String> {
        let metric: Self = serde_json::from_str(settings).map_err(|error| format!("settings: {error}"))?;
        if dimension != 2 {
            return Err(format!("dimension: a place has 2 components, latitude and longitude, not {dimension}"));
        }
        // Half around a globe must be a number that f32 can hold.
        if !(metric.radius_km > 0.0 && metric.radius_km < 1e30) {
            return Err(format!("radius_km: {} is no radius", metric.radius_km));
        }
        Ok(metric)
    }

    fn describe(&self) -> Descriptor {
        Descriptor { name: "haversine".to_owned(), version: "0.1.0".to_owned(), symmetric: true, lower_is_nearer: true }
    }

    fn score(&self, query: &[f32], block: &[f32], out: &mut [f32]) -> Result<(), String> {
        Ok(score_rows(query, block, out, |a, b| (self.radius_km * angle(a, b)) as f32)?)
    }
}

/// The angle between two places as the globe's centre sees it, in radians.
fn angle(a: &[f32], b: &[f32]) -> f64 {
    let degrees = |place: &[f32], component: usize| f64::from(place[component]).to_radians();
    let half = |component: usize| ((degrees(b, component) - degrees(a, component)) / 2.0).sin();
    let (north, east) = (half(0), half(1));
    let chord = north * north + degrees(a, 0).cos() * degrees(b, 0).cos() * east * east;
    // Latitudes beyond the poles are no places, and may give less than nothing or more than all.
    2.0 * chord.clamp(0.0, 1.0).sqrt().asin()
}

export_metric!(Haversine);
