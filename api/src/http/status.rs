//! How the server is.

use std::time::Duration;

use axum::{extract::State, http::StatusCode};
use domain::time::Time;
use projections::private::Attention as AttentionRow;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    answer::Answer,
    auth::{Auditor, Operator},
    extract::Json,
    list::List,
};
use crate::{app::App, attention, error::Problem, openbazaar::Status};

/// How many events the views may be behind before the server counts as not ready.
const MAX_LAG: u64 = 1_000;
/// How long the views may take to reach what is in the log; those that do not get there have stopped.
const CATCH_UP: Duration = Duration::from_secs(2);

/// Whether all is well.
#[derive(Debug, Serialize, ToSchema)]
pub struct Health {
    /// Always `ok`.
    status: &'static str,
}

/// Whether the server lives.
#[utoipa::path(get, path = "/healthz", tag = "server",
    responses((status = 200, description = "It lives", body = Health)))]
pub async fn is_alive() -> Answer<Health> {
    Answer::ok(Health { status: "ok" })
}

fn not_ready(why: impl Into<String>) -> Problem {
    let action = "send requests to another server, or wait";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not-ready", why, action).retry_after(5)
}

/// Whether the server should get requests: not while it stops, cannot read its log, or its views are far behind or no
/// longer move.
#[utoipa::path(get, path = "/readyz", tag = "server",
    responses((status = 200, description = "It is ready", body = Health)))]
pub async fn is_ready(State(app): State<App>) -> Result<Answer<Health>, Problem> {
    if app.stop.is_cancelled() {
        return Err(not_ready("the server is stopping"));
    }
    let unreadable = |e: &dyn std::fmt::Display| {
        tracing::error!(error = %e, "the server is not ready");
        not_ready("the ledger cannot be read")
    };
    let head = app.executor.log().head().await.map_err(|e| unreadable(&e))?;
    let views = app.views.checkpoint().await.map_err(|e| unreadable(&e))?;
    let lag = head.map_or(0, |head| head + 1).saturating_sub(views);
    if lag > MAX_LAG {
        return Err(not_ready(format!("the views are {lag} events behind")));
    }
    let reached = match head {
        Some(head) if lag > 0 => app.views.wait_for(head, CATCH_UP).await.map_err(|e| unreadable(&e))?,
        _ => true,
    };
    if !reached {
        return Err(not_ready("the views do not follow the ledger any more; the server's logs say why"));
    }
    Ok(Answer::ok(Health { status: "ok" }))
}

/// How the server is.
#[derive(Debug, Serialize, ToSchema)]
pub struct ServerStatus {
    /// The program's version.
    version: &'static str,
    /// The server's time.
    #[schema(value_type = String, format = DateTime)]
    now: Time,
    /// Since when it runs.
    #[schema(value_type = String, format = DateTime)]
    up_since: Time,
    /// The last position of the log; null while it is empty.
    #[schema(required)]
    head: Option<u64>,
    /// The first position that some view has not folded.
    views_next: u64,
    /// The first position that the steward has not handled.
    steward_next: u64,
}

/// How the server is.
#[utoipa::path(get, path = "/v1/status", tag = "server", security(("token" = ["operator", "auditor"])),
    responses((status = 200, description = "The status", body = ServerStatus)))]
pub async fn server_status(
    State(app): State<App>,
    _caller: Auditor,
) -> Result<Answer<ServerStatus>, Problem> {
    Ok(Answer::ok(ServerStatus {
        version: env!("CARGO_PKG_VERSION"),
        now: app.clock.time(),
        up_since: app.up_since,
        head: app.executor.log().head().await?,
        views_next: app.views.checkpoint().await?,
        steward_next: app.private.follower("steward").await?,
    }))
}

/// Something that a human should look at.
#[derive(Debug, Serialize, ToSchema)]
pub struct Attention {
    /// The stream it is about, or `webhook-<id>`.
    subject: String,
    /// What kind of trouble.
    what: String,
    /// What happened.
    detail: String,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    since: Time,
}

impl From<AttentionRow> for Attention {
    fn from(row: AttentionRow) -> Self {
        Self { subject: row.subject, what: row.what, detail: row.detail, since: row.since }
    }
}

/// What a human should look at, the oldest 500.
#[utoipa::path(get, path = "/v1/attention", tag = "server", security(("token" = ["operator", "auditor"])),
    responses((status = 200, description = "What to look at", body = List<Attention>)))]
pub async fn list_attention(
    State(app): State<App>,
    _caller: Auditor,
) -> Result<Answer<List<Attention>>, Problem> {
    let items = app.private.attention().await?.into_iter().map(Into::into).collect();
    Ok(Answer::ok(List { items, next: None }))
}

/// Something that was seen to.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SeenTo {
    /// What it is about, as listed.
    #[schema(min_length = 1, max_length = 300)]
    subject: String,
    /// What kind of trouble, as listed.
    #[schema(min_length = 1, max_length = 300)]
    what: String,
}

/// Takes something off the list of what a human should look at; it comes back when its cause does. What is not on the list
/// is off it already.
#[utoipa::path(post, path = "/v1/attention/seen-to", tag = "server", security(("token" = ["operator"])),
    request_body = SeenTo, responses((status = 204, description = "It is off the list")))]
pub async fn end_attention(
    State(app): State<App>,
    _caller: Operator,
    Json(SeenTo { subject, what }): Json<SeenTo>,
) -> Result<Answer<()>, Problem> {
    attention::seen_to(&app, &subject, &what).await?;
    Ok(Answer::done(None))
}

/// How the OpenBazaar connector is, as of its last look.
#[derive(Debug, Serialize, ToSchema)]
pub struct Connector {
    /// Where the node is.
    url: String,
    /// Whether this server works on the node; another one may.
    leads: bool,
    /// The coins that the node has wallets for.
    coins: Vec<String>,
    /// When it looked last.
    #[schema(value_type = String, format = DateTime)]
    looked_at: Time,
    /// When the node last answered.
    #[schema(value_type = String, format = DateTime)]
    answered_at: Time,
    /// Listings that are up.
    listings: usize,
    /// Orders that something is to be done about, or waited for.
    open_orders: usize,
    /// Payments that wait for something; the list of what to look at says for what.
    waiting_payments: usize,
    /// What went wrong at the last look.
    #[schema(required)]
    error: Option<String>,
}

/// How the OpenBazaar connector is; 404 where there is none, or it has not looked yet.
#[utoipa::path(get, path = "/v1/openbazaar", tag = "server", security(("token" = ["operator", "auditor"])),
    responses((status = 200, description = "The connector", body = Connector)))]
pub async fn connector_status(
    State(app): State<App>,
    _caller: Auditor,
) -> Result<Answer<Connector>, Problem> {
    let status = app.openbazaar.borrow().clone().ok_or_else(|| Problem::not_found("connector"))?;
    let Status { url, leads, coins, looked_at, answered_at, listings, open_orders, waiting_payments, error } =
        status;
    Ok(Answer::ok(Connector {
        url,
        leads,
        coins,
        looked_at,
        answered_at,
        listings,
        open_orders,
        waiting_payments,
        error,
    }))
}
