//! Input, read in large chunks that packets are cut from.
//!
//! A packet is decrypted where it was read and its data are handed on as slices of the chunk: nothing is copied. A chunk is
//! used again once nobody holds a slice of it, so that a busy session works in the same memory, which stays in the cache;
//! chunks that are not in use belong to the thread, and an idle session has none.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::task::{Context, Poll};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt};

/// What is read at once, in bytes: a few of the largest packets that peers send.
pub(crate) const CHUNK: usize = 128 * 1024;
/// A chunk with less room than this is left.
const LEAVE_BELOW: usize = 32 * 1024;
/// Chunks that a thread keeps.
const KEPT: usize = 8;
/// The start of a packet that is so short waits for its rest outside of a chunk.
const SHORT: usize = 512;

thread_local! {
    static CHUNKS: RefCell<Vec<BytesMut>> = const { RefCell::new(Vec::new()) };
}

fn take() -> BytesMut {
    CHUNKS.with_borrow_mut(|chunks| {
        let free = chunks.iter_mut().position(|chunk| chunk.try_reclaim(CHUNK));
        free.map_or_else(|| BytesMut::with_capacity(CHUNK), |at| chunks.remove(at))
    })
}

fn give(mut chunk: BytesMut) {
    chunk.clear();
    CHUNKS.with_borrow_mut(|chunks| {
        if chunks.len() >= KEPT {
            // The one that slices have been held of for the longest time: it goes with them.
            chunks.remove(0);
        }
        chunks.push(chunk);
    });
}

/// Bytes that have arrived.
#[derive(Debug, Default)]
pub(crate) struct Input {
    bytes: BytesMut,
    /// Whether `bytes` are in a chunk.
    in_chunk: bool,
    /// Whether those who hold slices were let run since the chunk became full.
    yielded: bool,
}

impl Input {
    /// The next `n` bytes, which stay; waits until they are there.
    pub(crate) async fn peek<R: AsyncRead + Unpin>(&mut self, stream: &mut R, n: usize) -> io::Result<&[u8]> {
        while self.bytes.len() < n {
            if poll_fn(|cx| self.poll_more(stream, cx, n)).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        #[allow(clippy::indexing_slicing)] // length checked
        Ok(&self.bytes[..n])
    }

    /// Takes the next `n` bytes; waits until they are there.
    pub(crate) async fn take<R: AsyncRead + Unpin>(&mut self, stream: &mut R, n: usize) -> io::Result<BytesMut> {
        self.peek(stream, n).await?;
        Ok(self.bytes.split_to(n))
    }

    fn poll_more<R: AsyncRead + Unpin>(
        &mut self,
        stream: &mut R,
        cx: &mut Context<'_>,
        n: usize,
    ) -> Poll<io::Result<usize>> {
        let room = n.saturating_sub(self.bytes.len()).max(LEAVE_BELOW);
        if !self.bytes.try_reclaim(room) {
            if self.in_chunk && !self.yielded {
                self.yielded = true;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let in_chunk = n.max(self.bytes.len() + LEAVE_BELOW) <= CHUNK;
            let mut next = if in_chunk { take() } else { BytesMut::with_capacity(n) };
            next.extend_from_slice(&self.bytes);
            self.leave(next, in_chunk);
        }
        self.yielded = false;
        let read = pin!(stream.read_buf(&mut self.bytes)).poll(cx);
        if read.is_pending() && self.in_chunk && self.bytes.len() <= SHORT {
            let rest = BytesMut::from(&self.bytes[..]);
            self.leave(rest, false);
        }
        read
    }

    fn leave(&mut self, next: BytesMut, in_chunk: bool) {
        let before = std::mem::replace(&mut self.bytes, next);
        if std::mem::replace(&mut self.in_chunk, in_chunk) {
            give(before);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    #[tokio::test]
    async fn what_is_taken_is_what_arrived_whoever_holds_slices() {
        let (mut theirs, mut ours) = tokio::io::duplex(100_000);
        let sent: Vec<u8> = (0..3_000_000_u32).map(|n| (n / 7 * 31) as u8).collect();
        let arriving = sent.clone();
        tokio::spawn(async move { theirs.write_all(&arriving).await });
        let (mut input, mut held, mut at) = (Input::default(), Vec::new(), 0);
        for n in [1, 5, 32_768, 40_000, 3, 262_144, 17, 32_800].into_iter().cycle() {
            if at + n > sent.len() {
                break;
            }
            assert_eq!(input.peek(&mut ours, n.min(4)).await.unwrap(), &sent[at..at + n.min(4)]);
            held.push((at, input.take(&mut ours, n).await.unwrap().freeze()));
            at += n;
            if held.len() == 20 {
                held.drain(..15).for_each(|(at, bytes)| assert_eq!(bytes, sent[at..at + bytes.len()]));
            }
        }
        held.into_iter().for_each(|(at, bytes)| assert_eq!(bytes, sent[at..at + bytes.len()]));
    }

    #[tokio::test]
    async fn who_waits_holds_no_chunk() {
        let (mut theirs, mut ours) = tokio::io::duplex(100_000);
        let mut input = Input::default();
        theirs.write_all(&[1; 40_010]).await.unwrap();
        let packet = input.take(&mut ours, 40_000).await.unwrap();
        assert!(input.in_chunk);
        tokio::select! {
            biased;
            _ = input.take(&mut ours, 20) => unreachable!("it is not there"),
            () = tokio::task::yield_now() => {}
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        tokio::select! {
            biased;
            _ = input.take(&mut ours, 20) => unreachable!("it is not there"),
            () = tokio::task::yield_now() => {}
        }
        assert!(!input.in_chunk && input.bytes.capacity() < 1_024);
        theirs.write_all(&[1; 10]).await.unwrap();
        assert_eq!(input.take(&mut ours, 20).await.unwrap(), [1; 20][..]);
        drop((theirs, packet));
        assert_eq!(input.take(&mut ours, 1).await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
