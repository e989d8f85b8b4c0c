//! Whatever a client sends, a session ends: it does not panic, hang, or take memory for it.
//!
//! The banner is sent properly, so that the bytes reach what is behind it; the first byte says into how large pieces they
//! are cut, because a parser must not care.

#![no_main]

use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};

use libfuzzer_sys::fuzz_target;
use russh::{
    keys::{PrivateKey, ssh_key::private::Ed25519Keypair},
    server::{self, Handler},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, duplex, split},
    runtime::{Builder, Runtime},
    time::timeout,
};

/// Lets nobody in.
struct Nobody;

impl Handler for Nobody {
    type Error = russh::Error;
}

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_current_thread().enable_time().build().unwrap());

static CONFIG: LazyLock<Arc<server::Config>> = LazyLock::new(|| {
    let key = PrivateKey::new(Ed25519Keypair::from_seed(&[7; 32]).into(), "fuzz").unwrap();
    Arc::new(server::Config { keys: vec![key], ..server::Config::default() })
});

fuzz_target!(|data: &[u8]| {
    let Some((&piece, bytes)) = data.split_first() else { return };
    RUNTIME.block_on(async {
        let (client, gateway) = duplex(64 * 1024);
        let (mut read, mut write) = split(client);
        let session = async {
            if let Ok(running) = server::run_stream(CONFIG.clone(), gateway, Nobody).await {
                let _ = running.await;
            }
        };
        let sends = async {
            let _ = write.write_all(b"SSH-2.0-Fuzz\r\n").await;
            for piece in bytes.chunks(usize::from(piece) + 1) {
                if write.write_all(piece).await.is_err() {
                    break;
                }
            }
            let _ = write.shutdown().await;
        };
        let reads = async {
            let mut heard = Vec::new();
            let _ = read.read_to_end(&mut heard).await;
            assert!(heard.len() < 64 * 1024, "{} bytes are answered", heard.len());
        };
        let all = async { tokio::join!(session, sends, reads) };
        timeout(Duration::from_secs(10), all).await.expect("the session does not end");
    });
});
