//! Moving shards between sites, and going on without what is lost.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;

use super::Answer;
use crate::body::JsonBody;
use crate::routes::Api;
use crate::target::{AtSite, InCollection, NoParameters};
use crate::{answers, requests};

pub(crate) async fn drain_site(
    State(api): State<Api>,
    AtSite(site): AtSite,
    _: NoParameters,
    JsonBody(_): JsonBody<requests::Admin>,
) -> Answer {
    let task = api.database.drain_site(&site).await?;
    answers::json(StatusCode::ACCEPTED, &answers::task(&task))
}

pub(crate) async fn cancel_drain(State(api): State<Api>, AtSite(site): AtSite, _: NoParameters) -> Answer {
    api.database.cancel_drain(&site).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

pub(crate) async fn fail_over(
    State(api): State<Api>,
    AtSite(site): AtSite,
    _: NoParameters,
    JsonBody(_): JsonBody<requests::Admin>,
) -> Answer {
    let task = api.database.fail_over(&site).await?;
    answers::json(StatusCode::ACCEPTED, &answers::task(&task))
}

pub(crate) async fn rebalance(State(api): State<Api>, _: NoParameters, JsonBody(_): JsonBody<requests::Admin>) -> Answer {
    let task = api.database.rebalance().await?;
    answers::json(StatusCode::ACCEPTED, &answers::task(&task))
}

pub(crate) async fn tasks(State(api): State<Api>, _: NoParameters) -> Answer {
    let tasks = api.database.tasks().await;
    answers::json(StatusCode::OK, &answers::tasks(&tasks))
}

pub(crate) async fn accept_loss(
    State(api): State<Api>,
    InCollection(collection): InCollection,
    _: NoParameters,
    JsonBody(_): JsonBody<requests::Admin>,
) -> Answer {
    let losses = api.database.accept_loss(&collection).await?;
    answers::json(StatusCode::OK, &answers::losses(&losses))
}
