//! Rows of read models: typed, held in a bounded cache while events are folded, written in one go.
//!
//! # Shape
//! The macro `row!` declares a row: its table, its key columns, its other columns. A fold sees [`Rows`]: a map
//! from key to row that loads a row from the table the first time it is asked for. What the fold changed is marked and
//! written by [`Cache::write`] inside the caller's transaction.
//!
//! # Correctness
//! - A cached row equals the stored one unless it is marked as changed. Whoever finds that somebody else has written
//!   the table, or rolls a transaction back, calls [`Cache::clear`].
//! - Memory is bounded: when a cache holds its limit of rows, those that were not asked for since the last time that
//!   happened are written and forgotten. One batch of events may add to that what it asks for.
//! - Deletions are written before insertions, so a unique value may wander from one row to another within a batch.

mod cache;
pub mod column;
#[cfg(test)]
mod tests;
mod written;

use std::{fmt, hash::Hash};

use rusqlite::{Statement, types::ValueRef};
use sqlx::{Row as _, TypeInfo, ValueRef as _, postgres::PgRow};

use crate::db::{Kind, Param};

pub use self::{
    cache::{Cache, Rows, Sql, Which},
    column::{BadColumn, Column},
};

/// One row of a read model's table.
pub trait Row: Clone + fmt::Debug + PartialEq + Send + Sized + 'static {
    /// What tells two rows apart.
    type Key: Clone + fmt::Debug + Eq + Hash + Ord + Send;

    /// The table.
    const TABLE: &'static str;
    /// The key's columns.
    const KEYS: &'static [&'static str];
    /// All columns, the key's first.
    const COLUMNS: &'static [&'static str];
    /// What each of them holds.
    const KINDS: &'static [Kind];

    /// Its key.
    fn key(&self) -> Self::Key;

    /// Binds a key's columns.
    ///
    /// # Errors
    /// When the database refuses a value.
    fn bind_key(key: &Self::Key, to: &mut Bind<'_, '_>) -> rusqlite::Result<()>;

    /// Binds all columns.
    ///
    /// # Errors
    /// When the database refuses a value.
    fn bind(&self, to: &mut Bind<'_, '_>) -> rusqlite::Result<()>;

    /// Reads all columns.
    ///
    /// # Errors
    /// When a stored value is not what was written.
    fn read(from: &mut Read<'_, '_>) -> Result<Self, BadColumn>;
}

/// Binds values to a statement's parameters, one after another, or collects them.
#[derive(Debug)]
pub enum Bind<'s, 'c> {
    /// To a statement of SQLite.
    Statement {
        /// The statement.
        statement: &'s mut Statement<'c>,
        /// The next parameter, from 1.
        next: usize,
    },
    /// For any statement.
    Params(Vec<Param>),
}

impl<'s, 'c> Bind<'s, 'c> {
    /// Starts at the first parameter.
    pub const fn new(statement: &'s mut Statement<'c>) -> Self {
        Self::Statement { statement, next: 1 }
    }

    /// Binds the next parameter.
    ///
    /// # Errors
    /// When the statement has no further parameter.
    pub fn put<C: Column>(&mut self, value: &C) -> rusqlite::Result<()> {
        match self {
            Self::Statement { statement, next } => {
                statement.raw_bind_parameter(*next, value.write())?;
                *next += 1;
            }
            Self::Params(params) => params.push(Param::of(value)),
        }
        Ok(())
    }

    /// What was collected.
    #[must_use]
    pub fn params(self) -> Vec<Param> {
        match self {
            Self::Params(params) => params,
            Self::Statement { .. } => Vec::new(),
        }
    }
}

/// Reads a result row's columns, one after another.
#[derive(Debug)]
pub struct Read<'r, 's> {
    row: Source<'r, 's>,
    next: usize,
}

enum Source<'r, 's> {
    Sqlite(&'r rusqlite::Row<'s>),
    Postgres(&'r PgRow),
}

impl fmt::Debug for Source<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sqlite(_) => "Sqlite",
            Self::Postgres(_) => "Postgres",
        })
    }
}

