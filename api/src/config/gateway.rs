//! The `[gateway]` section.

use std::net::IpAddr;

use anyhow::{Context, ensure};
use domain::id::GatewayName;
use serde::{Deserialize, Serialize};

use super::Secret;
use crate::gateway::ingress::{self, SendProxy};

/// The gateway that devices get their ports from: its range, and how this process runs it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Gateway {
    /// Its name; never change it while leases live.
    pub name: GatewayName,
    /// The host name renters reach its ports at, and devices its SSH server.
    pub host: String,
    /// What subdomains are below; the host unless set.
    pub domain: String,
    /// First port it leases.
    pub first_port: u16,
    /// Last port it leases.
    pub last_port: u16,
    /// The address that leased ports listen on, such as `0.0.0.0`.
    pub ports_on: String,
    /// Where tunnels are accepted, such as `0.0.0.0:2222`; empty for `127.0.0.1:2222`, or any free port when that is taken.
    pub ssh_listen: String,
    /// The port that devices are told to bring tunnels up to; 0 for the one listened on.
    pub ssh_port: u16,
    /// Seconds between two signs of life that a quiet tunnel is asked for; after three that did not come it is cut.
    pub keepalive_s: u32,
    /// Visitors of one lease at once.
    pub visitors_max: u32,
    /// KiB per second of one lease in each direction; 0 for as fast as it goes.
    pub lease_kib_per_s: u64,
    /// Seconds that visitors have to finish when the gateway stops.
    pub drain_s: u32,
    /// How a device's services on its port and on 443 are told who visits: `off`, `v1` or `v2` of the PROXY protocol.
    pub proxy_protocol: SendProxy,
    /// A gateway of its own asks this server for its leases; empty for the API's own address on this machine.
    pub server: String,
    /// What a gateway of its own proves itself with; empty for the one in the data folder.
    pub token: Secret,
    /// How visitors reach devices by name.
    pub ingress: ingress::Settings,
}

/// Names of settings that are never shown.
pub(super) fn is_secret(name: &str) -> bool {
    name == "gateway.token"
}

impl Gateway {
    /// What subdomains are below.
    #[must_use]
    pub fn domain(&self) -> &str {
        if self.domain.is_empty() { &self.host } else { &self.domain }
    }

    /// The address that leased ports listen on.
    ///
    /// # Errors
    /// When it is none.
    pub fn ports_on(&self) -> anyhow::Result<IpAddr> {
        self.ports_on.parse().with_context(|| {
            format!("gateway.ports_on must be an address such as 0.0.0.0, not {:?}", self.ports_on)
        })
    }

    /// How visitors reach devices by name, complete.
    #[must_use]
    pub fn ingress(&self) -> ingress::Settings {
        ingress::Settings {
            domain: self.domain().to_ascii_lowercase(),
            send_proxy: self.proxy_protocol,
            drain_s: self.drain_s,
            ..self.ingress.clone()
        }
    }

    pub(super) fn check(&self) -> anyhow::Result<()> {
        ensure!(
            self.first_port > 0 && self.first_port <= self.last_port,
            "gateway.first_port must be 1 to gateway.last_port"
        );
        let named = |c: char| c.is_ascii_alphanumeric() || ".-:[]".contains(c);
        ensure!(
            !self.host.is_empty() && !self.host.contains("//") && self.host.chars().all(named),
            "gateway.host must be a host name or an address, such as gw.example, not {:?}",
            self.host
        );
        ensure!((1..=3_600).contains(&self.keepalive_s), "gateway.keepalive_s must be 1 second to 1 hour");
        ensure!((1..=100_000).contains(&self.visitors_max), "gateway.visitors_max must be 1 to 100000");
        ensure!(self.drain_s <= 86_400, "gateway.drain_s must be at most a day");
        ensure!(self.lease_kib_per_s <= 1 << 40, "gateway.lease_kib_per_s is too large");
        self.ports_on()?;
        self.ingress().check()
    }
}

impl Default for Gateway {
    fn default() -> Self {
        let name = GatewayName::new("local").unwrap_or_else(|_| unreachable!("the name is in the alphabet"));
        Self {
            name,
            host: "localhost".into(),
            domain: String::new(),
            first_port: 20_000,
            last_port: 29_999,
            ports_on: "127.0.0.1".into(),
            ssh_listen: String::new(),
            ssh_port: 0,
            keepalive_s: 15,
            visitors_max: 128,
            lease_kib_per_s: 0,
            drain_s: 10,
            proxy_protocol: SendProxy::Off,
            server: String::new(),
            token: Secret::default(),
            ingress: ingress::Settings::default(),
        }
    }
}
