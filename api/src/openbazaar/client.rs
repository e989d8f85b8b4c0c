//! The node's API, and what its answers are worth.
//!
//! # Correctness
//! An answer says one of three things: it was done ([`Ok`]), it certainly was not ([`Trouble::is_harmless`]), or nobody
//! knows. A handler of the node runs on when its client is gone, and answers 200 with an empty body when it crashed, so
//! a timeout, a broken connection, an empty body and a refusal after the money left all mean that nobody knows. Only a
//! connection that was never made means that nothing was asked.

use std::time::Duration;

use domain::money::Money;
use reqwest::{Method, RequestBuilder, Response, StatusCode, header, redirect::Policy};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::wire::{Notifications, Order, Spent, Transactions};
use crate::config::{Moderator, OpenBazaar, Secret};

/// The largest answer that is read as a whole, in bytes.
const MAX_ANSWER: usize = 32 << 20;
/// The longest text of the node that is kept, in characters.
const MAX_REASON: usize = 300;

/// What came of a call that was not answered well.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// The node was not reached: nothing was asked of it.
    #[error("the node cannot be reached: {0}")]
    Unreachable(String),
    /// The node does not know us.
    #[error("the node refuses the credentials; see [openbazaar] in the configuration")]
    Forbidden,
    /// The node said no.
    #[error("the node said {status}: {reason}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// In the node's words.
        reason: String,
    },
    /// Nobody knows what came of it.
    #[error("nobody knows what came of it: {0}")]
    Unknown(String),
    /// The server is stopping.
    #[error("the server is stopping")]
    Stopping,
}

impl Trouble {
    /// Whether the node said no with these words.
    #[must_use]
    pub fn says(&self, words: &str) -> bool {
        matches!(self, Self::Refused { reason, .. } if reason.contains(words))
    }

    /// Whether there is no such thing.
    #[must_use]
    pub const fn is_missing(&self) -> bool {
        matches!(self, Self::Refused { status: 404, .. })
    }

    /// Whether asking the node anything else now is useless too.
    #[must_use]
    pub const fn is_down(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::Forbidden | Self::Stopping)
    }
}

/// An answer that came well.
pub type Answered<T> = Result<T, Trouble>;

/// Asks one node.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    timeout: Duration,
    url: String,
    username: String,
    password: Secret,
    cookie: Secret,
    stop: CancellationToken,
}

impl Client {
    /// The shop's node.
    ///
    /// # Errors
    /// When there are no certificates to trust.
    pub fn new(settings: &OpenBazaar, stop: CancellationToken) -> anyhow::Result<Self> {
        let OpenBazaar { url, username, password, cookie, timeout_s, .. } = settings;
        Self::at(url, username, password, cookie, *timeout_s, stop)
    }

    /// The operator's own moderator's node.
    ///
    /// # Errors
    /// When there are no certificates to trust.
    pub fn moderator(settings: &OpenBazaar, stop: CancellationToken) -> anyhow::Result<Option<Self>> {
        let Moderator { url, username, password, cookie, .. } = &settings.moderator;
        let set = !url.is_empty();
        set.then(|| Self::at(url, username, password, cookie, settings.timeout_s, stop)).transpose()
    }

