//! What is around every request: its id, its line in the logs, its limits, and the headers of every answer.
//!
//! # Correctness
//! Whatever happens inside, a panic and a time-out included, the caller gets one answer with its request id. The logs
//! name the route as documented, never the address as sent, and no header or body: those may hold secrets.

use std::{
    panic::AssertUnwindSafe,
    time::{Duration, Instant},
};

use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use domain::id::CorrelationId;
use futures_util::FutureExt;
use tracing::{Instrument, field::Empty};
use uuid::Uuid;

use crate::{app::App, error::Problem};

/// The largest body of a request, in bytes.
pub const MAX_BODY: usize = 65_536;

/// Seconds after which a request is given up; longer than any wait for news.
const PATIENCE: Duration = Duration::from_secs(60);

/// The header that carries a request's id.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The id of the request being answered: the correlation id of its commands.
#[derive(Debug, Clone, Copy)]
pub struct RequestId(pub CorrelationId);

/// Answers a request within its limits and logs one line about it.
pub async fn frame(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let id = given_id(request.headers()).unwrap_or_else(|| app.fresh_id());
    request.extensions_mut().insert(RequestId(CorrelationId(id)));
    let method = request.method().clone();
    let path = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str).to_owned();
    let known = request.headers().get(header::IF_NONE_MATCH).cloned();
    let private = request.headers().contains_key(header::AUTHORIZATION);

    let span =
        tracing::info_span!("request", request_id = %id, %method, path, status = Empty, latency_ms = Empty);
    let begun = Instant::now();
    let answer = AssertUnwindSafe(next.run(request)).catch_unwind().instrument(span.clone());
    let answered = tokio::time::timeout(PATIENCE, answer).await;
    let _inside = span.enter();
    let mut response = match answered {
        Ok(Ok(response)) => response,
        Ok(Err(_panic)) => Problem::internal(&"a handler panicked").into_response(),
        Err(_) => timed_out().into_response(),
    };
    if method == Method::GET && known.is_some_and(|known| is_known(&known, &response)) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        *response.body_mut() = axum::body::Body::empty();
        response.headers_mut().remove(header::CONTENT_TYPE);
        response.headers_mut().remove(header::CONTENT_LENGTH);
    }
    add_headers(response.headers_mut(), id, &path, private);
    let latency_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    span.record("status", response.status().as_u16()).record("latency_ms", latency_ms);
    // Gateways ask and report every few seconds.
    if path.starts_with("/v1/gateways/") && response.status().is_success() {
        tracing::debug!("request answered");
    } else {
        tracing::info!("request answered");
    }
    response
}

fn given_id(headers: &HeaderMap) -> Option<Uuid> {
    let text = headers.get(REQUEST_ID)?.to_str().ok()?;
    Uuid::parse_str(text).ok().filter(|id| !id.is_nil())
}

fn timed_out() -> Problem {
    let detail = "the request took too long; what it asked for may still happen";
    let action = "send the same request with the same Idempotency-Key again";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "timed-out", detail, action).retry_after(1)
}

/// Whether the caller holds this very answer.
fn is_known(known: &HeaderValue, response: &Response) -> bool {
    let tag = response.headers().get(header::ETAG).and_then(|tag| tag.to_str().ok());
    let (Some(tag), Ok(known), StatusCode::OK) = (tag, known.to_str(), response.status()) else {
        return false;
    };
    known.split(',').map(str::trim).any(|k| k == "*" || k.strip_prefix("W/").unwrap_or(k) == tag)
}

fn add_headers(headers: &mut HeaderMap, id: Uuid, path: &str, private: bool) {
    let policy = if path.starts_with("/docs") {
        "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'"
    } else {
        "default-src 'none'; frame-ancestors 'none'"
    };
    if let Ok(id) = HeaderValue::from_str(&id.to_string()) {
        headers.insert(REQUEST_ID, id);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    // Pages have one of their own.
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static(policy));
    if private {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
}

/// The answer to a path that is none.
pub async fn no_such_path() -> Problem {
    let detail = "there is nothing at this path";
    Problem::new(StatusCode::NOT_FOUND, "no-such-path", detail, "see /docs for what there is")
}

/// The answer to a method that a path does not have.
pub async fn no_such_method() -> Problem {
    let detail = "this path does not take this method";
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "no-such-method", detail, "see /docs and the Allow header")
}
