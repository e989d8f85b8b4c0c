//! The `[web]` section.

use anyhow::{Context, ensure};
use reqwest::Url;
use serde::{Deserialize, Serialize};

/// The pages that people see in a browser.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Web {
    /// Where people reach the pages, such as `https://berth.example`: links in mail lead there. Empty for the address that
    /// the API listens on. With `https`, browsers keep the session's cookie from unencrypted connections.
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

    /// Checks every value.
    ///
    /// # Errors
    /// When the URL is none, or leads into a folder.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        if self.url.is_empty() {
            return Ok(());
        }
        let url = Url::parse(&self.url).with_context(|| format!("web.url {:?} is no URL", self.url))?;
        let whole = matches!(url.scheme(), "http" | "https") && url.path() == "/" && url.query().is_none();
        ensure!(whole, "web.url must be like https://berth.example, without a path");
        Ok(())
    }
}
