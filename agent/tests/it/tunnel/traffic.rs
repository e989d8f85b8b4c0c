//! What goes through a tunnel.

use std::time::{Duration, Instant};

use domain::key::Digest;
use russh::{ChannelMsg, ChannelOpenFailure, Error};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    time::{sleep, timeout},
};

use super::{Manner, Service, device, noise, subdomain};
use crate::kit::gateway::Gateway;

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
