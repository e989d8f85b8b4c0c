//! Why nothing was moved.

/// What a database says when somebody else holds what is asked for: PostgreSQL's lock that is not available, SQLite's
/// file that is busy.
const TAKEN: [&str; 3] = ["55P03", "5", "261"];

/// Nothing was moved.
#[derive(Debug, thiserror::Error)]
pub enum MoveError {
    /// Somebody uses a place.
    #[error(
        "the {what} of the {place} is in use: stop every server that runs on it, wait ten seconds, and move again \
         (nothing was changed)"
    )]
    InUse {
        /// Which store.
        what: &'static str,
        /// Source or target.
        place: &'static str,
    },
    /// The target is neither empty nor the same.
    #[error(
        "the target's {what} already holds something else: {why}; move into an empty place, a new folder or a new \
         database in which no server has run (nothing was changed)"
    )]
    Holds {
        /// Which store.
        what: &'static str,
        /// The first difference.
        why: String,
    },
    /// What was written is not what was read.
    #[error(
        "what was written to the target's {what} is not what the source holds: {why}; nothing was kept, and the source \
         is as it was: this is a fault of Berth or of the database"
    )]
    Differs {
        /// Which store.
        what: &'static str,
        /// The first difference.
        why: String,
    },
    /// The two do not have the same tables.
    #[error(
        "the {what} is not of one version in both places: {why}; start the server of this version once in the place \
         that is older, or use the program that is as new as the newer one (nothing was changed)"
    )]
    Versions {
        /// Which store.
        what: &'static str,
        /// The first difference.
        why: String,
    },
    /// A text that PostgreSQL cannot hold.
    #[error(
        "{column} of {row} in {table} contains a NUL, which PostgreSQL cannot hold; change it in the source and move \
         again (nothing was changed)"
    )]
    Nul {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// Which row.
        row: String,
    },
    /// A database failed.
    #[error("the people cannot be moved: {0}")]
    Storage(#[from] sqlx::Error),
}

impl MoveError {
    /// A store could not be had alone.
    pub(super) fn begun(what: &'static str, place: &'static str, why: sqlx::Error) -> Self {
        let code = why.as_database_error().and_then(|e| e.code());
        match code {
            Some(code) if TAKEN.contains(&code.as_ref()) => Self::InUse { what, place },
            _ => Self::Storage(why),
        }
    }
}
