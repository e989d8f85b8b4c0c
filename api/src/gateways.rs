//! The gateways that are there, as they report themselves, and how the tunnels of their leases are.
//!
//! # Shape
//! A gateway in this process reports by a call, one of its own by a request; both every few seconds. What they report is
//! kept in memory: it is news, not truth. Servers on one store tell each other through it ([`shared`]).
//!
//! # Correctness
//! A tunnel over which a device was heard is a sign of life of it, as a poll is; a report that says nothing of a device
//! says nothing. A gateway that is silent for [`SILENT_AFTER`] gets no more leases, and its tunnels are not known to be up.

mod shared;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

pub use shared::{must_be_free, refresh};

use axum::http::StatusCode;
use domain::{
    id::{DeviceId, Epoch, GatewayName},
    key::PublicKey,
    time::Time,
    wire::GatewayAddress,
};
use projections::private::{Attention, MAX_GATEWAYS, Private};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{app::App, config, devices, error::Problem};

/// After this, a gateway that does not report is not there.
pub const SILENT_AFTER: Duration = Duration::from_secs(30);
/// A tunnel over which nothing was heard for longer, in seconds, is no sign of life.
const FRESH_S: u64 = 60;
/// Tunnels in one report.
pub const MAX_TUNNELS: usize = 70_000;

/// What a gateway says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Announcement {
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
    /// The SSH key that it proves itself with.
    pub host_key: PublicKey,
    /// Where names are reached over HTTP; 0 for nowhere.
    #[serde(default)]
    pub http_port: u16,
    /// Where names are reached over TLS; 0 for nowhere.
    #[serde(default)]
    pub https_port: u16,
    /// Whether it is about to stop: it gets no more leases.
    #[serde(default)]
    pub draining: bool,
}

/// How a lease's tunnel is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TunnelReport {
    /// Whose.
    pub device: DeviceId,
    /// Which lease of the device.
    pub epoch: Epoch,
    /// Seconds since the device was heard over it; none while it is down.
    pub heard_s_ago: Option<u64>,
    /// Whether the leased port is listened on.
    #[serde(default = "yes")]
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

const fn yes() -> bool {
    true
}

/// A gateway that is there.
#[derive(Debug, Clone)]
pub struct Known {
    /// What it says of itself.
    pub announcement: Announcement,
    /// When it was last heard of.
    pub heard: Instant,
    /// Since when it is there.
    pub since: Time,
    /// Tunnels that are up.
    pub tunnels: usize,
}

impl Known {
    /// Whether it is there now.
    #[must_use]
    pub fn is_there(&self) -> bool {
        self.heard.elapsed() < SILENT_AFTER
    }
}

/// Where a lease's port can be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    /// The gateway.
    pub name: GatewayName,
    /// First port it leases.
    pub first: u16,
    /// Last port it leases.
    pub last: u16,
}

#[derive(Debug, Default)]
struct State {
    gateways: BTreeMap<GatewayName, Known>,
    tunnels: HashMap<DeviceId, (GatewayName, Instant, TunnelReport)>,
    told: HashMap<GatewayName, shared::Told>,
}

/// The gateways that are there.
#[derive(Debug, Default)]
pub struct Gateways(Mutex<State>);

impl Gateways {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every gateway heard of since this server's start, or within a day by servers that share a store.
    #[must_use]
    pub fn all(&self) -> BTreeMap<GatewayName, Known> {
        self.state().gateways.clone()
    }

    /// Where tunnels to a gateway are brought up, while it is there.
    #[must_use]
    pub fn address(&self, name: &GatewayName) -> Option<GatewayAddress> {
        let state = self.state();
        let Announcement { host, ssh_port, host_key, .. } =
            &state.gateways.get(name).filter(|known| known.is_there())?.announcement;
        Some(GatewayAddress { host: host.clone(), port: *ssh_port, host_key: *host_key })
    }

    /// The host name of a gateway; that of this server's own when it was not heard of.
    #[must_use]
    pub fn host(&self, name: Option<&GatewayName>, own: &config::Gateway) -> String {
        let state = self.state();
        let known = name.and_then(|name| state.gateways.get(name));
        known.map_or_else(|| own.host.clone(), |known| known.announcement.host.clone())
    }

    /// What subdomains of a gateway are below.
    #[must_use]
    pub fn domain(&self, name: Option<&GatewayName>, own: &config::Gateway) -> String {
        let state = self.state();
        let known = name.and_then(|name| state.gateways.get(name));
        known.map_or_else(|| own.domain().to_owned(), |known| known.announcement.domain.clone())
    }

    /// The addresses of what a name of a gateway's serves over HTTP and TLS.
    #[must_use]
    pub fn sites(&self, gateway: &GatewayName, name: &str) -> [Option<String>; 2] {
        let state = self.state();
        let Some(known) = state.gateways.get(gateway).filter(|known| known.is_there()) else {
            return [None, None];
        };
        let Announcement { http_port, https_port, .. } = known.announcement;
        [("http", http_port, 80), ("https", https_port, 443)].map(|(scheme, port, usual)| match port {
            0 => None,
            port if port == usual => Some(format!("{scheme}://{name}/")),
            port => Some(format!("{scheme}://{name}:{port}/")),
        })
    }

