//! What can go wrong with read models.

use std::path::PathBuf;

use domain::event::{Position, Recorded};

use crate::log::LogError;

/// Why read models cannot be read, folded or opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ViewError {
    /// The file belongs to another program.
    #[error("{} is not a file of Berth's read models; name another folder or move that file away", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The file is damaged.
    #[error("the read models in {} cannot be used: {why}; stop the server and run `berth rebuild`: everything in \
             that file is computed again from the event log", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// A newer program has written the view.
    #[error(
        "the read model {view} was built by a newer Berth (version {found}, known is {known}); upgrade this one, or \
             run `berth rebuild` with it"
    )]
    Newer {
        /// The view.
        view: &'static str,
        /// Its version in the file.
        found: u32,
        /// The version known here.
        known: u32,
    },
    /// Another program has rebuilt the view in another form.
    #[error("the read model {view} was replaced by another version of Berth; restart this one")]
    Replaced {
        /// The view.
        view: &'static str,
    },
    /// No such view.
    #[error("there is no read model {name:?}; there are {}", crate::views::names().join(", "))]
    Unknown {
        /// What was asked for.
        name: String,
    },
    /// Another process rebuilds already.
    #[error("another rebuild is running on this folder; wait for it")]
    Busy,
    /// An event cannot be folded; nothing after it was.
    #[error("event {position} ({kind}) cannot be folded: {why}")]
    Event {
        /// Its position.
        position: Position,
        /// Its name.
        kind: String,
        /// What is wrong.
        why: String,
    },
    /// The log has a gap, or is shorter than what was folded from it.
    #[error(
        "the log gave event {found} where event {expected} was expected; if the log was restored from a backup, run \
             `berth rebuild`"
    )]
    Gap {
        /// The position that should have come.
        expected: Position,
        /// The position that came.
        found: Position,
    },
    /// A row is not what was written.
    #[error("a row of the read model {table} is damaged: {why}; run `berth rebuild {table}`")]
    BadRow {
        /// The table.
        table: &'static str,
        /// What is wrong.
        why: String,
    },
    /// The log cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The file cannot be read or written.
    #[error("the read models cannot be read or written: {0}")]
    Storage(String),
}

impl ViewError {
    /// Whether the same may succeed later: the disk or the system said no, not the data.
    #[must_use]
    pub const fn may_pass(&self) -> bool {
        matches!(self, Self::Storage(_) | Self::Busy | Self::Log(LogError::Storage(_)))
    }

    /// An event that cannot be folded.
    pub(crate) fn event(recorded: &Recorded, why: impl ToString) -> Self {
        Self::Event {
            position: recorded.position,
            kind: recorded.event.kind.chars().take(80).collect(),
            why: why.to_string(),
        }
    }
}

impl From<rusqlite::Error> for ViewError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
        match error.sqlite_error_code() {
            Some(DatabaseCorrupt | NotADatabase) => {
                Self::Corrupt { path: "views.db".into(), why: error.to_string() }
            }
            _ => Self::Storage(error.to_string()),
        }
    }
}
