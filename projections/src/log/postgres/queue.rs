//! Who writes when: appends that come together are committed together.
//!
//! # Shape
//! Appends wait in a bounded queue. One task takes all that wait, gives them to the [`Writer`] as one batch and answers
//! everybody.
//!
//! # Correctness
//! A batch holds at most one append for each stream. Others that were decided on the same revision of it wait for its
//! answer: the very same append has the same answer, and what lost the race is asked in the next batch. So does
//! everything later for that stream, in order.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use domain::event::StreamName;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

use super::writer::{Answer, Writer};
use crate::log::{Append, AppendError, MAX_QUEUE};

/// Appends in one transaction.
const MAX_BATCH: usize = 512;

/// Events and payload bytes after which a transaction takes no further append; bounds what one waiting append may have
/// to wait for, and memory.
const MAX_BATCH_EVENTS: usize = 4096;
const MAX_BATCH_BYTES: usize = 8 << 20;

/// Those who were just answered mostly come back at once: the next transaction waits for them as long as one comes in
/// every gap of this length, until as many are there as there were, at most half of a commit. One alone never waits.
const GAP: Duration = Duration::from_micros(50);

enum Message {
    Append(Waiting),
    /// Write what was accepted before this, then stop.
    Close,
}

/// An append, and who asks.
struct Waiting {
    append: Append,
    reply: oneshot::Sender<Answer>,
}

impl Waiting {
    fn answer(self, answer: Answer) {
        // Whoever asked may have stopped waiting.
        let _ = self.reply.send(answer);
    }
}

/// The way to the writer.
#[derive(Debug)]
pub struct Queue {
    sender: mpsc::Sender<Message>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Queue {
    /// Starts the task. It ends when it was told to, or the queue is dropped; not before everything is written.
    pub fn start(writer: Writer) -> Self {
        let (sender, messages) = mpsc::channel(MAX_QUEUE);
        Self { sender, task: Mutex::new(Some(tokio::spawn(run(writer, messages)))) }
    }

    /// Appends; the append has been checked.
    pub async fn append(&self, append: Append) -> Answer {
        let (reply, answer) = oneshot::channel();
        self.sender.try_send(Message::Append(Waiting { append, reply })).map_err(|e| match e {
            mpsc::error::TrySendError::Full(_) => AppendError::Overloaded,
            mpsc::error::TrySendError::Closed(_) => AppendError::Fatal("it was closed".into()),
        })?;
        answer.await.unwrap_or(Err(AppendError::OutcomeUnknown))
    }

    /// Writes what was accepted and stops.
    pub async fn close(&self) {
        // An error means that the task has ended.
        let _ = self.sender.send(Message::Close).await;
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task
            && let Err(error) = task.await
        {
            tracing::error!(%error, "the task that writes the event log has failed");
        }
    }
}

async fn run(mut writer: Writer, mut messages: mpsc::Receiver<Message>) {
    let mut later: Vec<Waiting> = Vec::new();
    let mut took = Duration::ZERO;
    let mut crowd = 0;
    loop {
        let mut batch = Batch::default();
        later.drain(..).for_each(|waiting| batch.take(waiting));
        if batch.count == 0 {
            match messages.recv().await {
                Some(message) => batch.hear(message, &mut messages),
                None => return,
            }
        }
        let (begun, mut last) = (Instant::now(), Instant::now());
        while batch.has_room() {
            match messages.try_recv() {
                Ok(message) => {
                    batch.hear(message, &mut messages);
                    last = Instant::now();
                }
                Err(_) if batch.count < crowd && last.elapsed() < GAP && begun.elapsed() < took / 2 => {
                    tokio::task::yield_now().await;
                }
                Err(_) => break,
            }
        }
        let begun = Instant::now();
        let count = batch.count;
        later = batch.commit(&mut writer).await;
        (crowd, took) = (count + messages.len(), begun.elapsed());
    }
}

/// What goes into one transaction, and what waits for it.
#[derive(Default)]
struct Batch {
    races: Vec<Race>,
    streams: HashMap<StreamName, Place>,
    /// Decided on what this batch may make of their streams.
    later: Vec<Waiting>,
    count: usize,
    events: usize,
    bytes: usize,
}

/// Appends for one stream that were decided on the same revision of it: the first is in the batch.
struct Race {
    first: Waiting,
    others: Vec<Waiting>,
}

#[derive(Clone, Copy)]
struct Place {
    race: usize,
    /// Something for the stream waits for the next batch, so all that comes after it does.
    closed: bool,
}

impl Batch {
    const fn has_room(&self) -> bool {
        self.count < MAX_BATCH && self.events < MAX_BATCH_EVENTS && self.bytes < MAX_BATCH_BYTES
    }

    fn hear(&mut self, message: Message, messages: &mut mpsc::Receiver<Message>) {
        match message {
            Message::Append(waiting) => self.take(waiting),
            Message::Close => messages.close(),
        }
    }

    fn take(&mut self, waiting: Waiting) {
        self.count += 1;
        self.events += waiting.append.events.len();
        self.bytes += waiting.append.events.iter().map(|event| event.payload.len()).sum::<usize>();
        match self.streams.get_mut(&waiting.append.stream) {
            None => {
                let place = Place { race: self.races.len(), closed: false };
                self.streams.insert(waiting.append.stream.clone(), place);
                self.races.push(Race { first: waiting, others: Vec::new() });
            }
            Some(place) => {
                let race = &mut self.races[place.race];
                if !place.closed && race.first.append.expected == waiting.append.expected {
                    race.others.push(waiting);
                } else {
                    place.closed = true;
                    self.later.push(waiting);
                }
            }
        }
    }

    /// Writes and answers; what is left for the next batch.
    async fn commit(self, writer: &mut Writer) -> Vec<Waiting> {
        let appends: Vec<&Append> = self.races.iter().map(|race| &race.first.append).collect();
        let answers = writer.commit(&appends).await;
        let mut next = Vec::new();
        for (Race { first, others }, answer) in self.races.into_iter().zip(answers) {
            for other in others {
                match &answer {
                    Ok(_) if same(&first.append, &other.append) => other.answer(answer.clone()),
                    Ok(_) | Err(AppendError::Conflict { .. }) => next.push(other),
                    Err(_) => other.answer(answer.clone()),
                }
            }
            first.answer(answer);
        }
        next.extend(self.later);
        next
    }
}

/// Whether one is a retry of the other.
fn same(one: &Append, other: &Append) -> bool {
    one.events.iter().map(|event| event.id).eq(other.events.iter().map(|event| event.id))
}
