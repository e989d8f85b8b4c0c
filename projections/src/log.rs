//! The event log: what happened, in the order in which it was accepted.
//!
//! # Shape
//! [`EventLog`] is the one way in and out. A backend keeps streams (what one aggregate decided, numbered from 0) and
//! one order over all of them ([`Position`], dense from 0). [`sqlite`] is the embedded default, [`memory`] is for
//! tests; every backend passes the same contract test.
//!
//! # Correctness
//! - An append names the revision it was decided on and is refused when the stream has moved: two deciders cannot both
//!   win.
//! - The events of an append are stored all or none, next to each other.
//! - Positions are given in commit order without gaps. Whoever has read up to `p` has seen everything up to `p` and
//!   continues at `p + 1`; nothing can appear behind a reader.
//! - A retry with the same event ids and the same expected revision answers what the first attempt did, so a caller
//!   that does not know the outcome may always repeat it.

use std::fmt;

use async_trait::async_trait;
use domain::event::{NewEvent, Position, Recorded, Revision, StreamName};
use tokio::sync::watch;

#[cfg(test)]
pub mod contract;
pub mod copy;
#[cfg(feature = "kurrentdb")]
pub mod kurrent;
mod limits;
pub mod memory;
pub mod pages;
pub mod postgres;
pub mod prefix;
pub mod sqlite;

pub use limits::{
    MAX_APPEND_BYTES, MAX_EVENTS_PER_APPEND, MAX_KIND, MAX_PAGE, MAX_PAGE_BYTES, MAX_QUEUE, MAX_STREAM_NAME,
    check,
};

/// An append-only log of events.
#[async_trait]
pub trait EventLog: fmt::Debug + Send + Sync {
    /// Stores the events of one decision; returns when they would survive a power cut.
    ///
    /// Dropping the future does not take the append back.
    ///
    /// # Errors
    /// See [`AppendError`]; after any but [`AppendError::OutcomeUnknown`] nothing was stored.
    async fn append(&self, append: Append) -> Result<Appended, AppendError>;

    /// Reads a stream from a revision on; a stream that does not exist is empty.
    ///
    /// A page holds at most `max` events (1 to [`MAX_PAGE`]; other values are clamped) and about [`MAX_PAGE_BYTES`],
    /// so only an empty page means the end.
    ///
    /// # Errors
    /// When the storage cannot be read.
    async fn read_stream(
        &self,
        stream: &StreamName,
        from: Revision,
        max: usize,
    ) -> Result<Vec<Recorded>, LogError>;

    /// Reads all streams in order, from a position on; pages as in [`EventLog::read_stream`].
    ///
    /// # Errors
    /// When the storage cannot be read.
    async fn read_all(&self, from: Position, max: usize) -> Result<Vec<Recorded>, LogError>;

    /// The last position, appends by other processes included; `None` while the log is empty.
    ///
    /// # Errors
    /// When the storage cannot be read.
    async fn head(&self) -> Result<Option<Position>, LogError>;

    /// Stores an append of another log, in the order in which it is asked; where it stands is known when that costs
    /// nothing, and may be read once [`EventLog::settled`] has answered.
    ///
    /// # Errors
    /// As for [`EventLog::append`].
    async fn bring(&self, append: Append) -> Result<Option<Appended>, AppendError> {
        self.append(append).await.map(Some)
    }

    /// Waits until everything that was brought can be read.
    ///
    /// # Errors
    /// When the storage cannot be read.
    async fn settled(&self) -> Result<(), LogError> {
        Ok(())
    }

    /// Changes whenever this process has appended; the value is the last position known here.
    ///
    /// A hint that saves waiting: other processes append too, so a follower also polls.
    fn follow(&self) -> watch::Receiver<Option<Position>>;
}

/// The events of one decision, for one stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Append {
    /// Where to.
    pub stream: StreamName,
    /// What the decision was made on.
    pub expected: Expected,
    /// What was decided; at least one event.
    pub events: Vec<NewEvent>,
}

/// What a stream was when the decision was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// It did not exist.
    NoStream,
    /// This was its last event.
    Revision(Revision),
}

impl Expected {
    /// The revision of the next event.
    #[must_use]
    pub const fn next(self) -> Revision {
        match self {
            Self::NoStream => 0,
            Self::Revision(last) => last.saturating_add(1),
        }
    }

    /// The last revision, if there was one.
    #[must_use]
    pub const fn last(self) -> Option<Revision> {
        match self {
            Self::NoStream => None,
            Self::Revision(last) => Some(last),
        }
    }
}

impl From<Option<Revision>> for Expected {
    fn from(last: Option<Revision>) -> Self {
        last.map_or(Self::NoStream, Self::Revision)
    }
}

/// Where an append's events stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// The first event's position.
    pub first: Position,
    /// The last event's position.
    pub last: Position,
    /// The last event's revision.
    pub revision: Revision,
}

/// Why nothing was appended, or why that is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// The stream has moved since the decision; load it again and decide again.
    #[error("the stream is now at revision {actual:?}; load it and decide again")]
    Conflict {
        /// Its last revision; `None` when it does not exist.
        actual: Option<Revision>,
    },
    /// A limit was exceeded.
    #[error("{what} is {got}, the limit is {max}; split the command")]
    TooLarge {
        /// What was too large.
        what: &'static str,
        /// The limit.
        max: usize,
        /// What was given.
        got: usize,
    },
    /// The append makes no sense; repeating it will not help.
    #[error("the append is invalid: {0}")]
    Invalid(&'static str),
    /// Too much is waiting to be written; try again later.
    #[error("the log has too much to write; try again in a moment")]
    Overloaded,
    /// It may or may not have been stored; repeat it with the same event ids to find out.
    #[error("the storage failed while committing; repeat the command with the same id to learn its outcome")]
    OutcomeUnknown,
    /// The storage cannot write.
    #[error("the log cannot be written: {0}")]
    Fatal(String),
}

/// The log cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// What is stored is not what was written.
    #[error("event {position} in the log is damaged: {why}; restore the log from a backup")]
    Damaged {
        /// Which event.
        position: Position,
        /// What is wrong with it.
        why: String,
    },
    /// The storage cannot be read.
    #[error("the log cannot be read: {0}")]
    Storage(String),
}
