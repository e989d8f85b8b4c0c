//! Forms, and what the pages' script sends in their place.
//!
//! # Correctness
//! A form of somebody signed in is believed only with the value that his own pages carry, so another site cannot send it
//! in his name even where a browser neither says who asks nor keeps the cookie back. What gets its own id from the form's
//! (a device, an account, a token, a request for more time) is made once, however often the form is sent.

use axum::{
    body::Bytes,
    extract::{FromRequest, Request, rejection::BytesRejection},
    http::{StatusCode, header},
};
use serde::{Deserialize, de::DeserializeOwned};
use uuid::Uuid;

use super::{failure::Failure, visit::Visit};
use crate::{
    error::Problem,
    http::extract::{Json, too_large},
};

/// What was sent.
#[derive(Debug)]
pub struct Form<T> {
    /// The fields.
    pub fields: T,
    /// The form's own id.
    pub id: Uuid,
}

/// What the pages' script sends: JSON, with what forms carry in the header `x-csrf`.
#[derive(Debug)]
pub struct Sent<T>(pub T);

#[derive(Deserialize)]
struct Around {
    #[serde(default)]
    csrf: String,
    #[serde(default)]
    form: Uuid,
}

fn unreadable(why: impl std::fmt::Display) -> Problem {
    Problem::malformed(format!("the form cannot be read: {why}"))
}

fn stale() -> Problem {
    let detail = "the form is of an earlier session";
    let action = "go back, load the page again, and send its form";
    Problem::new(StatusCode::FORBIDDEN, "stale-form", detail, action)
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Form<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        let visitor = request.extensions().get::<Visit>().and_then(|visit| visit.visitor.clone());
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        if !kind.is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded")) {
            let (detail, action) = ("this is not how forms are sent", "open the page and send its form");
            let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            return Err(Problem::new(status, "unsupported-media-type", detail, action).into());
        }
        let body = Bytes::from_request(request, state).await.map_err(|rejection: BytesRejection| {
            let large = rejection.status() == StatusCode::PAYLOAD_TOO_LARGE;
            if large { too_large() } else { unreadable("it broke off") }
        })?;
        let around: Around = serde_urlencoded::from_bytes(&body).map_err(unreadable)?;
        if visitor.is_some_and(|visitor| visitor.csrf != around.csrf) {
            return Err(stale().into());
        }
        let fields = serde_urlencoded::from_bytes(&body).map_err(unreadable)?;
        Ok(Self { fields, id: around.form })
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Sent<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let visitor = request.extensions().get::<Visit>().and_then(|visit| visit.visitor.clone());
        let csrf = request.headers().get("x-csrf").and_then(|value| value.to_str().ok());
        if visitor.is_some_and(|visitor| csrf != Some(visitor.csrf.as_str())) {
            return Err(stale());
        }
        Json::from_request(request, state).await.map(|Json(sent)| Self(sent))
    }
}
