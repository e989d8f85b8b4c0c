//! What the agent answers a gateway.
//!
//! # Correctness
//! The host key is the one in the server's signed word or there is no session. A gateway can open connections to what was
//! asked to be forwarded and to nothing else; every other kind of channel is refused.

use std::sync::Arc;

use domain::key::PublicKey;
use russh::{
    Channel, ChannelOpenFailure, Names,
    client::{ChannelOpenHandle, Handler, Msg, Session},
    keys::PublicKeyOrCertificate,
};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::{CHANNELS_MAX, Forward, carry, config::ProxyProtocol, proxy};

/// The handler of one connection.
pub(super) struct Client {
    host_key: PublicKey,
    forwards: Arc<[Forward]>,
    proxy: ProxyProtocol,
    room: Arc<Semaphore>,
    cut: CancellationToken,
}

impl Client {
    pub(super) fn new(
        host_key: PublicKey,
        forwards: Arc<[Forward]>,
        proxy: ProxyProtocol,
        cut: CancellationToken,
    ) -> Self {
        Self { host_key, forwards, proxy, room: Arc::new(Semaphore::new(CHANNELS_MAX)), cut }
    }
}

type Answer = Result<(), russh::Error>;

impl Handler for Client {
    type Error = russh::Error;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, russh::Error> {
        let PublicKeyOrCertificate::PublicKey { key, .. } = shown else { return Ok(false) };
        Ok(key.key_data().ed25519().is_some_and(|key| key.0 == self.host_key.0))
    }

    async fn kex_done(&mut self, _: Option<&[u8]>, names: &Names, _: &mut Session) -> Answer {
        let (kex, cipher, strict) = (names.kex.as_ref(), names.cipher.as_ref(), names.strict_kex());
        debug!(kex, cipher, strict, "agreed with the gateway");
        Ok(())
    }

    async fn server_channel_open_forwarded_tcpip(
        &mut self,
        channel: Channel<Msg>,
        address: &str,
        port: u32,
        visitor: &str,
        visitor_port: u32,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Answer {
        let asked = |forward: &&Forward| forward.address == address && u32::from(forward.port) == port;
        let Some(forward) = self.forwards.iter().find(asked).cloned() else {
            warn!(port, "the gateway opened a connection to what it was not asked to forward: refused");
            reply.reject(ChannelOpenFailure::AdministrativelyProhibited).await;
            return Ok(());
        };
        let Ok(room) = self.room.clone().try_acquire_owned() else {
            debug!(service = forward.service.name(), "too many connections: refused");
            reply.reject(ChannelOpenFailure::ResourceShortage).await;
            return Ok(());
        };
        let port = u16::try_from(visitor_port).unwrap_or(0);
        let visitor = visitor.parse().ok().map(|ip| std::net::SocketAddr::new(ip, port));
        let version = if forward.service.has_headers() { ProxyProtocol::Off } else { self.proxy };
        let cut = self.cut.clone();
        tokio::spawn(async move {
            let _room = room;
            let service = forward.service.name();
            let dialled = tokio::select! {
                dialled = carry::dial(&forward.target) => dialled,
                () = cut.cancelled() => return,
            };
            match dialled {
                Ok((stream, mut visited)) => {
                    visited.set_port(forward.port);
                    let header = proxy::header(version, visitor, visited);
                    reply.accept().await;
                    let carried = carry::carry(channel, stream, &header, &cut).await;
                    debug!(service, error = carried.err().map(|e| e.to_string()), "a connection ended");
                }
                Err(error) => {
                    debug!(service, target = %forward.target, %error, "a service cannot be reached");
                    reply.reject(ChannelOpenFailure::ConnectFailed).await;
                }
            }
        });
        Ok(())
    }

    async fn server_channel_open_forwarded_streamlocal(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Answer {
        Ok(())
    }

    async fn server_channel_open_agent_forward(
        &mut self,
        _: Channel<Msg>,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Answer {
        Ok(())
    }

    async fn server_channel_open_session(
        &mut self,
        _: Channel<Msg>,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Answer {
        Ok(())
    }

    async fn server_channel_open_direct_tcpip(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: u32,
        _: &str,
        _: u32,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Answer {
        Ok(())
    }

    async fn server_channel_open_direct_streamlocal(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Answer {
        Ok(())
    }

    async fn server_channel_open_x11(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: u32,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Answer {
        Ok(())
    }
}
