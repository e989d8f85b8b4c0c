use std::sync::Arc;

use proptest::prelude::*;
use rustls::{ClientConfig, ClientConnection, RootCertStore, crypto::ring};
use tokio::io::AsyncWriteExt;

use super::*;

/// What a client says first to `name`; with `padding` bytes of protocol names, so that it can be long.
fn client_hello(name: &str, padding: usize) -> Vec<u8> {
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = config.with_root_certificates(RootCertStore::empty()).with_no_client_auth();
    config.alpn_protocols = vec![vec![b'x'; 255]; padding / 256];
    let mut client = ClientConnection::new(Arc::new(config), name.to_owned().try_into().unwrap()).unwrap();
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).unwrap();
    bytes
}

/// The same handshake message in records of `size` bytes.
fn in_records(hello: &[u8], size: usize) -> Vec<u8> {
    let mut message = Vec::new();
    let mut rest = hello;
    while let [kind, major, minor, high, low, after @ ..] = rest {
        assert_eq!([*kind, *major, *minor], [22, 3, 1]);
        let (record, next) = after.split_at(usize::from(u16::from_be_bytes([*high, *low])));
        message.extend_from_slice(record);
        rest = next;
    }
    let record = |part: &[u8]| {
        let length = u16::try_from(part.len()).unwrap().to_be_bytes();
        [&[22, 3, 1], length.as_slice(), part].concat()
    };
    message.chunks(size).flat_map(record).collect()
}

/// Reads what arrives in segments of `size` bytes.
fn peek(bytes: &[u8], size: usize) -> Result<Hello, Vec<u8>> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let (mut near, mut far) = tokio::io::duplex(size);
        let write = async {
            // The reader may have heard enough.
            let _ = near.write_all(bytes).await;
            drop(near);
        };
        let read = async {
            let hello = read(&mut far).await;
            drop(far);
            hello
        };
        tokio::join!(write, read).1
    })
}

#[test]
fn a_hello_split_anywhere_gives_the_same_name() {
    for padding in [0, 1_900, 30_000] {
        let hello = client_hello("b1.example.org", padding);
        for records in [usize::MAX, 1_000, 100] {
            let bytes = if records == usize::MAX { hello.clone() } else { in_records(&hello, records) };
            for segments in [1, 7, 1_400, 1 << 20] {
                let found = peek(&bytes, segments).unwrap();
                assert_eq!(found.name.as_deref(), Some("b1.example.org"), "{padding} {records} {segments}");
                assert!(bytes.starts_with(&found.bytes));
            }
        }
    }
    assert_eq!(peek(&client_hello("127.0.0.1", 0), 1_400).unwrap().name, None);
}

#[test]
fn what_is_no_hello_gets_an_alert_and_never_fills_the_memory() {
    for bytes in [&b"GET / HTTP/1.1\r\nhost: b1.example.org\r\n\r\n"[..], &[0; 100_000], &[22; 100_000]] {
        assert_eq!(peek(bytes, 1_400).unwrap_err()[0], 21);
    }
    // A message that claims to be longer than any, and a hello that never ends.
    let endless = [&[22, 3, 1, 0x40, 0, 1, 0xff, 0xff, 0xff], [0; 1 << 14].as_slice()].concat().repeat(8);
    assert_eq!(peek(&endless, 1_400).unwrap_err()[0], 21);
    let hello = client_hello("b1.example.org", 0);
    assert_eq!(peek(&hello[..hello.len() - 1], 1_400), Err(Vec::new()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2_000), record in any::<bool>(), segment in 1_usize..50) {
        let bytes = if record { [&[22, 3, 1, 1, 0, 1, 0, 0, 252], bytes.as_slice()].concat() } else { bytes };
        let _ = peek(&bytes, segment);
    }

    #[test]
    fn a_changed_hello_never_makes_it_panic(at in 0_usize..250, to in any::<u8>()) {
        let mut hello = client_hello("b1.example.org", 0);
        let length = hello.len();
        hello[at % length] = to;
        let _ = peek(&hello, 1_400);
    }
}
