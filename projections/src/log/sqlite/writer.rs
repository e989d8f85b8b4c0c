//! Writing: one thread, one transaction for everything that waits.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use domain::event::{NewEvent, Position, StreamName};
use rusqlite::{Connection, ErrorCode, OptionalExtension, TransactionBehavior};
use tokio::sync::{mpsc, oneshot, watch};

use super::{
    heads::{Head, Known},
    open,
    row::{self, number},
};
use crate::log::{Append, AppendError, Appended, MAX_QUEUE};

/// Appends in one transaction.
const MAX_BATCH: usize = 512;

/// Events after which a transaction takes no further append; bounds what one waiting append may have to wait for.
const MAX_BATCH_EVENTS: usize = 4096;

/// Those who were just answered mostly come back at once: the next transaction waits for them as long as one comes in
/// every gap of this length, until as many are there as there were, at most half of a commit. One alone never waits.
const GAP: Duration = Duration::from_micros(20);

const NEXT: &str = "select coalesce(max(position) + 1, 0) from events";
const HEAD: &str = "select id, (select max(revision) from events where stream = streams.id) from streams \
     where name = ?1";
const NEW_STREAM: &str = "insert into streams (name) values (?1)";
const STORED: &str = "select position, revision, event_id from events where stream = ?1 and revision >= ?2 \
     order by revision limit ?3";

type Answer = Result<Appended, AppendError>;

enum Message {
    Append(Append, oneshot::Sender<Answer>),
    /// Write what was accepted before this, then stop.
    Close,
}

/// The way to the writing thread.
#[derive(Debug)]
pub struct Handle {
    queue: mpsc::Sender<Message>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Handle {
    /// Starts the thread.
    pub fn start(
        path: PathBuf,
        known: Arc<Known>,
        head: Arc<watch::Sender<Option<Position>>>,
    ) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let (queue, messages) = mpsc::channel(MAX_QUEUE);
        let writer = Writer::new(path, known, head)?;
        let thread = std::thread::Builder::new().name("log-writer".into()).spawn(|| run(writer, messages))?;
        Ok(Self { queue, thread: Mutex::new(Some(thread)) })
    }

    /// Appends; the append has been checked.
    pub async fn append(&self, append: Append) -> Answer {
        let (reply, answer) = oneshot::channel();
        self.queue.try_send(Message::Append(append, reply)).map_err(|e| match e {
            mpsc::error::TrySendError::Full(_) => AppendError::Overloaded,
            mpsc::error::TrySendError::Closed(_) => AppendError::Fatal("it was closed".into()),
        })?;
        answer.await.unwrap_or(Err(AppendError::OutcomeUnknown))
    }

    /// Writes what was accepted and stops.
    pub async fn close(&self) {
        // An error means that the thread has ended.
        let _ = self.queue.send(Message::Close).await;
        self.queue.closed().await;
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = tokio::task::spawn_blocking(|| thread.join()).await;
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // The thread ends when no sender is left.
        self.queue = mpsc::channel(1).0;
        let thread = self.thread.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }
}

fn run(mut writer: Writer, mut messages: mpsc::Receiver<Message>) {
    let mut batch = Batch::default();
    // Those who waited for the last commit or came during it, and how long it took.
    let (mut crowd, mut took) = (1, Duration::ZERO);
    while let Some(message) = messages.blocking_recv() {
        if batch.add(message) {
            messages.close();
        }
        let (begun, mut last) = (Instant::now(), Instant::now());
        while batch.has_room() {
            match messages.try_recv() {
                Ok(message) => {
                    if batch.add(message) {
                        messages.close();
                    }
                    last = Instant::now();
                }
                Err(_)
                    if batch.appends.len() < crowd && last.elapsed() < GAP && begun.elapsed() < took / 2 =>
                {
                    std::thread::yield_now();
                }
                Err(_) => break,
            }
        }
        if !batch.appends.is_empty() {
            let begun = Instant::now();
            writer.commit(&batch.appends, batch.replies.drain(..));
            (crowd, took) = (batch.appends.len() + messages.len(), begun.elapsed());
            batch = Batch { replies: batch.replies, ..Batch::default() };
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

    /// Takes a message in; whether it was the last one.
    fn add(&mut self, message: Message) -> bool {
        match message {
            Message::Append(append, reply) => {
                self.events += append.events.len();
                self.appends.push(append);
                self.replies.push(reply);
                false
            }
            Message::Close => true,
        }
    }
}

/// What the thread does, without the thread.
pub(super) struct Writer {
    path: PathBuf,
    /// None after a failure.
    connection: Option<Connection>,
    known: Arc<Known>,
    head: Arc<watch::Sender<Option<Position>>>,
}

impl Writer {
    pub fn new(
        path: PathBuf,
        known: Arc<Known>,
        head: Arc<watch::Sender<Option<Position>>>,
    ) -> rusqlite::Result<Self> {
        let connection = Some(open::writer(&path)?);
        Ok(Self { path, connection, known, head })
    }

    #[cfg(test)]
    pub fn connection(&self) -> Option<&Connection> {
        self.connection.as_ref()
    }

    /// Writes a batch in one transaction and answers everybody in it.
    pub fn commit(&mut self, batch: &[Append], replies: impl Iterator<Item = oneshot::Sender<Answer>>) {
        let written = self.write(batch);
        let answers = written.map(|(answers, next)| {
            let last = next.checked_sub(1);
            self.head.send_if_modified(|head| std::mem::replace(head, (*head).max(last)) < last);
            answers
        });
        if let Err(error) = &answers {
            tracing::error!(%error, appends = batch.len(), "the event log could not be written");
            self.connection = None;
            self.known.forget();
        }
        for (i, reply) in replies.enumerate() {
            let answer = match &answers {
                Ok(answers) => answers[i].clone(),
                Err(error) => Err(error.clone()),
            };
            // Whoever asked may have stopped waiting.
            let _ = reply.send(answer);
        }
    }

    /// Writes a batch; the answers and the next position.
    fn write(&mut self, batch: &[Append]) -> Result<(Vec<Answer>, Position), AppendError> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => open::writer(&self.path).map_err(failed)?,
        };
        let connection = self.connection.insert(connection);
        let transaction =
            connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        let next = next(&transaction).map_err(failed)?;
        self.known.is_at(next);
        let mut open = Open { connection: &transaction, known: &self.known, changed: HashMap::new(), next };
        let answers = batch.iter().map(|append| open.append(append)).collect::<Result<Vec<_>, _>>();
        let answers = answers.map_err(failed)?;
        let Open { changed, next, .. } = open;
        transaction.commit().map_err(|error| {
            tracing::error!(%error, "a commit failed");
            AppendError::OutcomeUnknown
        })?;
        self.known.committed(next, changed);
        Ok((answers, next))
    }
}

