//! The `[gateway.ingress]` section.

use std::time::Duration;

use anyhow::{Context, ensure};
use reqwest::Url;
use serde::{Deserialize, Serialize};

use super::proxy::{Trusted, Version};

/// How visitors reach devices by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The domain whose subdomains are leased, such as `example.org`; its `*` record leads here. The gateway says which.
    #[serde(skip)]
    pub domain: String,
    /// Where HTTP is served, such as `0.0.0.0:80`; empty for `127.0.0.1:8081`, or any free port when that is taken; `off` for
    /// nowhere.
    pub http: String,
    /// Where TLS is served, such as `0.0.0.0:443`; empty for `127.0.0.1:8443`, or any free port; `off` for nowhere.
    pub tls: String,
    /// Load balancers in front of HTTP, TLS and leased ports that say with the PROXY protocol who the visitor is: addresses
    /// and networks, such as `10.0.0.0/8`, separated by commas. They must say it on every connection.
    pub trusted_proxies: String,
    /// The version of the PROXY protocol that tells devices who their visitor is on port 443. The gateway says which.
    #[serde(skip)]
    pub send_proxy: SendProxy,
    /// Connections open at once; fewer if the process may not open so many files.
    pub max_connections: u32,
    /// Connections open at once from one address (of IPv6, one network of 64 bits); 0 for any number.
    pub max_connections_per_address: u32,
    /// Seconds in which a request's headers must arrive; as long, a connection may wait for the next request.
    pub headers_s: u32,
    /// Bytes that a request's headers may have.
    pub max_header_bytes: u32,
    /// Seconds in which a device must take a connection.
    pub connect_s: u32,
    /// Seconds in which a TLS handshake must begin and end.
    pub handshake_s: u32,
    /// Seconds without a byte in either direction after which a connection is closed.
    pub idle_s: u32,
    /// Seconds that requests under way have when the server stops. The gateway says how many.
    #[serde(skip)]
    pub drain_s: u32,
    /// A PEM file with the certificate chain of `*.<domain>`, for devices that offer only HTTP; empty for none. It is read
    /// again when it changes.
    pub tls_certificate: String,
    /// The PEM file with its private key.
    pub tls_key: String,
    /// The program that writes DNS records when a certificate for `*.<domain>` is ordered by ACME: called with `present` or
    /// `cleanup`, the record's name and its value; it returns when the record can be seen. Empty for no certificate.
    pub acme_dns_hook: String,
    /// The ACME directory that the certificate is ordered from.
    pub acme_directory: String,
    /// A mail address for the certificate authority; empty for none.
    pub acme_contact: String,
    /// A PEM file with the root certificate of a private ACME server; empty for the system's.
    pub acme_root: String,
    /// Seconds between writing a DNS record and asking that it be looked at.
    pub acme_dns_wait_s: u32,
}

/// Whether devices are told who their visitor is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SendProxy {
    /// They are not.
    #[default]
    Off,
    /// By a line of text.
    V1,
    /// In binary.
    V2,
}

impl SendProxy {
    /// The version, if any.
    #[must_use]
    pub fn version(self) -> Option<Version> {
        match self {
            Self::Off => None,
            Self::V1 => Some(Version::One),
            Self::V2 => Some(Version::Two),
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            domain: "localhost".into(),
            http: String::new(),
            tls: String::new(),
            trusted_proxies: String::new(),
            send_proxy: SendProxy::Off,
            max_connections: 10_000,
            max_connections_per_address: 256,
            headers_s: 30,
            max_header_bytes: 65_536,
            connect_s: 10,
            handshake_s: 10,
            idle_s: 3_600,
            drain_s: 20,
            tls_certificate: String::new(),
            tls_key: String::new(),
            acme_dns_hook: String::new(),
            acme_directory: "https://acme-v02.api.letsencrypt.org/directory".into(),
            acme_contact: String::new(),
            acme_root: String::new(),
            acme_dns_wait_s: 30,
        }
    }
}

