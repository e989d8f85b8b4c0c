//! Digests, keys and signatures as they are written: lower-case hex for digests, base64url for keys and signatures.

use std::{fmt, str::FromStr};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// A text was not a digest, key or signature.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not {0}")]
pub struct InvalidKey(&'static str);

/// Declares a fixed-length byte string with its text form.
macro_rules! bytes {
    ($($(#[$doc:meta])* $name:ident, $len:literal, $what:literal, $write:expr, $read:expr);* $(;)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(pub [u8; $len]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let write: fn(&[u8]) -> String = $write;
                f.write_str(&write(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidKey;
            fn from_str(text: &str) -> Result<Self, InvalidKey> {
                let read: fn(&str) -> Option<Vec<u8>> = $read;
                read(text).and_then(|b| b.try_into().ok()).map(Self).ok_or(InvalidKey($what))
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidKey;
            fn try_from(text: String) -> Result<Self, InvalidKey> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(bytes: $name) -> String {
                bytes.to_string()
            }
        }
    )*};
}

bytes! {
    /// A SHA-256 digest.
    Digest, 32, "a SHA-256 digest of 64 hex digits", write_hex, read_hex;
    /// An Ed25519 public key.
    PublicKey, 32, "an Ed25519 public key of 32 bytes in base64url", |b| URL_SAFE_NO_PAD.encode(b), |t| URL_SAFE_NO_PAD.decode(t).ok();
    /// An Ed25519 signature.
    Signature, 64, "an Ed25519 signature of 64 bytes in base64url", |b| URL_SAFE_NO_PAD.encode(b), |t| URL_SAFE_NO_PAD.decode(t).ok();
    /// A device's one-time challenge.
    Nonce, 32, "a nonce of 32 bytes in base64url", |b| URL_SAFE_NO_PAD.encode(b), |t| URL_SAFE_NO_PAD.decode(t).ok();
    /// A [`crate::wire::KeyHalf`] that only one device can open.
    SealedHalf, 80, "a sealed key half of 80 bytes in base64url", |b| URL_SAFE_NO_PAD.encode(b), |t| URL_SAFE_NO_PAD.decode(t).ok();
}

impl Digest {
    /// The digest of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

fn write_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn read_hex(text: &str) -> Option<Vec<u8>> {
    let nibble = |c: u8| match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        _ => None,
    };
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| Some(nibble(*pair.first()?)? << 4 | nibble(*pair.get(1)?)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_digests_read_back_as_they_were_written() {
        let digest = Digest::of(b"berth");
        assert_eq!(digest.to_string().parse(), Ok(digest));
        let key = PublicKey([7; 32]);
        assert_eq!(key.to_string().parse(), Ok(key));
        for bad in ["", "zz", "0g", &"0".repeat(63), &"A".repeat(64)] {
            assert!(bad.parse::<Digest>().is_err(), "{bad}");
        }
        assert!("AAAA".parse::<PublicKey>().is_err());
    }
}
