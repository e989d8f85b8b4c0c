//! How the server is, and how its jobs run.

use std::{str::FromStr, time::Duration};

use cron::Schedule;
use domain::{event::Position, time::Time};
use projections::private::Node;

use crate::{
    app::App,
    error::Problem,
    nodes,
    openbazaar::Status,
    roles::{Part, Roles},
    scheduler::JobRun,
};

/// Webhooks looked at.
const MAX_WEBHOOKS: u32 = 200;

/// A job: when it runs, and how it went.
#[derive(Debug, Clone)]
pub struct JobLine {
    /// Its name.
    pub name: &'static str,
    /// When it runs, as a cron expression.
    pub expression: String,
    /// How its last run went, here or where the jobs run.
    pub last: Option<JobRun>,
    /// When it runs next.
    pub next: Option<Time>,
}

impl JobLine {
    /// How long the last run took.
    #[must_use]
    pub fn took(&self) -> String {
        self.last.as_ref().map(|run| told(run.took)).unwrap_or_default()
    }
}

fn told(took: Duration) -> String {
    if took >= Duration::from_secs(1) {
        format!("{:.1} s", took.as_secs_f64())
    } else {
        format!("{} ms", took.as_millis())
    }
}

/// A gateway.
#[derive(Debug, Clone)]
pub struct GatewayLine {
    /// Its name.
    pub name: String,
    /// Whether it reports; none when it was not heard of since this server's start.
    pub is_there: Option<bool>,
    /// Since when it is there.
    pub since: Option<Time>,
    /// Tunnels that are up.
    pub tunnels: usize,
    /// Leases that live.
    pub leases: usize,
}

/// A webhook that does not deliver.
#[derive(Debug, Clone)]
pub struct WebhookLine {
    /// What its operator calls it, or its id.
    pub name: String,
    /// Tries of the event that failed.
    pub failures: u32,
    /// Why.
    pub error: Option<String>,
    /// Since when nothing is delivered any more.
    pub disabled_at: Option<Time>,
}

/// How the server is.
#[derive(Debug, Clone)]
pub struct Health {
    /// The program's version.
    pub version: &'static str,
    /// Seconds since it was started.
    pub up_s: i64,
    /// The log's last position.
    pub head: Option<Position>,
    /// Events that some view has not folded.
    pub views_lag: u64,
    /// The first position that the steward has not handled.
    pub steward_next: Position,
    /// Events that the steward has not handled.
    pub steward_lag: u64,
    /// The OpenBazaar connector, if there is one.
    pub connector: Option<Status>,
    /// The servers that share the database, this one included; none when it has its data for itself.
    pub nodes: Vec<Node>,
    /// The gateways.
    pub gateways: Vec<GatewayLine>,
    /// Webhooks that do not deliver.
    pub webhooks: Vec<WebhookLine>,
    /// Whether this server runs the jobs.
    pub schedules: bool,
    /// The jobs.
    pub jobs: Vec<JobLine>,
}

/// How the server is.
///
/// # Errors
/// When the log or a store cannot be read.
pub async fn of(app: &App) -> Result<Health, Problem> {
    let head = app.executor.log().head().await?;
    let next = head.map_or(0, |head| head + 1);
    let (views, steward_next) = (app.views.checkpoint().await?, app.private.follower("steward").await?);
    let connector = app.openbazaar.borrow().clone();
    let webhooks = app.private.webhooks(None, MAX_WEBHOOKS).await?;
    let failing = webhooks.into_iter().filter(|hook| hook.failures > 0 || hook.disabled_at.is_some());
    let failing = failing.map(|hook| WebhookLine {
        name: hook.label.unwrap_or_else(|| hook.id.to_string()),
        failures: hook.failures,
        error: hook.last_error.map(|(why, _)| why.chars().take(200).collect()),
        disabled_at: hook.disabled_at,
    });
    let roles = app.config.roles.parse::<Roles>().map_err(|e| Problem::internal(&e))?;
    Ok(Health {
        version: env!("CARGO_PKG_VERSION"),
        up_s: app.clock.time().since(app.up_since),
        head,
        views_lag: next.saturating_sub(views),
        steward_next,
        steward_lag: next.saturating_sub(steward_next),
        connector,
        nodes: if app.private.is_shared() { nodes::all(app).await? } else { Vec::new() },
        gateways: gateways(app),
        webhooks: failing.collect(),
        schedules: roles.has(Part::Scheduler),
        jobs: jobs(app),
    })
}

fn gateways(app: &App) -> Vec<GatewayLine> {
    let (known, leases) = (app.gateways.all(), app.leases.counts());
    let mut names: Vec<_> = known.keys().chain(leases.keys()).collect();
    names.sort_unstable();
    names.dedup();
    let line = |name| {
        let gateway = known.get(name);
        GatewayLine {
            name: ToString::to_string(name),
            is_there: gateway.map(crate::gateways::Known::is_there),
            since: gateway.map(|gateway| gateway.since),
            tunnels: gateway.filter(|gateway| gateway.is_there()).map_or(0, |gateway| gateway.tunnels),
            leases: leases.get(name).copied().unwrap_or_default(),
        }
    };
    names.into_iter().map(line).collect()
}

fn jobs(app: &App) -> Vec<JobLine> {
    let now = app.clock.now();
    let line = |(name, expression): (&'static str, &str)| JobLine {
        name,
        expression: expression.to_owned(),
        last: app.jobs.of(name),
        next: Schedule::from_str(expression)
            .ok()
            .and_then(|schedule| schedule.after(&now).next())
            .map(|next| Time::from_unix(next.timestamp())),
    };
    app.config.jobs.all().into_iter().map(line).collect()
}
