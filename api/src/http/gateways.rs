//! Gateways: what they are told and report, and what operators see of them.

use std::time::Duration;

use axum::extract::State;
use domain::{id::GatewayName, time::Time};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{
    answer::Answer,
    auth::{Auditor, GatewayCaller},
    extract::{Json, Path, Query},
    list::List,
};
use crate::{
    app::App,
    error::Problem,
    gateway::leases::News,
    gateways::{self, Announcement, MAX_TUNNELS, TunnelReport},
};

/// The longest a gateway waits for news, in seconds.
const MAX_WAIT_S: u32 = 30;

/// The longest report of a gateway, in bytes.
pub const MAX_REPORT: usize = 32 << 20;

/// A lease that lives.
#[derive(ToSchema)]
#[schema(as = LiveLease)]
pub struct LiveLeaseForm {
    /// Who holds it.
    pub device: Uuid,
    /// Which lease of the device.
    pub epoch: u32,
    /// Where its port is.
    pub gateway: String,
    /// The port.
    pub port: u16,
    /// The subdomain.
    pub subdomain: String,
    /// The Ed25519 key that the device proves to hold.
    pub device_key: String,
}

/// The lease of a device that is over.
#[derive(ToSchema)]
#[schema(as = EndedLease)]
pub struct EndedLeaseForm {
    /// Who held it.
    pub device: Uuid,
    /// Which lease of the device.
    pub epoch: u32,
}

/// What changed.
#[derive(ToSchema)]
#[schema(as = LeaseNews)]
pub struct NewsForm {
    /// Who tells: different after every start of a server.
    pub source: Uuid,
    /// To ask with the next time.
    pub version: u64,
    /// Whether `live` is all there is: what it does not name is over.
    pub whole: bool,
    /// Leases that were granted and live.
    #[schema(value_type = Vec<LiveLeaseForm>)]
    pub live: Vec<LiveLeaseForm>,
    /// Leases that ended.
    #[schema(value_type = Vec<EndedLeaseForm>)]
    pub ended: Vec<EndedLeaseForm>,
}

/// Since when.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct NewsQuery {
    /// `version` of the answer before; everything when left out.
    pub after: Option<u64>,
    /// `source` of the answer before.
    pub source: Option<Uuid>,
    /// How long to wait for news, in seconds.
    #[param(minimum = 0, maximum = 30)]
    pub wait_s: Option<u32>,
}

/// The leases of a gateway, or what changed since it asked last. For gateways in processes of their own.
#[utoipa::path(get, path = "/v1/gateways/{gateway}/leases", tag = "gateways",
    params(("gateway" = String, Path, pattern = "^[a-z0-9]{1,32}$"), NewsQuery), security(("gateway_token" = [])),
    responses((status = 200, description = "What changed", body = NewsForm)))]
pub async fn lease_news(
    State(app): State<App>,
    _caller: GatewayCaller,
    Path(gateway): Path<GatewayName>,
    Query(NewsQuery { after, source, wait_s }): Query<NewsQuery>,
) -> Result<Answer<News>, Problem> {
    let wait = Duration::from_secs(wait_s.unwrap_or(0).min(MAX_WAIT_S).into());
    let deadline = tokio::time::Instant::now() + wait;
    let mut changed = app.leases.watch();
    loop {
        changed.mark_unchanged();
        let told = app.leases.since(&gateway, source.zip(after), app.private.is_shared());
        let news = told.ok_or_else(Problem::overloaded)?;
        let over = tokio::time::Instant::now() >= deadline || app.stop.is_cancelled();
        if news.whole || over || !news.live.is_empty() || !news.ended.is_empty() {
            return Ok(Answer::ok(news));
        }
        tokio::select! {
            () = app.stop.cancelled() => {}
            _ = tokio::time::timeout_at(deadline, changed.changed()) => {}
        }
    }
}

/// What a gateway says of itself.
#[derive(ToSchema)]
#[schema(as = GatewayAnnouncement)]
pub struct AnnouncementForm {
    /// Different after every start.
    pub instance: Uuid,
    /// The host name renters and devices reach it at.
    pub host: String,
    /// What subdomains are below.
    pub domain: String,
    /// First port it leases.
    pub first_port: u16,
    /// Last port it leases.
    pub last_port: u16,
    /// Where devices bring their tunnels up to.
    pub ssh_port: u16,
    /// The Ed25519 key that it proves itself with.
    pub host_key: String,
    /// Where names are reached over HTTP; 0 for nowhere.
    #[schema(required = false)]
    pub http_port: u16,
    /// Where names are reached over TLS; 0 for nowhere.
    #[schema(required = false)]
    pub https_port: u16,
    /// Whether it is about to stop: it gets no more leases.
    #[schema(required = false)]
    pub draining: bool,
}

