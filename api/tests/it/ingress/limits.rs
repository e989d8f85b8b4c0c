//! Nobody holds the others up.

use std::time::Duration;

use api::gateway::ingress::Service;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::{Gate, PATIENCE, host, mirror, raw, say, upgrade};

/// Whether the other side closes the connection while we say nothing.
async fn is_closed(stream: &mut TcpStream) -> bool {
    let mut bytes = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.is_ok()
}

#[tokio::test]
async fn who_says_nothing_or_never_finishes_is_let_go() {
    let gate = Gate::with(|settings| (settings.headers_s, settings.handshake_s) = (1, 1)).await;
    gate.lease("b1", Service::Http, mirror().await);
    let mut silent = TcpStream::connect(gate.http).await.unwrap();
    let mut silent_tls = TcpStream::connect(gate.tls).await.unwrap();
    let mut half = TcpStream::connect(gate.tls).await.unwrap();
    half.write_all(&super::tls::client_hello(&host("b1"))[..100]).await.unwrap();
    let mut slow = TcpStream::connect(gate.http).await.unwrap();
    slow.write_all(format!("GET / HTTP/1.1\r\nhost: {}\r\n", host("b1")).as_bytes()).await.unwrap();
    let drip = async {
        // A header every moment, and never the last.
        while slow.write_all(b"x-a: b\r\n").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, drip).await.expect("it may go on for ever");
    for stream in [&mut silent, &mut silent_tls, &mut half] {
        assert!(is_closed(stream).await);
    }
}

#[tokio::test]
async fn headers_have_a_size_and_a_number() {
    let gate = Gate::with(|settings| settings.max_header_bytes = 8_192).await;
    gate.lease("b1", Service::Http, mirror().await);
    let head = format!("GET / HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n", host("b1"));
    for headers in [format!("x: {}\r\n", "y".repeat(10_000)), "x: y\r\n".repeat(200)] {
        let answer = say(gate.http, format!("{head}{headers}\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    }
    assert!(say(gate.http, format!("{head}x: {}\r\n\r\n", "y".repeat(7_000))).await.contains("200 OK"));
}

#[tokio::test]
async fn an_address_and_all_together_have_so_many_connections() {
    let gate = Gate::with(|settings| settings.max_connections_per_address = 2).await;
    gate.lease("b1", Service::Http, mirror().await);
    let get = format!("GET / HTTP/1.1\r\nhost: {}\r\n\r\n", host("b1"));
    let mut open = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(gate.http).await.unwrap();
        stream.write_all(get.as_bytes()).await.unwrap();
        stream.read_exact(&mut [0; 50]).await.unwrap();
        open.push(stream);
    }
    assert!(is_closed(&mut TcpStream::connect(gate.http).await.unwrap()).await);

    let gate = Gate::with(|settings| settings.max_connections = 1).await;
    gate.lease("b1", Service::Http, mirror().await);
    let mut first = TcpStream::connect(gate.http).await.unwrap();
    first.write_all(get.as_bytes()).await.unwrap();
    first.read_exact(&mut [0; 50]).await.unwrap();
    let second = say(gate.http, get.replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n"));
    let mut second = std::pin::pin!(second);
    assert!(timeout(Duration::from_millis(200), second.as_mut()).await.is_err());
    drop(first);
    assert!(second.await.contains("200 OK"));
}

#[tokio::test]
async fn connections_on_which_nothing_moves_are_closed() {
    let gate = Gate::with(|settings| settings.idle_s = 1).await;
    gate.lease("socket", Service::Http, upgrade::echo().await);
    let device = raw(|mut stream| async move {
        let _ = is_closed(&mut stream).await;
    })
    .await;
    gate.lease("mute", Service::Http, device);
    gate.lease("mute", Service::Https, device);
    let socket = upgrade::open(&gate, "socket").await;
    assert!(is_closed(&mut socket.into_inner()).await);
    let mut plain = TcpStream::connect(gate.http).await.unwrap();
    plain.write_all(format!("GET / HTTP/1.1\r\nhost: {}\r\n\r\n", host("mute")).as_bytes()).await.unwrap();
    let mut secret = TcpStream::connect(gate.tls).await.unwrap();
    secret.write_all(&super::tls::client_hello(&host("mute"))).await.unwrap();
    assert!(is_closed(&mut plain).await && is_closed(&mut secret).await);
}
