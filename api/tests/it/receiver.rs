//! A receiver of webhooks, as an integration would write one.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::net::TcpListener;

use crate::app::TestApp;

/// What arrived.
#[derive(Debug, Clone)]
pub struct Delivery {
    pub headers: HeaderMap,
    pub body: String,
}

impl Delivery {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no {name}")).to_str().unwrap()
    }

    pub fn event(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    pub fn position(&self) -> u64 {
        self.event()["position"].as_str().unwrap().parse().unwrap()
    }

    pub fn kind(&self) -> String {
        let kind = self.event()["type"].as_str().unwrap().to_owned();
        kind.strip_prefix("berth.").and_then(|kind| kind.split_once(".v")).unwrap().0.to_owned()
    }

    /// How many of the signatures there are, and whether one is made with this secret.
    pub fn signed_with(&self, secret: &str) -> (usize, bool) {
        let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
        let (id, at) = (self.header("webhook-id"), self.header("webhook-timestamp"));
        mac.update(format!("{id}.{at}.{}", self.body).as_bytes());
        let wanted = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
        let all: Vec<_> = self.header("webhook-signature").split(' ').collect();
        (all.len(), all.contains(&wanted.as_str()))
    }
}

/// How it answers.
#[derive(Debug, Clone)]
pub enum Answer {
    Status(u16),
    RetryAfter(&'static str),
    RedirectTo(String),
    Never,
}

#[derive(Debug)]
struct Shared {
    answer: Mutex<Answer>,
    arrived: Mutex<Vec<Delivery>>,
}

/// A receiver that keeps what arrives and answers as it is told.
#[derive(Debug, Clone)]
pub struct Receiver {
    pub url: String,
    shared: Arc<Shared>,
}

impl Receiver {
    pub async fn new() -> Self {
        let shared = Arc::new(Shared { answer: Mutex::new(Answer::Status(204)), arrived: Mutex::default() });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let router = Router::new().fallback(receive).with_state(shared.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, shared }
    }

    pub fn answer(&self, answer: Answer) {
        *self.shared.answer.lock().unwrap() = answer;
    }

    pub fn arrived(&self) -> Vec<Delivery> {
        self.shared.arrived.lock().unwrap().clone()
    }

    pub fn positions(&self) -> Vec<u64> {
        self.arrived().iter().map(Delivery::position).collect()
    }

    pub fn kinds(&self) -> Vec<String> {
        self.arrived().iter().map(Delivery::kind).collect()
    }

    /// What has arrived once there are so many.
    pub async fn wait_for(&self, count: usize) -> Vec<Delivery> {
        let what = || format!("{count} deliveries, not {:?}", self.kinds());
        until(what, async || self.arrived().len() >= count).await;
        self.arrived()
    }
}

async fn receive(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    let body = String::from_utf8(body.to_vec()).unwrap();
    shared.arrived.lock().unwrap().push(Delivery { headers, body });
    let answer = shared.answer.lock().unwrap().clone();
    match answer {
        Answer::Status(status) => StatusCode::from_u16(status).unwrap().into_response(),
        Answer::RetryAfter(value) => {
            (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, value)]).into_response()
        }
        Answer::RedirectTo(to) => (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, to)]).into_response(),
        Answer::Never => std::future::pending().await,
    }
}

/// Waits until something is so.
pub async fn until(what: impl Fn() -> String, mut is_so: impl AsyncFnMut() -> bool) {
    for _ in 0..4_000 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("waited in vain for {}", what());
}

impl TestApp {
    /// Adds a webhook to a receiver; `more` are further members of the request.
    pub async fn webhook(&self, receiver: &Receiver, more: Value) -> Value {
        let mut new = json!({"url": receiver.url});
        new.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let added = self.post("/v1/webhooks", &self.operator, &new).await;
        assert_eq!(added.status, 201, "{}", added.body);
        added.body
    }

    /// A webhook as it is now.
    pub async fn webhook_now(&self, webhook: &Value) -> Value {
        let path = format!("/v1/webhooks/{}", webhook["webhook"].as_str().unwrap());
        self.get(&path, &self.operator).await.ok()
    }

    /// Waits until so many tries of a webhook's next event have failed; answers with the webhook.
    pub async fn failures(&self, webhook: &Value, count: u64) -> Value {
        let what = || format!("{count} failures");
        until(what, async || self.webhook_now(webhook).await["failures"] == count).await;
        self.webhook_now(webhook).await
    }
}
