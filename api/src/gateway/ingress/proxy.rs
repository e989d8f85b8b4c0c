//! The PROXY protocol: who the visitor is, told to devices and by load balancers.
//!
//! # Correctness
//! Only [`Trusted`] peers are listened to, and they must begin every connection with a header: guessing whether there is one
//! would let a visitor behind them send his own. From others a header is bytes like any other.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    str::FromStr,
    time::Duration,
};

use ipnet::IpNet;
use ppp::{v1, v2};
use tokio::io::{AsyncRead, AsyncReadExt};

/// How long a header may take to arrive.
const HEADER: Duration = Duration::from_secs(10);
/// The longest header in text, as specified.
const TEXT_BYTES_MAX: usize = 107;
/// The longest header in binary; addresses take 36 bytes, what is added to them is not read.
const BINARY_BYTES_MAX: usize = 4_096;
/// The part of a header in binary that says how long the rest is.
const BINARY_START: usize = 16;
/// How a header in binary begins.
const BINARY_SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// How a header in text begins.
const TEXT_SIGNATURE: &[u8; 6] = b"PROXY ";

/// A version of the PROXY protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// A line of text.
    One,
    /// Binary.
    Two,
}

/// The header that tells a device who its visitor is; `local` is where the visitor connected to.
#[must_use]
pub fn header(version: Version, visitor: SocketAddr, local: SocketAddr) -> Vec<u8> {
    let (visitor, local) = same_family(canonical(visitor), canonical(local));
    match version {
        Version::One => v1::Addresses::from((visitor, local)).to_string().into_bytes(),
        Version::Two => {
            let start = v2::Version::Two | v2::Command::Proxy;
            let header = v2::Builder::with_addresses(start, v2::Protocol::Stream, (visitor, local)).build();
            header.unwrap_or_else(|_| unreachable!("addresses fit into a header"))
        }
    }
}

/// An IPv4 address that came through an IPv6 socket is one.
#[must_use]
pub fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

fn same_family(a: SocketAddr, b: SocketAddr) -> (SocketAddr, SocketAddr) {
    let v6 = |address: SocketAddr| match address.ip() {
        IpAddr::V4(v4) => SocketAddr::new(v4.to_ipv6_mapped().into(), address.port()),
        IpAddr::V6(_) => address,
    };
    if a.is_ipv4() == b.is_ipv4() { (a, b) } else { (v6(a), v6(b)) }
}

/// The peers that are believed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trusted(Vec<IpNet>);

impl FromStr for Trusted {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        let net = |part: &str| match part.parse::<IpAddr>() {
            Ok(address) => Ok(IpNet::from(address)),
            Err(_) => part
                .parse::<IpNet>()
                .map_err(|_| anyhow::anyhow!("{part:?} is neither an address nor a network")),
        };
        parts.map(net).collect::<anyhow::Result<_>>().map(Self)
    }
}

impl Trusted {
    /// Whether this peer is believed.
    #[must_use]
    pub fn holds(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.0.iter().any(|net| net.contains(&peer))
    }
}

/// Who a connection is from; the header that said so is taken from the stream.
///
/// # Errors
/// When a trusted peer does not begin with a sound header in time.
pub async fn accept(
    stream: &mut (impl AsyncRead + Unpin),
    peer: SocketAddr,
    trusted: &Trusted,
) -> io::Result<SocketAddr> {
    let peer = canonical(peer);
    if !trusted.holds(peer.ip()) {
        return Ok(peer);
    }
    let header = tokio::time::timeout(HEADER, read(stream)).await.map_err(|_| wrong("late"))??;
    Ok(parse(&header)?.map_or(peer, canonical))
}

fn wrong(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the PROXY header is {what}"))
}

/// Reads a header and not a byte more.
async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut header = Vec::with_capacity(TEXT_BYTES_MAX);
    // As many bytes as every header has at least: `PROXY UNKNOWN\r\n` is the shortest.
    fill(stream, &mut header, 15).await?;
    if header.starts_with(TEXT_SIGNATURE) {
        while !header.ends_with(b"\r\n") {
            if header.len() == TEXT_BYTES_MAX {
                return Err(wrong("too long"));
            }
            header.push(stream.read_u8().await?);
        }
        return Ok(header);
    }
    if !header.starts_with(BINARY_SIGNATURE) {
        return Err(wrong("missing"));
    }
    fill(stream, &mut header, BINARY_START).await?;
    let length = BINARY_START + usize::from(u16::from_be_bytes([header[14], header[15]]));
    if length > BINARY_BYTES_MAX {
        return Err(wrong("too long"));
    }
    fill(stream, &mut header, length).await?;
    Ok(header)
}

async fn fill(stream: &mut (impl AsyncRead + Unpin), header: &mut Vec<u8>, until: usize) -> io::Result<()> {
    let have = header.len();
    header.resize(until.max(have), 0);
    stream.read_exact(&mut header[have..]).await?;
    Ok(())
}

/// The visitor that a whole header names; none when the proxy speaks for itself or does not know.
fn parse(header: &[u8]) -> io::Result<Option<SocketAddr>> {
    if header.starts_with(TEXT_SIGNATURE) {
        let header = v1::Header::try_from(header).map_err(|_| wrong("malformed"))?;
        return Ok(match header.addresses {
            v1::Addresses::Tcp4(a) => Some((a.source_address, a.source_port).into()),
            v1::Addresses::Tcp6(a) => Some((a.source_address, a.source_port).into()),
            v1::Addresses::Unknown => None,
        });
    }
    let header = v2::Header::try_from(header).map_err(|_| wrong("malformed"))?;
    Ok(match (header.command, header.addresses) {
        (v2::Command::Local, _) => None,
        (_, v2::Addresses::IPv4(a)) => Some((a.source_address, a.source_port).into()),
        (_, v2::Addresses::IPv6(a)) => Some((a.source_address, a.source_port).into()),
        _ => None,
    })
}

#[cfg(test)]
mod tests;
