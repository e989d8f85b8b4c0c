//! How a gateway runs: the `[gateway]` section, checked.

use std::{io, net::IpAddr, time::Duration};

use domain::id::GatewayName;
use rustix::net::sockopt;
use tokio::net::TcpStream;

use super::ingress::{SendProxy, proxy::Trusted};
use crate::config;

/// How long a visitor's connection may be silent before it is asked whether it is still there.
const IDLE: Duration = Duration::from_secs(60);
/// How long a visitor may take nothing of what waits for it, even if it is there: a terminal may be paused for a while.
pub const STUCK: Duration = Duration::from_secs(900);
/// How long a connection has to bring a tunnel up, and how long it may wait before that for its turn.
const GRACE: Duration = Duration::from_secs(20);
/// Payload after which keys are exchanged anew: the limit of AES-GCM (RFC 5647, section 4, of 2^32 blocks).
const REKEY_BYTES: usize = 64 << 30;

/// How a gateway runs.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Its name.
    pub name: GatewayName,
    /// The host name.
    pub host: String,
    /// What subdomains are below.
    pub domain: String,
    /// The address that leased ports listen on.
    pub ports_on: IpAddr,
    /// How often a quiet tunnel is asked for a sign of life.
    pub keepalive: Duration,
    /// Visitors of one lease at once.
    pub max_visitors: usize,
    /// Bytes per second of one lease in each direction.
    pub bytes_per_s: Option<u64>,
    /// How long visitors have to finish when the gateway stops.
    pub drain: Duration,
    /// How a device is told who visits its port.
    pub send_proxy: SendProxy,
    /// Who may say that somebody else visits.
    pub trusted: Trusted,
    /// How long a connection has to bring a tunnel up, and how long it may wait before that for its turn.
    pub grace: Duration,
    /// How long a visitor of a port may take nothing of what waits for him, even if he is there.
    pub stuck: Duration,
    /// Payload in one direction after which a session's keys are exchanged anew.
    pub rekey_bytes: usize,
}

impl Settings {
    /// The section's values.
    ///
    /// # Errors
    /// When one is none.
    pub fn new(section: &config::Gateway) -> anyhow::Result<Self> {
        Ok(Self {
            name: section.name.clone(),
            host: section.host.clone(),
            domain: section.domain().to_ascii_lowercase(),
            ports_on: section.ports_on()?,
            keepalive: Duration::from_secs(section.keepalive_s.into()),
            max_visitors: section.visitors_max as usize,
            bytes_per_s: (section.lease_kib_per_s > 0).then_some(section.lease_kib_per_s * 1_024),
            drain: Duration::from_secs(section.drain_s.into()),
            send_proxy: section.proxy_protocol,
            trusted: section.ingress.trusted()?,
            grace: GRACE,
            stuck: STUCK,
            rekey_bytes: REKEY_BYTES,
        })
    }
}

/// Lets the system find out when a visitor is gone without a word, or takes nothing for as long as `stuck`.
///
/// # Errors
/// When the connection is gone.
pub fn keep_alive(stream: &TcpStream, stuck: Duration) -> io::Result<()> {
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, IDLE)?;
    sockopt::set_tcp_user_timeout(stream, u32::try_from(stuck.as_millis()).unwrap_or(u32::MAX))?;
    Ok(())
}
