//! Load balancers in front, and devices that are told who comes.

use std::sync::Mutex;

use api::gateway::ingress::{SendProxy, Service};
use ppp::{HeaderResult, v2};
use tokio::{io::AsyncWriteExt, net::TcpStream};

use super::{Gate, host, mirror, raw, read_some, say, tls::client_hello, until};

fn ask() -> String {
    format!("GET / HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", host("b1"))
}

#[tokio::test]
async fn only_a_trusted_proxy_says_who_the_visitor_is() {
    let trusting = Gate::with(|settings| settings.trusted_proxies = "127.0.0.0/8".into()).await;
    let wary = Gate::with(|settings| settings.trusted_proxies = "10.0.0.1".into()).await;
    for gate in [&trusting, &wary] {
        gate.lease("b1", Service::Http, mirror().await);
    }
    let text = "PROXY TCP6 2001:db8::7 2001:db8::1 5 80\r\n";
    let start = v2::Version::Two | v2::Command::Proxy;
    let addresses: (std::net::SocketAddr, std::net::SocketAddr) =
        ("192.0.2.7:5".parse().unwrap(), "192.0.2.1:80".parse().unwrap());
    let binary = v2::Builder::with_addresses(start, v2::Protocol::Stream, addresses);
    let binary = binary.write_tlv(v2::Type::UniqueId, b"more").unwrap().build().unwrap();
    let answer = say(trusting.http, format!("{text}{}", ask())).await;
    assert!(answer.contains("x-forwarded-for: 2001:db8::7\r\n"), "{answer}");
    let answer = say(trusting.http, [&binary, ask().as_bytes()].concat()).await;
    assert!(answer.contains("x-forwarded-for: 192.0.2.7\r\n"), "{answer}");
    assert_eq!(say(trusting.http, ask()).await, "");
    let answer = say(wary.http, format!("{text}{}", ask())).await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(say(wary.http, ask()).await.contains("x-forwarded-for: 127.0.0.1\r\n"));
}

#[tokio::test]
async fn a_device_that_ends_tls_is_told_who_comes_before_the_hello() {
    for (send, trusted) in [(SendProxy::V1, "127.0.0.1"), (SendProxy::V2, "")] {
        let gate = Gate::with(|settings| {
            settings.send_proxy = send;
            settings.trusted_proxies = trusted.into();
        })
        .await;
        let seen = std::sync::Arc::new(Mutex::new(Vec::new()));
        let device = raw({
            let seen = seen.clone();
            move |mut stream| {
                let seen = seen.clone();
                async move {
                    let mut bytes = Vec::new();
                    while read_some(&mut stream, &mut bytes).await > 0 {
                        seen.lock().unwrap().append(&mut bytes);
                    }
                }
            }
        })
        .await;
        gate.lease("b1", Service::Https, device);
        let hello = client_hello(&host("b1"));
        let mut stream = TcpStream::connect(gate.tls).await.unwrap();
        if !trusted.is_empty() {
            stream.write_all(b"PROXY TCP4 192.0.2.7 192.0.2.1 5 443\r\n").await.unwrap();
        }
        stream.write_all(&hello).await.unwrap();
        until(|| seen.lock().unwrap().ends_with(&hello)).await;
        let seen = seen.lock().unwrap();
        let header = &seen[..seen.len() - hello.len()];
        let own = stream.local_addr().unwrap();
        match HeaderResult::parse(header) {
            HeaderResult::V1(header) => {
                let wanted = format!("TCP4 192.0.2.7 127.0.0.1 5 {}", gate.tls.port());
                assert!(header.unwrap().header.contains(&wanted));
            }
            HeaderResult::V2(header) => {
                assert_eq!(header.unwrap().addresses, v2::Addresses::from((own, gate.tls)));
            }
        }
    }
}
