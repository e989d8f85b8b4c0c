//! What the peer sent on a channel and nobody has read yet.
//!
//! The session loop only ever pushes and never waits, so a reader that stops holds up nobody but its own channel. What
//! bounds the queue is the channel's window: bytes are credited to the peer when they are taken out, not when they
//! arrive. A window is small at first and grows as long as its reader waits for the peer, or is quick; what
//! all windows of the process have grown by is bounded. Small packets are merged, so that the bound on bytes is one on
//! memory too; other messages are counted. Data are slices of what was read at once, which may be many times larger: where
//! they would keep much more memory than they need, and where they wait for long, they are copied to memory of their own.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::Notify;

use super::ChannelMsg;
use crate::ChannelId;
use crate::input::CHUNK;

/// Packets shorter than this are merged with the one before.
const MERGE_BELOW: usize = 4096;
/// Data of fewer bytes are copied: the chunk that they were read in is needed again.
const COPY_BELOW: usize = 16 * 1024;
/// With so many bytes waiting, data that come are copied: they will wait too.
const COPY_BEHIND: usize = 1024 * 1024;
/// Messages that wait at most; whoever sends more without being read has its channel cut off.
const MAX_MESSAGES: usize = 16_384;

/// Packets that follow each other in a chunk are no farther apart.
const NEXT: usize = 512;
/// See [`Credits::quick`].
const QUICK: Duration = Duration::from_millis(20);
/// What all windows may have grown by, in bytes.
static GROWTH: Budget = Budget(AtomicUsize::new(512 * 1024 * 1024));

/// Bytes that are left.
#[derive(Debug)]
struct Budget(AtomicUsize);

impl Budget {
    fn take(&self, bytes: u32) -> bool {
        let less = |left: usize| left.checked_sub(bytes as usize);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
    }

    fn give(&self, bytes: u32) {
        self.0.fetch_add(bytes as usize, Ordering::Relaxed);
    }
}

/// Bytes that were read and may be sent again, for the session loop to tell its peer.
#[derive(Debug)]
pub(crate) struct Credits {
    due: Mutex<Vec<(ChannelId, u32)>>,
    notify: Notify,
    /// A channel's window at first.
    window_size: u32,
    /// What it grows to at most.
    max_window_size: u32,
    growth: &'static Budget,
    /// Who reads a whole window within this time keeps up, even if there was always something to read.
    quick: Duration,
}

impl Credits {
    pub(crate) fn new(window_size: u32, max_window_size: u32) -> Arc<Self> {
        Self::within(&GROWTH, window_size, max_window_size, QUICK)
    }

    fn within(growth: &'static Budget, window_size: u32, max_window_size: u32, quick: Duration) -> Arc<Self> {
        let (due, notify) = (Mutex::default(), Notify::new());
        Arc::new(Self { due, notify, window_size, max_window_size, growth, quick })
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
    /// With the bytes of memory that each keeps which is not its own.
    queue: VecDeque<(ChannelMsg, usize)>,
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
    /// Bytes of memory that they keep which is not their own.
    kept: usize,
    /// Bytes that were read and not credited.
    read: u32,
    credits: Option<(ChannelId, Arc<Credits>)>,
    window: u32,
    /// What the window has grown by.
    grown: u32,
    /// Bytes that were read since it last did.
    since: u32,
    /// When a window was last read whole.
    grew_at: Option<Instant>,
    /// Whether the reader has waited for more meanwhile.
    starved: bool,
}

impl State {
    fn took(&mut self, msg: &ChannelMsg) {
        self.at_end |= matches!(msg, ChannelMsg::Eof);
        let (ChannelMsg::Data { data } | ChannelMsg::ExtendedData { data, .. }) = msg else { return };
        self.waiting = self.waiting.saturating_sub(data.len());
        let Some((id, credits)) = &self.credits else { return };
        let bytes = u32::try_from(data.len()).unwrap_or(u32::MAX);
        self.read = self.read.saturating_add(bytes);
        self.since = self.since.saturating_add(bytes);
        if self.read < (self.window / 2).max(1) {
            return;
        }
        let mut due = std::mem::take(&mut self.read);
        if self.since >= self.window {
            self.since = 0;
            let more = self.window.min(credits.max_window_size.saturating_sub(self.window));
            let now = Instant::now();
            let quick = self.grew_at.replace(now).is_some_and(|before| now - before < credits.quick);
            if (std::mem::take(&mut self.starved) || quick) && more > 0 && credits.growth.take(more) {
                self.window += more;
                self.grown += more;
                due = due.saturating_add(more);
            }
        }
        credits.add(*id, due);
    }

    fn pop(&mut self) -> Option<ChannelMsg> {
        let (msg, kept) = self.queue.pop_front()?;
        self.kept -= kept;
        self.took(&msg);
        Some(msg)
    }

    /// Bytes of memory that `data` would keep, as the last in the queue, beyond what the others do.
    fn keeps(&self, data: &Bytes) -> usize {
        let next = match self.queue.back() {
            Some((ChannelMsg::Data { data: last }, _)) => {
                (data.as_ptr() as usize).wrapping_sub(last.as_ptr_range().end as usize) < NEXT
            }
            _ => false,
        };
        if data.len() < COPY_BELOW || next { 0 } else { CHUNK }
    }