/// An open transaction.
struct Open<'c, 'b> {
    connection: &'c Connection,
    known: &'c Known,
    /// The streams that the transaction has appended to.
    changed: HashMap<&'b StreamName, Head>,
    next: Position,
}

fn next(connection: &Connection) -> rusqlite::Result<Position> {
    let mut statement = connection.prepare_cached(NEXT)?;
    statement.query_row((), |row| row.get(0)).map(i64::cast_unsigned)
}

impl<'b> Open<'_, 'b> {
    /// Inserts an append's events, or says why not; an error is the storage's.
    fn append(&mut self, Append { stream, expected, events }: &'b Append) -> rusqlite::Result<Answer> {
        let known = self.changed.get(stream).copied();
        let known = match known.or_else(|| self.known.head(stream).map(|(head, _)| head)) {
            Some(head) => Some(head),
            None => self.connection.prepare_cached(HEAD)?.query_row([stream.as_str()], head).optional()?,
        };
        let actual = known.map(|head| head.last);
        if actual != expected.last() {
            let before = match known {
                Some(head) => self.stored(head.id, expected.next(), events)?,
                None => None,
            };
            return Ok(before.ok_or(AppendError::Conflict { actual }));
        }
        let id = match known {
            Some(head) => head.id,
            None => {
                self.connection.prepare_cached(NEW_STREAM)?.execute([stream.as_str()])?;
                self.connection.last_insert_rowid()
            }
        };
        let mut statement = self.connection.prepare_cached(row::INSERT)?;
        let first = self.next;
        let mut revision = expected.next();
        for event in events {
            row::insert(&mut statement, self.next, id, revision, event)?;
            self.next += 1;
            revision += 1;
        }
        let last = revision - 1;
        self.changed.insert(stream, Head { id, last });
        Ok(Ok(Appended { first, last: self.next - 1, revision: last }))
    }

    /// What the same append did when it came before.
    fn stored(&self, stream: i64, from: u64, events: &[NewEvent]) -> rusqlite::Result<Option<Appended>> {
        let mut statement = self.connection.prepare_cached(STORED)?;
        let mut rows = statement.query((stream, number(from), number(events.len() as u64)))?;
        let mut first = None;
        for event in events {
            let Some(row) = rows.next()? else { return Ok(None) };
            if row.get_ref(2)?.as_blob()? != event.id.0.as_bytes() {
                return Ok(None);
            }
            let last = row.get::<_, i64>(0)?.cast_unsigned();
            let revision = row.get::<_, i64>(1)?.cast_unsigned();
            let first = *first.get_or_insert(last);
            if revision + 1 == from + events.len() as u64 {
                return Ok(Some(Appended { first, last, revision }));
            }
        }
        Ok(None)
    }
}

fn head(row: &rusqlite::Row<'_>) -> rusqlite::Result<Head> {
    Ok(Head { id: row.get(0)?, last: row.get::<_, i64>(1)?.cast_unsigned() })
}

/// A failure before the commit: the transaction is rolled back and nothing is stored.
fn failed(error: rusqlite::Error) -> AppendError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => AppendError::Overloaded,
        _ => AppendError::Fatal(error.to_string()),
    }
}
