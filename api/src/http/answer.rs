//! Answers: a body with its ETag, the position that was written, and how to go on in a list.
//!
//! # Correctness
//! An ETag is `"r<revision>-<body>"`: the revision of the thing's stream, and eight digits of the digest of the body,
//! because signs of life change a body without an event. Of a thing with values outside the ledger (a name, addresses)
//! it is `"r<revision>-<body>-<values>"`, with eight digits of the digest of those. If-Match compares the revision, as
//! the log does; a change of such values compares them too, one change at a time. A sign of life stops no change.

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
use projections::private::Alone;
use serde::Serialize;

use crate::{
    app::App,
    error::Problem,
    execute::{By, Done},
};

/// The header that says which position an answer wrote.
pub const POSITION: HeaderName = HeaderName::from_static("berth-position");

/// Held while values outside the ledger are compared and changed, at whichever server.
///
/// # Errors
/// When the private store fails.
pub async fn changing(app: &App) -> Result<Alone, Problem> {
    Ok(app.private.alone("changing").await?)
}

/// The part of an ETag that stands for values outside the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Values(u32);

impl Values {
    /// The part that stands for these values.
    pub fn of(values: &impl Serialize) -> Self {
        let Digest(digest) = Digest::of(&serde_json::to_vec(values).unwrap_or_default());
        Self(u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]))
    }
}

/// An answer.
#[derive(Debug)]
pub struct Answer<T> {
    status: StatusCode,
    body: Option<T>,
    revision: Option<Revision>,
    values: Option<Values>,
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
            values: None,
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

    /// With values outside the ledger, which make a part of its ETag.
    pub fn of(self, values: Values) -> Self {
        Self { values: Some(values), ..self }
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
        Self { status, body: None, revision: None, values: None, position, headers }
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
            let values = self.values.map(|Values(values)| format!("-{values:08x}")).unwrap_or_default();
            let tag = HeaderValue::from_str(&format!("\"r{revision}-{}{values}\"", &digest[..8]));
            tag.into_iter().for_each(|tag| drop(headers.insert(header::ETAG, tag)));
        }
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        (self.status, headers, body).into_response()
    }
}

/// The form of `If-Match`, as the API documents it.
pub const IF_MATCH: &str = r#"^(\*|"r[0-9]{1,20}(-[0-9a-f]{8}){0,2}")$"#;

/// What a change is conditional on: what `If-Match` names.
#[derive(Debug, Clone, Copy, Default)]
pub struct IfMatch {
    revision: Option<Revision>,
    values: Option<Values>,
}

impl IfMatch {
    /// The condition as the services take it.
    #[must_use]
    pub fn only_at(self) -> Option<Option<Revision>> {
        self.revision.map(Some)
    }

    /// Compares with what there is, for changes that the log does not compare itself.
    ///
    /// # Errors
    /// 412 when they differ.
    pub fn check(self, actual: Option<Revision>) -> Result<(), Problem> {
        let same = self.revision.is_none_or(|wanted| Some(wanted) == actual);
        if same { Ok(()) } else { Err(Problem::stale(actual)) }
    }

    /// As [`IfMatch::check`], for a change of values outside the ledger: the ETag must stand for those that there are.
    ///
    /// # Errors
    /// As [`IfMatch::check`].
    pub fn check_values(self, actual: Option<Revision>, values: Values) -> Result<(), Problem> {
        self.check(actual)?;
        let same = self.revision.is_none() || self.values == Some(values);
        if same { Ok(()) } else { Err(Problem::changed("its name or an address is another by now")) }
    }

    fn parse(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::default());
        }
        let mut parts = text.strip_prefix("\"r")?.strip_suffix('"')?.split('-');
        let revision = parts.next().filter(|text| text.bytes().all(|b| b.is_ascii_digit()))?.parse().ok()?;
        let digests = parts.map(|text| {
            let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
            let ok = text.len() == 8 && text.bytes().all(hex);
            u32::from_str_radix(text, 16).ok().filter(|_| ok).map(Values)
        });
        match digests.collect::<Option<Vec<_>>>()?[..] {
            [] | [_] => Some(Self { revision: Some(revision), values: None }),
            [_, values] => Some(Self { revision: Some(revision), values: Some(values) }),
            _ => None,
        }
    }
}

impl<S: Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Some(value) = parts.headers.get(header::IF_MATCH) else { return Ok(Self::default()) };
        let unreadable = || Problem::malformed("If-Match must be one strong ETag as an answer gave it, or *");
        Self::parse(value.to_str().unwrap_or_default().trim()).ok_or_else(unreadable)
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
    let done = match condition.only_at() {
        None => app.executor.execute::<A>(id, command, by).await?,
        Some(revision) => app.executor.execute_at::<A>(id, command, by, revision).await?,
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
