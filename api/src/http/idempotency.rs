//! Requests with an Idempotency-Key: done once, however often they are sent.
//!
//! # Shape
//! A key is claimed for the digest of the request; the answer is sealed and kept; the same request gets the same answer
//! again. The request's command id is made of account, key and digest.
//!
//! # Correctness
//! A request that was cut off, by a crash or a lost connection, is resumed under the same command id: what its commands
//! did already is found done, so nothing happens twice. The work goes on when the caller hangs up. Failures of the
//! server are not kept. Answers may hold secrets, hence the seal.

use axum::{
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use domain::{
    id::{AccountId, CommandId},
    key::Digest,
    time::Seconds,
};
use projections::private::Begun;
use serde::{Deserialize, Serialize};
use tracing::Instrument;
use uuid::Uuid;

use super::{
    answer::POSITION,
    auth::{ClaimedCommand, recognise},
    extract::too_large,
    frame::MAX_BODY,
};
use crate::{app::App, error::Problem};

/// The form of `Idempotency-Key`, as the API documents it: a key, with or without quotation marks.
pub const IDEMPOTENCY_KEY: &str = r#"^("[!-~]{1,255}"|[!-~]{1,255})$"#;
/// The longest key, in characters.
const MAX_KEY: usize = 255;
/// The largest answer that is kept, in bytes.
const MAX_ANSWER: usize = 1 << 20;
/// Seconds after which a request without an answer counts as cut off; longer than any request may take.
const CUT_OFF_S: Seconds = 120;
/// Headers that are kept with an answer.
const KEPT: [HeaderName; 5] =
    [header::CONTENT_TYPE, header::ETAG, header::LOCATION, header::RETRY_AFTER, POSITION];

const KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// An answer as it is sealed.
#[derive(Serialize, Deserialize)]
struct Kept {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

/// Lets a request with a key through once and answers its repetitions.
pub async fn once(State(app): State<App>, request: Request, next: Next) -> Response {
    let changes = matches!(*request.method(), Method::POST | Method::PUT | Method::PATCH | Method::DELETE);
    if !changes || !request.headers().contains_key(KEY) {
        return next.run(request).await;
    }
    // Whoever is not recognised is told so by the route, as without a key.
    let Ok((account, _)) = recognise(&app, request.headers()).await else { return next.run(request).await };
    claimed(app, account, request, next).await.unwrap_or_else(IntoResponse::into_response)
}

async fn claimed(app: App, account: AccountId, request: Request, next: Next) -> Result<Response, Problem> {
    let key = key(request.headers())?;
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, MAX_BODY).await.map_err(|_| too_large())?;
    let digest = Digest::of(
        &[parts.method.as_str().as_bytes(), b" ", parts.uri.to_string().as_bytes(), b"\n", &body].concat(),
    );
    let now = app.clock.time();
    // A server that has the store for itself knows that what began before its start was cut off.
    let cut_off = now.plus(-CUT_OFF_S);
    let stale_before = if app.private.is_shared() { cut_off } else { cut_off.max(app.up_since) };
    let mut begun = app.private.begin_idempotent(account, &key, digest, now, stale_before).await?;
    if begun == Begun::InFlight && app.private.is_shared() {
        // Nor is anybody at work on what began before the first of the servers that are there.
        let first = app.private.nodes().await?.first().map_or(stale_before, |node| node.started_at);
        begun = app.private.begin_idempotent(account, &key, digest, now, first.max(stale_before)).await?;
    }
    match begun {
        Begun::Fresh | Begun::Resumed => {}
        Begun::InFlight => return Err(in_flight()),
        Begun::OtherRequest => return Err(reused()),
        Begun::Answered(sealed) => return replay(&app, account, &key, &sealed),
    }
    let command = Uuid::new_v5(&account.0, format!("{digest} {key}").as_bytes());
    let mut request = Request::from_parts(parts, Body::from(body));
    request.extensions_mut().insert(ClaimedCommand(CommandId(command)));
    let work = async move {
        let answer = tokio::spawn(next.run(request).in_current_span()).await;
        let answer = answer.unwrap_or_else(|e| Problem::internal(&e).into_response());
        keep(&app, account, &key, answer).await
    };
    tokio::spawn(work.in_current_span()).await.map_err(|e| Problem::internal(&e))?
}

/// The key, with or without quotation marks.
fn key(headers: &HeaderMap) -> Result<String, Problem> {
    let text = headers.get(KEY).and_then(|value| value.to_str().ok()).unwrap_or_default().trim();
    let bare = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    let ok = (1..=MAX_KEY).contains(&bare.len()) && bare.bytes().all(|b| b.is_ascii_graphic());
    let unreadable =
        || Problem::malformed(format!("Idempotency-Key must be 1 to {MAX_KEY} visible ASCII characters"));
    if ok { Ok(bare.to_owned()) } else { Err(unreadable()) }
}

async fn keep(app: &App, account: AccountId, key: &str, answer: Response) -> Result<Response, Problem> {
    let (parts, body) = answer.into_parts();
    let body = to_bytes(body, MAX_ANSWER).await.map_err(|e| Problem::internal(&e))?;
    let kept = (!parts.status.is_server_error()).then(|| {
        let header =
            |name: &HeaderName| Some((name.to_string(), parts.headers.get(name)?.to_str().ok()?.to_owned()));
        let headers = KEPT.iter().filter_map(header).collect();
        let kept = Kept {
            status: parts.status.as_u16(),
            headers,
            body: String::from_utf8_lossy(&body).into_owned(),
        };
        app.keys.seal(&context(account, key), &serde_json::to_vec(&kept).unwrap_or_default())
    });
    app.private.end_idempotent(account, key, kept).await?;
    Ok(Response::from_parts(parts, Body::from(body)))
}

fn replay(app: &App, account: AccountId, key: &str, sealed: &[u8]) -> Result<Response, Problem> {
    let opened = app.keys.unseal(&context(account, key), sealed).map_err(|e| Problem::internal(&e))?;
    let kept: Kept = serde_json::from_slice(&opened).map_err(|e| Problem::internal(&e))?;
    let mut response = Response::new(Body::from(Bytes::from(kept.body)));
    *response.status_mut() = StatusCode::from_u16(kept.status).unwrap_or(StatusCode::OK);
    for (name, value) in kept.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    Ok(response)
}

fn context(account: AccountId, key: &str) -> String {
    format!("idempotent answer {account} {key}")
}

fn in_flight() -> Problem {
    let (status, detail) = (StatusCode::CONFLICT, "the same request is being worked on");
    Problem::new(status, "idempotency-in-flight", detail, "send it again after Retry-After").retry_after(1)
}

fn reused() -> Problem {
    let (status, detail) =
        (StatusCode::UNPROCESSABLE_ENTITY, "this Idempotency-Key was used for another request");
    Problem::new(status, "idempotency-key-reused", detail, "choose a new key for every new request")
}
