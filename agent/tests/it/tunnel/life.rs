//! When a tunnel is up and when it is not.

use std::time::{Duration, Instant};

use russh::ChannelMsg;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{sleep, timeout},
};

use super::{Manner, Service, device, until_shown};
use crate::kit::{
    agent::Device,
    gateway::Gateway,
    server::{FakeServer, KEY, Mood},
};

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
    server.change(|world| world.mood = Mood::Status(503));
    timeout(Duration::from_secs(6), gateway.until_left()).await.expect("the tunnel is cut");
    until_shown(&device, "closed", "no lease runs").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_goes_on_without_the_server_keeps_its_tunnel() {
    let (gateway, echo) = (Gateway::start(1).await, Service::start(Manner::Echo).await);
    let server = FakeServer::start(1).await;
    {
        let mut world = server.world();
        (world.gateway, world.valid_for_s) = (Some(gateway.address()), 2);
    }
    let mut device = Device::new(&server);
    let tunnel = json!({ "ssh": echo.address });
    device.configure(&json!({ "server": server.url, "key": KEY, "offline_resume": true, "tunnel": tunnel }));
    device.start();
    gateway.until_forwards(1).await;
    let mut visitor = gateway.visit("localhost", 20_000).await.unwrap().into_stream();
    server.change(|world| world.mood = Mood::Status(503));
    let start = Instant::now();
    while !device.log().contains("the last answer lapsed") {
        assert!(start.elapsed() < Duration::from_secs(30), "it lapses");
        sleep(Duration::from_millis(20)).await;
    }
    sleep(Duration::from_millis(500)).await;
    visitor.write_all(b"still").await.unwrap();
    let mut answer = [0; 5];
    timeout(Duration::from_secs(2), visitor.read_exact(&mut answer)).await.unwrap().unwrap();
    assert_eq!((&answer, gateway.seen().connections), (b"still", 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_gateway_or_anything_to_reach_there_is_no_tunnel() {
    let (gateway, echo) = (Gateway::start(1).await, Service::start(Manner::Echo).await);
    let (server, device) = device(None, &json!({ "ssh": echo.address })).await;
    until_shown(&device, "closed", "names no gateway").await;
    drop(device);
    server.change(|world| world.gateway = Some(gateway.address()));
    let (_server, bare) = super::device(Some(&gateway), &json!({})).await;
    until_shown(&bare, "closed", "offers nothing").await;
    assert_eq!(gateway.seen().connections, 0);
}
