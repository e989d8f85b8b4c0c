//! What a workload offers to visitors.

use std::{fmt, net::SocketAddr, str::FromStr};

use serde::{Deserialize, Serialize};

/// The longest address, in bytes.
const ADDRESS_BYTES_MAX: usize = 260;

/// A host and a port that this device can reach, such as `127.0.0.1:22`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Address(String);

impl Address {
    /// As a connection is made to it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (host, port) = text.rsplit_once(':').unwrap_or_default();
        // An IPv6 address has brackets, or its last group would be taken for the port.
        let plain = text.parse::<SocketAddr>().is_ok() || !host.contains([':', '[', ']']);
        let fine = !host.is_empty() && text.bytes().all(|b| b.is_ascii_graphic()) && plain;
        if fine && text.len() <= ADDRESS_BYTES_MAX && port.parse::<u16>().is_ok_and(|port| port > 0) {
            Ok(Self(text.to_owned()))
        } else {
            Err(format!("an address must be like 127.0.0.1:22, got {text:?}"))
        }
    }
}

impl TryFrom<String> for Address {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.0
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self(address.to_string())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where the running workload's services are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Services {
    /// SSH.
    pub ssh: Option<Address>,
    /// HTTP.
    pub http: Option<Address>,
    /// TLS.
    pub https: Option<Address>,
    /// Names this run of the workload: another one may have other host keys.
    pub run: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_host_and_a_port() {
        for good in ["127.0.0.1:22", "[::1]:8080", "nas.local:443", "localhost:1"] {
            assert_eq!(good.parse::<Address>().unwrap().to_string(), good);
        }
        for bad in
            ["", "22", ":22", "127.0.0.1", "127.0.0.1:0", "a:65536", "::1:22", "a b:22", "[::1:22", "a:x"]
        {
            assert!(bad.parse::<Address>().unwrap_err().contains("like 127.0.0.1:22"), "{bad}");
        }
    }
}