/// How a lease's tunnel is.
#[derive(ToSchema)]
#[schema(as = TunnelReport)]
pub struct TunnelReportForm {
    /// Whose.
    pub device: Uuid,
    /// Which lease of the device.
    pub epoch: u32,
    /// Seconds since the device was heard over it; none while it is down.
    pub heard_s_ago: Option<u64>,
    /// Whether the leased port is listened on.
    #[schema(required = false)]
    pub port_open: bool,
    /// Visitors that are connected.
    pub visitors: u64,
    /// Bytes from visitors to the device, since the gateway started.
    pub to_device: u64,
    /// Bytes from the device to visitors, since the gateway started.
    pub from_device: u64,
    /// Visitors' connections, ended ones included, since the gateway started.
    pub connections: u64,
}

/// A gateway's report.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GatewayReport {
    /// What it says of itself.
    #[schema(value_type = AnnouncementForm)]
    pub announcement: Announcement,
    /// What it says of its leases.
    #[schema(value_type = Vec<TunnelReportForm>, max_items = 70000)]
    pub tunnels: Vec<TunnelReport>,
}

/// Reports how a gateway and its tunnels are; sent every few seconds. A device that is heard over its tunnel lives.
#[utoipa::path(post, path = "/v1/gateways/{gateway}/report", tag = "gateways",
    params(("gateway" = String, Path, pattern = "^[a-z0-9]{1,32}$")), security(("gateway_token" = [])),
    request_body = GatewayReport,
    responses((status = 204, description = "Taken")))]
pub async fn report_gateway(
    State(app): State<App>,
    _caller: GatewayCaller,
    Path(gateway): Path<GatewayName>,
    Json(GatewayReport { announcement, tunnels }): Json<GatewayReport>,
) -> Result<Answer<()>, Problem> {
    let Announcement { host, domain, first_port, last_port, .. } = &announcement;
    let named = [host, domain].iter().all(|name| (1..=253).contains(&name.len()) && name.is_ascii());
    if !named || *first_port == 0 || first_port > last_port || tunnels.len() > MAX_TUNNELS {
        return Err(Problem::malformed(
            "`host` and `domain` are names, `first_port` is 1 to `last_port`, and each port has one tunnel at most",
        ));
    }
    gateways::report(&app, &gateway, announcement, tunnels).await?;
    Ok(Answer::done(None))
}

/// A gateway.
#[derive(Debug, Serialize, ToSchema)]
pub struct GatewayStatus {
    /// Its name.
    gateway: String,
    /// Whether it reports.
    is_there: bool,
    /// Whether it is about to stop.
    draining: bool,
    /// Since when it runs, as far as this server knows.
    #[schema(value_type = String, format = DateTime)]
    since: Time,
    /// The host name renters and devices reach it at.
    host: String,
    /// What subdomains are below.
    domain: String,
    /// First port it leases.
    first_port: u16,
    /// Last port it leases.
    last_port: u16,
    /// Where devices bring their tunnels up to.
    ssh_port: u16,
    /// The key that it proves itself with, as OpenSSH's `known_hosts` has it.
    host_key: String,
    /// Leases that live.
    leases: usize,
    /// Tunnels that are up.
    tunnels: usize,
}

/// The gateways heard of since the server's start.
#[utoipa::path(get, path = "/v1/gateways", tag = "gateways", security(("token" = ["operator", "auditor"])),
    responses((status = 200, description = "The gateways", body = List<GatewayStatus>)))]
pub async fn list_gateways(
    State(app): State<App>,
    _caller: Auditor,
) -> Result<Answer<List<GatewayStatus>>, Problem> {
    let counts = app.leases.counts();
    let status = |(name, known): (GatewayName, gateways::Known)| {
        let (is_there, announcement) = (known.is_there(), known.announcement);
        GatewayStatus {
            leases: counts.get(&name).copied().unwrap_or(0),
            gateway: name.to_string(),
            is_there,
            draining: announcement.draining,
            since: known.since,
            host: announcement.host,
            domain: announcement.domain,
            first_port: announcement.first_port,
            last_port: announcement.last_port,
            ssh_port: announcement.ssh_port,
            host_key: gateways::openssh(announcement.host_key),
            tunnels: if is_there { known.tunnels } else { 0 },
        }
    };
    let items = app.gateways.all().into_iter().map(status).collect();
    Ok(Answer::ok(List { items, next: None }))
}
