//! Connections that switch their protocol.

use api::gateway::ingress::Service;
use futures_util::{SinkExt, StreamExt};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream, accept_async, client_async,
    tungstenite::{Message, client::IntoClientRequest},
};

use super::{Gate, PATIENCE, host, raw, read_some, say, whole};

/// A device that says every message back.
pub async fn echo() -> std::net::SocketAddr {
    raw(|stream| async move {
        let Ok(mut socket) = accept_async(stream).await else { return };
        while let Some(Ok(message)) = socket.next().await {
            if message.is_text() || message.is_binary() {
                let _ = socket.send(message).await;
            }
        }
    })
    .await
}

/// A visitor's WebSocket.
pub async fn open(gate: &Gate, name: &str) -> WebSocketStream<TcpStream> {
    let request = format!("ws://{}/chat", host(name)).into_client_request().unwrap();
    let stream = TcpStream::connect(gate.http).await.unwrap();
    client_async(request, stream).await.unwrap().0
}

#[tokio::test]
async fn a_websocket_carries_messages_both_ways_until_it_is_closed() {
    let gate = Gate::open().await;
    gate.lease("b1", Service::Http, echo().await);
    let mut socket = open(&gate, "b1").await;
    let large = Message::binary((0..3_000_000).map(|n: u32| n.to_le_bytes()[1]).collect::<Vec<_>>());
    for message in [Message::text("hello"), large, Message::text("")] {
        socket.send(message.clone()).await.unwrap();
        assert!(timeout(PATIENCE, socket.next()).await.unwrap().unwrap().unwrap() == message);
    }
    socket.close(None).await.unwrap();
    while timeout(PATIENCE, socket.next()).await.expect("it stays open").is_some() {}
}

#[tokio::test]
async fn any_protocol_can_follow_and_a_side_may_end_before_the_other() {
    let gate = Gate::open().await;
    let device = raw(|mut stream| async move {
        let mut seen = Vec::new();
        while !whole(&seen) && read_some(&mut stream, &mut seen).await > 0 {}
        assert!(String::from_utf8_lossy(&seen).contains("upgrade: my-protocol/2"));
        // Its first words come with the head.
        let head = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: my-protocol/2\r\nx-a: b\r\n\r\n";
        stream.write_all(format!("{head}first ").as_bytes()).await.unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await.unwrap();
        stream.write_all(&all).await.unwrap();
    })
    .await;
    gate.lease("b1", Service::Http, device);
    let mut stream = TcpStream::connect(gate.http).await.unwrap();
    let ask = format!(
        "GET / HTTP/1.1\r\nhost: {}\r\nconnection: keep-alive, Upgrade\r\nupgrade: my-protocol/2\r\n\r\n",
        host("b1")
    );
    stream.write_all(ask.as_bytes()).await.unwrap();
    stream.write_all(b"and more").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
    let (head, rest) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 101 ") && head.contains("upgrade: my-protocol/2\r\n"), "{head}");
    assert!(head.contains("x-a: b") && head.contains("connection: upgrade"), "{head}");
    assert_eq!(rest, "first and more");
}

#[tokio::test]
async fn a_device_may_decline_but_not_switch_unasked() {
    let gate = Gate::open().await;
    let device = raw(|mut stream| async move {
        let mut seen = Vec::new();
        while !whole(&seen) && read_some(&mut stream, &mut seen).await > 0 {}
        let answer = if String::from_utf8_lossy(&seen).contains("upgrade:") {
            "HTTP/1.1 426 Upgrade Required\r\ncontent-length: 0\r\n\r\n"
        } else {
            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n"
        };
        let _ = stream.write_all(answer.as_bytes()).await;
        let _ = read_some(&mut stream, &mut seen).await;
    })
    .await;
    gate.lease("b1", Service::Http, device);
    let head = format!("GET / HTTP/1.1\r\nhost: {}\r\n", host("b1"));
    let answer = say(gate.http, format!("{head}connection: close, upgrade\r\nupgrade: x\r\n\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 426 "), "{answer}");
    let answer = say(gate.http, format!("{head}connection: close\r\n\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
}
