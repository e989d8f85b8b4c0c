//! What the peer sent on a channel and nobody has read yet.
//!
//! The session loop only ever pushes and never waits, so a reader that stops holds up nobody but its own channel. What
//! bounds the queue is the channel's window: bytes are credited to the peer when they are taken out, not when they
//! arrive. Small packets are merged, so that the bound on bytes is one on memory too; other messages are counted. Data are
//! slices of what was read at once, which may be many times larger: what waits for long is copied to memory of its own.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use tokio::sync::Notify;

use super::ChannelMsg;
use crate::ChannelId;

/// Packets shorter than this are merged with the one before.
const MERGE_BELOW: usize = 4096;
/// Data of fewer bytes are copied: the chunk that they were read in is needed again.
const COPY_BELOW: usize = 16 * 1024;
/// With so many bytes waiting, data that come are copied: they will wait too.
const COPY_BEHIND: usize = 1024 * 1024;
/// Messages that wait at most; whoever sends more without being read has its channel cut off.
const MAX_MESSAGES: usize = 16_384;

/// Bytes that were read and may be sent again, for the session loop to tell its peer.
#[derive(Debug)]
pub(crate) struct Credits {
    due: Mutex<Vec<(ChannelId, u32)>>,
    notify: Notify,
    /// So many bytes are told at once.
    threshold: u32,
}

impl Credits {
    pub(crate) fn new(window_size: u32) -> Arc<Self> {
        Arc::new(Self { due: Mutex::default(), notify: Notify::new(), threshold: (window_size / 8).max(1) })
    }

    /// Resolves when something is due.
    pub(crate) async fn notified(&self) {
        self.notify.notified().await;
    }

