//! What a live lease holds on this gateway: its port, its names, its tunnel.
//!
//! # Shape
//! A [`Berth`] belongs to one lease of one device. The device's latest authenticated session is its tunnel; visitors come
//! through the port's listener and through the ingress, and each is a channel of the tunnel.
//!
//! # Correctness
//! `ended` is cancelled when the lease is over, before anything else may take the port or the name; it is the parent of
//! every token below it, so the tunnel, its visitors and the listener go with it, in whatever state they are. A tunnel
//! that comes later replaces the one before and cancels it; one that ends removes only itself.

use std::{
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::{
    crowd::{self, Crowd},
    leases::LiveLease,
    limiter::Limiter,
    tunnel::Tunnel,
};

/// Counts what passed through a lease.
#[derive(Debug, Default)]
pub struct Traffic {
    /// Bytes from visitors to the device.
    pub to_device: AtomicU64,
    /// Bytes from the device to visitors.
    pub from_device: AtomicU64,
    /// Visitors' connections, ended ones included.
    pub connections: AtomicU64,
}

/// A visitor's place; given back when dropped.
#[derive(Debug)]
pub struct Visitor {
    _any: OwnedSemaphorePermit,
    _one: crowd::Place,
}

/// A lease's place at this gateway.
#[derive(Debug)]
pub struct Berth {
    /// The lease.
    pub lease: LiveLease,
    /// Cancelled when it is over.
    pub ended: CancellationToken,
    /// What passed.
    pub traffic: Traffic,
    /// Bounds what passes, in each direction.
    pub limits: Option<[Limiter; 2]>,
    visitors: Arc<Semaphore>,
    of_one: Crowd,
    max_visitors: usize,
    /// Whether the leased port is listened on.
    pub port_open: AtomicBool,
    tunnel: watch::Sender<Option<Arc<Tunnel>>>,
    changing: Mutex<()>,
}

impl Berth {
    /// A berth without a tunnel.
    #[must_use]
    pub fn new(lease: LiveLease, max_visitors: usize, bytes_per_s: Option<u64>) -> Arc<Self> {
        Arc::new(Self {
            lease,
            ended: CancellationToken::new(),
            traffic: Traffic::default(),
            limits: bytes_per_s.map(|rate| [Limiter::new(rate), Limiter::new(rate)]),
            visitors: Arc::new(Semaphore::new(max_visitors)),
            // One address leaves room for others: the renter must find a place.
            of_one: Crowd::new(u32::try_from(max_visitors.div_ceil(2)).unwrap_or(u32::MAX)),
            max_visitors,
            port_open: AtomicBool::new(false),
            tunnel: watch::Sender::new(None),
            changing: Mutex::default(),
        })
    }

    /// The tunnel, if the device is there.
    #[must_use]
    pub fn tunnel(&self) -> Option<Arc<Tunnel>> {
        self.tunnel.borrow().clone()
    }

    /// The tunnel; a device that is just coming back is waited for.
    pub async fn tunnel_within(&self, patience: Duration) -> Option<Arc<Tunnel>> {
        let mut tunnel = self.tunnel.subscribe();
        let there = timeout(patience, tunnel.wait_for(Option::is_some)).await;
        there.ok()?.ok()?.clone()
    }

    /// Makes a session the device's tunnel; the one before is cut. False when the lease is over, or another has taken the
    /// session's place.
    pub fn attach(&self, tunnel: &Arc<Tunnel>) -> bool {
        let _one = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        if self.ended.is_cancelled() || tunnel.cut.is_cancelled() {
            return false;
        }
        if let Some(before) = self.tunnel.send_replace(Some(tunnel.clone()))
            && before.id != tunnel.id
        {
            before.cut.cancel();
        }
        true
    }

    /// Forgets a session that is over, unless another has taken its place.
    pub fn detach(&self, tunnel: &Tunnel) {
        let _one = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        self.tunnel.send_if_modified(|current| {
            let its = current.as_ref().is_some_and(|current| current.id == tunnel.id);
            if its {
                *current = None;
            }
            its
        });
    }

    /// Ends everything.
    pub fn end(&self) {
        let _one = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        self.ended.cancel();
        if let Some(tunnel) = self.tunnel.send_replace(None) {
            tunnel.cut.cancel();
        }
    }

    /// Lets one more visitor in; `None` when there are too many, of all or of one address.
    #[must_use]
    pub fn let_in(&self, address: IpAddr) -> Option<Visitor> {
        let one = self.of_one.enter(address)?;
        let any = self.visitors.clone().try_acquire_owned().ok()?;
        self.traffic.connections.fetch_add(1, Ordering::Relaxed);
        Some(Visitor { _any: any, _one: one })
    }

    /// Visitors that are connected.
    #[must_use]
    pub fn visitors(&self) -> usize {
        self.max_visitors - self.visitors.available_permits()
    }
}
