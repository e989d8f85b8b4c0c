//! What an SSH client may do here: prove that it holds a lease's key, and ask for what that lease holds.
//!
//! # Correctness
//! Everything that is not answered here is refused by russh: sessions, and with them shells, commands, terminals,
//! subsystems, agents and X11; channels to elsewhere; forwarded sockets. Whether the lease lives is asked at every step,
//! because it may end between two. A session becomes the device's tunnel with the first thing it forwards; until then it
//! changes nothing.

use std::{
    net::SocketAddr,
    sync::{Arc, atomic::AtomicU64},
};

use domain::key::PublicKey;
use russh::{
    MethodKind, MethodSet,
    keys::PublicKey as SshKey,
    server::{Auth, Handler, PublicKeyOffer, Session, VerifiedPublicKey},
};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::{
    Shared, asked,
    berth::Berth,
    door::Place,
    tunnel::{Asked, Tunnel},
};

/// Forwards that a session may ask for in vain.
const MAX_REFUSALS: u32 = 20;
/// Characters of an address that are shown.
const MAX_SHOWN: usize = 64;

/// One client.
pub struct Client {
    gateway: Arc<Shared>,
    peer: SocketAddr,
    id: u64,
    cut: CancellationToken,
    heard_ms: Arc<AtomicU64>,
    /// Held until a tunnel is up; the sender ends the grace.
    place: Option<(Place, oneshot::Sender<()>)>,
    berth: Option<Arc<Berth>>,
    tunnel: Option<Arc<Tunnel>>,
    refusals: u32,
}

impl Client {
    /// A client that has proved nothing yet. `cut` ends it.
    pub fn new(
        gateway: Arc<Shared>,
        peer: SocketAddr,
        id: u64,
        cut: CancellationToken,
        heard_ms: Arc<AtomicU64>,
        place: (Place, oneshot::Sender<()>),
    ) -> Self {
        let place = Some(place);
        Self { gateway, peer, id, cut, heard_ms, place, berth: None, tunnel: None, refusals: 0 }
    }

    fn berth_of(&self, user: &str, key: &SshKey) -> Option<Arc<Berth>> {
        let key = PublicKey(key.key_data().ed25519()?.0);
        let mut berths = self.gateway.table.of_key(&key);
        if berths.len() > 1 {
            let named = |berth: &Arc<Berth>| {
                berth.lease.subdomain.as_str() == user || berth.lease.device.to_string() == user
            };
            berths.retain(named);
        }
        berths.pop()
    }

    fn asked(&self, address: &str, port: u32) -> Option<(Arc<Berth>, super::Service)> {
        let berth = self.berth.clone().filter(|berth| !berth.ended.is_cancelled())?;
        let settings = &self.gateway.settings;
        let service = asked::service(&berth.lease, &settings.host, &settings.domain, address, port)?;
        Some((berth, service))
    }
}

/// Another try is of no use with anything but a key.
fn refused() -> Auth {
    let methods = MethodSet::from(&[MethodKind::PublicKey][..]);
    Auth::Reject { proceed_with_methods: Some(methods), partial_success: false }
}

impl Handler for Client {
    type Error = russh::Error;

    fn takes_channel_requests(&self) -> bool {
        false
    }

    async fn auth_publickey_offered(
        &mut self,
        user: &str,
        offer: PublicKeyOffer<'_>,
    ) -> Result<Auth, Self::Error> {
        Ok(if self.berth_of(user, offer.public_key).is_some() { Auth::Accept } else { refused() })
    }

    async fn auth_publickey(&mut self, user: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, Self::Error> {
        self.berth = self.berth_of(user, key.public_key);
        let Some(berth) = &self.berth else {
            tracing::debug!(peer = %self.peer, "a key that holds no lease here was refused");
            return Ok(refused());
        };
        // From here on the session ends with the lease.
        let (ended, cut) = (berth.ended.clone(), self.cut.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = ended.cancelled() => cut.cancel(),
                () = cut.cancelled() => {}
            }
        });
        Ok(Auth::Accept)
    }

    async fn tcpip_forward(
        &mut self,
        address: &str,
        port: &mut u32,
        session: &mut Session,
    ) -> Result<bool, Self::Error> {
        let Some((berth, service)) = self.asked(address, *port) else {
            self.refusals += 1;
            if self.refusals > MAX_REFUSALS {
                self.cut.cancel();
            }
            let (peer, port) = (self.peer, *port);
            let address: String = address.chars().take(MAX_SHOWN).collect();
            tracing::info!(%peer, address = address.escape_debug().to_string(), port, "a forward was refused");
            return Ok(false);
        };
        if *port == 0 {
            *port = u32::from(berth.lease.port);
        }
        let asked = Asked { address: address.to_owned(), port: *port };
        let tunnel = self.tunnel.get_or_insert_with(|| {
            let (cut, heard_ms) = (self.cut.clone(), self.heard_ms.clone());
            Tunnel::new(self.id, self.peer, cut, heard_ms, session.handle())
        });
        let forwarded = tunnel.forward(service, asked) && berth.attach(tunnel);
        if forwarded && self.place.take().is_some() {
            let lease = &berth.lease;
            tracing::info!(device = %lease.device, epoch = lease.epoch, port = lease.port, peer = %self.peer, "tunnel up");
        }
        Ok(forwarded)
    }

    async fn cancel_tcpip_forward(
        &mut self,
        address: &str,
        port: u32,
        _session: &mut Session,
    ) -> Result<bool, Self::Error> {
        let Some((_, service)) = self.asked(address, port) else { return Ok(false) };
        let asked = Asked { address: address.to_owned(), port };
        Ok(self.tunnel.as_ref().is_some_and(|tunnel| tunnel.cancel(service, &asked)))
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.cut.cancel();
        let (Some(berth), Some(tunnel)) = (&self.berth, &self.tunnel) else { return };
        berth.detach(tunnel);
        let lease = &berth.lease;
        tracing::info!(device = %lease.device, epoch = lease.epoch, port = lease.port, peer = %self.peer, "tunnel down");
    }
}
