//! The HTTP calls. Whatever is not the expected answer is a [`Why`].

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use domain::{
    id::DeviceId,
    key::{Nonce, PublicKey},
    wire::{
        Expect, Grant, MAX_MESSAGE, ProvenGrant, ServerSigned, SignedCheckIn, SignedPoll, SignedReceipt,
        SignedRegistration,
    },
};
use reqwest::{Client, Method, Response, header::RETRY_AFTER};
use serde::{
    Deserialize, Serialize,
    de::{DeserializeOwned, IgnoredAny},
};
use tokio::sync::OnceCell;

use crate::{
    bandwidth,
    config::Secret,
    heard::{Why, Word},
    record::Record,
    tls::{Floor, Tls},
};

/// How long a connection may take to open.
const CONNECT_S: u64 = 10;
/// How long an answer may take on top of what the server was allowed to wait.
const ANSWER_S: u64 = 20;

/// Silence, and when the server wants to be asked again.
#[derive(Debug)]
pub struct Silent {
    /// Why.
    pub why: Why,
    /// Not before.
    pub retry_after: Option<Duration>,
}

impl From<Why> for Silent {
    fn from(why: Why) -> Self {
        Self { why, retry_after: None }
    }
}

/// A poll, and what its answer is held against.
#[derive(Debug, Clone)]
pub struct Question {
    /// The poll, signed by the device key.
    pub signed: SignedPoll,
    /// Its nonce.
    pub nonce: Nonce,
    /// How long the server may wait for news, in seconds.
    pub wait_s: u32,
}

/// What the agent asks of its server; tests put something else in its place.
#[async_trait]
pub trait Uplink: Send + Sync {
    /// The root key the server shows; pinned on first use when `agent.json` names none.
    async fn root_key(&self, server: &str) -> Result<PublicKey, Silent>;

    /// Asks what to do; `None` as device stands for one that has not been told its id.
    async fn poll(
        &self,
        record: &Record,
        root: PublicKey,
        device: Option<DeviceId>,
        question: &Question,
    ) -> Result<Word, Silent>;

    /// Asks for a lease; the same device key is granted the same lease again.
    async fn register(
        &self,
        server: &str,
        root: PublicKey,
        request: &SignedRegistration,
    ) -> Result<Grant, Silent>;

    /// Sends a receipt; that it was accepted is believed only from the next word.
    async fn erased(&self, server: &str, receipt: &SignedReceipt) -> Result<(), Silent>;

    /// Gives a sign of life while there is no time to ask.
    async fn check_in(&self, server: &str, check_in: &SignedCheckIn) -> Result<(), Silent>;

    /// kbit/s from the server to here, measured at the first question; none when it could not be measured then.
    async fn bandwidth(&self, server: &str) -> Option<u64>;
}

/// A server, seen from a device.
#[derive(Debug, Clone)]
pub struct Server {
    http: Client,
    key: Secret,
    floor: Floor,
    bandwidth: Arc<OnceCell<Option<u64>>>,
}

#[derive(Deserialize)]
struct Problem {
    title: Option<String>,
    detail: Option<String>,
}

impl Server {
    /// A client that shows the enrolment key. Every verified answer raises the floor that certificates are judged by.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new(key: Secret, tls: &Tls) -> anyhow::Result<Self> {
        let http = Client::builder()
            .tls_backend_preconfigured(tls.client()?)
            .connect_timeout(Duration::from_secs(CONNECT_S))
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("berth-agent/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { http, key, floor: tls.floor.clone(), bandwidth: Arc::default() })
    }

    /// Whether the server is ready.
    ///
    /// # Errors
    /// Silence.
    pub async fn ready(&self, server: &str) -> Result<(), Silent> {
        self.call(Method::GET, server, "/readyz", None::<&()>, 0).await.map(drop)
    }

    /// Whether the server knows the enrolment key.
    ///
    /// # Errors
    /// Silence.
    pub async fn knows_key(&self, server: &str) -> Result<(), Silent> {
        /// What only a server that knows the key answers.
        #[derive(Deserialize)]
        struct Feed {
            #[serde(rename = "items")]
            _items: Vec<IgnoredAny>,
        }
        let body = self.call(Method::GET, server, "/v1/device/events", None::<&()>, 0).await?;
        read::<Feed>(&body).map(drop)
    }

