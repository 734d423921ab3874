//! Searching, scanning and counting.

use axum::extract::State;
use axum::http::StatusCode;
use proximadb_ports::PortError;

use super::Answer;
use crate::answers::Under;
use crate::body::JsonBody;
use crate::problem::Problem;
use crate::routes::Api;
use crate::target::{InCollection, NoParameters};
use crate::{answers, convert, requests};

pub(crate) async fn search(
    State(api): State<Api>,
    InCollection(collection): InCollection,
    _: NoParameters,
    JsonBody(body): JsonBody<requests::Search<1>>,
) -> Answer {
    let (request, format) = convert::search(body)?;
    let explained = request.explain;
    let answered = api.database.search(&collection, vec![request]).await.map_err(of_only_query)?;
    let response = answered.first().ok_or_else(|| unanswered(1, 0))?;
    answers::json(StatusCode::OK, &answers::found(response, format, explained))
}

pub(crate) async fn search_batch(
    State(api): State<Api>,
    InCollection(collection): InCollection,
    _: NoParameters,
    JsonBody(body): JsonBody<requests::SearchBatch>,
) -> Answer {
    let (queries, formats) = convert::search_batch(body)?;
    let how: Vec<_> = formats.into_iter().zip(queries.iter().map(|q| q.explain)).collect();
    let responses = api.database.search(&collection, queries).await?;
    if responses.len() != how.len() {
        return Err(unanswered(how.len(), responses.len()));
    }
    answers::json(StatusCode::OK, &answers::found_each(&responses, &how))
}

/// The engine blames a query of a list; the client of a single search sent none.
fn of_only_query(mut error: PortError) -> PortError {
    if let Some(field) = error.field.as_deref().and_then(|f| f.strip_prefix("queries[0].")) {
        error.field = Some(field.to_owned());
    }
    error
}

fn unanswered(asked: usize, answered: usize) -> Problem {
    let cause = format!("{asked} queries got {answered} answers");
    Problem { cause: Some(cause), ..Problem::of_status(StatusCode::INTERNAL_SERVER_ERROR) }
}

pub(crate) async fn scan(
    State(api): State<Api>,
    InCollection(collection): InCollection,
    _: NoParameters,
    JsonBody(body): JsonBody<requests::Scan>,
) -> Answer {
    let (request, format) = convert::scan(body)?;
    let page = api.database.scan(&collection, request).await?;
    answers::json(StatusCode::OK, &answers::page(&page, format))
}

pub(crate) async fn count(
    State(api): State<Api>,
    InCollection(collection): InCollection,
    _: NoParameters,
    JsonBody(body): JsonBody<requests::Count>,
) -> Answer {
    let count = api.database.count(&collection, convert::count_filter(body)?).await?;
    answers::json(StatusCode::OK, &Under("count", count))
}
