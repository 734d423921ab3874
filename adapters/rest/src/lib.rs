//! REST: the `Database` port over HTTP and JSON.
//!
//! Owns the routes, the JSON twins of the port's words, the table from fault to status and the OpenAPI description. Refuses to
//! know the engine, files and configuration: it holds an `Arc<dyn Database>` and [`RestSettings`], nothing else.

mod answers;
mod body;
mod convert;
mod fault_status;
mod front;
mod handlers;
mod json;
mod openapi;
mod problem;
mod requests;
mod routes;
mod serve;
mod settings;
mod target;

pub use fault_status::http_status;
pub use routes::router;
pub use serve::RestServer;
pub use settings::RestSettings;
