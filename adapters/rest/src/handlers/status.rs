//! Flushing, and everything that tells how the server and its indexes are.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;

use super::Answer;
use crate::answers::Under;
use crate::body::JsonBody;
use crate::routes::Api;
use crate::target::{InCollection, NoParameters};
use crate::{answers, requests};

pub(crate) async fn flush(
    State(api): State<Api>,
    InCollection(collection): InCollection,
    _: NoParameters,
    JsonBody(_): JsonBody<requests::Flush>,
) -> Answer {
    api.database.flush(&collection).await?;
    answers::json(StatusCode::OK, &Under("flushed", true))
}

pub(crate) async fn index_status(State(api): State<Api>, InCollection(collection): InCollection, _: NoParameters) -> Answer {
    let status = api.database.index_status(&collection).await?;
    answers::json(StatusCode::OK, &answers::index(&status))
}

pub(crate) async fn sites(State(api): State<Api>, _: NoParameters) -> Answer {
    let sites = api.database.sites().await;
    answers::json(StatusCode::OK, &answers::sites(&sites))
}

pub(crate) async fn assignments(State(api): State<Api>, _: NoParameters) -> Answer {
    let assignments = api.database.assignments().await;
    answers::json(StatusCode::OK, &answers::assignments(&assignments))
}

pub(crate) async fn plugins(State(api): State<Api>, _: NoParameters) -> Answer {
    let plugins = api.database.plugins().await;
    answers::json(StatusCode::OK, &answers::plugins(&plugins))
}

/// The process answers; says nothing of disks.
pub(crate) async fn livez() -> Answer {
    answers::json(StatusCode::OK, &Under("live", true))
}

/// Whether requests should be sent here.
pub(crate) async fn readyz(State(api): State<Api>) -> Answer {
    let health = api.database.health().await;
    let status = if health.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    answers::json(status, &answers::ready(&health))
}

/// What is wrong, for people and dashboards; 200 as long as the server can tell.
pub(crate) async fn health(State(api): State<Api>, _: NoParameters) -> Answer {
    let (health, sites) = (api.database.health().await, api.database.sites().await);
    answers::json(StatusCode::OK, &answers::health(&health, &sites))
}

pub(crate) async fn metrics(State(api): State<Api>) -> Answer {
    let text = api.database.metrics();
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response())
}

pub(crate) async fn openapi() -> Answer {
    Ok(([(header::CONTENT_TYPE, "application/json")], crate::openapi::DESCRIPTION).into_response())
}
