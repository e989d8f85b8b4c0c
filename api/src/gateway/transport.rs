//! The TCP connection under a session: stamped, and cut when the session may no longer live.
//!
//! # Correctness
//! A session reads all the time, whatever else it waits for; so a reading that fails ends it at once, also in the middle
//! of a handshake or when nothing moves.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::Instant,
};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// A connection that can be cut.
#[derive(Debug)]
pub struct Transport {
    stream: TcpStream,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    heard_ms: Arc<AtomicU64>,
    since: Instant,
}

impl Transport {
    /// Readings stamp `heard_ms` with the milliseconds since `since`, until `cut` is cancelled.
    #[must_use]
    pub fn new(stream: TcpStream, cut: CancellationToken, heard_ms: Arc<AtomicU64>, since: Instant) -> Self {
        Self { stream, cut: Box::pin(cut.cancelled_owned()), heard_ms, since }
    }
}

impl AsyncRead for Transport {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.cut.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        let heard = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.heard_ms.store(heard, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Transport {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
