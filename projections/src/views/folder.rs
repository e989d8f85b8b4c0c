//! A view with its cache, whatever its rows are.

use domain::{event::Position, key::Digest};

use super::{Envelope, View, ViewError, tables};
use crate::db::Db;
use crate::rows::{Cache, Row, Rows, Which};

/// A table's key, and all its columns, those of the key first.
pub type Columns = (&'static [&'static str], &'static [&'static str]);

/// A view that is being folded.
pub trait Folder: Send {
    /// The view's name.
    fn name(&self) -> &'static str;

    /// Its tables; the first bears its name.
    fn tables(&self) -> &'static [&'static str];

    /// The columns of each of them.
    fn columns(&self) -> Vec<Columns>;

    /// The fold's version.
    fn version(&self) -> u32;

    /// What folding it costs.
    fn weight(&self) -> u32;

    /// The tables and their indexes.
    fn ddl(&self) -> &'static str;

    /// Identifies the tables' form; comments do not count.
    fn digest(&self) -> Digest;

    /// The first position that is not folded yet.
    fn next(&self) -> Position;

    /// Starts again from a stored checkpoint, knowing nothing.
    fn reset(&mut self, next: Position);

    /// Folds one event in, unless it already is.
    ///
    /// # Errors
    /// As [`View::fold`].
    fn fold(&mut self, db: &Db, event: &Envelope<'_>) -> Result<(), ViewError>;

    /// Writes what changed.
    ///
    /// # Errors
    /// As [`Cache::write`].
    fn write(&mut self, db: &Db, which: Which) -> Result<(), ViewError>;
}

struct Folding<V: View> {
    cache: Cache<V::Row>,
    next: Position,
}

/// Folds `V` into its table, or into an empty one that is being built.
pub fn of<V: View>(build: bool) -> Box<dyn Folder> {
    let table = V::Row::TABLE;
    let cache = match build {
        true => Cache::of_empty(&format!("{table}{}", tables::BUILD), V::CACHED, V::IN_ORDER),
        false => Cache::new(table, V::CACHED, V::IN_ORDER),
    };
    Box::new(Folding::<V> { cache, next: 0 })
}

impl<V: View> Folder for Folding<V> {
    fn name(&self) -> &'static str {
        V::Row::TABLE
    }

    fn tables(&self) -> &'static [&'static str] {
        &[V::Row::TABLE]
    }

    fn columns(&self) -> Vec<Columns> {
        vec![(V::Row::KEYS, V::Row::COLUMNS)]
    }

    fn version(&self) -> u32 {
        V::VERSION
    }

    fn weight(&self) -> u32 {
        V::WEIGHT
    }

    fn ddl(&self) -> &'static str {
        V::DDL
    }

    fn digest(&self) -> Digest {
        tables::digest(V::DDL)
    }

    fn next(&self) -> Position {
        self.next
    }

    fn reset(&mut self, next: Position) {
        self.cache.clear();
        self.next = next;
    }

    fn fold(&mut self, db: &Db, event: &Envelope<'_>) -> Result<(), ViewError> {
        if event.recorded.position < self.next {
            return Ok(());
        }
        V::fold(&mut Rows::new(&mut self.cache, db), event)?;
        self.next = event.recorded.position + 1;
        Ok(())
    }

    fn write(&mut self, db: &Db, which: Which) -> Result<(), ViewError> {
        self.cache.write(db, which)
    }
}
