//! The tunnel: an agent against an SSH server that plays the gateway.

mod foreign;
mod offered;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use domain::{
    id::Subdomain,
    key::{Digest, PublicKey},
};
use russh::{ChannelMsg, ChannelOpenFailure, Error};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Mutex,
    time::{sleep, timeout},
};

use crate::kit::{
    agent::Device,
    gateway::Gateway,
    server::{FakeServer, KEY},
    signer::DEVICE,
};

/// What a service does with a connection.
#[derive(Clone, Copy)]
enum Manner {
    /// Hears the visitor out, then answers with as many bytes of its own, then says what it heard.
    Polite,
    /// Answers every byte.
    Echo,
    /// Never reads and never ends.
    Deaf,
    /// Ends first, then hears the visitor out.
    Hasty,
}

/// A service on this device: its address, and what it heard of each visitor that ended.
struct Service {
    address: String,
    heard: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Service {
    async fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let heard = Arc::<Mutex<Vec<Vec<u8>>>>::default();
        let notes = heard.clone();
        tokio::spawn(async move {
            while let Ok((visitor, _)) = listener.accept().await {
                tokio::spawn(serve(visitor, manner, notes.clone()));
            }
        });
        Self { address, heard }
    }

    async fn until_heard(&self, count: usize) -> Vec<Vec<u8>> {
        let start = Instant::now();
        loop {
            let heard = self.heard.lock().await.clone();
            if heard.len() >= count {
                return heard;
            }
            assert!(start.elapsed() < Duration::from_secs(30), "the service heard {} visitors", heard.len());
            sleep(Duration::from_millis(5)).await;
        }
    }
}

async fn serve(mut visitor: TcpStream, manner: Manner, notes: Arc<Mutex<Vec<Vec<u8>>>>) {
    let mut heard = Vec::new();
    match manner {
        Manner::Polite => {
            visitor.read_to_end(&mut heard).await.ok();
            visitor.write_all(&noise(heard.len(), 9)).await.ok();
        }
        Manner::Echo => {
            let (mut from, mut to) = visitor.split();
            tokio::io::copy(&mut from, &mut to).await.ok();
        }
        Manner::Deaf => std::future::pending().await,
        Manner::Hasty => {
            visitor.write_all(b"bye").await.ok();
            visitor.shutdown().await.ok();
            visitor.read_to_end(&mut heard).await.ok();
        }
    }
    notes.lock().await.push(heard);
}

