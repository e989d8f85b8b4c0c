//! Which name a request asks for.

use hyper::{
    HeaderMap, Method, Uri,
    header::{HOST, HeaderValue},
};

use super::pages::Page;

/// What a request is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    /// The host, and the port if any, as the visitor wrote it.
    pub(super) host: HeaderValue,
    /// The name, in lower case.
    pub(super) subdomain: String,
}

/// The target of a request. A target that stands in the request line rules over the header, as RFC 9112 says.
pub(super) fn target(method: &Method, uri: &Uri, headers: &HeaderMap, domain: &str) -> Result<Target, Page> {
    if method == Method::CONNECT {
        return Err(Page::BadRequest);
    }
    let mut hosts = headers.get_all(HOST).iter();
    let (host, more) = (hosts.next(), hosts.next());
    if more.is_some() {
        return Err(Page::BadRequest);
    }
    let host = match (uri.authority(), host) {
        (Some(authority), _) => HeaderValue::from_str(authority.as_str()).map_err(|_| Page::BadRequest)?,
        (None, Some(host)) => host.clone(),
        (None, None) => return Err(Page::BadRequest),
    };
    let name = host.to_str().ok().and_then(without_port).ok_or(Page::BadRequest)?;
    let subdomain = subdomain(name, domain).ok_or(Page::Unknown)?;
    Ok(Target { host, subdomain })
}

/// The host of `host[:port]`.
fn without_port(host: &str) -> Option<&str> {
    let (name, port) = match host.rsplit_once(':') {
        // An IPv6 address in brackets.
        Some((_, port)) if port.ends_with(']') => (host, ""),
        Some((name, port)) => (name, port),
        None => (host, ""),
    };
    let sound = |c: u8| c.is_ascii_alphanumeric() || b"-._:[]".contains(&c);
    let digits = port.len() <= 5 && port.bytes().all(|c| c.is_ascii_digit());
    (digits && !name.is_empty() && name.bytes().all(sound)).then_some(name)
}

/// The label that stands before `.<domain>` in a name, in lower case; a dot at the end makes no difference.
pub(super) fn subdomain(name: &str, domain: &str) -> Option<String> {
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    let label = name.strip_suffix(domain)?.strip_suffix('.')?;
    let sound = |c: u8| c.is_ascii_alphanumeric() || c == b'-';
    ((1..=63).contains(&label.len()) && label.bytes().all(sound)).then(|| label.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(uri: &str, hosts: &[&str]) -> Result<(String, String), Page> {
        let mut headers = HeaderMap::new();
        for host in hosts {
            headers.append(HOST, HeaderValue::from_str(host).unwrap());
        }
        let target = target(&Method::GET, &uri.parse().unwrap(), &headers, "example.org")?;
        Ok((target.subdomain, target.host.to_str().unwrap().to_owned()))
    }

    #[test]
    fn a_name_is_found_however_it_is_written() {
        for host in ["b1.example.org", "B1.Example.ORG", "b1.example.org.", "b1.example.org:8080"] {
            assert_eq!(of("/", &[host]), Ok(("b1".into(), host.into())));
        }
        let absolute = of("http://b2.example.org:81/x", &["b1.example.org"]);
        assert_eq!(absolute, Ok(("b2".into(), "b2.example.org:81".into())));
    }

    #[test]
    fn what_is_no_name_here_is_unknown() {
        let long = format!("{}.example.org", "a".repeat(64));
        let others = [
            "example.org",
            "a.b1.example.org",
            "b1.example.com",
            "b1example.org",
            "127.0.0.1",
            "[::1]:80",
            &long,
        ];
        for host in others {
            assert_eq!(of("/", &[host]), Err(Page::Unknown), "{host}");
        }
    }

    #[test]
    fn a_request_without_a_sound_host_is_bad() {
        let two = ["b1.example.org", "b1.example.org"];
        for hosts in
            [&[][..], &[""], &two, &["b1.example.org:x"], &["b1 .example.org"], &["u@b1.example.org"]]
        {
            assert_eq!(of("/", hosts), Err(Page::BadRequest), "{hosts:?}");
        }
    }
}
