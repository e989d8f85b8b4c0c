//! A device's session: what it forwards, and channels to it.
//!
//! # Correctness
//! A channel that the device does not answer is not waited for longer than [`OPEN`]; if it answers later, the channel is
//! closed then. Many that stay unanswered mean that the device is not there: the tunnel is cut. A rush of visitors means
//! nothing of the kind, so only those are counted that are overdue.

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    pin::pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use russh::{
    Channel, ChannelOpenFailure,
    server::{Handle, Msg},
};
use tokio::{runtime, time::timeout};
use tokio_util::sync::CancellationToken;

/// How long the device has to reach its own service.
const OPEN: Duration = Duration::from_secs(15);
/// Channels that the device may owe an answer for longer than that.
const MAX_OVERDUE: usize = 256;

/// What of the device is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// The leased port.
    Port,
    /// The subdomain's port 80.
    Http,
    /// The subdomain's port 443.
    Https,
}

/// The address and port that a device asked for, which its client expects to see again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The address.
    pub address: String,
    /// The port.
    pub port: u32,
}

/// A session of a device that forwards something.
pub struct Tunnel {
    /// Tells sessions apart.
    pub id: u64,
    /// Where the device is seen from.
    pub peer: SocketAddr,
    /// Cancelled when the session is over, or shall be.
    pub cut: CancellationToken,
    /// Milliseconds on the gateway's clock when the device was last heard of.
    pub heard_ms: Arc<AtomicU64>,
    /// Runs the session; visitors are served best there.
    pub shard: runtime::Handle,
    handle: Handle,
    forwards: Mutex<BTreeMap<Service, Asked>>,
    overdue: AtomicUsize,
}

impl std::fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tunnel").field("id", &self.id).field("peer", &self.peer).finish_non_exhaustive()
    }
}

impl Tunnel {
    /// A session on the runtime that this is called on.
    #[must_use]
    pub fn new(
        id: u64,
        peer: SocketAddr,
        cut: CancellationToken,
        heard_ms: Arc<AtomicU64>,
        handle: Handle,
    ) -> Arc<Self> {
        let shard = runtime::Handle::current();
        let (forwards, overdue) = (Mutex::default(), AtomicUsize::new(0));
        Arc::new(Self { id, peer, cut, heard_ms, shard, handle, forwards, overdue })
    }

    fn forwards(&self) -> std::sync::MutexGuard<'_, BTreeMap<Service, Asked>> {
        self.forwards.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a service on; false when it is taken on already.
    pub fn forward(&self, service: Service, asked: Asked) -> bool {
        let mut forwards = self.forwards();
        let fresh = !forwards.contains_key(&service);
        if fresh {
            forwards.insert(service, asked);
        }
        fresh
    }

    /// Lets a service go; false when it was not taken on as `asked`.
    pub fn cancel(&self, service: Service, asked: &Asked) -> bool {
        let mut forwards = self.forwards();
        let its = forwards.get(&service) == Some(asked);
        if its {
            forwards.remove(&service);
        }
        its
    }

    /// What the device forwards.
    #[must_use]
    pub fn services(&self) -> Vec<Service> {
        self.forwards().keys().copied().collect()
    }

    /// Opens a channel to a service for a visitor.
    ///
    /// # Errors
    /// `NotFound` when the device does not forward it, `ConnectionRefused` when it cannot reach it itself, `TimedOut`
    /// when it does not answer, `ConnectionAborted` when the tunnel is over.
    pub async fn open(self: &Arc<Self>, service: Service, visitor: SocketAddr) -> io::Result<Channel<Msg>> {
        let asked = self.forwards().get(&service).cloned().ok_or(io::ErrorKind::NotFound)?;
        // Goes on when nobody waits any more: a channel that the device grants must be closed.
        let tunnel = self.clone();
        let opening = tokio::spawn(async move {
            let (address, port) = (visitor.ip().to_canonical().to_string(), u32::from(visitor.port()));
            let opening =
                tunnel.handle.channel_open_forwarded_tcpip(asked.address, asked.port, address, port);
            let mut opening = pin!(async {
                tokio::select! {
                    opened = opening => opened.map_err(|e| match e {
                        russh::Error::ChannelOpenFailure(ChannelOpenFailure::ResourceShortage) => {
                        io::ErrorKind::QuotaExceeded
                    }
                    russh::Error::ChannelOpenFailure(_) => io::ErrorKind::ConnectionRefused,
                        _ => io::ErrorKind::ConnectionAborted,
                    }),
                    () = tunnel.cut.cancelled() => Err(io::ErrorKind::ConnectionAborted),
                }
            });
            let opened = match timeout(OPEN, &mut opening).await {
                Ok(opened) => opened,
                Err(_) => {
                    tunnel.is_overdue();
                    let opened = opening.await;
                    tunnel.overdue.fetch_sub(1, Ordering::Relaxed);
                    opened
                }
            };
            opened.map(CloseOnDrop::new)
        });
        let opened = timeout(OPEN, opening).await.map_err(|_| io::ErrorKind::TimedOut)?;
        Ok(opened.map_err(io::Error::other)??.take())
    }

    fn is_overdue(&self) {
        if self.overdue.fetch_add(1, Ordering::Relaxed) >= MAX_OVERDUE {
            tracing::warn!(peer = %self.peer, "a device leaves too many visitors unanswered; its tunnel is cut");
            self.cut.cancel();
        }
    }
}

/// Closes a channel that nobody took.
struct CloseOnDrop(Option<Channel<Msg>>);

impl CloseOnDrop {
    fn new(channel: Channel<Msg>) -> Self {
        Self(Some(channel))
    }

    fn take(mut self) -> Channel<Msg> {
        self.0.take().unwrap_or_else(|| unreachable!("a channel is taken once"))
    }
}

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        if let Some(channel) = self.0.take() {
            // The stream closes its channel when it is dropped.
            drop(channel.into_stream());
        }
    }
}
