//! The embedded log: one SQLite file.
//!
//! # Shape
//! One thread writes. It takes every append that waits, checks each against the last revisions it holds in memory,
//! inserts what fits in one transaction, commits (one `fdatasync` for all of them) and then answers. Reads run on a
//! few read-only connections beside it. [`open`] decides whether a file may be touched at all.
//!
//! # Correctness
//! - `journal_mode=wal` with `synchronous=full`: an append is answered after its commit is on the disk.
//! - Positions and revisions are chosen inside `begin immediate`, which only one process can hold; the command line may
//!   append to the file of a running server. What the writer remembers is dropped when the log has grown by other
//!   hands, which the highest position shows, because events are never deleted.
//! - A refused append writes nothing, so it cannot disturb the others of its transaction.
//! - When a commit fails nobody can say whether it is on the disk: everybody in it hears
//!   [`AppendError::OutcomeUnknown`], the writer forgets what it knew and opens the file again. A retry finds out.

mod heads;
pub mod open;
mod queue;
mod reader;
mod row;
#[cfg(test)]
mod tests;
mod writer;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use domain::event::{Position, Recorded, Revision, StreamName};
use tokio::sync::watch;

use self::{heads::Known, open::OpenError, queue::Queue, reader::Readers};
use super::{Append, AppendError, Appended, EventLog, LogError, check};

/// A log in a SQLite file.
#[derive(Debug)]
pub struct SqliteLog {
    path: PathBuf,
    readers: Arc<Readers>,
    known: Arc<Known>,
    /// None when the log was opened for reading.
    writer: Option<Queue>,
    head: Arc<watch::Sender<Option<Position>>>,
}

impl SqliteLog {
    /// Opens a log for reading and appending; creates it or brings its schema up to date when needed.
    ///
    /// # Errors
    /// When the file is no log, is damaged, or was written by a newer Berth; then it was not touched.
    pub async fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        let path = path.as_ref().to_owned();
        open::prepare(&path).await?;
        Self::start(path, true).await
    }

    /// Opens an existing log for reading only: beside a running server, or where nothing may be written.
    ///
    /// # Errors
    /// As for [`SqliteLog::open`], and when there is no log or its schema is older than this Berth.
    pub async fn open_read_only(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        let path = path.as_ref().to_owned();
        open::must_be_current(&path).await?;
        Self::start(path, false).await
    }

    async fn start(path: PathBuf, write: bool) -> Result<Self, OpenError> {
        let readers = Arc::new(Readers::new(path.clone()));
        let last = readers.head().await.map_err(|e| OpenError::storage(&path, &e))?;
        let head = Arc::new(watch::Sender::new(last));
        let known = Arc::new(Known::new(last.map_or(0, |last| last + 1)));
        let writer = write.then(|| Queue::start(path.clone(), known.clone(), head.clone()));
        let writer = writer.transpose().map_err(|e| OpenError::storage(&path, &e))?;
        Ok(Self { path, readers, known, writer, head })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes what was accepted, stops accepting, and leaves one file. Dropping the log does the same, blocking.
    pub async fn close(&self) {
        // The connection that is closed last takes the write-ahead file away, and only one that writes can.
        self.readers.close_idle();
        if let Some(writer) = &self.writer {
            writer.close().await;
        }
    }
}

#[async_trait]
impl EventLog for SqliteLog {
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        check(&append)?;
        match &self.writer {
            Some(writer) => writer.append(append).await,
            None => Err(AppendError::Fatal("it was opened for reading only".into())),
        }
    }

    async fn bring(&self, append: Append) -> Result<Option<Appended>, AppendError> {
        check(&append)?;
        match &self.writer {
            Some(writer) => writer.among_others(append).await.map(Some),
            None => Err(AppendError::Fatal("it was opened for reading only".into())),
        }
    }

    async fn read_stream(
        &self,
        stream: &StreamName,
        from: Revision,
        max: usize,
    ) -> Result<Vec<Recorded>, LogError> {
        if self.readers.nothing_from(&self.known, stream, from) {
            return Ok(Vec::new());
        }
        self.readers.read_stream(stream.clone(), from, max).await
    }

    async fn read_all(&self, from: Position, max: usize) -> Result<Vec<Recorded>, LogError> {
        self.readers.read_all(from, max).await
    }

    async fn head(&self) -> Result<Option<Position>, LogError> {
        self.readers.head().await
    }

    fn follow(&self) -> watch::Receiver<Option<Position>> {
        self.head.subscribe()
    }
}
