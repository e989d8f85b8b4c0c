//! Reading requests; whatever cannot be read is a problem that says why.

use axum::{
    body::Bytes,
    extract::{
        FromRequest, FromRequestParts, Request,
        rejection::{BytesRejection, PathRejection, QueryRejection},
    },
    http::{StatusCode, header, request::Parts},
};
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use super::frame::MAX_BODY;
use crate::error::Problem;

/// A JSON body.
#[derive(Debug)]
pub struct Json<T>(pub T);

/// A JSON body, or none for the default.
#[derive(Debug)]
pub struct OptionalJson<T>(pub T);

/// What the path names.
#[derive(Debug)]
pub struct Path<T>(pub T);

/// What stands after the question mark.
#[derive(Debug)]
pub struct Query<T>(pub T);

/// The longest part of a parser's message that is passed on, in characters.
const MAX_DETAIL: usize = 300;

fn short(error: &impl ToString) -> String {
    error.to_string().chars().take(MAX_DETAIL).collect()
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let is_json = is_json(&request);
        let body = body(request, state).await?;
        if !is_json {
            let detail = "the body must be JSON and Content-Type must say application/json";
            let action = "send `Content-Type: application/json`";
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported-media-type",
                detail,
                action,
            ));
        }
        parse(&body).map(Self)
    }
}

impl<S: Send + Sync, T: DeserializeOwned + Default> FromRequest<S> for OptionalJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if request.headers().contains_key(header::CONTENT_TYPE) {
            return Json::from_request(request, state).await.map(|Json(body)| Self(body));
        }
        let body = body(request, state).await?;
        if body.is_empty() { Ok(Self(T::default())) } else { parse(&body).map(Self) }
    }
}

fn is_json(request: &Request) -> bool {
    let value = request.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json")
}

async fn body<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Problem> {
    Bytes::from_request(request, state).await.map_err(|rejection: BytesRejection| {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            too_large()
        } else {
            Problem::malformed("the body broke off")
        }
    })
}

/// 413: the body is larger than any request needs.
pub fn too_large() -> Problem {
    let detail = format!("a body has at most {MAX_BODY} bytes");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", detail, "send less")
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    // A list would be taken for an object whose members stand in order.
    if body.trim_ascii_start().starts_with(b"[") {
        return Err(Problem::invalid("the body must be a JSON object"));
    }
    serde_json::from_slice(body).map_err(|e| match e.classify() {
        Category::Data => Problem::invalid(short(&e)),
        Category::Io | Category::Syntax | Category::Eof => {
            Problem::malformed(format!("the body is not JSON: {}", short(&e)))
        }
    })
}

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = axum::extract::Path::from_request_parts(parts, state).await;
        path.map(|axum::extract::Path(path)| Self(path)).map_err(|e: PathRejection| {
            Problem::malformed(format!("the path cannot be read: {}", short(&e.body_text())))
        })
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query = axum::extract::Query::from_request_parts(parts, state).await;
        query.map(|axum::extract::Query(query)| Self(query)).map_err(|e: QueryRejection| {
            Problem::malformed(format!("the query cannot be read: {}", short(&e.body_text())))
        })
    }
}
