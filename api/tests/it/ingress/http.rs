//! Requests and responses on their way through.

use api::gateway::ingress::Service;
use axum::{
    Router,
    body::Body,
    extract::Request,
    http::header,
    routing::{any, get},
};
use futures_util::StreamExt;
use sha2::{Digest, Sha256};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{Gate, PATIENCE, host, mirror, raw, read_some, say, web, whole};

const PIECE: usize = 64 * 1024;
const PIECES: usize = 512;

/// 32 MiB that no two pieces of are the same.
fn pieces() -> impl Iterator<Item = Vec<u8>> {
    (0..PIECES).map(|n| Sha256::digest(n.to_le_bytes()).repeat(PIECE / 32))
}

async fn digest(body: Body) -> String {
    let mut hash = Sha256::new();
    let mut stream = body.into_data_stream();
    while let Some(bytes) = stream.next().await {
        hash.update(bytes.unwrap());
    }
    format!("{:x?}", hash.finalize())
}

fn stream() -> Body {
    Body::from_stream(futures_util::stream::iter(pieces().map(Ok::<_, std::io::Error>)))
}

#[tokio::test]
async fn large_bodies_stream_both_ways_unchanged() {
    let gate = Gate::open().await;
    let down = get(|| async { stream() });
    let up = any(|request: Request| async { digest(request.into_body()).await });
    gate.lease("b1", Service::Http, web(Router::new().route("/down", down).route("/up", up)).await);
    let mut hash = Sha256::new();
    pieces().for_each(|piece| hash.update(piece));
    let wanted = format!("{:x?}", hash.finalize());
    let visitor = gate.visitor("b1");
    let response = visitor.get(gate.url("b1", "/down")).send().await.unwrap();
    assert_eq!(digest(Body::new(reqwest::Body::from(response))).await, wanted);
    let chunked = reqwest::Body::wrap_stream(stream().into_data_stream());
    let response = visitor.post(gate.url("b1", "/up")).body(chunked).send().await.unwrap();
    assert_eq!(response.text().await.unwrap(), wanted);
    let sized: Vec<u8> = pieces().flatten().collect();
    let response = visitor.put(gate.url("b1", "/up")).body(sized).send().await.unwrap();
    assert_eq!(response.text().await.unwrap(), wanted);
}

#[tokio::test]
async fn a_response_begins_before_the_request_has_ended() {
    let gate = Gate::open().await;
    gate.lease(
        "b1",
        Service::Http,
        web(Router::new().route("/", any(|r: Request| async { r.into_body() }))).await,
    );
    let (send, receive) = tokio::sync::mpsc::channel::<Result<Vec<u8>, std::io::Error>>(1);
    let body = reqwest::Body::wrap_stream(futures_util::stream::unfold(receive, |mut receive| async {
        receive.recv().await.map(|piece| (piece, receive))
    }));
    send.send(Ok(b"one".into())).await.unwrap();
    let mut response = gate.visitor("b1").post(gate.url("b1", "/")).body(body).send().await.unwrap();
    assert_eq!(response.chunk().await.unwrap().unwrap(), "one");
    send.send(Ok(b"two".into())).await.unwrap();
    assert_eq!(response.chunk().await.unwrap().unwrap(), "two");
    drop(send);
    assert_eq!(response.chunk().await.unwrap(), None);
}

#[tokio::test]
async fn a_connection_to_the_device_is_kept_while_the_host_is_the_same() {
    let gate = Gate::open().await;
    let (one, two) =
        (gate.lease("b1", Service::Http, mirror().await), gate.lease("b2", Service::Http, mirror().await));
    let request =
        |name: &str, more: &str| format!("GET /{name} HTTP/1.1\r\nhost: {}\r\n{more}\r\n", host(name));
    let all =
        [request("b1", ""), request("b1", ""), request("b2", ""), request("b1", "connection: close\r\n")];
    // All at once: they are answered in order.
    let answer = say(gate.http, all.concat()).await;
    let seen: Vec<_> = answer.lines().filter_map(|line| line.strip_prefix("GET /")).collect();
    assert_eq!(seen, ["b1 HTTP/1.1", "b1 HTTP/1.1", "b2 HTTP/1.1", "b1 HTTP/1.1"], "{answer}");
    assert_eq!((one.dialled(), two.dialled()), (2, 1));
}

