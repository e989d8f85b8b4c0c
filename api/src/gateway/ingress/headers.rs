//! Headers on their way through.
//!
//! # Correctness
//! What belongs to one connection is not passed on (RFC 9110, 7.6.1), and what names the visitor is ours alone: whatever a
//! visitor sends under such a name is dropped, also when written with `_`, which many servers cannot tell from `-`. A message
//! that came in chunks has no length of its own, whatever it claims.

use std::net::IpAddr;

use hyper::{
    HeaderMap, Request,
    header::{
        CONNECTION, CONTENT_LENGTH, EXPECT, FORWARDED, HOST, HeaderName, HeaderValue, PROXY_AUTHENTICATE,
        PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE,
    },
};

use super::host::Target;

/// How a visitor came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    Http,
    Https,
}

impl Scheme {
    fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// Protocols that a connection is not switched to: behind them, requests would pass that nobody looks at.
const NEVER_SWITCHED_TO: [&str; 3] = ["h2", "http/", "tls/"];

/// The protocol that a request wants its connection switched to.
pub(super) fn wanted<B>(request: &Request<B>) -> Option<HeaderValue> {
    let headers = request.headers();
    let asked = request.version() == hyper::Version::HTTP_11
        && tokens(headers, &CONNECTION).any(|token| token.eq_ignore_ascii_case("upgrade"));
    let mut protocols = headers.get_all(UPGRADE).iter();
    let (protocol, more) = (protocols.next()?, protocols.next());
    let name = protocol.to_str().ok()?.trim().to_ascii_lowercase();
    let never = NEVER_SWITCHED_TO.iter().any(|never| name.split(',').any(|p| p.trim().starts_with(never)));
    (asked && more.is_none() && !name.is_empty() && !never).then(|| protocol.clone())
}

/// Makes the headers of a visitor's request those of ours.
pub(super) fn request(
    headers: &mut HeaderMap,
    visitor: IpAddr,
    scheme: Scheme,
    target: &Target,
    switch: Option<&HeaderValue>,
) {
    let trailers = tokens(headers, &TE).any(|token| token.eq_ignore_ascii_case("trailers"));
    strip(headers);
    headers.remove(EXPECT);
    let theirs: Vec<_> = headers.keys().filter(|name| names_the_visitor(name)).cloned().collect();
    for name in theirs {
        headers.remove(name);
    }
    let host = &target.host;
    let address = visitor.to_string();
    let quoted = if visitor.is_ipv6() { format!("\"[{address}]\"") } else { address.clone() };
    let forwarded =
        format!("for={quoted};host=\"{}\";proto={}", host.to_str().unwrap_or_default(), scheme.name());
    let mut set = |name, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    set(FORWARDED, &forwarded);
    set(HeaderName::from_static("x-forwarded-for"), &address);
    set(HeaderName::from_static("x-real-ip"), &address);
    set(HeaderName::from_static("x-forwarded-proto"), scheme.name());
    headers.insert(HeaderName::from_static("x-forwarded-host"), host.clone());
    headers.insert(HOST, host.clone());
    if let Some(protocol) = switch {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, protocol.clone());
    } else if trailers {
        headers.insert(CONNECTION, HeaderValue::from_static("te"));
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
}

/// Makes the headers of a device's response those of ours; `switched` when the connection changes its protocol.
pub(super) fn response(headers: &mut HeaderMap, switched: bool) {
    let protocol = headers.get(UPGRADE).cloned();
    strip(headers);
    if let Some(protocol) = protocol.filter(|_| switched) {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, protocol);
    }
}

fn strip(headers: &mut HeaderMap) {
    // First, so that naming it in `Connection` cannot hide that there was one.
    if headers.remove(TRANSFER_ENCODING).is_some() {
        headers.remove(CONTENT_LENGTH);
    }
    let named: Vec<HeaderName> =
        tokens(headers, &CONNECTION).filter_map(|token| token.parse().ok()).collect();
    for name in named {
        headers.remove(name);
    }
    for name in [CONNECTION, TE, UPGRADE, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION] {
        headers.remove(name);
    }
    for name in ["keep-alive", "proxy-connection", "http2-settings"] {
        headers.remove(name);
    }
}

fn names_the_visitor(name: &HeaderName) -> bool {
    let name = name.as_str().replace('_', "-");
    name.starts_with("x-forwarded-")
        || matches!(
            name.as_str(),
            "forwarded"
                | "x-real-ip"
                | "x-client-ip"
                | "x-cluster-client-ip"
                | "x-original-forwarded-for"
                | "client-ip"
                | "true-client-ip"
                | "cf-connecting-ip"
        )
}

fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn a_visitor_cannot_say_who_he_is_nor_take_our_word_away() {
        let mut headers = map(&[
            ("connection", "close, x-forwarded-for, host, cookie"),
            ("cookie", "a=b"),
            ("x-forwarded-for", "6.6.6.6"),
            ("x_forwarded_for", "6.6.6.6"),
            ("x-forwarded-port", "1"),
            ("forwarded", "for=6.6.6.6"),
            ("x-real-ip", "6.6.6.6"),
            ("accept", "*/*"),
        ]);
        let target = Target { host: HeaderValue::from_static("b1.x:80"), subdomain: "b1".into() };
        request(&mut headers, "2001:db8::1".parse().unwrap(), Scheme::Https, &target, None);
        let wanted = map(&[
            ("accept", "*/*"),
            ("forwarded", "for=\"[2001:db8::1]\";host=\"b1.x:80\";proto=https"),
            ("x-forwarded-for", "2001:db8::1"),
            ("x-real-ip", "2001:db8::1"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "b1.x:80"),
            ("host", "b1.x:80"),
        ]);
        assert_eq!(headers, wanted);
    }

    #[test]
    fn a_connection_switches_only_to_what_is_not_http_or_tls() {
        let asks = |connection: &str, upgrade: &str| {
            let request = Request::get("/").header(CONNECTION, connection).header(UPGRADE, upgrade);
            wanted(&request.body(()).unwrap()).is_some()
        };
        assert!(asks("keep-alive, Upgrade", "websocket") && asks("upgrade", "my-protocol/2"));
        assert!(!asks("keep-alive", "websocket") && !asks("upgrade", "h2c"));
        assert!(!asks("upgrade", "websocket, H2C") && !asks("upgrade", "TLS/1.0"));
    }

    #[test]
    fn what_came_in_chunks_has_no_length_of_its_own() {
        let mut headers = map(&[
            ("transfer-encoding", "chunked"),
            ("content-length", "3"),
            ("trailer", "x"),
            ("upgrade", "x"),
        ]);
        response(&mut headers, false);
        assert_eq!(headers, map(&[("trailer", "x")]));
    }
}
