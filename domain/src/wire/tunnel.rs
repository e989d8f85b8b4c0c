//! What a device and a server tell each other so that a tunnel can be built.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};

use super::Reported;
use crate::key::PublicKey;

/// The most SSH host keys that a device reports.
pub const MAX_HOST_KEYS: usize = 8;
/// The longest SSH host key, in bytes.
pub const MAX_HOST_KEY: usize = 1_024;

/// Where a device's tunnel ends: the SSH address of the gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatewayAddress {
    /// Its host name or IP address.
    pub host: String,
    /// Its SSH port.
    pub port: u16,
    /// Its Ed25519 host key; no other is believed.
    pub host_key: PublicKey,
}

impl Reported {
    /// Whether everything in it is within its limits.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.host_keys.len() <= MAX_HOST_KEYS && self.host_keys.iter().all(|key| is_host_key(key))
    }
}

/// Whether a text is an SSH key in OpenSSH's form, on one line and without a comment: `<type> <base64>`, where what is
/// encoded begins with the same type.
#[must_use]
pub fn is_host_key(text: &str) -> bool {
    if text.len() > MAX_HOST_KEY {
        return false;
    }
    let Some((kind, blob)) = text.split_once(' ') else { return false };
    let name = |b: u8| b.is_ascii_alphanumeric() || b"-@._".contains(&b);
    let Ok(blob) = STANDARD.decode(blob) else { return false };
    let Some((length, rest)) = blob.split_first_chunk::<4>() else { return false };
    let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
    !kind.is_empty() && kind.bytes().all(name) && rest.get(..length) == Some(kind.as_bytes())
}
