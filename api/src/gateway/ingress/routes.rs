//! What the ingress asks of whoever holds the tunnels.

use std::{io, net::SocketAddr, sync::Arc};

use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

use crate::gateway::tunnel::Service;

/// What a name leads to.
#[derive(Clone)]
pub enum Found {
    /// No lease has, or lately had, this name.
    Unknown,
    /// The lease of this name ended.
    Over,
    /// The lease lives, its tunnel does not.
    Away,
    /// The tunnel lives, but the device does not forward this service.
    NoService,
    /// The way to the device.
    Here(Arc<dyn Dial>),
}

/// Who serves a name.
pub trait Routes: Send + Sync + 'static {
    /// Who serves `subdomain`, in lower case, at this moment. It is asked once for each request or connection.
    fn find(&self, subdomain: &str, service: Service) -> Found;
}

/// A way to one service of one lease's device.
pub trait Dial: Send + Sync {
    /// Opens a connection for a visitor. Counting and limiting are done in the stream.
    ///
    /// An error of kind `ConnectionRefused` says that nothing listens on the device, `TimedOut` that it did not answer,
    /// `QuotaExceeded` that the lease has as many visitors as it may have.
    fn open(&self, visitor: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Stream>>>;

    /// Cancelled when the lease ends: everything of it is closed at once.
    fn ended(&self) -> CancellationToken;
}

/// A connection to a device. Dropping it closes it.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}
