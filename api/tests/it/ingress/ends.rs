//! Leases that end, visitors that leave and servers that stop.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use api::gateway::ingress::{Found, Service};
use axum::{Router, body::Body, routing::get};
use futures_util::{SinkExt, StreamExt, stream};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Notify,
    time::timeout,
};
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;

use super::{Gate, PATIENCE, host, mirror, raw, upgrade, web};

/// A second, and what a busy machine needs.
const AT_ONCE: Duration = Duration::from_secs(5);

/// A device whose answer never ends; the token is cancelled when its visitor is gone.
async fn endless() -> (std::net::SocketAddr, CancellationToken) {
    let gone = CancellationToken::new();
    let left = gone.clone();
    let device = web(Router::new().route(
        "/",
        get(move || {
            let guard = Arc::new(left.clone().drop_guard());
            async move {
                Body::from_stream(stream::repeat_with(move || {
                    let _ = &guard;
                    Ok::<_, std::io::Error>(vec![b'x'; 1_000])
                }))
            }
        }),
    ));
    (device.await, gone)
}

/// Reads until the connection is closed, however.
async fn closed(stream: &mut (impl AsyncReadExt + Unpin)) {
    let mut bytes = vec![0; 1 << 16];
    let ended = async { while stream.read(&mut bytes).await.is_ok_and(|count| count > 0) {} };
    timeout(AT_ONCE, ended).await.expect("the connection stays open");
}

