//! Reading a request's body within its limit, and the media types that are understood.

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use bytes::{Buf, BytesMut};
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;

use crate::json;
use crate::problem::Problem;
use crate::routes::Api;
use crate::settings::RestSettings;

const JSON: &str = "application/json";
const JSON_OR_AVRO: &str = "application/json, application/avro, avro/binary";

/// From this size on a body is parsed on a thread that drives no connections.
const PARSE_INLINE_BYTES_MAX: usize = 64 << 10;

/// A JSON body of a known shape; an empty body is an empty object.
pub(crate) struct JsonBody<T>(pub(crate) T);

impl<T: DeserializeOwned + Send + 'static> FromRequest<Api> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &Api) -> Result<Self, Problem> {
        match media_type(request.headers()).as_deref() {
            None | Some(JSON) => {}
            Some(_) => return Err(Problem::media_type(JSON)),
        }
        let bytes = read(request.into_body(), &api.settings).await?;
        parse(bytes).await.map(Self)
    }
}

/// The body of a write, which has more than one media type.
pub(crate) enum WritePayload<T> {
    Json(T),
    Avro(Bytes),
}

impl<T: DeserializeOwned + Send + 'static> FromRequest<Api> for WritePayload<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &Api) -> Result<Self, Problem> {
        let settings = &api.settings;
        match media_type(request.headers()).as_deref() {
            None | Some(JSON) => parse(read(request.into_body(), settings).await?).await.map(Self::Json),
            Some("application/avro" | "avro/binary") => read(request.into_body(), settings).await.map(Self::Avro),
            Some(_) => Err(Problem::media_type(JSON_OR_AVRO)),
        }
    }
}

/// The media type in lowercase without its parameters.
fn media_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::CONTENT_TYPE)?;
    let text = value.to_str().unwrap_or("?");
    Some(text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

/// Collects a body. Beyond the limit nothing is kept, but as much again is read and dropped: a client that is still sending
/// would otherwise lose the answer to a reset of its connection. A client that has stopped to send does not keep its place.
async fn read(mut body: Body, settings: &RestSettings) -> Result<Bytes, Problem> {
    let limit = settings.body_bytes_max;
    let mut kept = BytesMut::new();
    let mut seen = 0usize;
    loop {
        let frame = tokio::time::timeout(settings.body_timeout, body.frame()).await;
        let Some(frame) = frame.map_err(|_| Problem::of_status(StatusCode::REQUEST_TIMEOUT))? else { break };
        let frame = frame.map_err(|e| Problem::malformed(format!("the body cannot be read: {e}")))?;
        let Ok(data) = frame.into_data() else { continue };
        seen = seen.saturating_add(data.remaining());
        if seen <= limit {
            kept.extend_from_slice(&data);
        } else if seen > limit.saturating_mul(2) {
            break;
        } else {
            kept = BytesMut::new();
        }
    }
    if seen > limit { Err(Problem::too_large(limit)) } else { Ok(kept.freeze()) }
}

async fn parse<T: DeserializeOwned + Send + 'static>(bytes: Bytes) -> Result<T, Problem> {
    if bytes.len() <= PARSE_INLINE_BYTES_MAX {
        return parse_now(&bytes);
    }
    match tokio::task::spawn_blocking(move || parse_now(&bytes)).await {
        Ok(parsed) => parsed,
        Err(e) => Err(Problem { cause: Some(e.to_string()), ..Problem::of_status(StatusCode::INTERNAL_SERVER_ERROR) }),
    }
}

fn parse_now<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    json::parse(if bytes.is_empty() { b"{}" } else { bytes }).map_err(Problem::from)
}
