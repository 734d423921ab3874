//! The OpenAPI description. Written by hand in `openapi.json`; the tests hold it to the routes and to the fields of the twins.

/// The description, as JSON.
pub(crate) const DESCRIPTION: &str = include_str!("openapi.json");
