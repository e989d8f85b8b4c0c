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

use rusqlite::Statement;

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

/// Binds values to a statement's parameters, one after another.
#[derive(Debug)]
pub struct Bind<'s, 'c> {
    statement: &'s mut Statement<'c>,
    next: usize,
}

impl<'s, 'c> Bind<'s, 'c> {
    /// Starts at the first parameter.
    pub const fn new(statement: &'s mut Statement<'c>) -> Self {
        Self { statement, next: 1 }
    }

    /// Binds the next parameter.
    ///
    /// # Errors
    /// When the statement has no further parameter.
    pub fn put(&mut self, value: &impl Column) -> rusqlite::Result<()> {
        self.statement.raw_bind_parameter(self.next, value.write())?;
        self.next += 1;
        Ok(())
    }
}

/// Reads a result row's columns, one after another.
#[derive(Debug)]
pub struct Read<'r, 's> {
    row: &'r rusqlite::Row<'s>,
    next: usize,
}

impl<'r, 's> Read<'r, 's> {
    /// Starts at the first column.
    #[must_use]
    pub const fn new(row: &'r rusqlite::Row<'s>) -> Self {
        Self { row, next: 0 }
    }

    /// Reads the next column.
    ///
    /// # Errors
    /// When the stored value is not what was written.
    pub fn take<C: Column>(&mut self) -> Result<C, BadColumn> {
        let value = self.row.get_ref(self.next).map_err(|e| BadColumn(e.to_string()))?;
        self.next += 1;
        C::read(value)
    }
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