    pub(crate) fn take(&self) -> Vec<(ChannelId, u32)> {
        std::mem::take(&mut *self.due.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn add(&self, id: ChannelId, bytes: u32) {
        self.due.lock().unwrap_or_else(PoisonError::into_inner).push((id, bytes));
        self.notify.notify_one();
    }
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<ChannelMsg>,
    /// Woken when there is something to read.
    reader: Option<Waker>,
    /// No more will come.
    ended: bool,
    /// Nobody reads any more.
    unread: bool,
    /// The reader was told that the peer had said all.
    at_end: bool,
    /// Bytes of data in the queue.
    waiting: usize,
    read: u32,
    credits: Option<(ChannelId, Arc<Credits>)>,
}

impl State {
    fn took(&mut self, msg: &ChannelMsg) {
        self.at_end |= matches!(msg, ChannelMsg::Eof);
        let (ChannelMsg::Data { data } | ChannelMsg::ExtendedData { data, .. }) = msg else { return };
        self.waiting = self.waiting.saturating_sub(data.len());
        let Some((id, credits)) = &self.credits else { return };
        self.read = self.read.saturating_add(u32::try_from(data.len()).unwrap_or(u32::MAX));
        if self.read >= credits.threshold {
            credits.add(*id, std::mem::take(&mut self.read));
        }
    }

    /// Whether `data` could be added to the last packet.
    fn merge(&mut self, data: &Bytes) -> bool {
        if data.len() >= MERGE_BELOW {
            return false;
        }
        let Some(ChannelMsg::Data { data: last }) = self.queue.back_mut() else { return false };
        if last.len() >= MERGE_BELOW {
            return false;
        }
        let mut merged = match std::mem::take(last).try_into_mut() {
            Ok(merged) => merged,
            Err(shared) => bytes::BytesMut::from(&shared[..]),
        };
        merged.extend_from_slice(data);
        *last = merged.freeze();
        true
    }
}

/// The last `len` bytes of a packet.
pub(crate) fn data_of(packet: Bytes, len: usize) -> Bytes {
    let data = packet.slice(packet.len() - len..);
    if len < COPY_BELOW { Bytes::copy_from_slice(&data) } else { data }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The session's end.
#[derive(Debug)]
pub struct Sender(Arc<Mutex<State>>);

/// The reader's end.
#[derive(Debug)]
pub struct Receiver(Arc<Mutex<State>>);

/// An inbox.
pub fn channel() -> (Sender, Receiver) {
    let state = Arc::new(Mutex::new(State::default()));
    (Sender(state.clone()), Receiver(state))
}

impl Sender {
    /// Puts a message in without waiting; gives it back when nobody reads.
    ///
    /// Asynchronous only so that it can stand where a bounded channel stood.
    pub async fn send(&self, msg: ChannelMsg) -> Result<(), ChannelMsg> {
        self.push(msg)
    }

    /// As [`Sender::send`], of data of the channel `id`, which are credited to the peer when they are read.
    pub(crate) fn receive(&self, id: ChannelId, credits: &Arc<Credits>, msg: ChannelMsg) -> Result<(), ChannelMsg> {
        {
            let mut state = lock(&self.0);
            if state.credits.is_none() {
                state.credits = Some((id, credits.clone()));
            }
        }
        self.push(msg)
    }

    fn push(&self, mut msg: ChannelMsg) -> Result<(), ChannelMsg> {
        let mut state = lock(&self.0);
        // Once a message was refused, none that came after it is taken: there would be a hole.
        if state.unread || state.ended {
            return Err(msg);
        }
        if let ChannelMsg::Data { data } | ChannelMsg::ExtendedData { data, .. } = &mut msg {
            if data.is_empty() {
                // Readers would take it for the end.
                return Ok(());
            }
            state.waiting += data.len();
            if state.waiting > COPY_BEHIND {
                *data = Bytes::copy_from_slice(data);
            }
        }
        if let ChannelMsg::Data { data } = &msg
            && state.merge(data)
        {
            return Ok(());
        }
        if state.queue.len() >= MAX_MESSAGES {
            state.ended = true;
            return Err(msg);
        }
        state.queue.push_back(msg);
        if let Some(reader) = state.reader.take() {
            reader.wake();
        }
        Ok(())
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        let mut state = lock(&self.0);
        state.ended = true;
        if let Some(reader) = state.reader.take() {
            reader.wake();
        }
    }
}

impl Receiver {
    /// The next message; `None` when there will be none.
    pub async fn recv(&mut self) -> Option<ChannelMsg> {
        std::future::poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// As [`Receiver::recv`], as a poll.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<ChannelMsg>> {
        let mut state = lock(&self.0);
        if let Some(msg) = state.queue.pop_front() {
            state.took(&msg);
            return Poll::Ready(Some(msg));
        }
        if state.ended || state.unread {
            return Poll::Ready(None);
        }
        match &mut state.reader {
            Some(reader) if reader.will_wake(cx.waker()) => {}
            reader => *reader = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    /// The next message, if there is one already.
    pub fn try_recv(&mut self) -> Option<ChannelMsg> {
        let mut state = lock(&self.0);
        let msg = state.queue.pop_front()?;
        state.took(&msg);
        Some(msg)
    }

    /// Whether the peer's end was taken out.
    pub(crate) fn at_end(&self) -> bool {
        lock(&self.0).at_end
    }

    /// Takes no more in; what is there can still be read.
    pub fn close(&mut self) {
        lock(&self.0).unread = true;
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let mut state = lock(&self.0);
        state.unread = true;
        state.queue.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(bytes: &'static [u8]) -> ChannelMsg {
        ChannelMsg::Data { data: Bytes::from_static(bytes) }
    }

    #[test]
    fn after_too_many_messages_there_are_no_more() {
        let (sender, mut receiver) = channel();
        for _ in 0..MAX_MESSAGES {
            sender.push(ChannelMsg::Success).unwrap();
        }
        assert!(sender.push(ChannelMsg::Success).is_err());
        for _ in 0..MAX_MESSAGES {
            assert!(receiver.try_recv().is_some());
        }
        // There is room again, but what was refused is missing.
        assert!(sender.push(data(b"late")).is_err() && sender.push(ChannelMsg::Eof).is_err());
        assert!(receiver.try_recv().is_none());
        assert!(matches!(receiver.poll_recv(&mut Context::from_waker(Waker::noop())), Poll::Ready(None)));
    }

    #[tokio::test]
    async fn only_an_end_that_was_said_reads_as_one() {
        use tokio::io::AsyncReadExt;

        use crate::channels::ChannelReadHalf;
        use crate::channels::io::ChannelRx;

        for (last, whole) in [(Some(ChannelMsg::Eof), true), (Some(ChannelMsg::Close), false), (None, false)] {
            let (sender, receiver) = channel();
            [data(b"some"), data(b""), data(b"thing")].into_iter().for_each(|msg| sender.push(msg).unwrap());
            last.into_iter().for_each(|msg| sender.push(msg).unwrap());
            drop(sender);
            let mut half = ChannelReadHalf { receiver };
            let mut heard = Vec::new();
            let end = ChannelRx::new(&mut half, None).read_to_end(&mut heard).await;
            assert_eq!(heard, b"something");
            assert_eq!(end.map_err(|e| e.kind()).err(), (!whole).then_some(std::io::ErrorKind::ConnectionAborted));
            // Whoever asks again is told the same.
            assert_eq!(ChannelRx::new(&mut half, None).read(&mut [0]).await.is_ok(), whole);
        }
    }
}
