//! One function a route: read, call the database once, answer. No rule of the product is decided here.

mod admin;
mod collections;
mod records;
mod search;
mod status;

pub(crate) use admin::{accept_loss, cancel_drain, drain_site, fail_over, rebalance, tasks};
pub(crate) use collections::{create_collection, delete_collection, describe_collection, list_collections, update_collection};
pub(crate) use records::{delete_record, get_record, get_records, write_records};
pub(crate) use search::{count, scan, search, search_batch};
pub(crate) use status::{assignments, flush, health, index_status, livez, metrics, openapi, plugins, readyz, sites};

use crate::problem::Problem;

/// What a handler gives.
type Answer = Result<axum::response::Response, Problem>;
