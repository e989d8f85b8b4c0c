//! Answers: a body with its ETag, the position that was written, and how to go on in a list.
//!
//! # Correctness
//! An ETag is `"r<revision>-<digest>"`: the revision of the thing's stream, and eight digits of the digest of the body,
//! because names and signs of life change a body without an event. If-Match compares the revision only, as the log does.

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header, request::Parts},
    response::{IntoResponse, Response},
};
use domain::{
    aggregate::Aggregate,
    event::{Position, Revision},
    key::Digest,
};
use serde::Serialize;

use crate::{
    app::App,
    error::Problem,
    execute::{By, Done},
};

/// The header that says which position an answer wrote.
pub const POSITION: HeaderName = HeaderName::from_static("berth-position");

/// An answer.
#[derive(Debug)]
pub struct Answer<T> {
    status: StatusCode,
    body: Option<T>,
    revision: Option<Revision>,
    position: Option<Position>,
    headers: HeaderMap,
}

impl<T> Answer<T> {
    /// 200 with a body.
    pub fn ok(body: T) -> Self {
        Self {
            status: StatusCode::OK,
            body: Some(body),
            revision: None,
            position: None,
            headers: HeaderMap::new(),
        }
    }

    /// 201 with a body and where to find it.
    pub fn created(body: T, location: &str) -> Self {
        let answer = Self { status: StatusCode::CREATED, ..Self::ok(body) };
        answer.header(header::LOCATION, location)
    }

    /// With another status.
    pub fn status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// With the revision of its stream, which makes an ETag.
    pub fn at(self, revision: impl Into<Option<Revision>>) -> Self {
        Self { revision: revision.into(), ..self }
    }

    /// With the last position written.
    pub fn wrote(self, position: Option<Position>) -> Self {
        Self { position, ..self }
    }

    /// With a header; one that cannot be written is left out.
    pub fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }
}

impl Answer<()> {
    /// 204: done, with nothing to say.
    pub fn done(position: Option<Position>) -> Self {
        let (status, headers) = (StatusCode::NO_CONTENT, HeaderMap::new());
        Self { status, body: None, revision: None, position, headers }
    }
}

impl<T: Serialize> IntoResponse for Answer<T> {
    fn into_response(self) -> Response {
        let mut headers = self.headers;
        if let Some(position) = self.position {
            headers.insert(POSITION, position.into());
        }
        let Some(body) = self.body else { return (self.status, headers).into_response() };
        let body = match serde_json::to_vec(&body) {
            Ok(body) => body,
            Err(e) => return Problem::internal(&e).into_response(),
        };
        if let Some(revision) = self.revision {
            let digest = Digest::of(&body).to_string();
            let tag = HeaderValue::from_str(&format!("\"r{revision}-{}\"", &digest[..8]));
            tag.into_iter().for_each(|tag| drop(headers.insert(header::ETAG, tag)));
        }
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        (self.status, headers, body).into_response()
    }
}

/// What a change is conditional on: the revision in `If-Match`.
#[derive(Debug, Clone, Copy)]
pub struct IfMatch(pub Option<Revision>);

impl IfMatch {
    /// The condition as the services take it.
    #[must_use]
    pub fn only_at(self) -> Option<Option<Revision>> {
        self.0.map(Some)
    }

    /// Compares with what there is, for changes that the log does not compare itself.
    ///
    /// # Errors
    /// 412 when they differ.
    pub fn check(self, actual: Option<Revision>) -> Result<(), Problem> {
        let same = self.0.is_none_or(|wanted| Some(wanted) == actual);
        if same { Ok(()) } else { Err(Problem::stale(actual)) }
    }
}

impl<S: Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Some(value) = parts.headers.get(header::IF_MATCH) else { return Ok(Self(None)) };
        let text = value.to_str().unwrap_or_default().trim();
        if text == "*" {
            return Ok(Self(None));
        }
        let tag = text.strip_prefix("\"r").and_then(|text| text.strip_suffix('"'));
        let revision = tag.and_then(|tag| tag.split('-').next()).and_then(|revision| revision.parse().ok());
        let unreadable = || Problem::malformed("If-Match must be one strong ETag as an answer gave it, or *");
        revision.map(|revision| Self(Some(revision))).ok_or_else(unreadable)
    }
}

/// Carries out a command under the condition of the request, and waits until the views know.
///
/// # Errors
/// The refusal, 412, or the log's trouble.
pub async fn execute<A: Aggregate>(
    app: &App,
    id: &A::Id,
    command: A::Command,
    by: &By,
    condition: IfMatch,
) -> Result<Done<A>, Problem>
where
    Problem: From<A::Refusal>,
{
    let done = match condition.0 {
        None => app.executor.execute::<A>(id, command, by).await?,
        Some(revision) => app.executor.execute_at::<A>(id, command, by, Some(revision)).await?,
    };
    app.catch_up(done.position).await;
    Ok(done)
}

/// The address of the next part of a list: the same question with another cursor.
pub fn next_link(uri: &Uri, cursor: &str) -> String {
    let kept = uri
        .query()
        .unwrap_or_default()
        .split('&')
        .filter(|pair| !pair.is_empty() && !pair.starts_with("cursor="));
    let query: Vec<_> = kept.map(str::to_owned).chain([format!("cursor={cursor}")]).collect();
    format!("<{}?{}>; rel=\"next\"", uri.path(), query.join("&"))
}
