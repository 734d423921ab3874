//! Creating, describing, listing, changing and dropping collections.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;

use super::Answer;
use crate::body::JsonBody;
use crate::routes::Api;
use crate::target::{InCollection, NoParameters};
use crate::{answers, convert, requests};

pub(crate) async fn create_collection(
    State(api): State<Api>,
    _: NoParameters,
    JsonBody(body): JsonBody<requests::CreateCollection>,
) -> Answer {
    let created = api.database.create_collection(convert::collection_spec(body)?).await?;
    let status = if created.new { StatusCode::CREATED } else { StatusCode::OK };
    answers::json(status, &answers::collection(&created.info))
}

pub(crate) async fn list_collections(State(api): State<Api>, _: NoParameters) -> Answer {
    let infos = api.database.list_collections().await?;
    answers::json(StatusCode::OK, &answers::collections(&infos))
}

pub(crate) async fn describe_collection(State(api): State<Api>, InCollection(collection): InCollection, _: NoParameters) -> Answer {
    let info = api.database.describe_collection(&collection).await?;
    answers::json(StatusCode::OK, &answers::collection(&info))
}

pub(crate) async fn update_collection(
    State(api): State<Api>,
    InCollection(collection): InCollection,
    _: NoParameters,
    JsonBody(body): JsonBody<requests::UpdateCollection>,
) -> Answer {
    // Index settings may be given in part; the rest is what the collection has.
    let present = api.database.describe_collection(&collection).await?;
    let patch = convert::collection_patch(body, &present.collection.spec)?;
    let info = api.database.update_collection(&collection, patch).await?;
    answers::json(StatusCode::OK, &answers::collection(&info))
}

pub(crate) async fn delete_collection(State(api): State<Api>, InCollection(collection): InCollection, _: NoParameters) -> Answer {
    api.database.drop_collection(&collection).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
