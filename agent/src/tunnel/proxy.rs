//! The PROXY protocol: the visitor's address in front of the visitor's bytes.
//!
//! As in HAProxy's `proxy-protocol.txt`. Both addresses of a header are of one family: an IPv4 address beside an IPv6 one
//! is written as IPv4-mapped.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use super::config::ProxyProtocol;

/// What begins every binary header.
const MAGIC: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Version 2, on behalf of somebody else.
const PROXY: u8 = 0x21;
/// Version 2, for oneself.
const LOCAL: u8 = 0x20;
const TCP_OVER_IPV4: u8 = 0x11;
const TCP_OVER_IPV6: u8 = 0x21;

/// The header of a connection from `visitor`, if known, that came in for `visited`.
pub(super) fn header(version: ProxyProtocol, visitor: Option<SocketAddr>, visited: SocketAddr) -> Vec<u8> {
    match (version, visitor) {
        (ProxyProtocol::Off, _) => Vec::new(),
        (ProxyProtocol::V1, Some(visitor)) => text(visitor, visited),
        (ProxyProtocol::V1, None) => b"PROXY UNKNOWN\r\n".to_vec(),
        (ProxyProtocol::V2, Some(visitor)) => binary(visitor, visited),
        (ProxyProtocol::V2, None) => [&MAGIC[..], &[LOCAL, 0, 0, 0]].concat(),
    }
}

/// The two addresses in one family.
fn alike(a: IpAddr, b: IpAddr) -> (IpAddr, IpAddr) {
    let mapped = |ip| match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    };
    let of = |ip: Ipv6Addr| IpAddr::V6(ip);
    if a.is_ipv4() == b.is_ipv4() { (a, b) } else { (of(mapped(a)), of(mapped(b))) }
}

fn text(visitor: SocketAddr, visited: SocketAddr) -> Vec<u8> {
    let (from, to) = alike(visitor.ip(), visited.ip());
    let family = if from.is_ipv4() { "TCP4" } else { "TCP6" };
    format!("PROXY {family} {from} {to} {} {}\r\n", visitor.port(), visited.port()).into_bytes()
}

fn binary(visitor: SocketAddr, visited: SocketAddr) -> Vec<u8> {
    let (family, addresses) = match alike(visitor.ip(), visited.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => (TCP_OVER_IPV4, [from.octets(), to.octets()].concat()),
        (from, to) => {
            let octets = |ip| match ip {
                IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
                IpAddr::V6(v6) => v6.octets(),
            };
            (TCP_OVER_IPV6, [octets(from), octets(to)].concat())
        }
    };
    let ports = [visitor.port().to_be_bytes(), visited.port().to_be_bytes()].concat();
    // 12 or 36 bytes.
    let length = u8::try_from(addresses.len() + ports.len()).unwrap_or(u8::MAX);
    [&MAGIC[..], &[PROXY, family, 0, length], &addresses, &ports].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(visitor: &str, visited: &str) -> String {
        let made = header(ProxyProtocol::V1, visitor.parse().ok(), visited.parse().unwrap());
        String::from_utf8(made).unwrap()
    }

    #[test]
    fn a_line_names_visitor_and_visited_in_one_family() {
        assert_eq!(line("192.0.2.7:50000", "10.0.0.2:443"), "PROXY TCP4 192.0.2.7 10.0.0.2 50000 443\r\n");
        assert_eq!(line("[2001:db8::7]:1", "[::1]:2"), "PROXY TCP6 2001:db8::7 ::1 1 2\r\n");
        assert_eq!(line("192.0.2.7:1", "[::1]:2"), "PROXY TCP6 ::ffff:192.0.2.7 ::1 1 2\r\n");
        assert_eq!(line("[::1]:1", "10.0.0.2:2"), "PROXY TCP6 ::1 ::ffff:10.0.0.2 1 2\r\n");
        assert_eq!(line("somebody", "10.0.0.2:2"), "PROXY UNKNOWN\r\n");
    }

    #[test]
    fn a_binary_header_is_as_the_specification_draws_it() {
        let made = |visitor: &str, visited: &str| {
            header(ProxyProtocol::V2, visitor.parse().ok(), visited.parse().unwrap())
        };
        let magic = [0x0D, 0x0A, 0x0D, 0x0A, 0x00, 0x0D, 0x0A, 0x51, 0x55, 0x49, 0x54, 0x0A];
        let v4 = [0x21, 0x11, 0, 12, 192, 0, 2, 7, 10, 0, 0, 2, 0xC3, 0x50, 0x01, 0xBB];
        assert_eq!(made("192.0.2.7:50000", "10.0.0.2:443"), [&magic[..], &v4].concat());
        let v6 = made("[2001:db8::7]:1", "10.0.0.2:2");
        assert_eq!(v6[12..16], [0x21, 0x21, 0, 36]);
        assert_eq!(v6.len(), 16 + 36);
        assert_eq!(v6[42..48], [0xFF, 0xFF, 10, 0, 0, 2]);
        assert_eq!(made("somebody", "10.0.0.2:2"), [&magic[..], &[0x20, 0, 0, 0]].concat());
    }

    #[test]
    fn nothing_is_said_unless_it_is_wanted() {
        assert!(
            header(ProxyProtocol::Off, "192.0.2.7:1".parse().ok(), "10.0.0.2:2".parse().unwrap()).is_empty()
        );
    }
}
