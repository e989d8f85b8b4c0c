//! The style sheet, the scripts and the icon, each under an address that changes with its content.

use std::sync::LazyLock;

use axum::{
    Router,
    extract::OriginalUri,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use domain::key::Digest;

use crate::app::App;

/// What is served: name, type, content.
const FILES: [(&str, &str, &str); 4] = [
    ("berth.css", "text/css; charset=utf-8", include_str!("../../assets/berth.css")),
    ("berth.js", "text/javascript; charset=utf-8", include_str!("../../assets/berth.js")),
    ("passkeys.js", "text/javascript; charset=utf-8", include_str!("../../assets/passkeys.js")),
    ("berth.svg", "image/svg+xml", include_str!("../../assets/berth.svg")),
];

static ADDRESSES: LazyLock<Vec<String>> = LazyLock::new(|| {
    let address = |(name, _, content): &(&str, &str, &str)| {
        let digest = Digest::of(content.as_bytes()).to_string();
        format!("/assets/{}/{name}", &digest[..12])
    };
    FILES.iter().map(address).collect()
});

/// Where the style sheet is.
#[must_use]
pub fn style() -> &'static str {
    &ADDRESSES[0]
}

/// Where the script is.
#[must_use]
pub fn script() -> &'static str {
    &ADDRESSES[1]
}

/// Where the script for passkeys is.
#[must_use]
pub fn passkeys() -> &'static str {
    &ADDRESSES[2]
}

/// The files.
pub fn routes() -> Router<App> {
    Router::new()
        .route("/assets/{digest}/{name}", get(asset))
        .route("/favicon.ico", get(|| async { file(&FILES[3], "public, max-age=86400") }))
}

/// A file under its own digest only: during an update another server may have another content of that name.
async fn asset(OriginalUri(uri): OriginalUri) -> Response {
    let wanted = ADDRESSES.iter().position(|address| address == uri.path());
    match wanted.and_then(|place| FILES.get(place)) {
        Some(found) => file(found, "public, max-age=31536000, immutable"),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

fn file((_, kind, content): &(&str, &'static str, &'static str), keep: &'static str) -> Response {
    let mut response = content.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(keep));
    response
}
