//! The leased port: its listener, and the visitors that come through it.
//!
//! # Correctness
//! The lease owns the listener: it is opened when the lease begins here and closed when it ends, so nobody else can take
//! the port meanwhile and nobody answers afterwards. A visitor who comes while the device is just reconnecting waits for
//! [`PATIENCE`]; then it is let go.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::net::{TcpListener, TcpStream};

use super::{
    Shared,
    berth::Berth,
    ingress::proxy,
    pump,
    settings::{Settings, keep_alive},
    tunnel::Service,
};
use crate::listen;

/// How long a visitor waits for a device that is away.
const PATIENCE: Duration = Duration::from_secs(3);
/// The pause after a failed accept, and the longest before a port that cannot be opened is tried again.
const PAUSE: Duration = Duration::from_millis(500);
/// The shortest: the lease that had the port may be letting it go this very moment.
const SHORT_PAUSE: Duration = Duration::from_millis(5);
/// How often a port that something else holds is tried before a human hears of it.
const TRIES: u32 = 20;

/// Serves a berth's port until the lease ends.
pub async fn serve(gateway: Arc<Shared>, berth: Arc<Berth>) {
    let ended = berth.ended.clone();
    tokio::select! {
        () = ended.cancelled() => {}
        () = gateway.closing.cancelled() => {}
        () = accept(&gateway, &berth) => {}
    }
}

async fn open(gateway: &Shared, berth: &Berth) -> TcpListener {
    let address = SocketAddr::new(gateway.settings.ports_on, berth.lease.port);
    let mut pause = SHORT_PAUSE;
    for attempt in 1_u32.. {
        match listen::bind(&address.to_string()).await {
            Ok(listener) => return listener,
            Err(e) if attempt == TRIES => {
                let lease = &berth.lease;
                tracing::error!(device = %lease.device, epoch = lease.epoch, %address, error = %e,
                    "a leased port cannot be opened; free it, the gateway goes on trying");
            }
            Err(_) => {}
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE);
    }
    unreachable!("it is tried for ever")
}

async fn accept(gateway: &Arc<Shared>, berth: &Arc<Berth>) {
    let listener = open(gateway, berth).await;
    berth.port_open.store(true, Ordering::Relaxed);
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let Ok(place) = gateway.visitors.clone().try_acquire_owned() else {
                    tracing::debug!(%peer, "the gateway has too many visitors");
                    continue;
                };
                let (gateway, berth) = (gateway.clone(), berth.clone());
                gateway.visits.clone().spawn(async move {
                    let ended = berth.ended.clone();
                    // Whoever breaks off is nobody's trouble.
                    let _ = ended.run_until_cancelled(visit(&gateway.settings, berth, stream, peer)).await;
                    drop(place);
                });
            }
            Err(e) => {
                tracing::warn!(error = %e, port = berth.lease.port, "a visitor cannot be accepted; trying again");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn visit(
    settings: &Settings,
    berth: Arc<Berth>,
    mut stream: TcpStream,
    peer: SocketAddr,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    keep_alive(&stream, settings.stuck)?;
    let visitor = proxy::accept(&mut stream, peer, &settings.trusted).await?;
    let Some(_place) = berth.let_in(visitor.ip()) else {
        tracing::debug!(port = berth.lease.port, %visitor, "too many visitors");
        return Ok(());
    };
    let Some(tunnel) = berth.tunnel_within(PATIENCE).await else { return Ok(()) };
    let local = proxy::canonical(stream.local_addr()?);
    let head = settings.send_proxy.version().map(|version| proxy::header(version, visitor, local));
    let (stream, shard, cut) = (stream.into_std()?, tunnel.shard.clone(), tunnel.cut.clone());
    // Served where the session runs.
    let served = shard.spawn(async move {
        let carried = async {
            let stream = TcpStream::from_std(stream)?;
            let channel = tunnel.open(Service::Port, visitor).await?;
            pump::carry(&berth, stream, channel, head.unwrap_or_default()).await
        };
        let _ = cut.run_until_cancelled(carried).await;
    });
    served.await.map_err(io::Error::other)
}
