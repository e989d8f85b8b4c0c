//! What the SSH connection is made of.

use std::{borrow::Cow, sync::Arc, time::Duration};

use russh::{Limits, Preferred, cipher, client, compression, kex, keys::Algorithm};

/// What one connection of a visitor may have on the way to this device, in bytes. All of it may lie in memory if the
/// service does not read: with [`super::CHANNELS_MAX`], that is 128 MiB. At 50 ms to the gateway it allows 10 MB/s.
const WINDOW: u32 = 1 << 20;
/// More is no gain.
const PACKET: u32 = 32_768;
/// A silent gateway is asked whether it is there.
const KEEPALIVE: Duration = Duration::from_secs(15);
/// So many such questions go unanswered before the connection is given up.
const KEEPALIVES_MISSED: usize = 3;
/// Keys are exchanged anew after so many bytes: what AES-GCM and ChaCha20 allow with a margin.
const REKEY_BYTES: usize = 64 << 30;

/// With the names that keep a man in the middle from dropping messages.
const KEX: &[kex::Name] = &[
    kex::MLKEM768X25519_SHA256,
    kex::CURVE25519,
    kex::CURVE25519_PRE_RFC_8731,
    kex::EXTENSION_SUPPORT_AS_CLIENT,
    kex::EXTENSION_SUPPORT_AS_SERVER,
    kex::EXTENSION_OPENSSH_STRICT_KEX_AS_CLIENT,
    kex::EXTENSION_OPENSSH_STRICT_KEX_AS_SERVER,
];
const AES_FIRST: &[cipher::Name] = &[cipher::AES_128_GCM, cipher::AES_256_GCM, cipher::CHACHA20_POLY1305];
const CHACHA_FIRST: &[cipher::Name] = &[cipher::CHACHA20_POLY1305, cipher::AES_128_GCM, cipher::AES_256_GCM];

/// Whether the processor does AES by itself; it is slow in software.
#[cfg(any(target_arch = "x86_64", target_arch = "x86"))]
fn has_aes() -> bool {
    std::arch::is_x86_feature_detected!("aes")
}

/// Whether the processor does AES by itself; it is slow in software.
#[cfg(target_arch = "aarch64")]
fn has_aes() -> bool {
    std::arch::is_aarch64_feature_detected!("aes")
}

/// Nothing is known of this processor.
#[cfg(not(any(target_arch = "x86_64", target_arch = "x86", target_arch = "aarch64")))]
fn has_aes() -> bool {
    false
}

/// For the connection to a gateway.
pub(super) fn to_gateway() -> Arc<client::Config> {
    let preferred = Preferred {
        kex: Cow::Borrowed(KEX),
        key: Cow::Borrowed(&[Algorithm::Ed25519]),
        cipher: Cow::Borrowed(if has_aes() { AES_FIRST } else { CHACHA_FIRST }),
        compression: Cow::Borrowed(&[compression::NONE]),
        ..Preferred::DEFAULT
    };
    Arc::new(client::Config {
        preferred,
        limits: Limits {
            rekey_write_limit: REKEY_BYTES,
            rekey_read_limit: REKEY_BYTES,
            rekey_time_limit: Duration::from_secs(3_600),
        },
        window_size: WINDOW,
        maximum_packet_size: PACKET,
        keepalive_interval: Some(KEEPALIVE),
        keepalive_max: KEEPALIVES_MISSED,
        nodelay: true,
        ..client::Config::default()
    })
}

/// For a look at a server's key of one of these kinds.
pub(super) fn to_scan(keys: &'static [Algorithm]) -> Arc<client::Config> {
    let preferred = Preferred {
        key: Cow::Borrowed(keys),
        compression: Cow::Borrowed(&[compression::NONE]),
        ..Preferred::DEFAULT
    };
    Arc::new(client::Config { preferred, ..client::Config::default() })
}