#[tokio::test]
async fn a_device_that_closes_idle_connections_is_asked_again_on_a_new_one() {
    let gate = Gate::open().await;
    // It answers once, and hangs up on the second request of a connection.
    let device = raw(|mut stream| async move {
        let mut seen = Vec::new();
        while !whole(&seen) && read_some(&mut stream, &mut seen).await > 0 {}
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
        let _ = read_some(&mut stream, &mut seen).await;
    })
    .await;
    let lease = gate.lease("b1", Service::Http, device);
    let get = format!("GET / HTTP/1.1\r\nhost: {}\r\n\r\n", host("b1"));
    let last = get.replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n");
    let answer = say(gate.http, [get.clone(), get.clone(), last].concat()).await;
    assert_eq!((answer.matches("200 OK").count(), lease.dialled()), (3, 3), "{answer}");
    // What may have been acted on is not sent twice.
    let post = "POST / HTTP/1.1\r\nconnection: close\r\ncontent-length: 1\r\nhost: b1.berth.test\r\n\r\nx";
    let answer = say(gate.http, [get.as_str(), post].concat()).await;
    assert!(answer.contains("502 Bad Gateway") && lease.dialled() == 4, "{answer}");
}

#[tokio::test]
async fn the_device_sees_who_the_visitor_is_whatever_he_claims() {
    let gate = Gate::open().await;
    gate.lease("b1", Service::Http, mirror().await);
    let request = "GET http://b1.berth.test:81/a?b=c HTTP/1.1\r\nHost: evil\r\nX-Forwarded-For: 6.6.6.6\r\n\
        X_Forwarded_Proto: https\r\nForwarded: for=6.6.6.6\r\nX-Real-Ip: 6.6.6.6\r\nKeep-Alive: 5\r\n\
        Proxy-Connection: x\r\nX-Gone: 1\r\nTE: trailers, deflate\r\nProxy-Authorization: x\r\n\
        Connection: close, x-gone, x-forwarded-for\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n\r\n";
    let answer = say(gate.http, request).await;
    let (_, seen) = answer.split_once("\r\n\r\n").unwrap();
    let mut lines: Vec<_> = seen.trim().lines().collect();
    lines.sort_unstable();
    let wanted = [
        "GET /a?b=c HTTP/1.1",
        "connection: te",
        "forwarded: for=127.0.0.1;host=\"b1.berth.test:81\";proto=http",
        "host: b1.berth.test:81",
        "te: trailers",
        "x-forwarded-for: 127.0.0.1",
        "x-forwarded-host: b1.berth.test:81",
        "x-forwarded-proto: http",
        "x-real-ip: 127.0.0.1",
    ];
    assert_eq!(lines, wanted, "{answer}");
}

#[tokio::test]
async fn a_request_cannot_be_smuggled_in_the_body_of_another() {
    let gate = Gate::open().await;
    let lease = gate.lease("b1", Service::Http, mirror().await);
    let head = format!("POST / HTTP/1.1\r\nhost: {}\r\n", host("b1"));
    let inner = format!("GET /inner HTTP/1.1\r\nhost: {}\r\n\r\n", host("b1"));
    // The device gets one framing only, and nothing of this connection is read after it.
    let answer = say(
        gate.http,
        format!("{head}content-length: 6\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n{inner}"),
    )
    .await;
    assert!(!answer.contains("/inner") && answer.matches("HTTP/1.1 200").count() <= 1, "{answer}");
    assert!(!(answer.contains("content-length: 6") && answer.contains("transfer-encoding")), "{answer}");
    for framing in [
        "transfer-encoding: xchunked",
        "transfer-encoding : chunked",
        "content-length: +6",
        "content-length: 6, 7",
        "transfer-encoding: chunked\r\ntransfer-encoding: identity",
    ] {
        let before = lease.dialled();
        let answer =
            say(gate.http, format!("{head}connection: close\r\n{framing}\r\n\r\n0\r\n\r\n{inner}")).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{framing}: {answer}");
        assert_eq!(lease.dialled(), before, "{framing}");
    }
}

#[tokio::test]
async fn a_device_cannot_answer_twice_to_one_request() {
    let gate = Gate::open().await;
    let device = raw(|mut stream| async move {
        let mut seen = Vec::new();
        while !whole(&seen) && read_some(&mut stream, &mut seen).await > 0 {}
        let answer = "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n\
                      HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil";
        stream.write_all(answer.as_bytes()).await.unwrap();
        let _ = read_some(&mut stream, &mut seen).await;
    })
    .await;
    gate.lease("b1", Service::Http, device);
    let get = format!("GET / HTTP/1.1\r\nhost: {}\r\n", host("b1"));
    let answer = say(gate.http, format!("{get}\r\n{get}connection: close\r\n\r\n")).await;
    assert!(!answer.contains("evil") && !answer.contains("content-length: 3"), "{answer}");
    assert_eq!(answer.matches("5\r\nhello\r\n0\r\n").count(), 2, "{answer}");
}

