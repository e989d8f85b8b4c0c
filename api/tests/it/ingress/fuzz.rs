//! Bytes that nobody meant.

use std::time::Duration;

use api::gateway::ingress::Service;
use proptest::{prelude::*, test_runner::TestRunner};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::{Gate, PATIENCE, host, mirror, say, tls::client_hello};

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let any_bytes = proptest::collection::vec(any::<u8>(), 0..4_000);
    let head = proptest::string::string_regex(
        "(GET|POST|PUT) [ -~]{1,20} HTTP/1\\.[01]\r\n([ -~]{0,40}\r\n){0,6}\r\n",
    );
    let known = format!("POST / HTTP/1.1\r\nhost: {}\r\n", host("b1"));
    let framing =
        "(content-length: [0-9]{1,4}\r\n|transfer-encoding: chunked\r\n|connection: [a-z]{1,9}\r\n){0,3}\r\n";
    let framing = (proptest::string::string_regex(framing).unwrap(), any_bytes.clone());
    let hello = client_hello(&host("b1"));
    let cut = (0..hello.len(), any::<u8>(), any::<bool>()).prop_map(move |(at, to, short)| {
        let mut hello = hello.clone();
        hello[at] = to;
        hello.truncate(if short { at } else { hello.len() });
        hello
    });
    prop_oneof![
        any_bytes,
        head.unwrap().prop_map(String::into_bytes),
        framing.prop_map(move |(head, body)| [known.as_bytes(), head.as_bytes(), &body].concat()),
        cut,
    ]
}

#[test]
fn no_bytes_stop_it_or_keep_a_connection() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let gate = runtime.block_on(Gate::with(|settings| {
        (settings.headers_s, settings.handshake_s, settings.idle_s) = (1, 1, 1);
    }));
    let mirror = runtime.block_on(mirror());
    gate.lease("b1", Service::Http, mirror);
    gate.lease("b1", Service::Https, mirror);
    let mut runner = TestRunner::new(ProptestConfig { cases: 150, ..ProptestConfig::default() });
    let each = |bytes: Vec<u8>| {
        runtime.block_on(async {
            for address in [gate.http, gate.tls] {
                let mut stream = TcpStream::connect(address).await.unwrap();
                let _ = stream.write_all(&bytes).await;
                let _ = stream.shutdown().await;
                let mut answer = Vec::new();
                let ended = timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
                prop_assert!(ended.is_ok(), "the connection is still open");
                // The mirror says what it got, and no answer is longer than that and a page.
                prop_assert!(answer.len() < 2 * bytes.len() + 20_000);
            }
            Ok(())
        })
    };
    runner.run(&bytes(), each).unwrap();
    let answer = runtime.block_on(say(
        gate.http,
        format!("GET / HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", host("b1")),
    ));
    assert!(answer.contains("200 OK"));
    runtime.block_on(gate.stop());
    runtime.shutdown_timeout(Duration::from_secs(1));
}
