//! Where a mail server is, as its URL says.

use std::str::FromStr;

use anyhow::{Context, bail, ensure};
use percent_encoding::percent_decode_str;
use reqwest::Url;

/// When a connection is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tls {
    /// Never.
    None,
    /// When the server offers it.
    IfOffered,
    /// Before anything is said that matters, or not at all.
    Required,
    /// From the first byte on.
    Wrapped,
}

/// Where a mail server is, and how to log in.
#[derive(Clone, PartialEq, Eq)]
pub struct Server {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// When the connection is encrypted.
    pub tls: Tls,
    /// User and password.
    pub login: Option<(String, String)>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("host", &self.host).field("port", &self.port).finish_non_exhaustive()
    }
}

impl FromStr for Server {
    type Err = anyhow::Error;

    /// `smtps://user:password@host:465`, or `smtp://host:25` with `?tls=none`, `opportunistic` or `required`. Unless that is
    /// said, a password requires encryption; without one it is used if offered, but not on this machine, whose mail server
    /// often has a certificate that nobody trusts.
    fn from_str(text: &str) -> anyhow::Result<Self> {
        let form = "it must be like smtps://user:password@mail.example.org or smtp://localhost";
        let Ok(url) = Url::parse(text) else { bail!("{form}") };
        let host = url.host_str().filter(|host| !host.is_empty()).context(form)?;
        ensure!(matches!(url.path(), "" | "/") && url.fragment().is_none(), form);
        let decoded = |part: &str| percent_decode_str(part).decode_utf8().map(Into::into).context(form);
        let login = match (url.username(), url.password()) {
            ("", None) => None,
            (user, Some(password)) if !user.is_empty() => Some((decoded(user)?, decoded(password)?)),
            _ => bail!("a user needs a password, and a password a user"),
        };
        let wanted: Vec<_> = url.query_pairs().collect();
        let wanted = match wanted.as_slice() {
            [] => None,
            [(name, value)] if name == "tls" => Some(value.as_ref()),
            _ => bail!("after the ? only tls can be set"),
        };
        let tls = match (url.scheme(), wanted) {
            ("smtps", None) => Tls::Wrapped,
            ("smtp", Some("none")) => Tls::None,
            ("smtp", Some("opportunistic")) => Tls::IfOffered,
            ("smtp", Some("required")) => Tls::Required,
            ("smtp", None) if login.is_some() => Tls::Required,
            ("smtp", None) if matches!(host, "localhost" | "127.0.0.1" | "[::1]") => Tls::None,
            ("smtp", None) => Tls::IfOffered,
            ("smtp", Some(_)) => bail!("tls is one of none, opportunistic and required"),
            _ => bail!("{form}"),
        };
        let usual = match (tls, &login) {
            (Tls::Wrapped, _) => 465,
            (_, Some(_)) => 587,
            _ => 25,
        };
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        Ok(Self { host, port: url.port().unwrap_or(usual), tls, login })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_where_the_server_is_and_when_to_encrypt() {
        for (url, host, port, tls, user) in [
            ("smtps://u:p%40ss@mail.example.org", "mail.example.org", 465, Tls::Wrapped, Some(("u", "p@ss"))),
            ("smtp://localhost", "localhost", 25, Tls::None, None),
            ("smtp://mail.example.org", "mail.example.org", 25, Tls::IfOffered, None),
            ("smtp://u:p@localhost", "localhost", 587, Tls::Required, Some(("u", "p"))),
            ("smtp://u:p@h", "h", 587, Tls::Required, Some(("u", "p"))),
            ("smtp://u:p@h:2525?tls=none", "h", 2525, Tls::None, Some(("u", "p"))),
            ("smtp://[::1]:26/?tls=required", "::1", 26, Tls::Required, None),
        ] {
            let server: Server = url.parse().unwrap();
            let login = server.login.as_ref().map(|(user, password)| (user.as_str(), password.as_str()));
            assert_eq!((server.host.as_str(), server.port, server.tls, login), (host, port, tls, user));
            assert!(!format!("{server:?}").contains("p@ss"));
        }
    }
}
