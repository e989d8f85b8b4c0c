//! The log that several nodes share: tables of a PostgreSQL database.
//!
//! # Shape
//! One task of each node writes. It takes every append that waits and gives them to the database in one call of one
//! function, which is one transaction: it takes a lock, checks every append against its stream, inserts what fits and
//! answers for each. Reads run on a few connections beside it. Nodes tell each other of appends by `NOTIFY`, outside
//! the transaction and at most once in a while ([`signal`]); whoever follows also looks by himself.
//!
//! # Correctness
//! - The lock is held from before positions are chosen until the commit, so positions are dense, in commit order, and
//!   one who has seen `p` has seen everything before it, whichever node wrote it.
//! - The whole transaction is one message from the node and one answer: a node that freezes, or is cut off, holds no
//!   lock. Both sides give up after a bounded time.
//! - An append is answered after the database has said that its transaction is committed.
//! - When the connection is lost in the middle the same call is made once more on another: what was stored is
//!   recognised by its event ids. If that is impossible too, everybody in it hears [`AppendError::OutcomeUnknown`].
//! - While the database is away appends are refused at once; the writer connects again by itself.

mod queue;
mod reader;
mod row;
pub mod signal;
#[cfg(test)]
mod tests;
mod writer;

use std::sync::Arc;

use async_trait::async_trait;
use domain::event::{Position, Recorded, Revision, StreamName};
use tokio::sync::watch;

use self::{
    queue::Queue,
    reader::Readers,
    signal::{Listener, Notifier},
    writer::Writer,
};
use super::{Append, AppendError, Appended, EventLog, LogError, check};
use crate::postgres::{Postgres, PostgresError};

/// Where nodes tell each other that the log has grown; said is the last position.
const CHANNEL: &str = "berth_log";

/// A log in a PostgreSQL database.
#[derive(Debug)]
pub struct PostgresLog {
    readers: Arc<Readers>,
    /// None when the log was opened for reading.
    writer: Option<Queue>,
    head: Arc<watch::Sender<Option<Position>>>,
    _listener: Listener,
}

impl PostgresLog {
    /// Opens the log of a database for reading and appending; makes it or brings its schema up to date when needed.
    ///
    /// # Errors
    /// When the database cannot be used, mirrors another log, or needs a newer Berth; then it was not changed.
    pub async fn open(postgres: &Postgres) -> Result<Self, PostgresError> {
        postgres.prepare().await?;
        let mut connection = postgres.connect().await?;
        let mirrors = sqlx::query_scalar("select exists (select from kurrent_mirror)");
        if mirrors.fetch_one(&mut connection).await.map_err(|e| postgres.failed(&e))? {
            return Err(postgres.failed(&"it mirrors a KurrentDB; give the address of that as the log"));
        }
        Self::start(postgres, true).await
    }

    /// Opens an existing log for reading only.
    ///
    /// # Errors
    /// As for [`PostgresLog::open`], and when the database holds no ledger.
    pub async fn open_read_only(postgres: &Postgres) -> Result<Self, PostgresError> {
        postgres.must_be_prepared().await?;
        Self::start(postgres, false).await
    }

    async fn start(postgres: &Postgres, write: bool) -> Result<Self, PostgresError> {
        let readers = Arc::new(Readers::new(postgres));
        let last = readers.head().await.map_err(|e| postgres.failed(&e))?;
        let head = Arc::new(watch::Sender::new(last));
        let notifier = || Notifier::start(postgres.clone(), CHANNEL);
        let writer = write.then(|| Queue::start(Writer::new(postgres, head.clone(), notifier())));
        let listener = listen(postgres, readers.clone(), head.clone());
        Ok(Self { readers, writer, head, _listener: listener })
    }

    /// Writes what was accepted and stops accepting. Dropping the log does the same, without waiting.
    pub async fn close(&self) {
        if let Some(writer) = &self.writer {
            writer.close().await;
        }
        self.readers.close_idle();
    }
}

/// Keeps the last known position at what other nodes say, and at what is there whenever something may have been missed.
fn listen(
    postgres: &Postgres,
    readers: Arc<Readers>,
    head: Arc<watch::Sender<Option<Position>>>,
) -> Listener {
    Listener::start(postgres.clone(), CHANNEL, move |said| {
        let (readers, head) = (readers.clone(), head.clone());
        async move {
            let last = match said.map(|said| said.parse()) {
                Some(Ok(last)) => Some(last),
                _ => readers.head().await.unwrap_or(None),
            };
            known(&head, last);
        }
    })
}

/// Takes in that the log reaches up to `last`; wakes followers if that is news.
fn known(head: &watch::Sender<Option<Position>>, last: Option<Position>) {
    head.send_if_modified(|head| std::mem::replace(head, (*head).max(last)) < last);
}

#[async_trait]
impl EventLog for PostgresLog {
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        check(&append)?;
        match &self.writer {
            Some(writer) => writer.append(append).await,
            None => Err(AppendError::Fatal("it was opened for reading only".into())),
        }
    }

    async fn read_stream(
        &self,
        stream: &StreamName,
        from: Revision,
        max: usize,
    ) -> Result<Vec<Recorded>, LogError> {
        self.readers.read(Some(stream), from, max).await
    }

    async fn read_all(&self, from: Position, max: usize) -> Result<Vec<Recorded>, LogError> {
        self.readers.read(None, from, max).await
    }

    async fn head(&self) -> Result<Option<Position>, LogError> {
        self.readers.head().await
    }

    fn follow(&self) -> watch::Receiver<Option<Position>> {
        self.head.subscribe()
    }
}
