//! Streams: bytes put back, connections watched for silence, two connections joined.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional_with_sizes},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::socket::Socket;

/// Bytes on their way from one side to the other.
const COPY_BYTES: usize = 32 * 1024;

/// A stream that yields bytes again which were read from it before.
#[derive(Debug)]
pub struct Replay<S> {
    bytes: Vec<u8>,
    read: usize,
    inner: S,
}

impl<S> Replay<S> {
    /// `inner` with `bytes` in front.
    pub fn new(bytes: Vec<u8>, inner: S) -> Self {
        Self { bytes, read: 0, inner }
    }

    /// The stream behind.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The stream, without what was not read again.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Replay<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.read == self.bytes.len() {
            return Pin::new(&mut self.inner).poll_read(cx, buf);
        }
        let rest = &self.bytes[self.read..];
        let count = rest.len().min(buf.remaining());
        buf.put_slice(&rest[..count]);
        self.read += count;
        if self.read == self.bytes.len() {
            (self.bytes, self.read) = (Vec::new(), 0);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Replay<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

/// When a byte last moved.
#[derive(Debug, Clone)]
pub(super) struct Pulse {
    start: Instant,
    millis: Arc<AtomicU64>,
}

impl Pulse {
    pub(super) fn new() -> Self {
        Self { start: Instant::now(), millis: Arc::default() }
    }

    fn beat(&self) {
        let millis = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.millis.store(millis, Ordering::Relaxed);
    }

    /// Returns when no byte has moved for `limit`.
    pub(super) async fn silent(&self, limit: Duration) {
        loop {
            let end = self.start + Duration::from_millis(self.millis.load(Ordering::Relaxed)) + limit;
            if end <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(end).await;
        }
    }
}

/// A stream whose bytes are a pulse.
#[derive(Debug)]
pub(super) struct Watched<S> {
    inner: S,
    pulse: Pulse,
}

impl<S> Watched<S> {
    pub(super) fn new(inner: S, pulse: Pulse) -> Self {
        Self { inner, pulse }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
        self.pulse.beat();
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let count = ready!(Pin::new(&mut self.inner).poll_write(cx, buf))?;
        self.pulse.beat();
        Poll::Ready(Ok(count))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let count = ready!(Pin::new(&mut self.inner).poll_write_vectored(cx, bufs))?;
        self.pulse.beat();
        Poll::Ready(Ok(count))
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

/// What ends a connection from outside.
#[derive(Debug, Clone)]
pub(super) struct Ends {
    /// The lease is over.
    pub(super) ended: CancellationToken,
    /// The server does not wait any longer.
    pub(super) kill: CancellationToken,
    /// Bytes move.
    pub(super) pulse: Pulse,
    /// How long none may.
    pub(super) idle: Duration,
    /// The visitor's connection.
    pub(super) socket: Socket,
}

impl Ends {
    /// Returns when the connection must be dropped, which then resets it.
    pub(super) async fn reached(&self) {
        tokio::select! {
            () = self.ended.cancelled() => {}
            () = self.kill.cancelled() => {}
            () = self.pulse.silent(self.idle) => {}
        }
        self.socket.cut();
    }
}

/// Copies both ways until both sides are done or the connection must end; then both are closed, but the visitor's is reset
/// when the device broke off.
pub(super) async fn splice(
    mut visitor: impl AsyncRead + AsyncWrite + Unpin,
    mut device: impl AsyncRead + AsyncWrite + Unpin,
    ends: &Ends,
) {
    tokio::select! {
        copied = copy_bidirectional_with_sizes(&mut visitor, &mut device, COPY_BYTES, COPY_BYTES) => {
            // Who only does not listen any more has said all he had to say.
            if copied.is_err_and(|e| e.kind() != io::ErrorKind::BrokenPipe) {
                ends.socket.cut();
            }
        }
        () = ends.reached() => {}
    }
}