/// Bytes that look like nothing in particular.
fn noise(length: usize, seed: u8) -> Vec<u8> {
    let mut state = u32::from(seed) + 1;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    (0..length).map(|_| next()).collect()
}

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
async fn bytes_go_both_ways_whole_and_each_side_ends_by_itself() {
    let (gateway, polite) = (Gateway::start(1).await, Service::start(Manner::Polite).await);
    let hasty = Service::start(Manner::Hasty).await;
    let tunnel = json!({ "ssh": polite.address, "http": hasty.address });
    let (_server, _device) = device(Some(&gateway), &tunnel).await;
    gateway.until_forwards(2).await;
    let said = noise(6 << 20, 3);
    let mut visitor = gateway.visit("localhost", 20_000).await.unwrap().into_stream();
    visitor.write_all(&said).await.unwrap();
    visitor.shutdown().await.unwrap();
    let mut answer = Vec::new();
    timeout(Duration::from_secs(30), visitor.read_to_end(&mut answer)).await.unwrap().unwrap();
    assert_eq!(Digest::of(&answer), Digest::of(&noise(said.len(), 9)));
    assert_eq!(Digest::of(&polite.until_heard(1).await[0]), Digest::of(&said));

    let mut visitor = gateway.visit(&subdomain(), 80).await.unwrap();
    let mut answer = Vec::new();
    while let Some(message) = visitor.wait().await {
        match message {
            ChannelMsg::Data { data } => answer.extend_from_slice(&data),
            ChannelMsg::Eof => break,
            _ => {}
        }
    }
    assert_eq!(answer, b"bye");
    visitor.data(&b"wait, one more thing"[..]).await.unwrap();
    visitor.eof().await.unwrap();
    assert_eq!(hasty.until_heard(1).await[0], b"wait, one more thing");
    let closed = async { while visitor.wait().await.is_some() {} };
    timeout(Duration::from_secs(5), closed).await.expect("the channel is closed once both sides have ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_visitor_who_vanishes_leaves_the_service_with_a_reset() {
    let gateway = Gateway::start(1).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let tunnel = json!({ "ssh": listener.local_addr().unwrap().to_string() });
    let (_server, _device) = device(Some(&gateway), &tunnel).await;
    gateway.until_forwards(1).await;
    // The first connections may be looks at the host key, which say something.
    let visitor = gateway.visit("localhost", 20_000).await.unwrap();
    visitor.data(&b"half a sentence"[..]).await.unwrap();
    let mut service = loop {
        let (mut service, _) = timeout(Duration::from_secs(5), listener.accept()).await.unwrap().unwrap();
        let mut heard = [0; 4];
        service.read_exact(&mut heard).await.unwrap();
        if heard == *b"half" {
            break service;
        }
    };
    visitor.close().await.unwrap();
    let mut rest = Vec::new();
    let read = timeout(Duration::from_secs(5), service.read_to_end(&mut rest)).await.unwrap();
    assert!(read.is_err(), "what is cut off must not look complete: {rest:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_stalls_holds_up_no_other() {
    let (gateway, deaf) = (Gateway::start(1).await, Service::start(Manner::Deaf).await);
    let echo = Service::start(Manner::Echo).await;
    let tunnel = json!({ "ssh": deaf.address, "http": echo.address });
    let (_server, _device) = device(Some(&gateway), &tunnel).await;
    gateway.until_forwards(2).await;
    let mut stalled = gateway.visit("localhost", 20_000).await.unwrap().into_stream();
    let flood = noise(1 << 20, 5);
    let flooding = async {
        loop {
            stalled.write_all(&flood).await.unwrap();
        }
    };
    assert!(timeout(Duration::from_secs(2), flooding).await.is_err(), "the window is bounded");
    for _ in 0..3 {
        let mut visitor = gateway.visit(&subdomain(), 80).await.unwrap().into_stream();
        visitor.write_all(b"still there?").await.unwrap();
        let mut answer = [0; 12];
        timeout(Duration::from_secs(2), visitor.read_exact(&mut answer)).await.unwrap().unwrap();
        assert_eq!(&answer, b"still there?");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn more_connections_than_a_device_can_bear_are_refused_until_one_ends() {
    let (gateway, echo) = (Gateway::start(1).await, Service::start(Manner::Echo).await);
    let (_server, _device) = device(Some(&gateway), &json!({ "ssh": echo.address })).await;
    gateway.until_forwards(1).await;
    let mut visitors = Vec::new();
    for _ in 0..agent::tunnel::CHANNELS_MAX {
        visitors.push(gateway.visit("localhost", 20_000).await.unwrap());
    }
    let refused = gateway.visit("localhost", 20_000).await.map(drop);
    let short = |e: &Error| matches!(e, Error::ChannelOpenFailure(ChannelOpenFailure::ResourceShortage));
    assert!(refused.as_ref().is_err_and(short), "{refused:?}");
    visitors.pop().unwrap().close().await.unwrap();
    let start = Instant::now();
    while gateway.visit("localhost", 20_000).await.is_err() {
        assert!(start.elapsed() < Duration::from_secs(5), "there is room again");
        sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_comes_back_is_connected_again() {
    let (gateway, echo) = (Gateway::start(1).await, Service::start(Manner::Echo).await);
    let (_server, device) = device(Some(&gateway), &json!({ "ssh": echo.address })).await;
    gateway.until_forwards(1).await;
    let port = gateway.kill();
    until_shown(&device, "down", "").await;
    let gateway = Gateway::start_at(1, port).await;
    gateway.until_forwards(1).await;
    let mut visitor = gateway.visit("localhost", 20_000).await.unwrap().into_stream();
    visitor.write_all(b"again").await.unwrap();
    let mut answer = [0; 5];
    visitor.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"again");
    until_shown(&device, "up", "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_gateway_is_moved_to() {
    let (first, second) = (Gateway::start(1).await, Gateway::start(2).await);
    let echo = Service::start(Manner::Echo).await;
    let (server, _device) = device(Some(&first), &json!({ "ssh": echo.address })).await;
    first.until_forwards(1).await;
    server.change(|world| world.gateway = Some(second.address()));
    second.until_forwards(1).await;
    assert!(timeout(Duration::from_secs(1), first.until_left()).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tunnel_and_what_goes_through_it_are_cut_within_a_second_of_the_leases_end() {
    let (gateway, echo) = (Gateway::start(1).await, Service::start(Manner::Echo).await);
    let (server, device) = device(Some(&gateway), &json!({ "ssh": echo.address })).await;
    gateway.until_forwards(1).await;
    let mut visitor = gateway.visit("localhost", 20_000).await.unwrap();
    visitor.data(&b"hello"[..]).await.unwrap();
    assert!(matches!(visitor.wait().await, Some(ChannelMsg::Data { .. })));
    server.until("the agent waits for news", |world| world.polls.last().is_some_and(|p| p.wait_s > 0)).await;
    server.end();
    let cut = async {
        while visitor.wait().await.is_some() {}
        gateway.until_left().await;
    };
    timeout(Duration::from_secs(1), cut).await.expect("the tunnel is cut");
    echo.until_heard(1).await;
    until_shown(&device, "closed", "no lease runs").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tunnel_is_cut_when_the_last_word_lapses() {
    let (gateway, echo) = (Gateway::start(1).await, Service::start(Manner::Echo).await);
    let server = FakeServer::start(1).await;
    {
        let mut world = server.world();
        (world.gateway, world.valid_for_s) = (Some(gateway.address()), 3);
    }
    let mut device = Device::new(&server);
    device.configure(&json!({ "server": server.url, "key": KEY, "tunnel": { "ssh": echo.address } }));
    device.start();
    gateway.until_forwards(1).await;
    server.change(|world| world.mood = crate::kit::server::Mood::Status(503));
    timeout(Duration::from_secs(6), gateway.until_left()).await.expect("the tunnel is cut");
    until_shown(&device, "closed", "no lease runs").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_gateway_or_anything_to_reach_there_is_no_tunnel() {
    let (gateway, echo) = (Gateway::start(1).await, Service::start(Manner::Echo).await);
    let (server, device) = device(None, &json!({ "ssh": echo.address })).await;
    until_shown(&device, "closed", "names no gateway").await;
    drop(device);
    server.change(|world| world.gateway = Some(gateway.address()));
    let (_server, bare) = self::device(Some(&gateway), &json!({})).await;
    until_shown(&bare, "closed", "offers nothing").await;
    assert_eq!(gateway.seen().connections, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_is_told_whose_connection_it_gets_if_that_is_wanted() {
    let gateway = Gateway::start(1).await;
    let (https, http) = (Service::start(Manner::Polite).await, Service::start(Manner::Polite).await);
    let tunnel = json!({ "http": http.address, "https": https.address, "proxy_protocol": "v1" });
    let (_server, _device) = device(Some(&gateway), &tunnel).await;
    gateway.until_forwards(2).await;
    for port in [80, 443] {
        let visitor = gateway.visit(&subdomain(), port).await.unwrap();
        visitor.data(&b"hello"[..]).await.unwrap();
        visitor.eof().await.unwrap();
    }
    let header = "PROXY TCP4 192.0.2.7 127.0.0.1 50000 443\r\nhello";
    assert_eq!(https.until_heard(1).await[0], header.as_bytes());
    assert_eq!(http.until_heard(1).await[0], b"hello", "the gateway tells it in a header of its own");
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
