//! What a visitor sees when a name leads nowhere.

use std::io::ErrorKind;

use api::gateway::ingress::{Found, Service};

use super::{DOMAIN, Gate, host, mirror, say};

#[tokio::test]
async fn each_reason_has_its_status_and_nothing_is_kept_or_revealed() {
    let gate = Gate::with(|settings| settings.connect_s = 1).await;
    gate.set("over", Service::Http, Found::Over);
    gate.set("away", Service::Http, Found::Away);
    gate.set("none", Service::Http, Found::NoService);
    gate.set_broken("deaf", Some(ErrorKind::ConnectionRefused));
    gate.set_broken("full", Some(ErrorKind::QuotaExceeded));
    gate.set_broken("torn", Some(ErrorKind::BrokenPipe));
    gate.set_broken("slow", None);
    let wanted = [
        ("unknown", 404, "leads to no device"),
        ("over", 410, "has ended"),
        ("away", 503, "not connected"),
        ("none", 502, "offers no web server"),
        ("deaf", 502, "nothing listens"),
        ("full", 503, "as many visitors"),
        ("torn", 502, "broke off"),
        ("slow", 504, "in time"),
    ];
    for (name, status, text) in wanted {
        let visitor = gate.visitor(name);
        for accept in ["text/html,*/*;q=0.8", "*/*"] {
            let answer =
                visitor.get(gate.url(name, "/secret")).header("accept", accept).send().await.unwrap();
            assert_eq!(answer.status(), status, "{name}");
            let header = |name: &str| answer.headers().get(name).map(|v| v.to_str().unwrap().to_owned());
            assert_eq!(header("cache-control").unwrap(), "no-store");
            assert!(header("content-security-policy").unwrap().starts_with("default-src 'none'"));
            assert_eq!(header("retry-after").is_some(), status == 503);
            let html = accept.starts_with("text/html");
            assert_eq!(header("content-type").unwrap().starts_with("text/html"), html);
            let page = answer.text().await.unwrap();
            assert!(page.contains(text) && page.contains("<h1>") == html, "{page}");
            assert!(!page.contains("127.0.0.1") && !page.contains("secret") && !page.contains(DOMAIN));
        }
    }
}

#[tokio::test]
async fn a_request_that_is_not_sound_is_refused_before_any_device() {
    let gate = Gate::open().await;
    let lease = gate.lease("b1", Service::Http, mirror().await);
    let bad = [
        "GET / HTTP/1.1\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nhost: \r\nconnection: close\r\n\r\n".into(),
        format!("GET / HTTP/1.1\r\nhost: {0}\r\nhost: {0}\r\n\r\n", host("b1")),
        format!("GET / HTTP/1.1\r\nhost: {0}, {0}\r\n\r\n", host("b1")),
        format!("CONNECT {0}:80 HTTP/1.1\r\nhost: {0}:80\r\n\r\n", host("b1")),
        format!("GET / HTTP/1.1\r\nhost: {}\r\nbad header: 1\r\n\r\n", host("b1")),
        format!("GET / HTTP/1.1\r\nhost: {}\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n", host("b1")),
        format!("POST / HTTP/1.1\r\nhost: {}\r\ntransfer-encoding: chunked, gzip\r\n\r\n", host("b1")),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into(),
    ];
    for request in bad {
        let request = request.replacen("\r\n", "\r\nconnection: close\r\n", 1);
        let answer = say(gate.http, &request).await;
        assert!(answer.starts_with("HTTP/1.1 400 ") || answer.is_empty(), "{request}{answer}");
    }
    assert_eq!(lease.dialled(), 0);
}
