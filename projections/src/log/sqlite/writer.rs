//! Writing: one transaction for a batch of appends.

use std::{collections::HashMap, path::PathBuf, sync::Arc};

use domain::event::{NewEvent, Position, StreamName};
use rusqlite::{Connection, ErrorCode, OptionalExtension, TransactionBehavior};
use tokio::sync::watch;

use super::{
    heads::{Head, Known},
    open,
    row::{self, number},
};
use crate::log::{Append, AppendError, Appended};

const NEXT: &str = "select coalesce(max(position) + 1, 0) from events";
const HEAD: &str = "select id, (select max(revision) from events where stream = streams.id) from streams \
     where name = ?1";
const NEW_STREAM: &str = "insert into streams (name) values (?1)";
const STORED: &str = "select position, revision, event_id from events where stream = ?1 and revision >= ?2 \
     order by revision limit ?3";

/// What an append comes to.
pub type Answer = Result<Appended, AppendError>;

/// The connection that writes, and what the process knows.
#[derive(Debug)]
pub struct Writer {
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

    /// Writes a batch in one transaction; an answer for each append.
    pub fn commit(&mut self, batch: &[Append]) -> Vec<Answer> {
        match self.write(batch) {
            Ok((answers, next)) => {
                let last = next.checked_sub(1);
                self.head.send_if_modified(|head| std::mem::replace(head, (*head).max(last)) < last);
                answers
            }
            Err(error) => {
                tracing::error!(%error, appends = batch.len(), "the event log could not be written");
                self.close();
                vec![Err(error); batch.len()]
            }
        }
    }

    /// Forgets everything; the next batch opens the file again.
    pub fn close(&mut self) {
        self.connection = None;
        self.known.forget();
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
