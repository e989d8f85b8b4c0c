//! The `[web]` section.

use anyhow::ensure;
use reqwest::Url;
use serde::{Deserialize, Serialize};

/// The pages that people see in a browser.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Web {
    /// Where people reach the pages, such as `https://berth.example`: links in mail lead there. Empty for the address
    /// listened on. With `https`, browsers keep the session's cookie from unencrypted connections.
    pub url: String,
    /// Whether people may open accounts by themselves.
    pub sign_up: bool,
    /// Whether a reverse proxy stands before the server: then the last address of `X-Forwarded-For` is the visitor's.
    pub behind_proxy: bool,
}

impl Default for Web {
    fn default() -> Self {
        Self { url: String::new(), sign_up: true, behind_proxy: false }
    }
}

impl Web {
    /// Whether browsers reach the pages over TLS.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.url.starts_with("https://")
    }

    /// What links begin with, without a slash at the end; `listen` is where the API listens.
    #[must_use]
    pub fn base(&self, listen: &str) -> String {
        match self.url.trim_end_matches('/') {
            "" => format!("http://{listen}"),
            url => url.to_owned(),
        }
    }

    /// Checks every value.
    ///
    /// # Errors
    /// When the URL is none, or leads into a folder.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        if self.url.is_empty() {
            return Ok(());
        }
        let is_plain = |url: Url| {
            let nobody = url.username().is_empty() && url.password().is_none();
            let only_host = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
            matches!(url.scheme(), "http" | "https") && url.has_host() && nobody && only_host
        };
        let no_space = !self.url.chars().any(|c| c.is_whitespace() || c.is_control());
        ensure!(
            no_space && Url::parse(&self.url).is_ok_and(is_plain),
            "web.url must be like https://berth.example"
        );
        Ok(())
    }
}