    /// The gateways that a lease can be at, the emptiest first; when none is there, the one that this process is about to
    /// run, if any.
    #[must_use]
    pub fn ranges(&self, counts: &BTreeMap<GatewayName, usize>, own: Option<&config::Gateway>) -> Vec<Range> {
        let size = |range: &Range| usize::from(range.last - range.first) + 1;
        let there = |(name, known): (&GatewayName, &Known)| {
            let Announcement { first_port: first, last_port: last, draining, .. } = known.announcement;
            (known.is_there() && !draining).then(|| Range { name: name.clone(), first, last })
        };
        let mut ranges: Vec<_> = self.state().gateways.iter().filter_map(there).collect();
        let fullness = |range: &Range| counts.get(&range.name).copied().unwrap_or(0) * 10_000 / size(range);
        ranges.sort_by_key(|range| (fullness(range), range.name.clone()));
        if let Some(own) = own.filter(|_| ranges.is_empty()) {
            ranges.push(Range { name: own.name.clone(), first: own.first_port, last: own.last_port });
        }
        ranges
    }

    /// How the tunnel of a device's lease is, by its gateway's last report; `None` when it has none.
    #[must_use]
    pub fn tunnel(&self, device: DeviceId, epoch: Epoch) -> Option<TunnelReport> {
        let state = self.state();
        let (_, at, report) = state.tunnels.get(&device)?;
        Some(*report).filter(|report| report.epoch == epoch).map(|report| aged(*at, report))
    }

    /// Every tunnel reported, by gateway.
    #[must_use]
    pub fn tunnels(&self) -> Vec<(GatewayName, TunnelReport)> {
        let aged =
            |(name, at, report): &(GatewayName, Instant, TunnelReport)| (name.clone(), aged(*at, *report));
        self.state().tunnels.values().map(aged).collect()
    }

    /// Takes what a gateway says; whether that is news, or why it cannot be.
    async fn take(
        &self,
        private: &Private,
        name: &GatewayName,
        announcement: Announcement,
        tunnels: &[TunnelReport],
        now: Time,
    ) -> Result<bool, Problem> {
        if private.is_shared() {
            self.write(private, name, &announcement, tunnels, now).await?;
        }
        let mut state = self.state();
        if !private.is_shared() {
            refuse(name, &announcement, &state.gateways)?;
        }
        let since = since(state.gateways.get(name), &announcement, now);
        Ok(state.keep(name, announcement, tunnels, Instant::now(), since))
    }
}

impl State {
    /// Remembers what a gateway said; whether that is news.
    fn keep(
        &mut self,
        name: &GatewayName,
        announcement: Announcement,
        tunnels: &[TunnelReport],
        heard: Instant,
        since: Time,
    ) -> bool {
        let up = tunnels.iter().filter(|report| report.heard_s_ago.is_some()).count();
        let before = self.gateways.get(name);
        let fresh = before.is_none_or(|known| known.announcement != announcement || !known.is_there());
        self.gateways.insert(name.clone(), Known { announcement, heard, since, tunnels: up });
        // What a gateway does not report any more is over.
        self.tunnels.retain(|_, (at, when, _)| at != name && when.elapsed() < SILENT_AFTER * 4);
        for report in tunnels {
            self.tunnels.insert(report.device, (name.clone(), heard, *report));
        }
        fresh
    }
}

/// Since when a gateway is there that says this now.
fn since(before: Option<&Known>, announcement: &Announcement, now: Time) -> Time {
    let same = before.filter(|known| known.announcement.instance == announcement.instance);
    same.map_or(now, |known| known.since)
}

/// Refuses a gateway that cannot be beside those that are known.
fn refuse(
    name: &GatewayName,
    announcement: &Announcement,
    gateways: &BTreeMap<GatewayName, Known>,
) -> Result<(), Problem> {
    let another = |known: &Known| {
        let key = known.announcement.host_key;
        known.is_there() && !known.announcement.draining && key != announcement.host_key
    };
    if gateways.get(name).is_some_and(another) {
        let detail = format!("another gateway named {name} is there, with another SSH key");
        let action = "give each gateway a name of its own with gateway.name, or wait half a minute until the other is gone";
        return Err(Problem::new(StatusCode::CONFLICT, "gateway-name-taken", detail, action));
    }
    // One address leads to one lease.
    let overlaps = |(other, known): &(&GatewayName, &Known)| {
        let theirs = &known.announcement;
        *other != name
            && known.is_there()
            && theirs.host.eq_ignore_ascii_case(&announcement.host)
            && theirs.first_port <= announcement.last_port
            && announcement.first_port <= theirs.last_port
    };
    if let Some((other, _)) = gateways.iter().find(overlaps) {
        let detail = format!("the gateway {other} leases some of the same ports of the same host");
        let action = "give each gateway of a host ports of its own: gateway.first_port and gateway.last_port";
        return Err(Problem::new(StatusCode::CONFLICT, "gateway-ports-taken", detail, action));
    }
    if !gateways.contains_key(name) && gateways.len() >= MAX_GATEWAYS {
        return Err(Problem::overloaded());
    }
    Ok(())
}

