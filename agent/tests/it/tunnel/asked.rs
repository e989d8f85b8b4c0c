//! Whom the agent believes, what it asks for and what it tells.

use std::time::Duration;

use domain::key::PublicKey;
use russh::{ChannelOpenFailure, Error};
use serde_json::json;
use tokio::{net::TcpListener, time::sleep};

use super::{Manner, Service, device, subdomain, until_shown};
use crate::kit::{
    agent::Device,
    gateway::Gateway,
    server::{FakeServer, KEY},
};

#[tokio::test(flavor = "multi_thread")]
async fn the_gateway_is_asked_for_the_lease_alone_by_the_devices_key() {
    let (gateway, service) = (Gateway::start(1).await, Service::start(Manner::Echo).await);
    let at = &service.address;
    let (server, device) = device(Some(&gateway), &json!({ "ssh": at, "http": at, "https": at })).await;
    gateway.until_forwards(3).await;
    let shown = until_shown(&device, "up", "").await;
    assert_eq!(shown["gateway"], format!("127.0.0.1:{}", gateway.port));
    let key = server.world().device_key.unwrap();
    let seen = gateway.seen();
    assert_eq!(seen.logins, [(subdomain(), key)]);
    let expected = [("localhost".to_owned(), 20_000), (subdomain(), 80), (subdomain(), 443)];
    assert_eq!(seen.forwards, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_both_sides_agree_on_resists_quantum_computers_and_dropped_messages() {
    let (gateway, service) = (Gateway::start(1).await, Service::start(Manner::Echo).await);
    let server = FakeServer::start(1).await;
    server.world().gateway = Some(gateway.address());
    let mut device = Device::new(&server);
    device.configure(&json!({ "server": server.url, "key": KEY, "tunnel": { "ssh": service.address } }));
    device.start_with(&[("RUST_LOG", "info,agent=debug".as_ref())]);
    gateway.until_forwards(1).await;
    let log = device.log();
    let agreed = log.lines().find(|line| line.contains("agreed with the gateway")).expect(&log);
    assert!(agreed.contains("mlkem768x25519-sha256") && agreed.contains("strict=true"), "{agreed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_offered_is_not_asked_for_and_what_is_refused_is_told() {
    let (gateway, service) = (Gateway::start(1).await, Service::start(Manner::Echo).await);
    gateway.seen().refused.push(443);
    let tunnel = json!({ "ssh": service.address, "http": false, "https": service.address });
    let (_server, device) = device(Some(&gateway), &tunnel).await;
    until_shown(&device, "up", "not forwarded: https").await;
    assert_eq!(gateway.seen().forwards, [("localhost".to_owned(), 20_000), (subdomain(), 443)]);
    assert!(gateway.visit("localhost", 20_000).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_with_another_host_key_learns_nothing() {
    let (gateway, service) = (Gateway::start(1).await, Service::start(Manner::Echo).await);
    let server = FakeServer::start(1).await;
    server.world().gateway =
        Some(domain::wire::GatewayAddress { host_key: PublicKey([4; 32]), ..gateway.address() });
    let mut device = Device::new(&server);
    device.configure(&json!({ "server": server.url, "key": KEY, "tunnel": { "ssh": service.address } }));
    device.start();
    gateway.until("three connections", |seen| seen.connections >= 3).await;
    until_shown(&device, "down", "not believed").await;
    assert!(gateway.seen().logins.is_empty());
    assert!(gateway.seen().forwards.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gateway_reaches_what_it_was_asked_for_and_nothing_else() {
    let (gateway, service) = (Gateway::start(1).await, Service::start(Manner::Echo).await);
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let tunnel = json!({ "ssh": service.address, "http": gone.local_addr().unwrap().to_string() });
    drop(gone);
    let (_server, _device) = device(Some(&gateway), &tunnel).await;
    gateway.until_forwards(2).await;
    let prohibited = |opened: Result<_, Error>| {
        matches!(opened, Err(Error::ChannelOpenFailure(ChannelOpenFailure::AdministrativelyProhibited)))
    };
    let port = u32::from(service.address.rsplit(':').next().unwrap().parse::<u16>().unwrap());
    for (address, port) in
        [("localhost", 20_001), ("127.0.0.1", 20_000), ("localhost", 22), ("localhost", port), ("x", 80)]
    {
        assert!(prohibited(gateway.visit(address, port).await.map(drop)), "{address}:{port}");
    }
    let closed = gateway.visit(&subdomain(), 80).await.map(drop);
    let failed = |e: &Error| matches!(e, Error::ChannelOpenFailure(ChannelOpenFailure::ConnectFailed));
    assert!(closed.as_ref().is_err_and(failed), "{closed:?}");
    assert!(gateway.visit("localhost", 20_000).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_workloads_host_key_is_reported_and_forgotten_with_the_lease() {
    let workload = Gateway::start(7).await;
    let target = format!("127.0.0.1:{}", workload.port);
    let (server, _device) = device(None, &json!({ "ssh": target })).await;
    let line = workload.host_key_line();
    let reports = |lines: &[String]| {
        let lines = lines.to_vec();
        move |world: &crate::kit::server::World| {
            world.polls.last().is_some_and(|p| p.reported.host_keys == lines)
        }
    };
    server.change(|_| ());
    sleep(Duration::from_millis(300)).await;
    server.change(|_| ());
    server.until("the host key is reported", reports(&[line])).await;
    assert!(workload.seen().logins.is_empty());
    server.end();
    server.until("it is forgotten", reports(&[])).await;
}
