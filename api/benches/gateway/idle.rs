//! What a tunnel that nobody visits holds.

use std::time::Duration;

use crate::{KEEPALIVE_S, device, gateway, report::limit, setting, sshd, sshd::Server};

/// The most that a tunnel may hold, in KiB.
const MOST: f64 = 64.0;

/// Measures and prints.
pub fn measure() {
    println!("idle: the server's memory per tunnel, KiB");
    let n = setting("GATEWAY_TUNNELS", 1_000);
    let per_tunnel = of(&gateway::start(n), n);
    println!("{:14} | {n:>5} tunnels | {:>20}", "berth", limit(per_tunnel, per_tunnel <= MOST, "≤ 64"));
    let n = setting("GATEWAY_SSHD_TUNNELS", 200);
    println!("{:14} | {n:>5} tunnels | {:>20.2}\n", "sshd", of(&sshd::start(n), n));
}

fn of(server: &Server, n: usize) -> f64 {
    let settle = Duration::from_secs(KEEPALIVE_S.into());
    std::thread::sleep(settle / 5);
    let before = server.process.pss_kib();
    let mut devices = device::start(server, n);
    assert_eq!(devices.line(), "up");
    // Two rounds of keepalives.
    std::thread::sleep(settle * 5 / 2);
    (server.process.pss_kib() - before) / n as f64
}
