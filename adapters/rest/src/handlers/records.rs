//! Writing and reading records.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use proximadb_model::{CodecId, CollectionRef, EncodedOperations, Invalid};
use proximadb_ports::{Change, ChangeOrder, ReadOptions, WriteRequest};

use super::Answer;
use crate::body::{JsonBody, WritePayload};
use crate::problem::Problem;
use crate::routes::Api;
use crate::target::{InCollection, NoParameters, OfRecord, Parameters, idempotency_key};
use crate::{answers, convert, requests};

pub(crate) async fn write_records(
    State(api): State<Api>,
    InCollection(collection): InCollection,
    headers: HeaderMap,
    parameters: Parameters,
    payload: WritePayload<requests::Write>,
) -> Answer {
    let idempotency_key = idempotency_key(&headers)?;
    match payload {
        WritePayload::Json(body) => {
            parameters.only(&[])?;
            let (lists, durability) = convert::write_lists(body)?;
            let order = ChangeOrder::of(&lists);
            let request = WriteRequest { changes: lists.into_changes()?, durability, idempotency_key, encoded: None };
            write(&api, &collection, request, Some(order)).await
        }
        WritePayload::Avro(payload) => {
            parameters.only(&["durability"])?;
            let encoded = Some(EncodedOperations { codec: CodecId::AVRO, payload });
            let request = WriteRequest { changes: Vec::new(), durability: parameters.durability()?, idempotency_key, encoded };
            write(&api, &collection, request, None).await
        }
    }
}

pub(crate) async fn delete_record(
    State(api): State<Api>,
    InCollection(collection): InCollection,
    OfRecord(id): OfRecord,
    headers: HeaderMap,
    parameters: Parameters,
) -> Answer {
    parameters.only(&["durability"])?;
    let request = WriteRequest {
        changes: vec![Change::Delete(id)],
        durability: parameters.durability()?,
        idempotency_key: idempotency_key(&headers)?,
        encoded: None,
    };
    write(&api, &collection, request, None).await
}

async fn write(api: &Api, collection: &CollectionRef, request: WriteRequest, order: Option<ChangeOrder>) -> Answer {
    request.check()?;
    match api.database.write(collection, request).await {
        Ok(outcome) => answers::json(StatusCode::OK, &answers::written(&outcome)),
        Err(mut error) => {
            if let (Some(order), Some(field)) = (order, &error.field) {
                error.field = Some(order.client_field(field));
            }
            Err(error.into())
        }
    }
}

pub(crate) async fn get_record(
    State(api): State<Api>,
    InCollection(collection): InCollection,
    OfRecord(id): OfRecord,
    parameters: Parameters,
) -> Answer {
    parameters.only(&["with_vector", "with_metadata", "vector_format"])?;
    let read = ReadOptions {
        vector: parameters.flag("with_vector")?.unwrap_or(true),
        metadata: parameters.flag("with_metadata")?.unwrap_or(true),
    };
    let format = match parameters.text("vector_format") {
        Some(word) => word.parse().map_err(|e: Invalid| Problem::from(e))?,
        None => crate::json::VectorFormat::default(),
    };
    let found = api.database.get(&collection, std::slice::from_ref(&id), read).await?;
    match found.first() {
        Some(Some(record)) => answers::json(StatusCode::OK, &answers::record(record, format)),
        _ => Err(Problem::not_found(format!("record {id}: is not in collection {collection}"))),
    }
}

pub(crate) async fn get_records(
    State(api): State<Api>,
    InCollection(collection): InCollection,
    _: NoParameters,
    JsonBody(body): JsonBody<requests::GetRecords>,
) -> Answer {
    let (ids, read, format) = convert::get_records(body)?;
    let found = api.database.get(&collection, &ids, read).await?;
    answers::json(StatusCode::OK, &answers::records(&found, format))
}
