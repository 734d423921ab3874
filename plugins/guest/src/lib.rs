//! Owns what a plugin in Rust would otherwise write anew: the exports of `plugins/wit/v0_1` as traits and macros, the checks of
//! lengths, and loops that become SIMD. Refuses to know hosts, the server's crates and the format of settings.
//!
//! A metric implements [`Metric`] and ends with [`export_metric!`]; a placement strategy implements [`Assigner`] and ends with
//! [`export_assigner!`]. A plugin is a `cdylib` that exports one of the two:
//!
//! ```no_run
//! use proximadb_plugin_guest::{Descriptor, Metric, export_metric, score_rows, squared_l2};
//!
//! struct Euclid;
//!
//! impl Metric for Euclid {
//!     fn new(_settings: &str, _dimension: usize) -> Result<Self, String> {
//!         Ok(Self)
//!     }
//!
//!     fn describe(&self) -> Descriptor {
//!         Descriptor { name: "Euclid".to_owned(), version: "1".to_owned(), symmetric: true, lower_is_nearer: true }
//!     }
//!
//!     fn score(&self, query: &[f32], block: &[f32], out: &mut [f32]) -> Result<(), String> {
//!         Ok(score_rows(query, block, out, |query, row| squared_l2(query, row).sqrt().min(f32::MAX))?)
//!     }
//! }
//!
//! export_metric!(Euclid);
//! # fn main() {}
//! ```

mod assigner;
pub mod bindings;
mod kernel;
mod lanes;
mod metric;
mod pass;
mod rows;
mod site;

pub use assigner::Assigner;
pub use bindings::assigner::exports::proximadb::plugin::assigner::{Kind, Refusal, Site, Subject};
pub use bindings::metric::exports::proximadb::plugin::metric::Descriptor;
pub use kernel::{dot, squared_l2, weighted_squared_l2};
pub use metric::{Metric, MetricSlot};
pub use pass::sum_rows;
pub use rows::{Mismatch, score_rows};