impl<'r, 's> Read<'r, 's> {
    /// Starts at the first column.
    #[must_use]
    pub const fn new(row: &'r rusqlite::Row<'s>) -> Self {
        Self { row: Source::Sqlite(row), next: 0 }
    }

    /// Starts at the first column of a row of PostgreSQL.
    #[must_use]
    pub const fn of(row: &'r PgRow) -> Self {
        Self { row: Source::Postgres(row), next: 0 }
    }

    /// Reads the next column.
    ///
    /// # Errors
    /// When the stored value is not what was written.
    pub fn take<C: Column>(&mut self) -> Result<C, BadColumn> {
        let column = self.next;
        self.next += 1;
        match self.row {
            Source::Sqlite(row) => C::read(row.get_ref(column).map_err(BadColumn::from)?),
            Source::Postgres(row) => C::read(value(row, column)?),
        }
    }
}

/// A column of PostgreSQL, in SQLite's terms.
fn value(row: &PgRow, column: usize) -> Result<ValueRef<'_>, BadColumn> {
    let raw = row.try_get_raw(column).map_err(BadColumn::from)?;
    if raw.is_null() {
        return Ok(ValueRef::Null);
    }
    let kind = raw.type_info();
    Ok(match kind.name() {
        "INT8" => ValueRef::Integer(row.try_get(column).map_err(BadColumn::from)?),
        "INT4" => ValueRef::Integer(row.try_get::<i32, _>(column).map_err(BadColumn::from)?.into()),
        "BOOL" => ValueRef::Integer(row.try_get::<bool, _>(column).map_err(BadColumn::from)?.into()),
        "TEXT" => ValueRef::Text(row.try_get::<&str, _>(column).map_err(BadColumn::from)?.as_bytes()),
        "BYTEA" => ValueRef::Blob(row.try_get(column).map_err(BadColumn::from)?),
        other => return Err(BadColumn(format!("a column of type {other} is not expected"))),
    })
}

/// Declares a row: `Name in "table" by (key columns) { other columns }`. Fields and columns have the same names.
macro_rules! row {
    ($(#[$doc:meta])* $name:ident in $table:literal by ($($(#[$kdoc:meta])* $key:ident : $kty:ty),+ $(,)?) {
        $($(#[$fdoc:meta])* $field:ident : $ty:ty),* $(,)?
    }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq)]
        pub struct $name {
            $($(#[$kdoc])* pub $key: $kty,)+
            $($(#[$fdoc])* pub $field: $ty,)*
        }

        impl $crate::rows::Row for $name {
            type Key = ($($kty,)+);

            const TABLE: &'static str = $table;
            const KEYS: &'static [&'static str] = &[$(stringify!($key)),+];
            const COLUMNS: &'static [&'static str] = &[$(stringify!($key),)+ $(stringify!($field)),*];
            const KINDS: &'static [$crate::db::Kind] =
                &[$(<$kty as $crate::rows::Column>::KIND,)+ $(<$ty as $crate::rows::Column>::KIND),*];

            fn key(&self) -> Self::Key {
                ($(self.$key.clone(),)+)
            }

            fn bind_key(key: &Self::Key, to: &mut $crate::rows::Bind<'_, '_>) -> rusqlite::Result<()> {
                let ($($key,)+) = key;
                $(to.put($key)?;)+
                Ok(())
            }

            fn bind(&self, to: &mut $crate::rows::Bind<'_, '_>) -> rusqlite::Result<()> {
                $(to.put(&self.$key)?;)+
                $(to.put(&self.$field)?;)*
                Ok(())
            }

            fn read(from: &mut $crate::rows::Read<'_, '_>) -> Result<Self, $crate::rows::BadColumn> {
                Ok(Self { $($key: from.take()?,)+ $($field: from.take()?,)* })
            }
        }
    };
}
pub(crate) use row;
