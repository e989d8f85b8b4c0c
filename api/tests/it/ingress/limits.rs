//! Nobody holds the others up.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

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

/// Waits until a number grows no more, and returns it.
async fn settled(number: &AtomicUsize) -> usize {
    let mut last = 0;
    let settled = async {
        loop {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let now = number.load(Ordering::SeqCst);
            if now > 0 && now == last {
                return now;
            }
            last = now;
        }
    };
    timeout(PATIENCE, settled).await.expect("it grows for ever")
}

/// Writes until nobody reads any longer.
async fn pour(stream: &mut TcpStream, poured: &AtomicUsize) {
    while let Ok(count) = stream.write(&[b'x'; 65_536]).await {
        poured.fetch_add(count, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn what_one_side_does_not_read_the_other_cannot_send() {
    /// More than the kernel keeps of four sockets.
    const KEPT_MAX: usize = 64 << 20;
    let gate = Gate::open().await;
    let (down, up) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let device = raw({
        let down = down.clone();
        move |mut stream| {
            let down = down.clone();
            async move {
                stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
                pour(&mut stream, &down).await;
            }
        }
    });
    gate.lease("b1", Service::Http, device.await);
    let mut reads_nothing = TcpStream::connect(gate.http).await.unwrap();
    reads_nothing
        .write_all(format!("GET / HTTP/1.1\r\nhost: {}\r\n\r\n", host("b1")).as_bytes())
        .await
        .unwrap();
    assert!(settled(&down).await < KEPT_MAX);

    let device = raw(|stream| async move {
        tokio::time::sleep(PATIENCE).await;
        drop(stream);
    });
    gate.lease("b2", Service::Http, device.await);
    let mut pours = TcpStream::connect(gate.http).await.unwrap();
    let length = usize::MAX >> 1;
    let head = format!("PUT / HTTP/1.1\r\nhost: {}\r\ncontent-length: {length}\r\n\r\n", host("b2"));
    pours.write_all(head.as_bytes()).await.unwrap();
    let pouring = tokio::spawn({
        let up = up.clone();
        async move { pour(&mut pours, &up).await }
    });
    assert!(settled(&up).await < KEPT_MAX);
    pouring.abort();
}

#[tokio::test]
async fn many_visitors_are_served_at_once() {
    let gate = Gate::with(|settings| settings.max_connections_per_address = 0).await;
    let names: Vec<_> = (0..10).map(|n| format!("b{n}")).collect();
    for name in &names {
        gate.lease(name, Service::Http, mirror().await);
    }
    let visits = (0..300).map(|n| {
        let name = host(&names[n % names.len()]);
        let get = format!("GET /{n} HTTP/1.1\r\nhost: {name}\r\n\r\n");
        let last = get.replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n");
        let http = gate.http;
        tokio::spawn(async move {
            let answer = say(http, [get.as_str(), &get, &last].concat()).await;
            assert_eq!(answer.matches(&format!("GET /{n} HTTP/1.1")).count(), 3, "{answer}");
            assert_eq!(answer.matches(&format!("x-forwarded-host: {name}")).count(), 3, "{answer}");
        })
    });
    for visit in visits.collect::<Vec<_>>() {
        visit.await.unwrap();
    }
    gate.stop().await;
}