/// What is still true of a report: of a gateway that is silent, no tunnel is known to be up.
fn aged(at: Instant, mut report: TunnelReport) -> TunnelReport {
    if at.elapsed() >= SILENT_AFTER {
        (report.heard_s_ago, report.visitors) = (None, 0);
    }
    report
}

/// A key as OpenSSH writes it.
#[must_use]
pub fn openssh(key: PublicKey) -> String {
    use russh::keys::ssh_key::public::{Ed25519PublicKey, KeyData};
    let key = russh::keys::PublicKey::from(KeyData::Ed25519(Ed25519PublicKey(key.0)));
    // Writing an Ed25519 key cannot fail.
    key.to_openssh().unwrap_or_default()
}

/// Takes a gateway's report. Devices that were heard over their tunnels live.
///
/// # Errors
/// When another gateway of that name is there, or a lost device was heard of and the log cannot be written.
pub async fn report(
    app: &App,
    name: &GatewayName,
    announcement: Announcement,
    mut tunnels: Vec<TunnelReport>,
) -> Result<(), Problem> {
    // A gateway speaks for the leases that it holds, and for no others.
    let its_own = |report: &TunnelReport| {
        let lease = app.leases.of(report.device);
        lease.is_some_and(|lease| lease.epoch == report.epoch && lease.gateway == *name)
    };
    tunnels.retain(its_own);
    if app.gateways.take(&app.private, name, announcement, &tunnels, app.clock.time()).await? {
        // Devices learn where their tunnels end.
        app.leases.at(name).into_iter().for_each(|device| app.feed.wake(device));
    }
    let alive = tunnels.iter().filter(|report| report.heard_s_ago.is_some_and(|ago| ago < FRESH_S));
    let alive: Vec<_> = alive.map(|report| report.device).collect();
    alive.iter().for_each(|device| app.heard_of(*device));
    for device in app.leases.lost(&alive) {
        devices::heard_of(app, device).await?;
    }
    Ok(())
}

/// How often it is looked whether gateways are there.
const LOOK: Duration = Duration::from_secs(5);
/// After this, a port that is not open is a human's business.
const CLOSED_FOR: Duration = Duration::from_secs(10);
/// What a gateway that is away is listed as.
pub const AWAY: &str = "gateway away";
/// What a leased port that is not open is listed as.
pub const CLOSED: &str = "leased port not open";

/// Calls a human to gateways that hold leases and are not there, and to leased ports that cannot be opened, until stopped.
pub async fn watch(app: App, stop: CancellationToken) {
    let (mut trouble, since) = (HashMap::<(String, &'static str), (Instant, bool)>::new(), Instant::now());
    while stop.run_until_cancelled(tokio::time::sleep(LOOK)).await.is_some() {
        let mut seen = Vec::new();
        for gateway in app.leases.counts().into_keys() {
            let there = app.gateways.all().get(&gateway).is_some_and(Known::is_there);
            let starting = since.elapsed() < SILENT_AFTER;
            seen.push((format!("gateway-{gateway}"), AWAY, there || starting, Duration::ZERO));
        }
        for (_, tunnel) in app.gateways.tunnels() {
            seen.push((format!("device-{}", tunnel.device), CLOSED, tunnel.port_open, CLOSED_FOR));
        }
        for (subject, what, fine, patience) in seen {
            let key = (subject, what);
            if fine {
                let told = trouble.remove(&key).is_none_or(|(_, told)| told);
                // Also what an earlier process has listed.
                if told && let Err(e) = app.private.end_attention(&key.0, what).await {
                    tracing::warn!(error = %e, "what is over cannot be taken off the list");
                }
                continue;
            }
            let (begun, told) = *trouble.entry(key.clone()).or_insert((Instant::now(), false));
            if told || begun.elapsed() < patience {
                continue;
            }
            let detail = match what {
                AWAY => {
                    "it holds leases and does not report: nobody reaches their devices. Start it again, or end the leases"
                }
                _ => "its gateway cannot listen on the leased port: see the gateway's log, and free the port",
            };
            tracing::error!(subject = key.0, "{what}: {detail}");
            let item = Attention {
                subject: key.0.clone(),
                what: what.into(),
                detail: detail.into(),
                since: app.clock.time(),
            };
            match app.private.call_attention(&item).await {
                Ok(()) => drop(trouble.insert(key, (begun, true))),
                Err(e) => tracing::warn!(error = %e, "a human cannot be called; trying again"),
            }
        }
    }
}