    /// Whether `data` could be added to the last packet.
    fn merge(&mut self, data: &Bytes) -> bool {
        if data.len() >= MERGE_BELOW {
            return false;
        }
        let Some((ChannelMsg::Data { data: last }, _)) = self.queue.back_mut() else { return false };
        if last.len() >= MERGE_BELOW {
            return false;
        }
        let mut merged = match std::mem::take(last).try_into_mut() {
            Ok(merged) => merged,
            Err(shared) => bytes::BytesMut::from(&shared[..]),
        };
        merged.extend_from_slice(data);
        *last = merged.freeze();
        self.waiting += data.len();
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
                state.window = credits.window_size;
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
        let mut keeps = 0;
        if let ChannelMsg::Data { data } | ChannelMsg::ExtendedData { data, .. } = &mut msg {
            state.waiting += data.len();
            keeps = state.keeps(data);
            if state.waiting > COPY_BEHIND || state.kept + keeps > 2 * state.waiting + CHUNK {
                *data = Bytes::copy_from_slice(data);
                keeps = 0;
            }
        }
        state.kept += keeps;
        state.queue.push_back((msg, keeps));
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
        if let Some(msg) = state.pop() {
            return Poll::Ready(Some(msg));
        }
        if state.ended || state.unread {
            return Poll::Ready(None);
        }
        state.starved = true;
        match &mut state.reader {
            Some(reader) if reader.will_wake(cx.waker()) => {}
            reader => *reader = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    /// The next message, if there is one already.
    pub fn try_recv(&mut self) -> Option<ChannelMsg> {
        lock(&self.0).pop()
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
        let grown = std::mem::take(&mut state.grown);
        if let Some((_, credits)) = &state.credits {
            credits.growth.give(grown);
        }
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

    fn packet(bytes: usize) -> ChannelMsg {
        ChannelMsg::Data { data: Bytes::from(vec![7; bytes]) }
    }

    fn granted(credits: &Credits) -> u32 {
        credits.take().into_iter().map(|(_, bytes)| bytes).sum()
    }

    fn asks(receiver: &mut Receiver) -> bool {
        receiver.poll_recv(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn a_window_grows_while_its_reader_waits_within_what_is_left_for_all() {
        // So large that none are merged.
        const UNIT: u32 = 4 * 4_096;
        let budget: &Budget = Box::leak(Box::new(Budget(AtomicUsize::new(4 * UNIT as usize))));
        let credits = Credits::within(budget, UNIT, 4 * UNIT, Duration::ZERO);
        let id = ChannelId(1);
        let (sender, mut receiver) = channel();
        // Who never waits for more does not need more.
        sender.receive(id, &credits, packet(UNIT as usize)).unwrap();
        for _ in 0..10 {
            sender.receive(id, &credits, packet(UNIT as usize)).unwrap();
            assert!(asks(&mut receiver));
        }
        assert_eq!(granted(&credits), 10 * UNIT);
        assert!(asks(&mut receiver) && !asks(&mut receiver));
        let mut read = UNIT;
        for _ in 0..20 {
            sender.receive(id, &credits, packet(UNIT as usize)).unwrap();
            assert!(asks(&mut receiver) && !asks(&mut receiver));
            read += UNIT;
        }
        assert_eq!(granted(&credits), read + 3 * UNIT);
        // Another gets what is left.
        let (second, mut other) = channel();
        for _ in 0..20 {
            second.receive(id, &credits, packet(UNIT as usize)).unwrap();
            assert!(asks(&mut other) && !asks(&mut other));
        }
        assert_eq!(granted(&credits), (20 + 1) * UNIT);
        drop(receiver);
        for _ in 0..20 {
            second.receive(id, &credits, packet(UNIT as usize)).unwrap();
            assert!(asks(&mut other) && !asks(&mut other));
        }
        assert_eq!(granted(&credits), (20 + 2) * UNIT);
        drop(other);
        assert_eq!(budget.0.load(Ordering::Relaxed), 4 * UNIT as usize);
    }

    #[test]
    fn what_waits_keeps_little_memory_that_is_not_its_own() {
        const PART: usize = 16 * 1024;
        let (sender, mut receiver) = channel();
        for _ in 0..50 {
            // The rest of the chunk is somebody else's.
            let chunk = Bytes::from(vec![7; CHUNK]);
            sender.push(ChannelMsg::Data { data: chunk.slice(..PART) }).unwrap();
            drop(chunk);
        }
        let kept = lock(&sender.0).kept;
        assert!(kept <= 2 * 50 * PART + CHUNK, "{kept}");
        let own = lock(&sender.0).queue.iter().filter(|(_, kept)| *kept == 0).count();
        assert!(own > 30, "{own}");
        // What is all its own is not copied.
        let (whole, mut rest) = channel();
        let chunk = Bytes::from(vec![7; CHUNK]);
        for part in 0..4 {
            whole.push(ChannelMsg::Data { data: chunk.slice(part * CHUNK / 4..(part + 1) * CHUNK / 4) }).unwrap();
        }
        assert_eq!(lock(&whole.0).kept, CHUNK);
        while receiver.try_recv().or_else(|| rest.try_recv()).is_some() {}
        for sender in [sender, whole] {
            let state = lock(&sender.0);
            assert_eq!((state.kept, state.waiting), (0, 0));
        }
    }
}
