//! What the names of leases lead to, for the ingress.
//!
//! # Correctness
//! A way to a device belongs to the tunnel that was up when it was asked for: it ends when that is cut, by the lease's end
//! too. Each connection is a visitor of the lease and counts as one until it is dropped.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll, ready},
};

use futures_util::future::BoxFuture;
use russh::{ChannelStream, server::Msg};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::CancellationToken;

use super::{
    Shared,
    berth::{Berth, Visitor},
    ingress::{self, Dial, Found, Routes},
    table::Named,
    tunnel::{Service, Tunnel},
};

/// The names of a gateway's leases.
#[derive(Debug)]
pub struct Names(pub Arc<Shared>);

impl Routes for Names {
    fn find(&self, subdomain: &str, service: Service) -> Found {
        let berth = match self.0.table.of_subdomain(subdomain) {
            Named::Live(berth) => berth,
            Named::Over => return Found::Over,
            Named::Unknown => return Found::Unknown,
        };
        match berth.tunnel() {
            None => Found::Away,
            Some(tunnel) if !tunnel.services().contains(&service) => Found::NoService,
            Some(tunnel) => Found::Here(Arc::new(Way { berth, tunnel, service })),
        }
    }
}

struct Way {
    berth: Arc<Berth>,
    tunnel: Arc<Tunnel>,
    service: Service,
}

impl Dial for Way {
    fn open(&self, visitor: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn ingress::Stream>>> {
        Box::pin(async move {
            let place = self.berth.let_in(visitor.ip()).ok_or(io::ErrorKind::QuotaExceeded)?;
            let channel = self.tunnel.open(self.service, visitor).await?;
            let (inner, berth) = (channel.into_stream(), self.berth.clone());
            let stream = Metered { inner, berth, _place: place, read: None, written: None };
            Ok(Box::new(stream) as Box<dyn ingress::Stream>)
        })
    }

    fn ended(&self) -> CancellationToken {
        self.tunnel.cut.clone()
    }
}

type Pause = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A connection to a device whose bytes are counted, and held back when the lease is limited.
struct Metered {
    inner: ChannelStream<Msg>,
    berth: Arc<Berth>,
    _place: Visitor,
    read: Option<Pause>,
    written: Option<Pause>,
}

/// Waits for what passed before to be within the limit.
fn poll_pause(pause: &mut Option<Pause>, cx: &mut Context<'_>) -> Poll<()> {
    if let Some(waits) = pause {
        ready!(waits.as_mut().poll(cx));
        *pause = None;
    }
    Poll::Ready(())
}

impl Metered {
    fn pause(&self, direction: usize, bytes: usize) -> Option<Pause> {
        let berth = self.berth.clone();
        berth.limits.as_ref()?;
        Some(Box::pin(async move {
            if let Some(limits) = &berth.limits {
                limits[direction].pass(bytes).await;
            }
        }))
    }
}

impl AsyncRead for Metered {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(poll_pause(&mut self.read, cx));
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
        let n = buf.filled().len() - before;
        self.berth.traffic.from_device.fetch_add(n as u64, Ordering::Relaxed);
        self.read = self.pause(1, n);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Metered {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        ready!(poll_pause(&mut self.written, cx));
        let n = ready!(Pin::new(&mut self.inner).poll_write(cx, buf))?;
        self.berth.traffic.to_device.fetch_add(n as u64, Ordering::Relaxed);
        self.written = self.pause(0, n);
        Poll::Ready(Ok(n))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
