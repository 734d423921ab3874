//! What every request passes first and every answer last: the request id, and the form of errors.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;

use crate::problem::Problem;

pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Gives out request ids: a prefix of the process and a count.
pub(crate) struct RequestIds {
    prefix: String,
    next: AtomicU64,
}

impl RequestIds {
    pub(crate) fn new(prefix: &str) -> Self {
        // What a header cannot carry must not cost the id of every answer.
        let prefix = prefix.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
        Self { prefix, next: AtomicU64::new(1) }
    }

    fn draw(&self) -> String {
        format!("{}-{:x}", self.prefix, self.next.fetch_add(1, Ordering::Relaxed))
    }
}

/// Runs the request and makes sure that the answer has its id and that every error is a problem.
pub(crate) async fn front(State(ids): State<Arc<RequestIds>>, request: Request, next: Next) -> Response {
    let id = ids.draw();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let mut response = next.run(request).await;
    let problem = match response.extensions_mut().remove::<Problem>() {
        Some(problem) => Some(problem),
        None if response.status().is_client_error() || response.status().is_server_error() => {
            // A status chosen by an answer of ours (a readiness probe) has its body.
            let ours = response.headers().contains_key(header::CONTENT_TYPE) && !is_plain_text(&response);
            (!ours).then(|| Problem::of_status(response.status()))
        }
        None => None,
    };
    if let Some(problem) = problem {
        if problem.status.is_server_error() {
            tracing::error!(request_id = %id, %method, %path, code = problem.code, cause = problem.cause.as_deref().unwrap_or(&problem.detail));
        }
        write_out(&mut response, &problem, &id);
    }
    if let Ok(value) = HeaderValue::try_from(id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

fn is_plain_text(response: &Response) -> bool {
    response.headers().get(header::CONTENT_TYPE).is_some_and(|t| t.as_bytes().starts_with(b"text/plain"))
}

fn write_out(response: &mut Response, problem: &Problem, id: &str) {
    *response.status_mut() = problem.status;
    response.headers_mut().remove(header::CONTENT_LENGTH);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    if let Some(accept) = problem.accept {
        response.headers_mut().insert(header::ACCEPT, HeaderValue::from_static(accept));
    }
    *response.body_mut() = Body::from(problem.body(id));
}
