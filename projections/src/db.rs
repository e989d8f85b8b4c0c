//! A connection to read models, whichever database holds them.
//!
//! # Shape
//! [`Db`] is a SQLite connection or a PostgreSQL [`Session`]. Folds and questions are blocking code that is written once,
//! in SQL that both understand; [`dialect`] turns the few words that differ. [`Tx`] is an open transaction.
//!
//! # Correctness
//! - Whoever writes served tables holds [`Db::write`]: SQLite lets one write at a time, on PostgreSQL an advisory lock does.
//!   It is taken before anything is read, so what is read then is what the last writer left.
//! - A transaction that is not committed is rolled back.

pub mod dialect;
mod session;

use rusqlite::{params_from_iter, types::Value};

use self::session::LATE;
pub use self::session::{Array, SOON, Session};
use crate::{
    rows::{Column, Read},
    views::ViewError,
};

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A whole number of 64 bits.
    Integer,
    /// Text.
    Text,
    /// Bytes.
    Blob,
}

/// A value for a statement.
#[derive(Debug, Clone, PartialEq)]
pub struct Param {
    /// What its column holds, whether or not it is null.
    pub kind: Kind,
    /// The value.
    pub value: Value,
}

impl Param {
    /// A column's value.
    pub fn of<C: Column>(value: &C) -> Self {
        use rusqlite::types::ToSqlOutput;
        let value = match value.write() {
            ToSqlOutput::Owned(value) => value,
            ToSqlOutput::Borrowed(value) => Value::try_from(value).unwrap_or(Value::Null),
            _ => Value::Null,
        };
        Self { kind: C::KIND, value }
    }
}

/// A connection.
#[derive(Debug)]
pub enum Db {
    /// To a file.
    Sqlite(rusqlite::Connection),
    /// To a server. Its methods block, so it is used on threads that may wait.
    Postgres(Session),
}

impl Db {
    /// Runs statements without parameters.
    ///
    /// # Errors
    /// When the database refuses.
    pub fn batch(&self, sql: &str) -> Result<(), ViewError> {
        match self {
            Self::Sqlite(db) => Ok(db.execute_batch(sql)?),
            Self::Postgres(session) => session.batch(sql),
        }
    }

    /// As [`Db::batch`], for what may take hours.
    ///
    /// # Errors
    /// When the database refuses.
    pub fn long(&self, sql: &str) -> Result<(), ViewError> {
        match self {
            Self::Sqlite(db) => Ok(db.execute_batch(sql)?),
            Self::Postgres(session) => session.long(sql),
        }
    }

    /// Runs a statement; answers how many rows it changed.
    ///
    /// # Errors
    /// When the database refuses.
    pub fn execute(&self, sql: &str, params: Vec<Param>) -> Result<u64, ViewError> {
        match self {
            Self::Sqlite(db) => {
                let changed = db.prepare_cached(sql)?.execute(params_from_iter(values(params)))?;
                Ok(changed as u64)
            }
            Self::Postgres(session) => session.execute(sql, params),
        }
    }

    /// Shows every row of an answer, until `show` says that it is enough. `show` must not use the connection; an answer
    /// without a limit of its own is read to its end.
    ///
    /// # Errors
    /// When the database refuses, or what `show` says.
    pub fn each<E: From<ViewError>>(
        &self,
        sql: &str,
        params: Vec<Param>,
        mut show: impl FnMut(&mut Read<'_, '_>) -> Result<bool, E>,
    ) -> Result<(), E> {
        match self {
            Self::Sqlite(db) => {
                let failed = |e: rusqlite::Error| E::from(e.into());
                let mut statement = db.prepare_cached(sql).map_err(failed)?;
                let mut rows = statement.query(params_from_iter(values(params))).map_err(failed)?;
                while let Some(row) = rows.next().map_err(failed)? {
                    if !show(&mut Read::new(row))? {
                        break;
                    }
                }
                Ok(())
            }
            Self::Postgres(session) => session.each(sql, params, SOON, show),
        }
    }

