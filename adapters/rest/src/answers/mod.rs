//! The JSON forms of the port's answers, borrowed from them and written straight to bytes.

mod admin;
mod collections;
mod plugins;
mod records;
mod search;
mod status;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::Serialize;
use serde::ser::{SerializeMap, SerializeSeq, Serializer};

use crate::problem::Problem;

pub(crate) use admin::{losses, task, tasks};
pub(crate) use collections::{collection, collections};
pub(crate) use plugins::plugins;
pub(crate) use records::{page, record, records, written};
pub(crate) use search::{found, found_each};
pub(crate) use status::{assignments, health, index, ready, sites};

/// The answer with this JSON.
pub(crate) fn json(status: StatusCode, body: &impl Serialize) -> Result<Response, Problem> {
    let bytes = serde_json::to_vec(body)
        .map_err(|e| Problem { cause: Some(e.to_string()), ..Problem::of_status(StatusCode::INTERNAL_SERVER_ERROR) })?;
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// A sequence written from an iterator, so that answers need no lists of twins.
struct Each<F>(F);

impl<F, I, T> Serialize for Each<F>
where
    F: Fn() -> I,
    I: Iterator<Item = T>,
    T: Serialize,
{
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let items = (self.0)();
        let mut list = serializer.serialize_seq(items.size_hint().1)?;
        for item in items {
            list.serialize_element(&item)?;
        }
        list.end()
    }
}

/// An object with one key.
pub(crate) struct Under<T>(pub(crate) &'static str, pub(crate) T);

impl<T: Serialize> Serialize for Under<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry(self.0, &self.1)?;
        map.end()
    }
}