#[tokio::test]
async fn head_expect_trailers_and_old_versions_are_served() {
    let gate = Gate::open().await;
    let sized = get(|| async { ([(header::CONTENT_TYPE, "text/x")], "hello") });
    let up = any(|request: Request| async { digest(request.into_body()).await });
    gate.lease("b1", Service::Http, web(Router::new().route("/", sized).route("/up", up)).await);
    let ask =
        |line: &str, more: &str| format!("{line}\r\nhost: {}\r\nconnection: close\r\n{more}\r\n", host("b1"));
    let answer = say(gate.http, ask("HEAD / HTTP/1.1", "")).await;
    assert!(answer.contains("content-length: 5\r\n") && answer.ends_with("\r\n\r\n"), "{answer}");
    let answer = say(gate.http, ask("GET / HTTP/1.0", "")).await;
    assert!(answer.contains(" 200 OK") && answer.ends_with("\r\n\r\nhello"), "{answer}");
    let answer =
        say(gate.http, ask("PUT /up HTTP/1.1", "content-length: 1\r\nexpect: 100-continue\r\n") + "x").await;
    assert!(answer.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK"), "{answer}");
    // Trailers of the device reach a visitor who wants them.
    let device = raw(|mut stream| async move {
        let mut seen = Vec::new();
        while !whole(&seen) && read_some(&mut stream, &mut seen).await > 0 {}
        let answer = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n1\r\na\r\n0\r\nx-sum: 7\r\n\r\n";
        stream.write_all(answer.as_bytes()).await.unwrap();
    })
    .await;
    gate.lease("b1", Service::Http, device);
    let answer =
        say(gate.http, ask("GET / HTTP/1.1", "te: trailers\r\n").replace("close", "close, te")).await;
    assert!(answer.ends_with("1\r\na\r\n0\r\nx-sum: 7\r\n\r\n"), "{answer}");
}

/// A device that reads the head of a request and answers with these bytes, and then to the body with more.
async fn answers(head: &'static str, body: &'static str) -> std::net::SocketAddr {
    raw(move |mut stream| async move {
        let mut seen = Vec::new();
        while !seen.ends_with(b"\r\n\r\n") && read_some(&mut stream, &mut seen).await > 0 {}
        assert!(String::from_utf8_lossy(&seen).contains("expect: 100-continue\r\n"));
        stream.write_all(head.as_bytes()).await.unwrap();
        seen.clear();
        if read_some(&mut stream, &mut seen).await > 0 {
            assert_eq!(seen, b"x");
            stream.write_all(body.as_bytes()).await.unwrap();
        }
    })
    .await
}

#[tokio::test]
async fn a_visitor_who_waits_sends_his_body_only_if_the_device_wants_it() {
    let gate = Gate::open().await;
    const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
    gate.lease("wants", Service::Http, answers("HTTP/1.1 100 Continue\r\n\r\n", OK).await);
    gate.lease("silent", Service::Http, answers("", OK).await);
    gate.lease(
        "refuses",
        Service::Http,
        answers("HTTP/1.1 413 Too Much\r\ncontent-length: 2\r\n\r\nno", OK).await,
    );
    for name in ["wants", "silent", "refuses"] {
        let mut stream = TcpStream::connect(gate.http).await.unwrap();
        let head = format!("PUT / HTTP/1.1\r\nhost: {}\r\ncontent-length: 1\r\n", host(name));
        stream.write_all(format!("{head}expect: 100-continue\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !whole(&answer) && read_some(&mut stream, &mut answer).await > 0 {}
        let first = String::from_utf8(answer).unwrap();
        if name == "refuses" {
            assert!(first.starts_with("HTTP/1.1 413 ") && first.contains("connection: close"), "{first}");
            let end = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut Vec::new())).await;
            assert!(end.is_ok(), "the connection is still open");
            continue;
        }
        assert_eq!(first, "HTTP/1.1 100 Continue\r\n\r\n", "{name}");
        stream.write_all(b"x").await.unwrap();
        let mut answer = Vec::new();
        while !whole(&answer) && read_some(&mut stream, &mut answer).await > 0 {}
        assert!(answer.starts_with(b"HTTP/1.1 200 "), "{name}");
    }
}

#[tokio::test]
async fn curl_gets_and_sends_files() {
    if std::process::Command::new("curl").arg("--version").output().is_err() {
        println!("skipped: there is no curl");
        return;
    }
    let gate = Gate::open().await;
    let up = any(|request: Request| async { digest(request.into_body()).await });
    gate.lease("b1", Service::Http, web(Router::new().route("/up", up)).await);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, pieces().flatten().collect::<Vec<u8>>()).unwrap();
    let resolve = format!("{}:{}:127.0.0.1", host("b1"), gate.http.port());
    let mut wanted = Sha256::new();
    pieces().for_each(|piece| wanted.update(piece));
    let wanted = format!("{:x?}", wanted.finalize());
    // curl waits for 100 Continue before it sends so much.
    for chunked in [&[][..], &["-H", "transfer-encoding: chunked"]] {
        let curl = tokio::process::Command::new("curl")
            .args(["-sS", "--fail", "-m", "60", "--noproxy", "*", "--resolve", &resolve, "-T"])
            .arg(&file)
            .args(chunked)
            .arg(gate.url("b1", "/up"))
            .output();
        let output = curl.await.unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), wanted, "{output:?}");
    }
}
