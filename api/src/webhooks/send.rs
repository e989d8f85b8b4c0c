//! Sending one delivery.
//!
//! # Correctness
//! Redirects are not followed, so what is signed goes where the operator said. Of an answer only the status and
//! `Retry-After` count. Errors are told without the URL, whose query may be a secret.

use std::{error::Error, sync::OnceLock, time::Duration};

use axum::http::{StatusCode, header};
use chrono::DateTime;
use domain::time::{Seconds, Time};
use reqwest::{Client, Response, redirect::Policy};

/// How long a receiver may take to answer.
const TIMEOUT: Duration = Duration::from_secs(15);
/// Bytes of an answer's body that are read, so that the connection can be used again.
const MAX_ANSWER: usize = 16 << 10;
/// The longest text of an error that is kept, in characters.
const MAX_ERROR: usize = 300;

/// An event, ready to be sent.
pub(super) struct Delivery {
    /// The event's id.
    pub id: String,
    /// Now.
    pub at: Time,
    /// The signatures of all valid secrets.
    pub signature: String,
    /// The event.
    pub body: Vec<u8>,
}

/// Why a delivery failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    /// In words.
    pub why: String,
    /// Whether the receiver wants nothing any more.
    pub gone: bool,
    /// How long the receiver wants to be left alone.
    pub retry_after_s: Option<Seconds>,
}

impl From<reqwest::Error> for Failure {
    fn from(error: reqwest::Error) -> Self {
        let why = if error.is_timeout() {
            format!("no answer within {} seconds", TIMEOUT.as_secs())
        } else {
            in_words(&error.without_url())
        };
        Self { why, gone: false, retry_after_s: None }
    }
}

/// An error with its causes.
fn in_words(error: &dyn Error) -> String {
    let causes =
        std::iter::successors(Some(error), |error: &&dyn Error| (*error).source()).map(ToString::to_string);
    causes.collect::<Vec<_>>().join(": ").chars().take(MAX_ERROR).collect()
}

/// Sends deliveries.
#[derive(Debug, Default)]
pub(super) struct Sender(OnceLock<Client>);

impl Sender {
    /// The client, made when it is first needed: without certificates that it can trust, only this fails.
    fn client(&self) -> Result<&Client, reqwest::Error> {
        if let Some(client) = self.0.get() {
            return Ok(client);
        }
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder().timeout(TIMEOUT).redirect(Policy::none());
        let client = client.user_agent(concat!("berth/", env!("CARGO_PKG_VERSION"))).build()?;
        Ok(self.0.get_or_init(|| client))
    }

    /// Sends a delivery.
    ///
    /// # Errors
    /// When it is not answered with success in time.
    pub async fn send(&self, url: &str, delivery: Delivery) -> Result<(), Failure> {
        let Delivery { id, at, signature, body } = delivery;
        let request = self.client()?.post(url).header(header::CONTENT_TYPE, "application/cloudevents+json");
        let request = request.header("webhook-id", id).header("webhook-timestamp", at.unix());
        let answer = request.header("webhook-signature", signature).body(body).send().await?;
        let status = answer.status();
        let retry_after = answer.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
        let retry_after_s = retry_after.and_then(|value| seconds(value, at));
        read_away(answer).await;
        if status.is_success() {
            return Ok(());
        }
        Err(Failure { why: format!("answered {status}"), gone: status == StatusCode::GONE, retry_after_s })
    }
}

async fn read_away(mut answer: Response) {
    let mut read = 0;
    while let Ok(Some(chunk)) = answer.chunk().await {
        read += chunk.len();
        if read > MAX_ANSWER {
            return;
        }
    }
}

/// `Retry-After` as seconds from now: it is a number of them or a date.
fn seconds(value: &str, now: Time) -> Option<Seconds> {
    let date = || Some(Time::from_unix(DateTime::parse_from_rfc2822(value).ok()?.timestamp()).since(now));
    value.parse::<u32>().ok().map(Seconds::from).or_else(date)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_a_number_of_seconds_or_a_date() {
        let now: Time = "2026-11-22T09:00:00Z".parse().unwrap();
        for (value, wanted) in [
            ("120", Some(120)),
            ("Sun, 22 Nov 2026 09:01:00 GMT", Some(60)),
            ("Sun, 22 Nov 2026 08:59:00 GMT", Some(-60)),
            ("-1", None),
            ("soon", None),
        ] {
            assert_eq!(seconds(value, now), wanted, "{value}");
        }
    }

    async fn failure(url: &str) -> Failure {
        let (id, signature) = ("1".into(), "v1,".into());
        let delivery = Delivery { id, at: Time::from_unix(1), signature, body: Vec::new() };
        Sender::default().send(url, delivery).await.unwrap_err()
    }

    #[tokio::test]
    async fn an_error_says_why_without_the_url() {
        let why = failure("http://127.0.0.1:1/?key=hidden").await.why;
        assert!(why.contains("refused") && !why.contains("hidden"), "{why}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_receiver_that_never_answers_is_waited_for_15_seconds() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let began = tokio::time::Instant::now();
        let failed = failure(&format!("http://{}/", listener.local_addr().unwrap())).await;
        assert_eq!(failed.why, "no answer within 15 seconds");
        assert_eq!(began.elapsed().as_secs(), 15);
    }
}
