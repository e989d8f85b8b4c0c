//! The gateway: devices bring tunnels up to it, and whoever is allowed to reaches them through it while their lease lives.
//!
//! # Shape
//! ```text
//! device ── ssh -R ──► ssh ─ door ─ handler ──► tunnel ─┐
//!                                                       berth ◄── table ◄── leases (the log, or the server that has it)
//! visitor ── leased port ──► port ─ pump ───────────────┤
//! visitor ── name.domain ──► ingress ───────────────────┘
//! ```
//!
//! | module | what it does |
//! |---|---|
//! | [`leases`] | which leases live, followed from the log |
//! | [`table`], [`berth`] | the leases of this gateway, and what each holds |
//! | [`ssh`], [`door`], [`handler`], [`asked`] | lets devices in, and to nothing but their own |
//! | [`tunnel`], [`transport`], [`shards`] | a device's session, on a thread of its own kind |
//! | [`port`], [`pump`], [`limiter`] | a leased port and its visitors |
//! | [`names`], [`ingress`] | visitors by name, over HTTP and TLS |
//! | [`host_key`] | the gateway's own key |
//! | [`local`], [`remote`], [`token`] | how it is told its leases, and reports |
//!
//! # Correctness
//! The ledger decides, the gateway obeys: a lease that is over is ended here before anything else is done with what it
//! held. Everything of a lease hangs on one cancellation token, so nothing of it can be forgotten.

pub mod asked;
pub mod berth;
pub mod crowd;
pub mod door;
pub mod handler;
pub mod host_key;
pub mod ingress;
pub mod leases;
pub mod limiter;
pub mod local;
pub mod names;
mod port;
pub mod pump;
pub mod remote;
pub mod settings;
pub mod shards;
pub mod ssh;
pub mod table;
pub mod token;
pub mod transport;
pub mod tunnel;