    /// Begins to download `count` bytes that mean nothing.
    ///
    /// # Errors
    /// Silence.
    pub(crate) async fn bytes(&self, server: &str, count: u64) -> Result<Response, Silent> {
        let request = self.http.get(format!("{server}/v1/device/bandwidth?bytes={count}"));
        let response = request.bearer_auth(self.key.reveal()).send().await.map_err(unreachable)?;
        if response.status().is_success() {
            return Ok(response);
        }
        let why = Why::Refused { status: response.status().as_u16(), detail: None };
        Err(Silent { why, retry_after: retry_after(&response) })
    }

    async fn call(
        &self,
        method: Method,
        server: &str,
        path: &str,
        body: Option<&impl Serialize>,
        wait_s: u64,
    ) -> Result<Vec<u8>, Silent> {
        let timeout = Duration::from_secs(wait_s + ANSWER_S);
        let request = self.http.request(method, format!("{server}{path}")).timeout(timeout);
        let request = request.bearer_auth(self.key.reveal());
        let request = match body {
            Some(body) => request.json(body),
            None => request,
        };
        let response = request.send().await.map_err(unreachable)?;
        let status = response.status();
        let retry_after = retry_after(&response);
        let body = limited(response).await?;
        if status.is_success() {
            return Ok(body);
        }
        let detail = serde_json::from_slice::<Problem>(&body).ok().and_then(|p| p.detail.or(p.title));
        let detail = detail.map(|text| text.chars().filter(|c| !c.is_control()).take(300).collect());
        Err(Silent { why: Why::Refused { status: status.as_u16(), detail }, retry_after })
    }
}

#[async_trait]
impl Uplink for Server {
    async fn root_key(&self, server: &str) -> Result<PublicKey, Silent> {
        #[derive(Deserialize)]
        struct Shown {
            server_key: PublicKey,
        }
        let body = self.call(Method::GET, server, "/v1/server-key", None::<&()>, 0).await?;
        read::<Shown>(&body).map(|shown| shown.server_key)
    }

    async fn poll(
        &self,
        record: &Record,
        root: PublicKey,
        device: Option<DeviceId>,
        question: &Question,
    ) -> Result<Word, Silent> {
        let body = self
            .call(
                Method::POST,
                &record.server,
                "/v1/device/poll",
                Some(&question.signed),
                question.wait_s.into(),
            )
            .await?;
        let open = || {
            let envelope = ServerSigned::parse(&body)?;
            let device = match device {
                Some(device) => device,
                None => envelope.addressee(&root)?,
            };
            Word::open(&envelope, &expect(record, root, device, question.nonce))
        };
        let word = open().map_err(Why::Unbelieved)?;
        self.floor.raise(word.server_time());
        Ok(word)
    }

    async fn register(
        &self,
        server: &str,
        root: PublicKey,
        request: &SignedRegistration,
    ) -> Result<Grant, Silent> {
        let body = self.call(Method::POST, server, "/v1/device/register", Some(request), 0).await?;
        let proven: ProvenGrant = read(&body)?;
        Ok(proven.verify(&root, request).map_err(Why::Unbelieved)?)
    }

    async fn erased(&self, server: &str, receipt: &SignedReceipt) -> Result<(), Silent> {
        #[derive(Serialize)]
        struct Erasure<'a> {
            receipt: &'a SignedReceipt,
        }
        self.call(Method::POST, server, "/v1/device/erasures", Some(&Erasure { receipt }), 0).await.map(drop)
    }

    async fn check_in(&self, server: &str, check_in: &SignedCheckIn) -> Result<(), Silent> {
        self.call(Method::POST, server, "/v1/device/check-ins", Some(check_in), 0).await.map(drop)
    }

    async fn bandwidth(&self, server: &str) -> Option<u64> {
        *self.bandwidth.get_or_init(|| bandwidth::measure(self, server)).await
    }
}

fn expect(record: &Record, root: PublicKey, device: DeviceId, nonce: Nonce) -> Expect {
    Expect { root, device, nonce, era: record.era, seq: record.seq, epoch: record.epoch() }
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Silent> {
    // The error text of serde may quote the body, and a grant holds a password.
    serde_json::from_slice(body).map_err(|_| Why::Unfit("it does not have the expected fields".into()).into())
}

async fn limited(mut response: Response) -> Result<Vec<u8>, Silent> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
        body.extend_from_slice(&chunk);
        if body.len() > MAX_MESSAGE {
            return Err(Why::Unfit(format!("it is longer than {MAX_MESSAGE} bytes")).into());
        }
    }
    Ok(body)
}

fn unreachable(error: reqwest::Error) -> Silent {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    Why::Unreachable(text).into()
}

fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}
