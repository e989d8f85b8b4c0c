//! What all connections share: the routes, the limits and the end.

use std::{net::SocketAddr, sync::Arc};

use rustls::ServerConfig;
use tokio_util::sync::CancellationToken;

use super::super::crowd::Crowd;
use super::{certificate::Certificate, headers::Scheme, proxy::Trusted, routes::Routes, settings::Settings};

/// What all connections share.
pub(super) struct Hub {
    pub(super) routes: Arc<dyn Routes>,
    pub(super) settings: Settings,
    pub(super) trusted: Trusted,
    pub(super) crowd: Crowd,
    pub(super) termination: Option<Termination>,
    /// No new connections and requests.
    pub(super) stop: CancellationToken,
    /// No connections any longer.
    pub(super) kill: CancellationToken,
}

/// With what TLS is ended here.
pub(super) struct Termination {
    pub(super) certificate: Arc<Certificate>,
    pub(super) config: Arc<ServerConfig>,
}

/// Where a connection comes from.
#[derive(Debug, Clone)]
pub(super) struct Origin {
    pub(super) visitor: SocketAddr,
    pub(super) scheme: Scheme,
    /// The name that TLS was ended for.
    pub(super) sni: Option<String>,
}