use std::{
    net::{IpAddr, SocketAddr},
    path::Path,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use anyhow::Context;
use domain::{
    id::{DeviceId, Epoch},
    key::PublicKey,
};
use tokio::{net::TcpListener, sync::Semaphore, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{
    berth::Berth, door::Door, ingress::Ingress, leases::News, names::Names, shards::Shards, table::Table,
};
pub use self::{settings::Settings, tunnel::Service};
use crate::{clock::Clock, config, listen};

/// How long sessions have to end once they were cut.
const LAST: Duration = Duration::from_secs(5);

/// Everything a running gateway shares.
#[derive(Debug)]
pub struct Shared {
    /// How it runs.
    pub settings: Settings,
    /// Its leases.
    pub table: Table,
    door: Door,
    shards: Shards,
    /// Sessions and listeners.
    tasks: TaskTracker,
    /// Visitors that are served.
    visits: TaskTracker,
    /// Places for visitors of leased ports.
    visitors: Arc<Semaphore>,
    /// Cancelled when nobody new is let in any more.
    closing: CancellationToken,
    /// Cancelled when everything ends.
    stopped: CancellationToken,
    /// What times are counted from.
    since: Instant,
}

/// How a lease's tunnel is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Whose.
    pub device: DeviceId,
    /// Which lease of the device.
    pub epoch: Epoch,
    /// When the device was last heard of, if its tunnel is up.
    pub heard: Option<Instant>,
    /// Whether the leased port is listened on.
    pub port_open: bool,
    /// Visitors that are connected.
    pub visitors: usize,
    /// Bytes from visitors to the device.
    pub to_device: u64,
    /// Bytes from the device to visitors.
    pub from_device: u64,
    /// Visitors' connections, ended ones included.
    pub connections: u64,
}

/// Opens the gateway that the `[gateway]` section describes; its key is kept in `folder`.
///
/// # Errors
/// When an address cannot be listened on, or something is set wrong.
pub async fn open(section: &config::Gateway, folder: &Path, clock: Clock) -> anyhow::Result<Gateway> {
    let ports_on = SocketAddr::new(section.ports_on()?, 0);
    TcpListener::bind(ports_on).await.with_context(|| {
        format!(
            "leased ports cannot be opened on gateway.ports_on, {}: name an address of this machine",
            ports_on.ip()
        )
    })?;
    let listener = listen(&section.ssh_listen, "127.0.0.1:2222", "gateway.ssh_listen").await?;
    let mut gateway = Gateway::start(Settings::new(section)?, folder, listener)?;
    let names = Arc::new(Names(gateway.shared.clone()));
    let now = Arc::new(move || clock.now());
    let ingress = Ingress::open(section.ingress(), names, folder, now).await?;
    (gateway.http, gateway.tls) = (ingress.http_address(), ingress.tls_address());
    let local = |at: Option<SocketAddr>| at.is_some_and(|at| at.ip().is_loopback());
    let here = section.host == "localhost" || section.host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    if !here && (ports_on.ip().is_loopback() || local(Some(gateway.ssh)) || local(gateway.http)) {
        tracing::warn!(host = section.host, ports_on = %ports_on.ip(), ssh = %gateway.ssh, http = ?gateway.http,
            "others are told a host name, but something listens for this machine only; set gateway.ports_on, \
             gateway.ssh_listen and gateway.ingress.http and tls");
    }
    gateway.shared.visits.spawn(ingress.serve(gateway.shared.closing.clone()));
    Ok(gateway)
}

/// Listens where it is set; where nothing is set, on the usual address, or on any free port when that is taken.
async fn listen(set: &str, usual: &str, setting: &str) -> anyhow::Result<TcpListener> {
    if !set.is_empty() {
        let bound = listen::bind(set).await;
        return bound
            .with_context(|| format!("cannot listen on {set}; choose another address with {setting}"));
    }
    if let Ok(bound) = listen::bind(usual).await {
        return Ok(bound);
    }
    let bound = listen::bind("127.0.0.1:0").await.context("cannot listen on 127.0.0.1")?;
    tracing::warn!(usual, address = %bound.local_addr()?, setting, "the usual address is taken; another was chosen");
    Ok(bound)
}

/// A running gateway.
#[derive(Debug, Clone)]
pub struct Gateway {
    shared: Arc<Shared>,
    /// Where tunnels are accepted.
    pub ssh: SocketAddr,
    /// Where names are reached over HTTP.
    pub http: Option<SocketAddr>,
    /// Where names are reached over TLS.
    pub tls: Option<SocketAddr>,
    /// The key that it proves itself with.
    pub host_key: PublicKey,
}

impl Gateway {
    /// Starts to accept tunnels; nobody has a lease yet. Its key is kept in `folder`.
    ///
    /// # Errors
    /// When the key cannot be used or the system gives no threads.
    pub fn start(settings: Settings, folder: &Path, listener: TcpListener) -> anyhow::Result<Self> {
        let key = host_key::load_or_create(folder)?;
        let host_key = host_key::public(&key).context("the gateway's key is of another kind")?;
        let ssh = listener.local_addr()?;
        let config = Arc::new(ssh::config(key, &settings));
        let shared = Arc::new(Shared {
            settings,
            table: Table::default(),
            door: Door::default(),
            shards: Shards::start().context("the gateway cannot start its threads")?,
            tasks: TaskTracker::new(),
            visits: TaskTracker::new(),
            // The rest of what files allow is the API's, the ingress's and the tunnels'.
            visitors: Arc::new(Semaphore::new((listen::limit() / 4).max(1))),
            closing: CancellationToken::new(),
            stopped: CancellationToken::new(),
            since: Instant::now(),
        });
        shared.tasks.spawn(ssh::serve(shared.clone(), listener, config));
        Ok(Self { shared, ssh, http: None, tls: None, host_key })
    }

    /// Everything it shares.
    #[must_use]
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Takes news of its leases in. When this returns, what is over answers nobody.
    pub fn take(&self, news: &News) {
        let settings = &self.shared.settings;
        let make = |lease| Berth::new(lease, settings.max_visitors, settings.bytes_per_s);
        for berth in self.shared.table.take(news, make) {
            self.shared.tasks.spawn(port::serve(self.shared.clone(), berth));
        }
    }

    /// Ends every lease here, whatever the ledger says of it.
    pub fn forget(&self) {
        self.shared.table.clear();
    }

    /// Lets nobody new in from now on.
    pub fn close(&self) {
        self.shared.closing.cancel();
    }

    /// Whether nobody new is let in any more.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.shared.closing.is_cancelled()
    }

    /// How every lease's tunnel is.
    #[must_use]
    pub fn look(&self) -> Vec<Seen> {
        let seen = |berth: &Arc<Berth>| {
            let since = |ms: u64| self.shared.since + Duration::from_millis(ms);
            let heard = berth.tunnel().map(|tunnel| since(tunnel.heard_ms.load(Ordering::Relaxed)));
            let count = |n: &std::sync::atomic::AtomicU64| n.load(Ordering::Relaxed);
            Seen {
                device: berth.lease.device,
                epoch: berth.lease.epoch,
                heard,
                port_open: berth.port_open.load(Ordering::Relaxed),
                visitors: berth.visitors(),
                to_device: count(&berth.traffic.to_device),
                from_device: count(&berth.traffic.from_device),
                connections: count(&berth.traffic.connections),
            }
        };
        self.shared.table.all().iter().map(seen).collect()
    }

    /// Lets nobody new in, waits for those who are served, and ends everything.
    pub async fn stop(self) {
        self.close();
        self.shared.visits.close();
        if tokio::time::timeout(self.shared.settings.drain, self.shared.visits.wait()).await.is_err() {
            tracing::warn!("some visitors did not finish in time; they are cut off");
        }
        self.shared.table.clear();
        self.shared.stopped.cancel();
        self.shared.tasks.close();
        if tokio::time::timeout(LAST, self.shared.tasks.wait()).await.is_err() {
            tracing::warn!("some tunnels did not end in time");
        }
    }
}
