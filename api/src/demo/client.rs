//! The API as the demo's people use it.

use std::time::Duration;

use anyhow::{Context, bail};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

/// One account's way to the API.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    token: String,
}

/// An answer's status and body.
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The body; null when there was none.
    pub body: Value,
}

impl Client {
    /// A client of the account that `token` belongs to.
    pub fn new(base: &str, token: &str) -> anyhow::Result<Self> {
        // Fails only when a provider is installed already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().timeout(Duration::from_secs(30)).build()?;
        Ok(Self { http, base: base.to_string(), token: token.to_string() })
    }

    /// Sends a request; any status is an answer.
    pub async fn send(&self, method: Method, path: &str, body: Option<Value>) -> anyhow::Result<Reply> {
        let request = self.http.request(method, format!("{}{path}", self.base)).bearer_auth(&self.token);
        let request = match &body {
            Some(body) => request.json(body),
            None => request,
        };
        let response = request.send().await.with_context(|| format!("{path} was not answered"))?;
        let status = response.status();
        let bytes = response.bytes().await?;
        let body = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes)? };
        Ok(Reply { status, body })
    }

    /// Sends a request that must succeed.
    async fn expect(&self, method: Method, path: &str, body: Option<Value>) -> anyhow::Result<Value> {
        let reply = self.send(method.clone(), path, body).await?;
        if !reply.status.is_success() {
            bail!("{method} {path} answered {}: {}", reply.status, reply.body);
        }
        Ok(reply.body)
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

    /// Settles everything that is due, as an integration does: start, move, report.
    pub async fn settle_all(&self) -> anyhow::Result<usize> {
        let mut settled = 0;
        for kind in ["refunds", "payouts"] {
            let due = self.get(&format!("/v1/{kind}?status=due&limit=200")).await?;
            for item in due["items"].as_array().context("a list of settlements")? {
                let id = item["settlement"].as_str().context("a settlement has an id")?;
                let started = self
                    .post(&format!("/v1/settlements/{id}/start"), json!({"method": "demo wallet"}))
                    .await?;
                let movement = json!({
                    "attempt": started["attempt"],
                    "reference": format!("demo-{}", &id[..8]),
                    "moved": item["amount"],
                });
                self.post(&format!("/v1/settlements/{id}/settled"), movement).await?;
                settled += 1;
            }
        }
        Ok(settled)
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
