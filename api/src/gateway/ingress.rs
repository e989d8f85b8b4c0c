//! The ingress: visitors reach devices by name, over HTTP and TLS.
//!
//! # Shape
//! Every listener accepts in a loop; every connection is a task. A load balancer in front may first say who the visitor is
//! ([`proxy`]). On the HTTP side requests are routed by their host; on the TLS side connections are routed by the name in the
//! ClientHello, and end at the device or, for devices that offer only HTTP, here. Whom a name leads to is asked of
//! [`Routes`] each time; the ingress keeps nothing of a lease but its open connections.
//!
//! # Correctness
//! Nobody holds the others up: the number of connections, of all and of one address, is limited, and so is every wait, for
//! headers, handshakes, devices and bytes; bodies are never gathered. When a lease ends, [`Dial::ended`] resets each of its
//! connections as a whole. When the server stops, it accepts no more, requests under way have a time to end, and what is
//! still open then is closed.

pub mod acme;
pub mod certificate;
mod expect;
mod headers;
mod hello;
mod host;
mod http;
mod hub;
mod pages;
pub mod proxy;
mod routes;
mod settings;
mod socket;
mod stream;
mod tls;
mod upstream;
mod whole;

use std::{io, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{
    acme::{Acme, Now},
    certificate::{Certificate, Files},
    headers::Scheme,
    hub::{Hub, Origin, Termination},
    settings::seconds,
    socket::Socket,
};
pub use self::{
    routes::{Dial, Found, Routes, Stream},
    settings::{SendProxy, Settings},
};
use super::crowd::Crowd;
pub use crate::gateway::tunnel::Service;
use crate::{gateway::settings::STUCK, listen};

/// The pause after a failed accept.
const PAUSE: Duration = Duration::from_millis(100);
/// Silence after which the kernel asks whether a peer still lives.
const ALIVE: Duration = Duration::from_secs(60);
/// The pause before it asks again.
const ALIVE_AGAIN: Duration = Duration::from_secs(15);
/// How often it asks before the connection is closed.
const ALIVE_ASKED: u32 = 4;

/// What renews the certificate.
enum Upkeep {
    None,
    Files(Files),
    Acme(Box<Acme>),
}

/// The ingress, listening.
pub struct Ingress {
    hub: Arc<Hub>,
    http: Option<TcpListener>,
    tls: Option<TcpListener>,
    upkeep: Upkeep,
}

impl Ingress {
    /// Listens as the settings say. `folder` holds what belongs to a certificate ordered by ACME; `now` says whether it must
    /// be renewed.
    ///
    /// # Errors
    /// When the settings do not fit, an address cannot be listened on or the certificate's files are wrong.
    pub async fn open(
        settings: Settings,
        routes: Arc<dyn Routes>,
        folder: &Path,
        now: Now,
    ) -> anyhow::Result<Self> {
        settings.check()?;
        let certificate = Arc::new(Certificate::none(&settings.domain));
        let upkeep = if !settings.tls_certificate.is_empty() {
            let mut files = Files::new((&settings.tls_certificate).into(), (&settings.tls_key).into());
            files.look(&certificate).await?;
            Upkeep::Files(files)
        } else if !settings.acme_dns_hook.is_empty() {
            let hook = Path::new(&settings.acme_dns_hook);
            let found = hook.components().count() == 1 || hook.is_file();
            anyhow::ensure!(found, "gateway.ingress.acme_dns_hook: there is no program {}", hook.display());
            Upkeep::Acme(Box::new(Acme::open(&settings, folder, now, certificate.clone()).await?))
        } else {
            Upkeep::None
        };
        let termination = match upkeep {
            Upkeep::None => None,
            _ => Some(Termination { config: certificate.server_config()?, certificate }),
        };
        let http = bind(&settings.http, "127.0.0.1:8081", "gateway.ingress.http").await?;
        let tls = bind(&settings.tls, "127.0.0.1:8443", "gateway.ingress.tls").await?;
        let (trusted, crowd) = (settings.trusted()?, Crowd::new(settings.max_connections_per_address));
        let (stop, kill) = (CancellationToken::new(), CancellationToken::new());
        let hub = Arc::new(Hub { routes, settings, trusted, crowd, termination, stop, kill });
        Ok(Self { hub, http, tls, upkeep })
    }

    /// Where HTTP is served.
    #[must_use]
    pub fn http_address(&self) -> Option<SocketAddr> {
        self.http.as_ref()?.local_addr().ok()
    }

    /// Where TLS is served.
    #[must_use]
    pub fn tls_address(&self) -> Option<SocketAddr> {
        self.tls.as_ref()?.local_addr().ok()
    }

    /// Serves until stopped; returns when all connections are closed.
    pub async fn serve(self, stop: CancellationToken) {
        let Self { hub, http, tls, upkeep } = self;
        let (accepting, tasks) = (TaskTracker::new(), TaskTracker::new());
        let most = usize::try_from(hub.settings.max_connections).unwrap_or(usize::MAX);
        // The other half of what files allow is the API's.
        let places = Arc::new(Semaphore::new(most.min(listen::limit() / 2).max(1)));
        for (listener, scheme) in [(http, Scheme::Http), (tls, Scheme::Https)] {
            if let Some(listener) = listener {
                accepting.spawn(accept(hub.clone(), listener, scheme, places.clone(), tasks.clone()));
            }
        }
        if let Some(Termination { certificate, .. }) = &hub.termination {
            match upkeep {
                Upkeep::None => {}
                Upkeep::Files(files) => {
                    accepting.spawn(files.watch(certificate.clone(), hub.stop.clone()));
                }
                Upkeep::Acme(acme) => {
                    accepting.spawn(acme.run(hub.stop.clone()));
                }
            }
        }
        stop.cancelled().await;
        hub.stop.cancel();
        accepting.close();
        accepting.wait().await;
        tasks.close();
        let drained = tokio::time::timeout(seconds(hub.settings.drain_s), tasks.wait()).await;
        if drained.is_err() {
            tracing::info!(connections = tasks.len(), "connections are closed that did not end in time");
        }
        hub.kill.cancel();
        tasks.wait().await;
    }
}

async fn bind(set: &str, usual: &str, setting: &str) -> anyhow::Result<Option<TcpListener>> {
    if set == "off" {
        return Ok(None);
    }
    super::listen(set, usual, setting).await.map(Some)
}

async fn accept(
    hub: Arc<Hub>,
    listener: TcpListener,
    scheme: Scheme,
    places: Arc<Semaphore>,
    tasks: TaskTracker,
) {
    loop {
        let Some(accepted) = hub.stop.run_until_cancelled(listener.accept()).await else { return };
        match accepted {
            Ok((stream, peer)) => {
                // Whoever finds no place waits here, and those after him in the kernel's queue.
                let place = places.clone().acquire_owned();
                let Some(Ok(place)) = hub.stop.run_until_cancelled(place).await else { return };
                let connection = connection(hub.clone(), stream, peer, scheme);
                tasks.spawn(async move {
                    connection.await;
                    drop(place);
                });
            }
            Err(e) => {
                tracing::warn!(error = %e, "a visitor cannot be accepted; trying again");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn connection(hub: Arc<Hub>, mut stream: TcpStream, peer: SocketAddr, scheme: Scheme) {
    // A socket that cannot be tuned works all the same.
    let _ = tune(&stream);
    let Ok(local) = stream.local_addr() else { return };
    let kill = hub.kill.clone();
    let accepted = kill.run_until_cancelled(proxy::accept(&mut stream, peer, &hub.trusted)).await;
    let visitor = match accepted {
        Some(Ok(visitor)) => visitor,
        Some(Err(e)) => return tracing::debug!(error = %e, %peer, "a proxy did not say who comes"),
        None => return,
    };
    let Some(_place) = hub.crowd.enter(visitor.ip()) else {
        return tracing::debug!("an address has too many connections");
    };
    let socket = Socket::new(stream);
    match scheme {
        Scheme::Http => {
            let (stream, from) = (socket.clone(), Origin { visitor, scheme, sni: None });
            http::serve(hub.clone(), stream, socket, from).await;
        }
        Scheme::Https => {
            let served = tls::serve(hub.clone(), socket, visitor, proxy::canonical(local));
            kill.run_until_cancelled(served).await;
        }
    }
}

/// Small answers do not wait for more to send; peers that vanished without a word are noticed, and those that are there but
/// take nothing.
fn tune(stream: &TcpStream) -> io::Result<()> {
    use rustix::net::sockopt::{
        set_socket_keepalive, set_tcp_keepcnt, set_tcp_keepidle, set_tcp_keepintvl, set_tcp_user_timeout,
    };
    stream.set_nodelay(true)?;
    set_socket_keepalive(stream, true)?;
    set_tcp_keepidle(stream, ALIVE)?;
    set_tcp_keepintvl(stream, ALIVE_AGAIN)?;
    set_tcp_keepcnt(stream, ALIVE_ASKED)?;
    set_tcp_user_timeout(stream, u32::try_from(STUCK.as_millis()).unwrap_or(u32::MAX))?;
    Ok(())
}
