//! L2 distance after a matrix that was learned elsewhere, so that what matters counts: `{"matrix": [[1.0, 0.0, …], …]}`, a row for each
//! component of what is compared, with as many columns as vectors have components.

use std::cell::RefCell;

use proximadb_plugin_guest::{Descriptor, Metric, Mismatch, export_metric, squared_l2, sum_rows};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    matrix: Vec<Vec<f32>>,
}

struct Learned {
    /// The matrix, row after row.
    matrix: Vec<f32>,
    /// The query and a row after the matrix; room that is used again.
    projected: RefCell<(Vec<f32>, Vec<f32>)>,
}

impl Metric for Learned {
    fn new(settings: &str, dimension: usize) -> Result<Self, String> {
        let Settings { matrix } = serde_json::from_str(settings).map_err(|error| format!("settings: {error}"))?;
        if matrix.is_empty() {
            return Err("matrix: it has no rows".to_owned());
        }
        for (number, row) in matrix.iter().enumerate() {
            if row.len() != dimension {
                return Err(format!("matrix: row {number} has {} columns for {dimension} components", row.len()));
            }
            if row.iter().any(|entry| !entry.is_finite()) {
                return Err(format!("matrix: row {number} has an entry that is not finite"));
            }
        }
        Ok(Self { projected: RefCell::new((vec![0.0; matrix.len()], vec![0.0; matrix.len()])), matrix: matrix.concat() })
    }

    fn describe(&self) -> Descriptor {
        Descriptor { name: "learned".to_owned(), version: "0.2.0".to_owned(), symmetric: true, lower_is_nearer: true }
    }

    fn score(&self, query: &[f32], block: &[f32], out: &mut [f32]) -> Result<(), String> {
        let (there, here) = &mut *self.projected.borrow_mut();
        self.project(query, there)?;
        for (row, value) in block.chunks_exact(query.len()).zip(out) {
            self.project(row, here)?;
            let distance = squared_l2(there, here).sqrt();
            // A sum that ran out of f32, or is no number any more, is as far as a row can be.
            *value = distance.min(f32::MAX);
        }
        Ok(())
    }
}

impl Learned {
    fn project(&self, vector: &[f32], out: &mut [f32]) -> Result<(), Mismatch> {
        sum_rows([vector], &self.matrix, out, |[x], entry| [x * entry], |[sum]| sum)
    }
}

export_metric!(Learned);