    /// As [`Db::each`], of a whole table.
    ///
    /// # Errors
    /// As [`Db::each`].
    pub fn scan<E: From<ViewError>>(
        &self,
        sql: &str,
        show: impl FnMut(&mut Read<'_, '_>) -> Result<bool, E>,
    ) -> Result<(), E> {
        match self {
            Self::Sqlite(_) => self.each(sql, Vec::new(), show),
            Self::Postgres(session) => session.each(sql, Vec::new(), LATE, show),
        }
    }

    /// The first column of the first row.
    ///
    /// # Errors
    /// When the database refuses, or the value is another.
    pub fn value<C: Column>(&self, sql: &str, params: Vec<Param>) -> Result<Option<C>, ViewError> {
        let mut found = None;
        self.each::<ViewError>(sql, params, |row| {
            let value = row.take::<Option<C>>().map_err(|e| ViewError::Storage(format!("{sql}: {e}")))?;
            found = value;
            Ok(false)
        })?;
        Ok(found)
    }

    /// Whether the database answers on this connection.
    #[must_use]
    pub fn answers(&self) -> bool {
        match self {
            Self::Sqlite(_) => true,
            Self::Postgres(session) => session.answers(),
        }
    }

    /// Begins to write what is served; one at a time does.
    ///
    /// # Errors
    /// When the database refuses, or another writer takes too long.
    pub fn write(&self) -> Result<Tx<'_>, ViewError> {
        match self {
            Self::Sqlite(_) => self.batch("begin immediate")?,
            Self::Postgres(session) => session.begin_writing()?,
        }
        Ok(Tx { db: self, open: true })
    }

    /// Begins to write what nobody else reads or writes yet.
    ///
    /// # Errors
    /// As [`Db::write`].
    pub fn build(&self) -> Result<Tx<'_>, ViewError> {
        self.batch(match self {
            Self::Sqlite(_) => "begin immediate",
            Self::Postgres(_) => "begin",
        })?;
        Ok(Tx { db: self, open: true })
    }

    /// Begins to read one unchanging state.
    ///
    /// # Errors
    /// When the database refuses.
    pub fn snapshot(&self) -> Result<Tx<'_>, ViewError> {
        self.begin_snapshot()?;
        Ok(Tx { db: self, open: true })
    }

    /// Reads one unchanging state for as long as the connection is there.
    ///
    /// # Errors
    /// When the database refuses.
    pub fn begin_snapshot(&self) -> Result<(), ViewError> {
        self.batch(match self {
            Self::Sqlite(_) => "begin",
            // It may wait while something long is done with what was read.
            Self::Postgres(_) => {
                "begin isolation level repeatable read read only; \
                 set local idle_in_transaction_session_timeout = 0"
            }
        })
    }

    /// What stands before a table's name where it is made or renamed: on PostgreSQL the schema of this program's views.
    #[must_use]
    pub fn schema(&self) -> String {
        match self {
            Self::Sqlite(_) => String::new(),
            Self::Postgres(session) => format!("{}.", session.form()),
        }
    }

    /// A `create` statement in the database's words.
    #[must_use]
    pub fn ddl(&self, statement: &str) -> String {
        match self {
            Self::Sqlite(_) => statement.to_owned(),
            Self::Postgres(_) => dialect::ddl(statement),
        }
    }
}

fn values(params: Vec<Param>) -> impl Iterator<Item = Value> {
    params.into_iter().map(|param| param.value)
}

/// An open transaction; rolled back unless it is committed.
#[derive(Debug)]
pub struct Tx<'a> {
    db: &'a Db,
    open: bool,
}

impl Tx<'_> {
    /// Ends it well.
    ///
    /// # Errors
    /// When the database refuses; then nothing of it stays, or nobody knows.
    pub fn commit(mut self) -> Result<(), ViewError> {
        self.db.batch("commit")?;
        self.open = false;
        Ok(())
    }
}

impl Drop for Tx<'_> {
    fn drop(&mut self) {
        // A connection that is broken has no transaction any more.
        if self.open && self.db.batch("rollback").is_err() {
            tracing::debug!("a transaction ended with its connection");
        }
    }
}