    fn at(
        url: &str,
        username: &str,
        password: &Secret,
        cookie: &Secret,
        timeout_s: i64,
        stop: CancellationToken,
    ) -> anyhow::Result<Self> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let timeout = Duration::from_secs(timeout_s.unsigned_abs());
        // A long list may take long, as long as it comes.
        let http = reqwest::Client::builder().connect_timeout(timeout).read_timeout(timeout);
        let http = http.redirect(Policy::none()).no_proxy();
        let http = http.user_agent(concat!("berth/", env!("CARGO_PKG_VERSION"))).build()?;
        Ok(Self {
            http,
            timeout,
            url: url.trim_end_matches('/').to_owned(),
            username: username.to_owned(),
            password: password.clone(),
            cookie: cookie.clone(),
            stop,
        })
    }

    /// Where the node is, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The header that says who asks.
    #[must_use]
    pub fn credentials(&self) -> (header::HeaderName, String) {
        use base64::{Engine, engine::general_purpose::STANDARD};
        if self.username.is_empty() || self.password.0.is_empty() {
            return (header::COOKIE, format!("OpenBazaar_Auth_Cookie={}", self.cookie.0));
        }
        let pair = STANDARD.encode(format!("{}:{}", self.username, self.password.0));
        (header::AUTHORIZATION, format!("Basic {pair}"))
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let (name, value) = self.credentials();
        self.http.request(method, format!("{}{path}", self.url)).header(name, value)
    }

    async fn send(&self, request: RequestBuilder) -> Answered<Response> {
        let sent = tokio::select! {
            () = self.stop.cancelled() => return Err(Trouble::Stopping),
            sent = request.send() => sent,
        };
        let answer = sent.map_err(|e| trouble(&e))?;
        match answer.status() {
            StatusCode::FORBIDDEN => Err(Trouble::Forbidden),
            StatusCode::OK => Ok(answer),
            status => {
                let bytes = read(answer).await?;
                let body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
                let text = String::from_utf8_lossy(&bytes);
                let reason = body["reason"].as_str().unwrap_or_else(|| text.trim());
                let reason: String = reason.chars().filter(|c| !c.is_control()).take(MAX_REASON).collect();
                // Whatever stands before the node failed; the node itself always says why.
                if body["reason"].is_null() && status.is_server_error() {
                    return Err(Trouble::Unknown(format!("{status} {reason}")));
                }
                Err(Trouble::Refused { status: status.as_u16(), reason })
            }
        }
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Answered<T> {
        let request = self.request(method, path).timeout(self.timeout);
        let request = match body {
            Some(body) => request.json(body),
            None => request,
        };
        let bytes = read(self.send(request).await?).await?;
        if bytes.is_empty() {
            return Err(Trouble::Unknown("the node crashed over it (an empty answer)".into()));
        }
        serde_json::from_slice(&bytes).map_err(|e| Trouble::Unknown(format!("an odd answer: {e}")))
    }

    async fn post(&self, path: &str, body: &Value) -> Answered<()> {
        self.call::<Value>(Method::POST, path, Some(body)).await.map(drop)
    }

    /// Opens the list of sales in these states, oldest first; it is read while it comes.
    ///
    /// # Errors
    /// When the node does not answer with a list.
    pub async fn sales(&self, states: &str) -> Answered<Response> {
        let path = format!("/ob/sales?state={states}&limit=-1&search=&sortBy=data-asc");
        self.send(self.request(Method::GET, &path)).await
    }

    /// An order.
    ///
    /// # Errors
    /// As every call.
    pub async fn order(&self, id: &str) -> Answered<Order> {
        self.call(Method::GET, &format!("/ob/order/{id}"), None).await
    }

    /// Notifications, the newest first.
    ///
    /// # Errors
    /// As every call.
    pub async fn notifications(&self, limit: usize) -> Answered<Notifications> {
        self.call(Method::GET, &format!("/ob/notifications?limit={limit}&offsetId=&filter="), None).await
    }

    /// The names of all listings.
    ///
    /// # Errors
    /// As every call.
    pub async fn listings(&self) -> Answered<Vec<super::wire::Listed>> {
        self.call(Method::GET, "/ob/listings", None).await
    }

    /// Adds a listing.
    ///
    /// # Errors
    /// As every call; 409 when there is one of this name.
    pub async fn add_listing(&self, listing: &Value) -> Answered<()> {
        self.post("/ob/listing", listing).await
    }

    /// Replaces a listing.
    ///
    /// # Errors
    /// As every call; 404 when there is none.
    pub async fn replace_listing(&self, listing: &Value) -> Answered<()> {
        self.call::<Value>(Method::PUT, "/ob/listing", Some(listing)).await.map(drop)
    }

    /// Removes a listing; one that is not there is removed already.
    ///
    /// # Errors
    /// As every call.
    pub async fn remove_listing(&self, slug: &str) -> Answered<()> {
        match self.call::<Value>(Method::DELETE, &format!("/ob/listing/{slug}"), None).await {
            Err(trouble) if trouble.is_missing() => Ok(()),
            other => other.map(drop),
        }
    }

    /// Takes an order that came while the node was away, or turns it down.
    ///
    /// # Errors
    /// As every call.
    pub async fn confirm(&self, order: &str, reject: bool) -> Answered<()> {
        self.post("/ob/orderconfirmation", &json!({ "orderId": order, "reject": reject })).await
    }

    /// Hands over what was ordered.
    ///
    /// # Errors
    /// As every call.
    pub async fn fulfil(&self, order: &str, note: &str) -> Answered<()> {
        self.post("/ob/orderfulfillment", &json!({ "orderId": order, "slug": "", "note": note })).await
    }

    /// Pays all of an order back. Asked twice at once, the node pays twice.
    ///
    /// # Errors
    /// As every call.
    pub async fn refund(&self, order: &str) -> Answered<()> {
        self.post("/ob/refund", &json!({ "orderId": order })).await
    }

    /// Calls the moderator of an order.
    ///
    /// # Errors
    /// As every call.
    pub async fn open_dispute(&self, order: &str, claim: &str) -> Answered<()> {
        self.post("/ob/opendispute", &json!({ "orderId": order, "claim": claim })).await
    }

    /// Divides an escrow in whole percent; only the moderator's node does.
    ///
    /// # Errors
    /// As every call.
    pub async fn close_dispute(&self, order: &str, text: &str, buyer_percent: u8) -> Answered<()> {
        let vendor = 100_u8.saturating_sub(buyer_percent);
        let body = json!({
            "orderId": order, "resolution": text, "buyerPercentage": buyer_percent, "vendorPercentage": vendor,
        });
        self.post("/ob/closedispute", &body).await
    }

    /// Carries a moderator's decision out.
    ///
    /// # Errors
    /// As every call.
    pub async fn release_funds(&self, order: &str) -> Answered<()> {
        self.post("/ob/releasefunds", &json!({ "orderId": order })).await
    }

    /// Takes an escrow whose time is up.
    ///
    /// # Errors
    /// As every call; 401 while it is not.
    pub async fn release_escrow(&self, order: &str) -> Answered<()> {
        self.post("/ob/releaseescrow", &json!({ "orderId": order })).await
    }

    /// Sends the buyer's node a refund's message again.
    ///
    /// # Errors
    /// As every call.
    pub async fn resend_refund(&self, order: &str) -> Answered<()> {
        self.post("/ob/resendordermessage", &json!({ "orderID": order, "messageType": "REFUND" })).await
    }

    /// The codes of the coins that the node has wallets for.
    ///
    /// # Errors
    /// As every call.
    pub async fn coins(&self) -> Answered<Vec<String>> {
        let all: serde_json::Map<String, Value> = self.call(Method::GET, "/wallet/address", None).await?;
        Ok(all.into_iter().map(|(coin, _)| coin).collect())
    }

    /// Transactions of a wallet, the newest first, from after one of them.
    ///
    /// # Errors
    /// As every call.
    pub async fn transactions(&self, coin: &str, limit: usize, after: &str) -> Answered<Transactions> {
        let path = format!("/wallet/transactions/{coin}?limit={limit}&offsetId={after}");
        self.call(Method::GET, &path, None).await
    }

    /// Pays out of the wallet. Asked twice, the node pays twice.
    ///
    /// # Errors
    /// As every call; also a refusal may come after the money left.
    pub async fn spend(&self, spend: &Spend<'_>) -> Answered<Spent> {
        let body = json!({
            "currencyCode": spend.coin, "address": spend.address, "amount": spend.amount.minor().to_string(),
            "feeLevel": spend.fee_level, "memo": spend.memo, "orderId": spend.order, "requireOrder": false,
            "spendAll": false,
        });
        self.call(Method::POST, "/wallet/spend", Some(&body)).await
    }
}

/// A payment out of the wallet.
#[derive(Debug, Clone, Copy)]
pub struct Spend<'a> {
    /// The coin's code.
    pub coin: &'a str,
    /// Where to.
    pub address: &'a str,
    /// How much arrives.
    pub amount: Money,
    /// What miners get.
    pub fee_level: &'a str,
    /// Found again in the wallet's history.
    pub memo: &'a str,
    /// The order it belongs to.
    pub order: &'a str,
}

fn trouble(error: &reqwest::Error) -> Trouble {
    let mut text = String::new();
    let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(error);
    while let Some(error) = cause {
        text = error.to_string();
        cause = error.source();
    }
    match (error.is_connect(), error.is_timeout()) {
        (true, _) => Trouble::Unreachable(text),
        (_, true) => Trouble::Unknown("no answer in time".into()),
        _ => Trouble::Unknown(text),
    }
}

/// An answer's body, which must not be endless.
async fn read(mut answer: Response) -> Answered<Vec<u8>> {
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|e| Trouble::Unknown(trouble(&e).to_string()))? {
        if bytes.len() + chunk.len() > MAX_ANSWER {
            return Err(Trouble::Unknown(format!("an answer of more than {MAX_ANSWER} bytes")));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}
