//! A connection that can be cut from outside.
//!
//! # Correctness
//! The SSH session lives in a task of its library that may be in the middle of anything and cannot be aborted. Once cut,
//! every read and write of its connection fails, which ends it wherever it is.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// A stream, and what cuts it.
pub(super) struct Severable<S> {
    stream: S,
    cut: CancellationToken,
    /// Wakes who reads.
    severed: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl<S> Severable<S> {
    pub(super) fn new(stream: S, cut: CancellationToken) -> Self {
        let severed = Box::pin(cut.clone().cancelled_owned());
        Self { stream, cut, severed }
    }

    fn writing(&mut self) -> io::Result<&mut S> {
        if self.cut.is_cancelled() {
            Err(io::ErrorKind::ConnectionAborted.into())
        } else {
            Ok(&mut self.stream)
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Severable<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.severed.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Severable<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(self.writing()?).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.writing()?).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.writing()?).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn a_cut_ends_a_read_that_waits_and_every_later_call() {
        let cut = CancellationToken::new();
        let (near, mut far) = tokio::io::duplex(64);
        let mut near = Severable::new(near, cut.clone());
        near.write_all(b"a").await.unwrap();
        assert_eq!(far.read_u8().await.unwrap(), b'a');
        let waiting = tokio::spawn(async move { (near.read_u8().await.map(drop), near) });
        tokio::task::yield_now().await;
        cut.cancel();
        let (read, mut near) = waiting.await.unwrap();
        assert!(read.is_err() && near.read_u8().await.is_err());
        assert!(near.write_all(b"a").await.is_err() && near.shutdown().await.is_err());
    }
}
