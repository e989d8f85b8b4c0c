//! The SSH server that tunnels end at.
//!
//! # Shape
//! One loop accepts; each connection waits at the door, then runs on one of the shards, where its visitors are served too.
//!
//! # Correctness
//! A session ends when its token is cancelled: by the lease's end, a newer session of the device, the end of its grace,
//! or the gateway's stop. Dropping a running session would not end it, so its transport fails instead.

use std::{
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use russh::{
    Limits, MethodKind, MethodSet, Preferred, SshId, cipher, compression, kex,
    keys::{Algorithm, PrivateKey},
    mac, server,
};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::{Settings, Shared, handler::Client, transport::Transport};

/// What a channel's peer may send before it is read, in bytes, at first: what a visitor holds who does not read.
const WINDOW: u32 = 512 * 1024;
/// What that grows to while visitors keep up. At a round trip of 50 ms this is 80 MB/s.
const MAX_WINDOW: u32 = 4 * 1024 * 1024;
/// Keepalives that may stay unanswered.
const KEEPALIVES_MISSED: usize = 3;
/// Wrong keys before a connection is ended.
const MAX_TRIES: usize = 6;
/// The pause after a failed accept.
const PAUSE: Duration = Duration::from_millis(100);

/// Key exchanges, the best first: hybrid post-quantum, then curves. The classic groups are left out: one exchange costs the
/// server a tenth of a second on the thread that serves others' tunnels, and a stranger nothing.
const KEX: &[kex::Name] = &[
    kex::MLKEM768X25519_SHA256,
    kex::CURVE25519,
    kex::CURVE25519_PRE_RFC_8731,
    kex::ECDH_SHA2_NISTP256,
    kex::ECDH_SHA2_NISTP384,
    kex::EXTENSION_SUPPORT_AS_SERVER,
    kex::EXTENSION_OPENSSH_STRICT_KEX_AS_SERVER,
];

/// Ciphers; the client's order decides.
const CIPHERS: &[cipher::Name] = &[
    cipher::CHACHA20_POLY1305,
    cipher::AES_128_GCM,
    cipher::AES_256_GCM,
    cipher::AES_256_CTR,
    cipher::AES_192_CTR,
    cipher::AES_128_CTR,
];

/// What authenticates packets under the ciphers that do not do that themselves.
const MACS: &[mac::Name] = &[mac::HMAC_SHA512_ETM, mac::HMAC_SHA256_ETM, mac::HMAC_SHA512, mac::HMAC_SHA256];

/// How the server speaks.
pub fn config(host_key: PrivateKey, settings: &Settings) -> server::Config {
    let preferred = Preferred {
        kex: KEX.into(),
        key: vec![Algorithm::Ed25519].into(),
        cipher: CIPHERS.into(),
        mac: MACS.into(),
        compression: vec![compression::NONE].into(),
        ..Preferred::default()
    };
    server::Config {
        server_id: SshId::Standard("SSH-2.0-Berth".into()),
        methods: MethodSet::from(&[MethodKind::PublicKey][..]),
        // Keys cannot be guessed: there is nothing to slow down.
        auth_rejection_time: Duration::ZERO,
        auth_rejection_time_initial: Some(Duration::ZERO),
        max_auth_attempts: MAX_TRIES,
        keys: vec![host_key],
        limits: Limits {
            rekey_write_limit: settings.rekey_bytes,
            rekey_read_limit: settings.rekey_bytes,
            rekey_time_limit: Duration::MAX,
        },
        window_size: WINDOW,
        max_window_size: MAX_WINDOW,
        preferred,
        // The grace ends a handshake that does not go on; keepalives end a session.
        inactivity_timeout: None,
        keepalive_interval: Some(settings.keepalive),
        keepalive_max: KEEPALIVES_MISSED,
        ..server::Config::default()
    }
}

/// Accepts until stopped.
pub async fn serve(gateway: Arc<Shared>, listener: TcpListener, config: Arc<server::Config>) {
    for id in 0_u64.. {
        let accepted = tokio::select! {
            () = gateway.closing.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(e) => {
                tracing::warn!(error = %e, "a tunnel's connection cannot be accepted; trying again");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let Some(queued) = gateway.door.queue(peer.ip()) else {
            tracing::debug!(%peer, "too many connections wait to bring a tunnel up; one was dropped");
            continue;
        };
        let (gateway, config) = (gateway.clone(), config.clone());
        gateway.tasks.clone().spawn(async move {
            let stopped = gateway.stopped.clone();
            let place = tokio::select! {
                place = gateway.door.place(queued, gateway.settings.grace) => place,
                () = stopped.cancelled() => None,
            };
            let (Some(place), Ok(stream)) = (place, stream.into_std()) else { return };
            let shard = gateway.shards.next();
            let tasks = gateway.tasks.clone();
            tasks.spawn_on(
                async move {
                    let (sender, settled) = tokio::sync::oneshot::channel::<()>();
                    let (cut, heard_ms) = (stopped.child_token(), Arc::new(AtomicU64::new(0)));
                    let client = Client::new(
                        gateway.clone(),
                        peer,
                        id,
                        cut.clone(),
                        heard_ms.clone(),
                        (place, sender),
                    );
                    let session = session(&gateway, stream, client, config, &cut, heard_ms);
                    let grace = async {
                        if tokio::time::timeout(gateway.settings.grace, settled).await.is_err() {
                            tracing::debug!(%peer, "no tunnel came up in time");
                            cut.cancel();
                        }
                        std::future::pending::<()>().await;
                    };
                    tokio::select! {
                        ended = session => if let Err(e) = ended {
                            tracing::debug!(%peer, error = %e, "a session ended");
                        },
                        () = grace => {}
                    }
                },
                &shard,
            );
        });
    }
}

async fn session(
    gateway: &Shared,
    stream: std::net::TcpStream,
    client: Client,
    config: Arc<server::Config>,
    cut: &CancellationToken,
    heard_ms: Arc<AtomicU64>,
) -> Result<(), russh::Error> {
    let stream = TcpStream::from_std(stream)?;
    // Keystrokes must not wait for more to send.
    stream.set_nodelay(true)?;
    let transport = Transport::new(stream, cut.clone(), heard_ms, gateway.since);
    server::run_stream(config, transport, client).await?.await
}
