//! The host keys of the workload's SSH server, as it shows them.
//!
//! # Shape
//! A task of its own looks at the server as a client that turns back before it says who it is. The agent reads what was
//! found last, whenever it asks its own server: a look delays nothing.
//!
//! # Limits
//! RSA keys are not looked for. What is shown is not proof against the device's owner, who can answer in the server's
//! place; it proves that nobody between the device and the renter did.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use domain::wire;
use russh::{
    client::{self, Handler},
    keys::{Algorithm, EcdsaCurve, PublicKeyOrCertificate},
};
use tokio::{io::AsyncWriteExt, sync::watch, time::timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use super::{algorithms, carry, config::ProxyProtocol, proxy, sever::Severable};
use crate::{
    clock::{self, Boot},
    workload::Address,
};

/// How long a server may take to show its key.
const LOOK: Duration = Duration::from_secs(10);
/// A server that has just started may need a moment; the wait doubles up to [`EVERY`].
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// How often is looked again.
const EVERY: Duration = Duration::from_secs(300);
/// A server shows one key at a time: the best of those that are asked for.
const KINDS: [&[Algorithm]; 2] = [
    &[Algorithm::Ed25519],
    &[
        Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 },
        Algorithm::Ecdsa { curve: EcdsaCurve::NistP384 },
        Algorithm::Ecdsa { curve: EcdsaCurve::NistP521 },
    ],
];

/// Where to look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Where {
    pub(super) server: Address,
    pub(super) proxy: ProxyProtocol,
    /// Names the run of the workload.
    pub(super) run: String,
}

/// What was found last.
pub(super) type Found = Arc<Mutex<Vec<String>>>;

fn set(found: &Found, keys: Vec<String>) {
    let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
    if *found != keys {
        info!(count = keys.len(), "the workload's SSH host keys are known");
        *found = keys;
    }
}

/// Looks where it is told until nobody can tell any more.
pub(super) async fn follow(mut place: watch::Receiver<Option<Where>>, found: Found) {
    loop {
        let here = place.borrow_and_update().clone();
        found.lock().unwrap_or_else(PoisonError::into_inner).clear();
        let changed = match here {
            None => place.changed().await,
            Some(here) => tokio::select! {
                changed = place.changed() => changed,
                never = look_again(&here, &found) => match never {},
            },
        };
        if changed.is_err() {
            return;
        }
    }
}

async fn look_again(here: &Where, found: &Found) -> std::convert::Infallible {
    let mut wait = FIRST_RETRY;
    loop {
        let keys = look(here).await;
        if keys.is_empty() {
            clock::sleep_until(Boot::now() + wait).await;
            wait = (wait * 2).min(EVERY);
        } else {
            set(found, keys);
            wait = FIRST_RETRY;
            clock::sleep_until(Boot::now() + EVERY).await;
        }
    }
}

/// The keys that are shown, in the form of the wire.
async fn look(here: &Where) -> Vec<String> {
    let mut keys = Vec::new();
    for kind in KINDS {
        let cut = CancellationToken::new();
        let _cut_at_the_end = cut.clone().drop_guard();
        match timeout(LOOK, shown(here, kind, cut))
            .await
            .map_err(|_| russh::Error::ConnectionTimeout)
            .flatten()
        {
            Ok(Some(key)) if wire::is_host_key(&key) => keys.push(key),
            Ok(_) => {}
            Err(error) => debug!(server = %here.server, %error, "no host key was shown"),
        }
    }
    keys
}

async fn shown(
    here: &Where,
    kind: &'static [Algorithm],
    cut: CancellationToken,
) -> Result<Option<String>, russh::Error> {
    let (mut stream, address) = carry::dial(&here.server).await?;
    stream.write_all(&proxy::header(here.proxy, None, address)).await?;
    let key = Found::default();
    let look = Look(key.clone());
    // It fails always: the key is refused.
    let refused = client::connect_stream(algorithms::to_scan(kind), Severable::new(stream, cut), look).await;
    let key = key.lock().unwrap_or_else(PoisonError::into_inner).pop();
    match (key, refused) {
        (None, Err(error)) => Err(error),
        (key, _) => Ok(key),
    }
}

/// Takes the key and turns back.
struct Look(Found);

impl Handler for Look {
    type Error = russh::Error;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, russh::Error> {
        if let PublicKeyOrCertificate::PublicKey { key, .. } = shown {
            let line = key.to_openssh().map_err(russh::keys::Error::from)?;
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(line.trim().to_owned());
        }
        Ok(false)
    }
}
