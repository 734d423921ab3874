//! The routes, in one table that the router is made of and that the OpenAPI description is compared with.

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodRouter, delete, get, patch, post};
use proximadb_ports::Database;
use tower_http::decompression::RequestDecompressionLayer;

use crate::front::{RequestIds, front};
use crate::handlers;
use crate::problem::Problem;
use crate::settings::RestSettings;

/// What every handler holds.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) database: Arc<dyn Database>,
    pub(crate) settings: Arc<RestSettings>,
}

/// Method, path and handler of each route.
pub(crate) fn routes() -> Vec<(&'static str, &'static str, MethodRouter<Api>)> {
    vec![
        ("post", "/v1/collections", post(handlers::create_collection)),
        ("get", "/v1/collections", get(handlers::list_collections)),
        ("get", "/v1/collections/{collection}", get(handlers::describe_collection)),
        ("patch", "/v1/collections/{collection}", patch(handlers::update_collection)),
        ("delete", "/v1/collections/{collection}", delete(handlers::delete_collection)),
        ("post", "/v1/collections/{collection}/records", post(handlers::write_records)),
        ("post", "/v1/collections/{collection}/records/get", post(handlers::get_records)),
        ("get", "/v1/collections/{collection}/records/{id}", get(handlers::get_record)),
        ("delete", "/v1/collections/{collection}/records/{id}", delete(handlers::delete_record)),
        ("post", "/v1/collections/{collection}/search", post(handlers::search)),
        ("post", "/v1/collections/{collection}/search/batch", post(handlers::search_batch)),
        ("post", "/v1/collections/{collection}/scan", post(handlers::scan)),
        ("post", "/v1/collections/{collection}/count", post(handlers::count)),
        ("post", "/v1/collections/{collection}/flush", post(handlers::flush)),
        ("get", "/v1/collections/{collection}/index", get(handlers::index_status)),
        ("post", "/v1/collections/{collection}/accept_loss", post(handlers::accept_loss)),
        ("get", "/v1/sites", get(handlers::sites)),
        ("post", "/v1/sites/{site}/drain", post(handlers::drain_site)),
        ("delete", "/v1/sites/{site}/drain", delete(handlers::cancel_drain)),
        ("post", "/v1/sites/{site}/fail_over", post(handlers::fail_over)),
        ("post", "/v1/rebalance", post(handlers::rebalance)),
        ("get", "/v1/tasks", get(handlers::tasks)),
        ("get", "/v1/assignments", get(handlers::assignments)),
        ("get", "/v1/plugins", get(handlers::plugins)),
        ("get", "/livez", get(handlers::livez)),
        ("get", "/readyz", get(handlers::readyz)),
        ("get", "/health", get(handlers::health)),
        ("get", "/metrics", get(handlers::metrics)),
        ("get", "/openapi.json", get(handlers::openapi)),
    ]
}

/// The REST service over `database`. Every answer has the header `x-request-id`, and every error is a problem (RFC 9457).
pub fn router(database: Arc<dyn Database>, settings: RestSettings) -> Router {
    let ids = Arc::new(RequestIds::new(&settings.request_id_prefix));
    let mut router = Router::new();
    for (_, path, handler) in routes() {
        router = router.route(path, handler);
    }
    router
        .fallback(|| async { Problem::of_status(StatusCode::NOT_FOUND) })
        .method_not_allowed_fallback(|| async { Problem::of_status(StatusCode::METHOD_NOT_ALLOWED) })
        .layer(RequestDecompressionLayer::new())
        .layer(from_fn_with_state(ids, front))
        .with_state(Api { database, settings: Arc::new(settings) })
}
