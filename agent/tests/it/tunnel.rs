//! The tunnel: an agent against an SSH server that plays the gateway.

mod asked;
mod foreign;
mod life;
mod offered;
mod service;
mod traffic;

use std::time::{Duration, Instant};

use domain::id::Subdomain;
use serde_json::{Value, json};
use tokio::time::sleep;

use self::service::{Manner, Service, noise};
use crate::kit::{
    agent::Device,
    gateway::Gateway,
    server::{FakeServer, KEY},
    signer::DEVICE,
};

fn subdomain() -> String {
    Subdomain::of(DEVICE, 1).to_string()
}

/// A device on a server with this gateway, its lease running.
async fn device(gateway: Option<&Gateway>, tunnel: &Value) -> (FakeServer, Device) {
    let server = FakeServer::start(1).await;
    server.world().gateway = gateway.map(Gateway::address);
    let mut device = Device::new(&server);
    device.configure(&json!({ "server": server.url, "key": KEY, "tunnel": tunnel }));
    device.start();
    server.until_running(1).await;
    (server, device)
}

/// Waits until `status` says so of the tunnel.
async fn until_shown(device: &Device, state: &str, why: &str) -> Value {
    let start = Instant::now();
    loop {
        let tunnel = device.status()["tunnel"].clone();
        if tunnel["state"] == state && tunnel["why"].as_str().unwrap_or_default().contains(why) {
            return tunnel;
        }
        assert!(start.elapsed() < Duration::from_secs(30), "{tunnel}");
        sleep(Duration::from_millis(20)).await;
    }
}