impl Settings {
    /// Whether TLS can be ended here.
    #[must_use]
    pub fn terminates(&self) -> bool {
        !self.tls_certificate.is_empty() || !self.acme_dns_hook.is_empty()
    }

    /// The proxies that are believed.
    ///
    /// # Errors
    /// When one is neither an address nor a network.
    pub fn trusted(&self) -> anyhow::Result<Trusted> {
        self.trusted_proxies.parse().context("gateway.ingress.trusted_proxies")
    }

    /// Whether everything fits together.
    ///
    /// # Errors
    /// Says what does not.
    pub fn check(&self) -> anyhow::Result<()> {
        let label = |label: &str| {
            let inner = label.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-');
            (1..=63).contains(&label.len()) && inner && !label.starts_with('-') && !label.ends_with('-')
        };
        ensure!(
            self.domain.len() <= 189 && self.domain.split('.').all(label),
            "gateway.domain (gateway.host unless set) must be a domain in lower case, like \"example.org\""
        );
        self.trusted()?;
        let seconds = [
            ("headers_s", self.headers_s, 1),
            ("connect_s", self.connect_s, 1),
            ("handshake_s", self.handshake_s, 1),
            ("idle_s", self.idle_s, 1),
            ("drain_s", self.drain_s, 0),
            ("acme_dns_wait_s", self.acme_dns_wait_s, 0),
        ];
        for (name, value, least) in seconds {
            ensure!(
                (least..=86_400).contains(&value),
                "gateway.ingress.{name} must be {least} second(s) to 1 day"
            );
        }
        ensure!(self.max_connections > 0, "gateway.ingress.max_connections must be at least 1");
        ensure!(
            (8_192..=1_048_576).contains(&self.max_header_bytes),
            "gateway.ingress.max_header_bytes must be 8192 to 1048576"
        );
        ensure!(
            self.tls_certificate.is_empty() == self.tls_key.is_empty(),
            "gateway.ingress.tls_certificate and tls_key belong together"
        );
        ensure!(
            self.tls_certificate.is_empty() || self.acme_dns_hook.is_empty(),
            "gateway.ingress: the certificate comes from tls_certificate or by acme_dns_hook, not both"
        );
        let url = Url::parse(&self.acme_directory);
        ensure!(
            url.is_ok_and(|url| url.scheme() == "https"),
            "gateway.ingress.acme_directory must be an https address"
        );
        let contact = &self.acme_contact;
        ensure!(
            contact.is_empty() || (contact.contains('@') && !contact.contains([' ', ',', '?'])),
            "gateway.ingress.acme_contact must be one mail address"
        );
        Ok(())
    }

    pub(super) fn idle(&self) -> Duration {
        seconds(self.idle_s)
    }
}

pub(super) fn seconds(seconds: u32) -> Duration {
    Duration::from_secs(seconds.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_sound_and_a_wrong_value_is_named() {
        Settings::default().check().unwrap();
        let wrong = |text: &str| match toml::from_str::<Settings>(text) {
            Ok(settings) => settings.check().unwrap_err().to_string(),
            Err(e) => e.to_string(),
        };
        assert!(wrong("domian = \"example.org\"").contains("domian"));
        assert!(wrong("trusted_proxies = \"10.0.0.0/33\"").contains("trusted_proxies"));
        assert!(wrong("tls_key = \"key.pem\"").contains("belong together"));
        assert!(wrong("acme_directory = \"http://x/\"").contains("https"));
        assert!(wrong("headers_s = 0").contains("headers_s"));
        let domain = Settings { domain: "Example.org".into(), ..Settings::default() };
        assert!(domain.check().unwrap_err().to_string().contains("domain"));
        let set = "trusted_proxies = \"10.0.0.0/8, ::1\"";
        toml::from_str::<Settings>(set).unwrap().check().unwrap();
    }
}
