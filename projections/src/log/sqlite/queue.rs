//! Who writes when: appends that come together are committed together.
//!
//! # Shape
//! Appends wait in a bounded queue. One thread takes all that wait, gives them to the [`Writer`] as one batch and answers
//! everybody. An append that comes alone is committed on its caller's thread: handing it to another thread and back
//! takes as long as the commit.
//!
//! # Correctness
//! The writer is behind a lock, so there is one transaction at a time whoever runs it. An answer is given only after
//! the commit.

use std::{
    path::PathBuf,
    slice,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use domain::event::Position;
use tokio::{
    runtime::{Handle, RuntimeFlavor},
    sync::{mpsc, oneshot, watch},
};

use super::{
    heads::Known,
    writer::{Answer, Writer},
};
use crate::log::{Append, AppendError, MAX_QUEUE};

/// Appends in one transaction.
const MAX_BATCH: usize = 512;

/// Events after which a transaction takes no further append; bounds what one waiting append may have to wait for.
const MAX_BATCH_EVENTS: usize = 4096;

/// Those who were just answered mostly come back at once: the next transaction waits for them as long as one comes in
/// every gap of this length, until as many are there as there were, at most half of a commit. One alone never waits.
const GAP: Duration = Duration::from_micros(20);

enum Message {
    Append(Append, oneshot::Sender<Answer>),
    /// Write what was accepted before this, then stop.
    Close,
}

/// The way to the writer.
#[derive(Debug)]
pub struct Queue {
    sender: mpsc::Sender<Message>,
    desk: Arc<Mutex<Desk>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// The writer, and what its last commit was like.
#[derive(Debug)]
struct Desk {
    writer: Writer,
    /// How many appends it took in, and how many had come meanwhile.
    crowd: usize,
    took: Duration,
}

impl Queue {
    /// Opens the file for writing and starts the thread.
    pub fn start(
        path: PathBuf,
        known: Arc<Known>,
        head: Arc<watch::Sender<Option<Position>>>,
    ) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let (sender, messages) = mpsc::channel(MAX_QUEUE);
        let writer = Writer::new(path, known, head)?;
        let desk = Arc::new(Mutex::new(Desk { writer, crowd: 0, took: Duration::ZERO }));
        let shared = desk.clone();
        let thread =
            std::thread::Builder::new().name("log-writer".into()).spawn(move || run(&shared, messages))?;
        Ok(Self { sender, desk, thread: Mutex::new(Some(thread)) })
    }

    /// Appends; the append has been checked.
    pub async fn append(&self, append: Append) -> Answer {
        match self.alone(&append) {
            Some(answer) => answer,
            None => self.among_others(append).await,
        }
    }

    /// Appends in one transaction with what else waits, even if nothing does yet; the append has been checked.
    pub async fn among_others(&self, append: Append) -> Answer {
        let (reply, answer) = oneshot::channel();
        self.sender.try_send(Message::Append(append, reply)).map_err(|e| match e {
            mpsc::error::TrySendError::Full(_) => AppendError::Overloaded,
            mpsc::error::TrySendError::Closed(_) => AppendError::Fatal("it was closed".into()),
        })?;
        answer.await.unwrap_or(Err(AppendError::OutcomeUnknown))
    }

    /// Commits on this thread if nobody else is there and the runtime can do without the thread.
    fn alone(&self, append: &Append) -> Option<Answer> {
        let runtime = Handle::try_current().ok()?.runtime_flavor();
        let mut desk = self.desk.try_lock().ok()?;
        let waiting = self.sender.max_capacity() - self.sender.capacity();
        let alone = desk.crowd <= 1 && waiting == 0 && !self.sender.is_closed();
        if runtime != RuntimeFlavor::MultiThread || !alone {
            return None;
        }
        let answer = tokio::task::block_in_place(|| desk.writer.commit(slice::from_ref(append)).pop());
        desk.crowd = 1 + self.sender.max_capacity() - self.sender.capacity();
        answer
    }

    /// Writes what was accepted and stops.
    pub async fn close(&self) {
        // An error means that the thread has ended.
        let _ = self.sender.send(Message::Close).await;
        self.sender.closed().await;
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let desk = self.desk.clone();
        let stopped = tokio::task::spawn_blocking(move || {
            if thread.is_some_and(|thread| thread.join().is_err()) {
                tracing::error!("the thread that writes the event log had panicked");
            }
            lock(&desk).writer.close();
        });
        if let Err(error) = stopped.await {
            tracing::error!(%error, "the event log could not be closed");
        }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // The thread ends when no sender is left.
        self.sender = mpsc::channel(1).0;
        let thread = self.thread.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that writes the event log had panicked");
        }
    }
}

/// A panic during a commit rolled it back, so the writer can go on.
fn lock(desk: &Mutex<Desk>) -> MutexGuard<'_, Desk> {
    desk.lock().unwrap_or_else(PoisonError::into_inner)
}

fn run(desk: &Mutex<Desk>, mut messages: mpsc::Receiver<Message>) {
    let mut batch = Batch::default();
    while let Some(message) = messages.blocking_recv() {
        batch.take(message, &mut messages);
        let (crowd, took) = {
            let desk = lock(desk);
            (desk.crowd, desk.took)
        };
        let (begun, mut last) = (Instant::now(), Instant::now());
        while batch.has_room() {
            let expecting =
                || batch.appends.len() < crowd && last.elapsed() < GAP && begun.elapsed() < took / 2;
            match messages.try_recv() {
                Ok(message) => {
                    batch.take(message, &mut messages);
                    last = Instant::now();
                }
                Err(_) if expecting() => std::thread::yield_now(),
                Err(_) => break,
            }
        }
        if !batch.appends.is_empty() {
            batch.commit(&mut lock(desk), &messages);
        }
    }
}

/// What goes into one transaction.
#[derive(Default)]
struct Batch {
    appends: Vec<Append>,
    replies: Vec<oneshot::Sender<Answer>>,
    events: usize,
}

impl Batch {
    fn has_room(&self) -> bool {
        self.appends.len() < MAX_BATCH && self.events < MAX_BATCH_EVENTS
    }

    fn take(&mut self, message: Message, messages: &mut mpsc::Receiver<Message>) {
        match message {
            Message::Append(append, reply) => {
                self.events += append.events.len();
                self.appends.push(append);
                self.replies.push(reply);
            }
            Message::Close => messages.close(),
        }
    }

    fn commit(&mut self, desk: &mut Desk, messages: &mpsc::Receiver<Message>) {
        let begun = Instant::now();
        let answers = desk.writer.commit(&self.appends);
        for (reply, answer) in self.replies.drain(..).zip(answers) {
            // Whoever asked may have stopped waiting.
            let _ = reply.send(answer);
        }
        (desk.crowd, desk.took) = (self.appends.len() + messages.len(), begun.elapsed());
        self.appends.clear();
        self.events = 0;
    }
}
