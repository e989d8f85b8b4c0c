//! The tunnel: visitors' way through the gateway to what runs for the renter.
//!
//! # Shape
//! ```text
//! word, workload ──► Plan ──watch──► keep ──► connection ──ssh──► gateway ◄── visitors
//!                                    retries      │ forwarded channels, of what was asked for only
//!                                                 ▼
//!                                           carry, one task each ──► the service's address on this device
//! ```
//! The agent's loop says what it wants, without waiting; tasks of the tunnel's own do it.
//!
//! | module | what it does |
//! |---|---|
//! | `config` | what may be set in `agent.json` |
//! | `keep` | connects again and again while the tunnel is wanted |
//! | `connection` | one connection: reach, believe, authenticate, ask for the forwards |
//! | `client` | what is answered to the gateway |
//! | `carry` | one visitor's connection, with its half-closes |
//! | `proxy` | the visitor's address in front of it, if wanted |
//! | `keys` | the workload's SSH host keys |
//! | `shown` | what `status` shows |
//! | `sever` | cuts a connection wherever it is |
//!
//! # Correctness
//! * A tunnel is up only for a lease that the server's verified word says to run and whose workload runs. When that ends,
//!   the session and every connection through it are cut, not drained.
//! * The gateway is believed by the host key in that word alone, and can reach nothing but the services of the plan.
//! * Dropping [`Tunnel`] ends its tasks, and with them everything they hold.
//!
//! # Limits
//! A service sees every visitor with this device's address, unless the PROXY protocol is on: an sshd that punishes
//! addresses for failed logins (`PerSourcePenalties`) punishes all visitors for one.

mod algorithms;
mod carry;
mod client;
mod config;
mod connection;
mod keep;
mod keys;
mod proxy;
mod sever;
mod shown;

use std::{
    path::Path,
    sync::{Arc, PoisonError},
};

use domain::{
    id::{Epoch, Subdomain},
    wire::GatewayAddress,
};
use ed25519_dalek::SigningKey;
use tokio::{sync::watch, task::JoinHandle};

use crate::workload::Address;
pub use config::{ProxyProtocol, TunnelConfig};
pub use shown::{Standing, State};

/// Connections through the tunnel at a time; more are refused.
pub const CHANNELS_MAX: usize = 128;

/// Where visitors' connections go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Targets {
    /// Those to the leased port.
    pub ssh: Option<Address>,
    /// Those to `http://` the subdomain.
    pub http: Option<Address>,
    /// Those to `https://` the subdomain.
    pub https: Option<Address>,
}

/// A tunnel that is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Where it ends.
    pub gateway: GatewayAddress,
    /// The lease.
    pub epoch: Epoch,
    /// Its subdomain, which is the device's user name at the gateway.
    pub subdomain: Subdomain,
    /// Its port.
    pub port: u16,
    /// Where connections go.
    pub targets: Targets,
    /// How services are told whose connection they get.
    pub proxy: ProxyProtocol,
}

/// Why no tunnel is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoTunnel {
    /// There is no lease, or it is stopped.
    #[error("no lease runs")]
    NoLease,
    /// The server's word names none.
    #[error("the server names no gateway")]
    NoGateway,
    /// Nothing is offered, and nothing set.
    #[error("the workload offers nothing to visitors; set \"tunnel\" in agent.json")]
    NothingOffered,
}

/// What a visitor wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Service {
    Ssh,
    Http,
    Https,
}

impl Service {
    const fn name(self) -> &'static str {
        match self {
            Self::Ssh => "ssh",
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// Whether the gateway tells the visitor's address by itself.
    const fn has_headers(self) -> bool {
        matches!(self, Self::Http)
    }
}

/// One address and port that the gateway is asked for, and where it leads.
#[derive(Debug, Clone)]
struct Forward {
    service: Service,
    address: String,
    port: u16,
    target: Address,
}

impl Plan {
    /// The gateway's address, as it is shown and connected to.
    fn address(&self) -> String {
        let GatewayAddress { host, port, .. } = &self.gateway;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }

    fn forwards(&self) -> Vec<Forward> {
        let (subdomain, Targets { ssh, http, https }) = (self.subdomain.to_string(), &self.targets);
        let all = [
            (Service::Ssh, "localhost", self.port, ssh),
            (Service::Http, &subdomain, 80, http),
            (Service::Https, &subdomain, 443, https),
        ];
        let forward = |(service, address, port, target): (_, &str, _, &Option<Address>)| {
            let target = target.clone()?;
            Some(Forward { service, address: address.to_owned(), port, target })
        };
        all.into_iter().filter_map(forward).collect()
    }
}

/// The agent's end of the tunnel.
pub struct Tunnel {
    key: Arc<SigningKey>,
    plan: watch::Sender<Option<Plan>>,
    place: watch::Sender<Option<keys::Where>>,
    found: keys::Found,
    shown: Arc<shown::Shown>,
    /// None before they are needed.
    tasks: Option<[JoinHandle<()>; 2]>,
}

impl Tunnel {
    /// A closed tunnel of the device with this key, shown in `data_dir`.
    #[must_use]
    pub fn new(key: SigningKey, data_dir: Option<&Path>) -> Self {
        Self {
            key: Arc::new(key),
            plan: watch::Sender::new(None),
            place: watch::Sender::new(None),
            found: keys::Found::default(),
            shown: Arc::new(shown::Shown::new(data_dir)),
            tasks: None,
        }
    }

    /// Opens, changes or closes it. Returns at once; what was open for another plan is cut.
    pub fn set(&mut self, wanted: Result<Plan, NoTunnel>) {
        if let Err(why) = wanted {
            self.shown.show(State::Closed, None, Some(why.to_string()));
        } else {
            self.begin();
        }
        change(&self.plan, wanted.ok());
    }

    /// Says where the host keys are to be looked for: at the SSH server of this run of the workload.
    pub fn look_at(&mut self, server: Option<(Address, String)>, proxy: ProxyProtocol) {
        if server.is_some() {
            self.begin();
        }
        change(&self.place, server.map(|(server, run)| keys::Where { server, proxy, run }));
    }

    /// The host keys that were found, in the form of the wire.
    #[must_use]
    pub fn host_keys(&self) -> Vec<String> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn begin(&mut self) {
        let Self { key, plan, place, found, shown, tasks } = self;
        tasks.get_or_insert_with(|| {
            [
                tokio::spawn(keep::keep(plan.subscribe(), key.clone(), shown.clone())),
                tokio::spawn(keys::follow(place.subscribe(), found.clone())),
            ]
        });
    }
}

/// Whether a connection to a gateway's address can be made at all.
///
/// # Errors
/// Why not.
pub async fn reach(gateway: &str) -> std::io::Result<()> {
    connection::reach(gateway).await.map(drop)
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.tasks.iter().flatten().for_each(JoinHandle::abort);
    }
}

fn change<T: PartialEq>(watched: &watch::Sender<T>, value: T) {
    watched.send_if_modified(|now| {
        let news = *now != value;
        *now = value;
        news
    });
}
