//! HTTP as the demo's people use it.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use base64::{Engine, engine::general_purpose::STANDARD};
use reqwest::{Method, header};
use serde_json::Value;

/// Somebody's way to an API.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    authorization: String,
}

impl Client {
    /// A client of the account that `token` belongs to.
    pub fn new(base: &str, token: &str) -> anyhow::Result<Self> {
        Self::with(base, format!("Bearer {token}"))
    }

    /// A client with a user's password.
    pub fn basic(base: &str, user: &str, password: &str) -> anyhow::Result<Self> {
        Self::with(base, format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))))
    }

    fn with(base: &str, authorization: String) -> anyhow::Result<Self> {
        // Fails only when a provider is installed already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().timeout(Duration::from_secs(30)).build()?;
        Ok(Self { http, base: base.to_string(), authorization })
    }

    /// Sends a request that must succeed.
    async fn expect(&self, method: Method, path: &str, body: Option<Value>) -> anyhow::Result<Value> {
        let request = self.http.request(method.clone(), format!("{}{path}", self.base));
        let request = request.header(header::AUTHORIZATION, &self.authorization);
        let request = match &body {
            Some(body) => request.json(body),
            None => request,
        };
        let response = request.send().await.with_context(|| format!("{path} was not answered"))?;
        let status = response.status();
        let bytes = response.bytes().await?;
        let body = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes)? };
        ensure!(status.is_success(), "{method} {path} answered {status}: {body}");
        Ok(body)
    }

    /// Reads.
    pub async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.expect(Method::GET, path, None).await
    }

    /// Creates or does.
    pub async fn post(&self, path: &str, body: Value) -> anyhow::Result<Value> {
        self.expect(Method::POST, path, Some(body)).await
    }

    /// Replaces.
    pub async fn put(&self, path: &str, body: Value) -> anyhow::Result<Value> {
        self.expect(Method::PUT, path, Some(body)).await
    }
}

/// Waits until `look` finds something; looks every 30 ms.
pub async fn until<T, F>(what: &str, patience: Duration, mut look: impl FnMut() -> F) -> anyhow::Result<T>
where
    F: Future<Output = anyhow::Result<Option<T>>>,
{
    let deadline = tokio::time::Instant::now() + patience;
    loop {
        if let Some(found) = look().await? {
            return Ok(found);
        }
        if tokio::time::Instant::now() >= deadline {
            bail!("waited {} s in vain until {what}", patience.as_secs());
        }
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
}
