//! The tunnel gateway beside stock OpenSSH: throughput, latency, memory, and a thousand devices that come back at once.
//!
//! `cargo bench -p berth-api --bench gateway`; about five minutes, after the build. Needs `ssh` and `sshd` (Debian:
//! openssh-client and openssh-server; the server need not run).
//!
//! Everything is measured in one run, the contenders in turn within each round, on the loopback: Berth's gateway and an
//! sshd of our own, each in processes of its own so that what it costs is its own, under the same stock `ssh -N -R`; beside
//! them a plain TCP proxy (tokio's `copy_bidirectional` with buffers as large) and no proxy at all. Load, client and server
//! share the processors, as many as the machine has.
//!
//! - **throughput**: MB/s received in a window of time, from the device to the visitor and back, over 1 and 16 connections;
//!   ratios are of the same round, and their median is told; CPU seconds of the server per GB.
//! - **latency**: a new connection until its first byte is echoed; and an echo over one that is held.
//! - **idle**: the server's proportional memory (PSS) per tunnel that does nothing but keep alive.
//! - **reconnect**: the server is killed and started again; time until the leased port of every device answers an echo, and
//!   the server's CPU for each.
//!
//! Idle tunnels and those that come back are held by a light client in a process of its own: a thousand `ssh` are too heavy.
//! Each part is run only when named: `cargo bench -p berth-api --bench gateway -- throughput idle`.
//!
//! | environment | | default |
//! |---|---|---|
//! | `GATEWAY_ROUNDS` | rounds of throughput and latency | 7 |
//! | `GATEWAY_WINDOW_MS` | how long each throughput is measured | 1200 |
//! | `GATEWAY_ONLY` | only throughputs that are named so, such as `aes;device→visitor;1 c` | all |
//! | `GATEWAY_TUNNELS` | idle tunnels, and devices that come back | 1000 |
//! | `GATEWAY_SSHD_TUNNELS` | the same of sshd, which takes longer | 200 |
//! | `GATEWAY_FIRST_PORT` | ports from here on are used, twice as many as tunnels | 30000 |

use api::gateway::leases::LiveLease;
use domain::id::{DeviceId, GatewayName, Subdomain};
use russh::keys::{PrivateKey, ssh_key::private::Ed25519Keypair};
use uuid::Uuid;

mod device;
mod gateway;
mod idle;
mod latency;
mod load;
mod process;
mod proxy;
mod reconnect;
mod report;
mod sshd;
mod throughput;

/// Seconds between two signs of life of an idle tunnel, of both servers.
const KEEPALIVE_S: u32 = 5;

fn setting(name: &str, default: usize) -> usize {
    let given = std::env::var(name).ok();
    given.map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} must be a number")))
}

/// The port of a device; those of sshd are beyond those of the gateway.
fn port(device: usize) -> u16 {
    u16::try_from(setting("GATEWAY_FIRST_PORT", 30_000) + device).expect("a port")
}

/// The key of a device.
fn key(device: usize) -> PrivateKey {
    let mut seed = [7; 32];
    seed[..8].copy_from_slice(&device.to_le_bytes());
    PrivateKey::new(Ed25519Keypair::from_seed(&seed).into(), "bench").expect("a key")
}

/// The lease of a device.
fn lease(device: usize) -> LiveLease {
    let id = DeviceId(Uuid::from_u128(device as u128 + 1));
    let device_key = key(device).public_key().key_data().ed25519().expect("an Ed25519 key").0;
    LiveLease {
        device: id,
        epoch: 1,
        gateway: GatewayName::new("local").expect("a name"),
        port: port(device),
        subdomain: Subdomain::of(id, 1),
        device_key: domain::key::PublicKey(device_key),
    }
}

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    process::raise_file_limit();
    match arguments[..] {
        ["serve-gateway", folder, ssh, leases] => return gateway::serve(folder, ssh, leases),
        ["serve-proxy", to] => return proxy::serve(to),
        ["be-devices", to, host_key, user, first, n] => return device::be(to, host_key, user, first, n),
        _ => {}
    }
    let wanted = |part: &str| arguments.is_empty() || arguments.contains(&part);
    if wanted("throughput") {
        throughput::measure();
    }
    if wanted("latency") {
        latency::measure();
    }
    if wanted("idle") {
        idle::measure();
    }
    if wanted("reconnect") {
        reconnect::measure();
    }
}