#[tokio::test]
async fn when_a_lease_ends_its_connections_are_closed_at_once() {
    let gate = Gate::open().await;
    let (device, gone) = endless().await;
    let stream = gate.lease("stream", Service::Http, device);
    let idle = gate.lease("idle", Service::Http, mirror().await);
    let socket = gate.lease("socket", Service::Http, upgrade::echo().await);
    let other = gate.lease("other", Service::Http, upgrade::echo().await);
    let get = |name: &str| format!("GET / HTTP/1.1\r\nhost: {}\r\n\r\n", host(name));

    let mut downloads = TcpStream::connect(gate.http).await.unwrap();
    downloads.write_all(get("stream").as_bytes()).await.unwrap();
    downloads.read_exact(&mut [0; 100_000]).await.unwrap();
    let mut reads_nothing = TcpStream::connect(gate.http).await.unwrap();
    reads_nothing.write_all(get("stream").as_bytes()).await.unwrap();
    reads_nothing.read_exact(&mut [0; 100]).await.unwrap();
    let mut keeps_alive = TcpStream::connect(gate.http).await.unwrap();
    keeps_alive.write_all(get("idle").as_bytes()).await.unwrap();
    keeps_alive.read_exact(&mut [0; 100]).await.unwrap();
    let mut talks = upgrade::open(&gate, "socket").await;
    let mut stays = upgrade::open(&gate, "other").await;

    for (name, lease) in [("stream", &stream), ("idle", &idle), ("socket", &socket)] {
        gate.set(name, Service::Http, Found::Over);
        lease.ended.cancel();
    }
    for stream in [&mut downloads, &mut reads_nothing, &mut keeps_alive] {
        closed(stream).await;
    }
    assert!(!matches!(timeout(AT_ONCE, talks.next()).await.expect("it stays open"), Some(Ok(_))));
    timeout(AT_ONCE, gone.cancelled()).await.expect("the device still sends");
    let answer = gate.visitor("stream").get(gate.url("stream", "/")).send().await.unwrap();
    assert_eq!(answer.status(), 410);
    // Nobody else notices.
    stays.send(Message::text("still here")).await.unwrap();
    assert_eq!(stays.next().await.unwrap().unwrap(), Message::text("still here"));
    assert!(!other.ended.is_cancelled());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_was_cut_is_not_taken_for_whole_by_visitors() {
    let gate = Gate::open().await;
    let (device, _) = endless().await;
    // In the old version, an answer without a length is whole when the connection is closed.
    for version in ["1.0", "1.1"].repeat(10) {
        let lease = gate.lease("b1", Service::Http, device);
        let mut stream = TcpStream::connect(gate.http).await.unwrap();
        let get = format!("GET / HTTP/{version}\r\nhost: {}\r\n\r\n", host("b1"));
        stream.write_all(get.as_bytes()).await.unwrap();
        stream.read_exact(&mut [0; 100_000]).await.unwrap();
        lease.ended.cancel();
        let mut rest = Vec::new();
        let end = timeout(AT_ONCE, stream.read_to_end(&mut rest)).await.expect("the connection stays open");
        assert_eq!(end.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
        assert!(!rest.ends_with(b"\r\n0\r\n\r\n"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_was_cut_is_not_taken_for_whole_by_devices() {
    let gate = Gate::with(|settings| settings.drain_s = 0).await;
    let (uploads, ends) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Vec::new())));
    let device = raw({
        let (uploads, ends) = (uploads.clone(), ends.clone());
        move |mut stream| {
            let (uploads, ends) = (uploads.clone(), ends.clone());
            async move {
                let mut seen = Vec::new();
                while !seen.ends_with(b"hello\r\n") && stream.read_buf(&mut seen).await.is_ok_and(|n| n > 0) {
                }
                uploads.fetch_add(1, Ordering::SeqCst);
                let _ = stream.read_to_end(&mut seen).await;
                ends.lock().unwrap().push(seen);
            }
        }
    });
    let lease = gate.lease("b1", Service::Http, device.await);
    let head = format!("PUT / HTTP/1.1\r\nhost: {}\r\ntransfer-encoding: chunked\r\n\r\n", host("b1"));
    let upload = async || {
        let mut stream = TcpStream::connect(gate.http).await.unwrap();
        stream.write_all(format!("{head}5\r\nhello\r\n").as_bytes()).await.unwrap();
        stream
    };
    // Some visitors leave, some are cut by the server, some by the end of the lease.
    let mut open = Vec::new();
    for _ in 0..30 {
        open.push(upload().await);
    }
    super::until(|| uploads.load(Ordering::SeqCst) == 30).await;
    open.truncate(20);
    super::until(|| ends.lock().unwrap().len() == 10).await;
    lease.ended.cancel();
    super::until(|| ends.lock().unwrap().len() == 30).await;
    gate.lease("b1", Service::Http, lease.device);
    for _ in 0..10 {
        open.push(upload().await);
    }
    super::until(|| uploads.load(Ordering::SeqCst) == 40).await;
    gate.stop().await;
    super::until(|| ends.lock().unwrap().len() == 40).await;
    for seen in ends.lock().unwrap().iter() {
        assert!(seen.ends_with(b"5\r\nhello\r\n"), "{}", String::from_utf8_lossy(seen));
    }
}

#[tokio::test]
async fn when_a_lease_ends_what_it_has_not_answered_is_closed_too() {
    let gate = Gate::open().await;
    let device = raw(|mut stream| async move { closed(&mut stream).await }).await;
    let (plain, secret) = (gate.lease("b1", Service::Http, device), gate.lease("b1", Service::Https, device));
    let mut waits = TcpStream::connect(gate.http).await.unwrap();
    waits.write_all(format!("GET / HTTP/1.1\r\nhost: {}\r\n\r\n", host("b1")).as_bytes()).await.unwrap();
    let mut shakes_hands = TcpStream::connect(gate.tls).await.unwrap();
    shakes_hands.write_all(&super::tls::client_hello(&host("b1"))).await.unwrap();
    super::until(|| plain.dialled() == 1 && secret.dialled() == 1).await;
    plain.ended.cancel();
    secret.ended.cancel();
    closed(&mut waits).await;
    closed(&mut shakes_hands).await;

    // Also when the device has not even taken the connection.
    let ended = gate.set_broken("b2", None);
    let (visitor, url) = (gate.visitor("b2"), gate.url("b2", "/"));
    let waits = tokio::spawn(async move { visitor.get(url).send().await.unwrap().status() });
    tokio::time::sleep(Duration::from_millis(100)).await;
    gate.set("b2", Service::Http, Found::Over);
    ended.cancel();
    assert_eq!(timeout(AT_ONCE, waits).await.expect("it still waits").unwrap(), 410);
}

#[tokio::test]
async fn a_visitor_who_leaves_is_noticed_by_the_device() {
    let gate = Gate::open().await;
    let (device, gone) = endless().await;
    gate.lease("b1", Service::Http, device);
    let mut leaves = TcpStream::connect(gate.http).await.unwrap();
    leaves.write_all(format!("GET / HTTP/1.1\r\nhost: {}\r\n\r\n", host("b1")).as_bytes()).await.unwrap();
    leaves.read_exact(&mut [0; 100_000]).await.unwrap();
    drop(leaves);
    timeout(PATIENCE, gone.cancelled()).await.expect("the device still sends");

    // Also who leaves before the answer.
    let left = Arc::new(Notify::new());
    let device = raw({
        let left = left.clone();
        move |mut stream| {
            let left = left.clone();
            async move {
                let _ = stream.read_to_end(&mut Vec::new()).await;
                left.notify_one();
            }
        }
    });
    let lease = gate.lease("b2", Service::Http, device.await);
    let mut leaves = TcpStream::connect(gate.http).await.unwrap();
    leaves.write_all(format!("GET / HTTP/1.1\r\nhost: {}\r\n\r\n", host("b2")).as_bytes()).await.unwrap();
    super::until(|| lease.dialled() == 1).await;
    drop(leaves);
    timeout(PATIENCE, left.notified()).await.expect("the device still waits");
}

#[tokio::test]
async fn a_server_that_stops_ends_requests_under_way_and_nothing_else() {
    let gate = Gate::with(|settings| settings.drain_s = 30).await;
    let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let slow = get({
        let (begun, go_on) = (begun.clone(), go_on.clone());
        move || async move {
            begun.notify_one();
            go_on.notified().await;
            "done"
        }
    });
    gate.lease("b1", Service::Http, web(Router::new().route("/", slow)).await);
    gate.lease("stopping", Service::Http, mirror().await);
    let mut idle = TcpStream::connect(gate.http).await.unwrap();
    idle.write_all(format!("GET / HTTP/1.1\r\nhost: {}\r\n\r\n", host("stopping")).as_bytes()).await.unwrap();
    idle.read_exact(&mut [0; 100]).await.unwrap();
    let mut silent = TcpStream::connect(gate.http).await.unwrap();
    let (visitor, url, http) = (gate.visitor("b1"), gate.url("b1", "/"), gate.http);
    let under_way = tokio::spawn(async move { visitor.get(url).send().await.unwrap().text().await.unwrap() });
    begun.notified().await;
    let stopping = tokio::spawn(gate.stop());
    closed(&mut idle).await;
    closed(&mut silent).await;
    // Somebody else may listen there by now, but nobody knows this name.
    let mut late = Vec::new();
    if let Ok(mut stream) = TcpStream::connect(http).await {
        let get = format!("GET / HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", host("stopping"));
        let _ = stream.write_all(get.as_bytes()).await;
        let _ = timeout(PATIENCE, stream.read_to_end(&mut late)).await;
    }
    assert!(!late.starts_with(b"HTTP/1.1 200 ") && !stopping.is_finished());
    go_on.notify_one();
    assert_eq!(under_way.await.unwrap(), "done");
    stopping.await.unwrap();
}

#[tokio::test]
async fn what_does_not_end_by_itself_is_closed_when_the_time_is_over() {
    let gate = Gate::with(|settings| settings.drain_s = 1).await;
    gate.lease("b1", Service::Http, upgrade::echo().await);
    let device = raw(|mut stream| async move { closed(&mut stream).await }).await;
    let secret = gate.lease("b2", Service::Https, device);
    let mut socket = upgrade::open(&gate, "b1").await;
    let mut shakes_hands = TcpStream::connect(gate.tls).await.unwrap();
    shakes_hands.write_all(&super::tls::client_hello(&host("b2"))).await.unwrap();
    super::until(|| secret.dialled() == 1).await;
    let stopping = tokio::spawn(gate.stop());
    // Until then it works.
    socket.send(Message::text("still here")).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("still here"));
    assert!(!matches!(timeout(PATIENCE, socket.next()).await.expect("it stays open"), Some(Ok(_))));
    closed(&mut shakes_hands).await;
    stopping.await.unwrap();
}
