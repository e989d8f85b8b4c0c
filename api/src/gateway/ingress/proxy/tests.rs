use std::{
    net::{Ipv4Addr, Ipv6Addr},
    pin::Pin,
    task::{Context, Poll},
};

use super::*;
use proptest::prelude::*;
use tokio::io::ReadBuf;

/// A peer whose bytes come one at a time.
struct Slow(std::vec::IntoIter<u8>);

impl AsyncRead for Slow {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(byte) = self.0.next() {
            buf.put_slice(&[byte]);
        }
        Poll::Ready(Ok(()))
    }
}

const PROXY: &str = "10.1.2.3:4";

fn arrive(bytes: Vec<u8>, peer: &str) -> io::Result<(SocketAddr, Vec<u8>)> {
    let trusted: Trusted = "10.0.0.0/8, fd00::1".parse().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let mut stream = Slow(bytes.into_iter());
        let visitor = accept(&mut stream, peer.parse().unwrap(), &trusted).await?;
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await?;
        Ok((visitor, rest))
    })
}

fn address() -> impl Strategy<Value = SocketAddr> {
    let v4 = any::<u32>().prop_map(|bits| IpAddr::from(Ipv4Addr::from_bits(bits)));
    let v6 = any::<u128>().prop_map(|bits| IpAddr::from(Ipv6Addr::from_bits(bits)));
    (prop_oneof![v4, v6], any::<u16>()).prop_map(SocketAddr::from)
}

proptest! {
    #[test]
    fn what_one_side_says_the_other_understands(
        visitor in address(),
        local in address(),
        two in any::<bool>(),
        rest in proptest::collection::vec(any::<u8>(), 0..50),
    ) {
        let version = if two { Version::Two } else { Version::One };
        let mut bytes = header(version, visitor, local);
        bytes.extend(&rest);
        prop_assert_eq!(arrive(bytes, PROXY).unwrap(), (canonical(visitor), rest));
    }

    #[test]
    fn no_bytes_of_a_trusted_peer_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..300), kind in 0..3) {
        match kind {
            0 => bytes.splice(0..0, TEXT_SIGNATURE.iter().copied()).for_each(drop),
            1 => bytes.splice(0..0, BINARY_SIGNATURE.iter().copied()).for_each(drop),
            _ => {}
        }
        let _ = arrive(bytes, PROXY);
    }
}

#[test]
fn a_header_of_a_stranger_is_bytes_like_any_other() {
    let bytes = b"PROXY TCP4 1.2.3.4 5.6.7.8 9 10\r\nhello".to_vec();
    let (visitor, rest) = arrive(bytes.clone(), "9.9.9.9:1").unwrap();
    assert_eq!((visitor, rest), ("9.9.9.9:1".parse().unwrap(), bytes.clone()));
    // The same peer, whether it came by IPv4 or through a socket for both.
    let visitor = "1.2.3.4:9".parse().unwrap();
    assert_eq!(arrive(bytes.clone(), PROXY).unwrap(), (visitor, b"hello".to_vec()));
    assert_eq!(arrive(bytes, "[::ffff:10.0.0.1]:1").unwrap().0, visitor);
}

#[test]
fn a_trusted_peer_must_say_who_comes() {
    for bytes in [&b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"[..], b"", b"PROXY TCP4 1.2.3.4", &[b'P'; 200]] {
        assert!(arrive(bytes.to_vec(), PROXY).is_err());
    }
    let long = [TEXT_SIGNATURE.as_slice(), &[b'x'; 200]].concat();
    assert!(arrive(long, PROXY).unwrap_err().to_string().contains("too long"));
    // What the proxy says of itself, as when it looks whether somebody is there.
    assert_eq!(arrive(b"PROXY UNKNOWN\r\n".to_vec(), PROXY).unwrap().0, PROXY.parse().unwrap());
    let local = [BINARY_SIGNATURE.as_slice(), &[0x20, 0, 0, 0], b"rest"].concat();
    assert_eq!(arrive(local, PROXY).unwrap(), (PROXY.parse().unwrap(), b"rest".to_vec()));
}

#[test]
fn the_headers_are_those_of_the_specification() {
    let (visitor, local) = ("192.0.2.1:56324".parse().unwrap(), "198.51.100.7:443".parse().unwrap());
    let text = header(Version::One, visitor, local);
    assert_eq!(text, b"PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\n");
    let binary = header(Version::Two, visitor, local);
    let addresses = [192, 0, 2, 1, 198, 51, 100, 7, 0xdc, 0x04, 0x01, 0xbb];
    assert_eq!(binary, [BINARY_SIGNATURE.as_slice(), &[0x21, 0x11, 0, 12], &addresses].concat());
}
