//! The agent and the SSH server that everybody has: what the agent speaks is SSH, not a dialect of its own.

use std::time::{Duration, Instant};

use domain::key::Digest;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};

use super::{Manner, Service, noise, subdomain};
use crate::kit::{
    agent::Device,
    server::{FakeServer, KEY, World},
    sshd::{Sshd, free_port},
};

#[tokio::test(flavor = "multi_thread")]
async fn the_stock_ssh_server_forwards_to_the_agent_until_the_lease_ends() {
    let port = free_port();
    let Some(sshd) = Sshd::start("the stock ssh server forwards", &subdomain(), port) else { return };
    let service = Service::start(Manner::Polite).await;
    let server = FakeServer::start(1).await;
    {
        let mut world = server.world();
        (world.gateway, world.port) = (Some(sshd.address()), port);
    }
    let mut device = Device::new(&server);
    device.configure(&json!({ "server": server.url, "key": KEY, "tunnel": { "ssh": service.address } }));
    device.start();
    server.until_running(1).await;
    sshd.admit(server.world().device_key.unwrap());

    let mut visitor = reached(port).await;
    let said = noise(3 << 20, 3);
    visitor.write_all(&said).await.unwrap();
    visitor.shutdown().await.unwrap();
    let mut answer = Vec::new();
    timeout(Duration::from_secs(30), visitor.read_to_end(&mut answer)).await.unwrap().unwrap();
    assert_eq!(Digest::of(&answer), Digest::of(&noise(said.len(), 9)));
    let heard = service.until_heard(1).await;
    assert!(heard.iter().any(|heard| Digest::of(heard) == Digest::of(&said)));

    let mut lasting = reached(port).await;
    lasting.write_all(b"still here").await.unwrap();
    server.end();
    let cut = async { while lasting.read(&mut [0; 8]).await.is_ok_and(|n| n > 0) {} };
    timeout(Duration::from_secs(2), cut).await.expect("the connection is cut");
    let refused = async { while TcpStream::connect(("127.0.0.1", port)).await.is_ok() {} };
    timeout(Duration::from_secs(5), refused).await.expect("sshd takes no visitors any more");
}

/// Waits for the tunnel.
async fn reached(port: u16) -> TcpStream {
    let start = Instant::now();
    loop {
        match TcpStream::connect(("127.0.0.1", port)).await {
            Ok(stream) => return stream,
            Err(error) => assert!(start.elapsed() < Duration::from_secs(30), "{error}"),
        }
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stock_ssh_servers_host_keys_are_reported_as_it_wrote_them() {
    let Some(sshd) = Sshd::start("the stock ssh server's host keys", &subdomain(), 1) else { return };
    let server = FakeServer::start(1).await;
    let mut device = Device::new(&server);
    let target = format!("127.0.0.1:{}", sshd.port);
    device.configure(&json!({ "server": server.url, "key": KEY, "tunnel": { "ssh": target } }));
    device.start();
    server.until_running(1).await;
    let keys = sshd.host_keys();
    let reported = |world: &World| world.polls.last().is_some_and(|p| p.reported.host_keys == keys);
    let start = Instant::now();
    while !reported(&server.world()) {
        assert!(start.elapsed() < Duration::from_secs(30), "{:?}", server.world().polls.last());
        // Whatever is news makes the agent poll.
        server.change(|_| ());
        sleep(Duration::from_millis(200)).await;
    }
}
