//! A gateway in a process of its own, also on another machine: it asks the server that has the ledger for its leases, and
//! reports to it.
//!
//! # Correctness
//! A gateway that does not hear from its server for [`TRUST`] cannot know which leases are over: it ends them all and
//! begins anew when the server is back. Until then what it was told stands, so that a server can be restarted without
//! anybody noticing.

use std::time::Duration;

use anyhow::{Context, ensure};
use domain::event::Position;
use reqwest::{Client, StatusCode, Url};
use serde_json::{Value, json};
use tokio::time::{Instant, MissedTickBehavior, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Gateway, leases::News, local};
use crate::{
    config::{self, Secret},
    gateways::Announcement,
};

/// How long a gateway believes what it was told: as long as devices do by default.
pub const TRUST: Duration = Duration::from_secs(900);
/// How long the server may wait for news, in seconds.
const WAIT_S: u64 = 25;
/// A question that takes longer was lost.
const PATIENCE: Duration = Duration::from_secs(40);
/// The pause after a failed question.
const PAUSE: Duration = Duration::from_millis(500);
/// How long the last report may take.
const LAST: Duration = Duration::from_secs(5);
/// The pause before a server that is not there is asked again.
const AGAIN: Duration = Duration::from_secs(2);
/// How often the gateway reports.
const REPORT: Duration = Duration::from_secs(2);

/// The server that a gateway asks.
#[derive(Debug, Clone)]
pub struct Server {
    http: Client,
    leases: Url,
    report: Url,
    token: Secret,
}

impl Server {
    /// The server at `base`, for the gateway that the section describes.
    ///
    /// # Errors
    /// When the address is none.
    pub fn new(base: &str, section: &config::Gateway, token: Secret) -> anyhow::Result<Self> {
        let at = |what: &str| {
            let text = format!("{}/v1/gateways/{}/{what}", base.trim_end_matches('/'), section.name);
            let url = Url::parse(&text).with_context(|| {
                format!("gateway.server must be an address such as https://berth.example, not {base:?}")
            })?;
            ensure!(
                matches!(url.scheme(), "http" | "https"),
                "gateway.server must begin with https:// or http://"
            );
            anyhow::Ok(url)
        };
        // Whoever was first has installed the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let local = ["http://localhost", "http://127.", "http://[::1]"];
        if base.starts_with("http://") && !local.iter().any(|local| base.starts_with(local)) {
            tracing::warn!(server = base, "the gateway's token goes over the network unencrypted; use https");
        }
        let http = Client::builder().timeout(PATIENCE).build()?;
        Ok(Self { http, leases: at("leases")?, report: at("report")?, token })
    }

    async fn news(&self, after: Option<(Uuid, Position)>, wait_s: u64) -> anyhow::Result<News> {
        let mut url = self.leases.clone();
        url.query_pairs_mut().append_pair("wait_s", &wait_s.to_string());
        if let Some((source, after)) = after {
            let mut query = url.query_pairs_mut();
            query.append_pair("after", &after.to_string()).append_pair("source", &source.to_string());
        }
        let answer = self.http.get(url).bearer_auth(&self.token.0).send().await?;
        refused(&answer)?;
        Ok(answer.error_for_status()?.json().await?)
    }

    async fn report(&self, announcement: &Announcement, gateway: &Gateway) -> anyhow::Result<()> {
        let body = json!({ "announcement": announcement, "tunnels": local::tunnels(gateway) });
        let request = self.http.post(self.report.clone()).bearer_auth(&self.token.0).json(&body);
        let answer = request.send().await?;
        refused(&answer)?;
        if answer.status() == StatusCode::CONFLICT {
            let problem: Value = answer.json().await?;
            let text = |member: &str| problem[member].as_str().unwrap_or_default().to_owned();
            return Err(Impossible(format!("{}; {}", text("detail"), text("action"))).into());
        }
        answer.error_for_status()?;
        Ok(())
    }

    /// Introduces a gateway, so that whoever starts it hears what is wrong; waits for a server that is not there yet.
    ///
    /// # Errors
    /// When the server does not believe the token, is none, or has another gateway in its place.
    pub async fn introduce(&self, announcement: &Announcement, gateway: &Gateway) -> anyhow::Result<()> {
        loop {
            let Err(e) = self.report(announcement, gateway).await else { return Ok(()) };
            let away = e.downcast_ref::<reqwest::Error>().is_some_and(|e| {
                e.is_connect() || e.is_timeout() || e.status().is_some_and(|status| status.is_server_error())
            });
            if !away {
                let advice = format!("{} does not take the gateway; is gateway.server right?", self.report);
                return Err(if e.is::<Impossible>() { e } else { e.context(advice) });
            }
            tracing::warn!(error = format!("{e:#}"), "the server is not there yet; asking again");
            tokio::time::sleep(AGAIN).await;
        }
    }
}

/// Why the server cannot have this gateway.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Impossible(String);

fn refused(answer: &reqwest::Response) -> anyhow::Result<()> {
    ensure!(
        !matches!(answer.status(), StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN),
        "the server does not believe the gateway's token: set gateway.token to what gateway/token in its data folder says"
    );
    Ok(())
}

/// Runs a gateway until it is told to stop; then visitors finish, and leases that end meanwhile are still obeyed.
pub async fn run(
    server: Server,
    gateway: Gateway,
    section: config::Gateway,
    instance: Uuid,
    told_to_stop: impl Future<Output = ()>,
) {
    let stop = CancellationToken::new();
    let following = tokio::spawn(follow(server.clone(), gateway.clone(), stop.clone()));
    let reporting = tokio::spawn(report(server, gateway.clone(), section, instance, stop.clone()));
    told_to_stop.await;
    gateway.stop().await;
    stop.cancel();
    let _ = tokio::join!(following, reporting);
}

/// Keeps the gateway's leases as the server has them, until stopped.
async fn follow(server: Server, gateway: Gateway, stop: CancellationToken) {
    let (mut version, mut heard) = (None, Instant::now());
    loop {
        let asked = async { server.news(version, if version.is_some() { WAIT_S } else { 0 }).await };
        let answer = tokio::select! {
            () = stop.cancelled() => return,
            answer = asked => answer,
        };
        match answer {
            Ok(news) => {
                (version, heard) = (Some((news.source, news.version)), Instant::now());
                gateway.take(&news);
            }
            Err(e) => {
                tracing::warn!(
                    error = format!("{e:#}"),
                    "the server does not say which leases live; asking again"
                );
                if heard.elapsed() > TRUST && version.take().is_some() {
                    tracing::error!(
                        "the server was not heard for too long; every lease is ended here until it is back"
                    );
                    gateway.forget();
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Reports until stopped, and once more then.
async fn report(
    server: Server,
    gateway: Gateway,
    section: config::Gateway,
    instance: Uuid,
    stop: CancellationToken,
) {
    let mut tick = tokio::time::interval(REPORT);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let last = stop.is_cancelled();
        let announcement = local::announcement(&gateway, &section, instance);
        let sent = server.report(&announcement, &gateway);
        // Whoever stops does not wait for a server that hangs.
        let sent = match last {
            true => timeout(LAST, sent).await.ok(),
            false => stop.run_until_cancelled(sent).await,
        };
        if let Some(Err(e)) = sent {
            tracing::warn!(
                error = format!("{e:#}"),
                "the server does not take the gateway's report; trying again"
            );
        }
        if last {
            return;
        }
        tokio::select! {
            () = stop.cancelled() => {}
            _ = tick.tick() => {}
        }
    }
}
