//! What a visitor sees when a name leads nowhere.

use std::sync::LazyLock;

use axum::body::Body;
use base64::{Engine, engine::general_purpose::STANDARD};
use hyper::{
    HeaderMap, Response, StatusCode,
    header::{
        ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, REFERRER_POLICY,
        RETRY_AFTER, VARY, X_CONTENT_TYPE_OPTIONS,
    },
};
use sha2::{Digest, Sha256};

/// Seconds after which a visitor may try again.
const RETRY_S: HeaderValue = HeaderValue::from_static("10");

/// Why there is no answer of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Page {
    /// The request cannot be understood.
    BadRequest,
    /// The name leads nowhere.
    Unknown,
    /// The request is not for the name that its connection was opened for.
    Misdirected,
    /// The lease ended.
    Over,
    /// The device has no tunnel.
    Away,
    /// The device does not offer HTTP.
    NoService,
    /// Nothing listens on the device.
    Refused,
    /// The device broke off.
    Broken,
    /// The device did not answer in time.
    Late,
    /// The device has as many visitors as it may have.
    Busy,
}

impl Page {
    /// The status, a title and a sentence.
    fn says(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::BadRequest => {
                (StatusCode::BAD_REQUEST, "Bad request", "This request cannot be understood.")
            }
            Self::Unknown => (StatusCode::NOT_FOUND, "Nothing here", "This address leads to no device."),
            Self::Misdirected => (
                StatusCode::MISDIRECTED_REQUEST,
                "Wrong connection",
                "This connection was opened for another address.",
            ),
            Self::Over => (StatusCode::GONE, "Rental over", "The rental behind this address has ended."),
            Self::Away => (
                StatusCode::SERVICE_UNAVAILABLE,
                "Device away",
                "The device behind this address is not connected. Please try again soon.",
            ),
            Self::NoService => (
                StatusCode::BAD_GATEWAY,
                "No web server",
                "The device behind this address is connected, but it offers no web server.",
            ),
            Self::Refused => (
                StatusCode::BAD_GATEWAY,
                "No web server",
                "The device behind this address is connected, but nothing listens on it.",
            ),
            Self::Broken => (
                StatusCode::BAD_GATEWAY,
                "No answer",
                "The device behind this address broke off before it answered.",
            ),
            Self::Late => (
                StatusCode::GATEWAY_TIMEOUT,
                "No answer",
                "The device behind this address did not answer in time.",
            ),
            Self::Busy => (
                StatusCode::SERVICE_UNAVAILABLE,
                "Too many visitors",
                "The device behind this address has as many visitors as it can take. Please try again soon.",
            ),
        }
    }

    /// The answer, as HTML to those who ask for it.
    pub(super) fn answer(self, html: bool) -> Response<Body> {
        let (status, title, sentence) = self.says();
        let (kind, text) = if html {
            let page = format!(
                "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
                 <meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title>\
                 <style>{STYLE}</style><h1>{title}</h1><p>{sentence}</p></html>\n"
            );
            ("text/html; charset=utf-8", page)
        } else {
            ("text/plain; charset=utf-8", format!("{title}. {sentence}\n"))
        };
        let mut response = Response::new(Body::from(text));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(CONTENT_SECURITY_POLICY, POLICY.clone());
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        headers.insert("x-robots-tag", HeaderValue::from_static("noindex"));
        headers.insert(VARY, HeaderValue::from_static("accept"));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, RETRY_S);
        }
        response
    }
}

const STYLE: &str = "body{font:1.1rem/1.5 system-ui,sans-serif;max-width:32rem;margin:15vh auto;padding:0 1rem;\
                     color-scheme:light dark}";

/// Nothing but that style.
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let style = STANDARD.encode(Sha256::digest(STYLE));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    HeaderValue::from_str(&policy).unwrap_or_else(|_| HeaderValue::from_static("default-src 'none'"))
});

/// Whether the visitor reads HTML.
pub(super) fn reads_html(headers: &HeaderMap) -> bool {
    let accept = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accept.flat_map(|value| value.split(',')).any(|kind| {
        let kind = kind.split(';').next().unwrap_or_default().trim();
        kind.eq_ignore_ascii_case("text/html") || kind.eq_ignore_ascii_case("application/xhtml+xml")
    })
}
