//! The cache between a fold and its table.

use std::{
    cell::OnceCell,
    collections::{HashMap, hash_map::Entry},
    fmt,
};

use rusqlite::Connection;

use super::{Bind, Read, Row};
use crate::views::ViewError;

/// Rows in one generation; two are kept. The largest rows, contracts, take about 2 KiB.
pub const GENERATION: usize = 16_384;

/// Which changed rows to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// All of them: afterwards the table says what the cache says.
    All,
    /// Those about to be forgotten: while a table is being built nobody reads it, and a row is mostly written once.
    Forgotten,
}

/// The statements of one row's table.
#[derive(Debug)]
pub struct Sql {
    load: String,
    insert: String,
    upsert: String,
    delete: String,
}

impl Sql {
    /// The statements for `R` in `table`.
    #[must_use]
    pub fn new<R: Row>(table: &str) -> Self {
        let columns = R::COLUMNS.join(", ");
        let marks = (1..=R::COLUMNS.len()).map(|i| format!("?{i}")).collect::<Vec<_>>().join(", ");
        let keys = R::KEYS
            .iter()
            .enumerate()
            .map(|(i, key)| format!("{key} = ?{}", i + 1))
            .collect::<Vec<_>>()
            .join(" and ");
        let others =
            R::COLUMNS[R::KEYS.len()..].iter().map(|c| format!("{c} = excluded.{c}")).collect::<Vec<_>>();
        let insert = format!("insert into {table} ({columns}) values ({marks})");
        let change =
            if others.is_empty() { "nothing".into() } else { format!("update set {}", others.join(", ")) };
        Self {
            load: format!("select {columns} from {table} where {keys}"),
            upsert: format!("{insert} on conflict ({}) do {change}", R::KEYS.join(", ")),
            insert,
            delete: format!("delete from {table} where {keys}"),
        }
    }
}

#[derive(Debug, Clone)]
struct Slot<R> {
    /// None: there is no such row.
    row: Option<R>,
    /// Whether the table says something else.
    changed: bool,
    /// Whether the table may hold the key.
    stored: bool,
}

/// What is known of a table, and what is to be written to it.
pub struct Cache<R: Row> {
    young: HashMap<R::Key, Slot<R>>,
    old: HashMap<R::Key, Slot<R>>,
    changed: Vec<R::Key>,
    appended: Vec<R>,
    sql: OnceCell<Sql>,
    table: String,
}

impl<R: Row> fmt::Debug for Cache<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("table", &self.table)
            .field("changed", &self.changed.len())
            .finish_non_exhaustive()
    }
}

impl<R: Row> Cache<R> {
    /// Knows nothing yet of `table`.
    #[must_use]
    pub fn new(table: impl Into<String>) -> Self {
        Self {
            young: HashMap::new(),
            old: HashMap::new(),
            changed: Vec::new(),
            appended: Vec::new(),
            sql: OnceCell::new(),
            table: table.into(),
        }
    }

    /// Forgets everything, unwritten changes too.
    pub fn clear(&mut self) {
        self.young.clear();
        self.old.clear();
        self.changed.clear();
        self.appended.clear();
    }

    /// All rows of a cache that never had a table, by key. For tests.
    #[must_use]
    pub fn rows(&self) -> Vec<R> {
        let mut rows: Vec<_> =
            self.young.values().chain(self.old.values()).filter_map(|s| s.row.clone()).collect();
        rows.extend(self.appended.iter().cloned());
        rows.sort_by_key(Row::key);
        rows
    }

    fn sql(&self) -> &Sql {
        self.sql.get_or_init(|| Sql::new::<R>(&self.table))
    }

    /// Writes what changed; [`Which::All`] before a commit that readers see.
    ///
    /// # Errors
    /// When the database refuses; then the transaction must be rolled back and the cache cleared.
    pub fn write(&mut self, db: &Connection, which: Which) -> Result<(), ViewError> {
        let full = self.young.len() >= GENERATION;
        self.write_appended(db)?;
        let due = match which {
            Which::All => std::mem::take(&mut self.changed),
            Which::Forgotten if full => {
                let (due, later) =
                    std::mem::take(&mut self.changed).into_iter().partition(|key| self.old.contains_key(key));
                self.changed = later;
                due
            }
            Which::Forgotten => Vec::new(),
        };
        self.write_changed(db, due)?;
        if full {
            self.old = std::mem::take(&mut self.young);
        }
        Ok(())
    }

    fn write_appended(&mut self, db: &Connection) -> Result<(), ViewError> {
        if self.appended.is_empty() {
            return Ok(());
        }
        let mut insert = db.prepare_cached(&self.sql().insert)?;
        for row in self.appended.drain(..) {
            row.bind(&mut Bind::new(&mut insert))?;
            insert.raw_execute()?;
        }
        Ok(())
    }

    fn write_changed(&mut self, db: &Connection, mut keys: Vec<R::Key>) -> Result<(), ViewError> {
        if keys.is_empty() {
            return Ok(());
        }
        keys.sort_unstable();
        let mut delete = db.prepare_cached(&self.sql().delete)?;
        for key in &keys {
            if let Some(Slot { row: None, stored, .. }) = self.slot(key)
                && std::mem::take(stored)
            {
                R::bind_key(key, &mut Bind::new(&mut delete))?;
                delete.raw_execute()?;
            }
        }
        let mut upsert = db.prepare_cached(&self.sql().upsert)?;
        for key in &keys {
            let Some(slot) = self.slot(key) else { continue };
            slot.changed = false;
            if let Some(row) = &slot.row {
                slot.stored = true;
                row.bind(&mut Bind::new(&mut upsert))?;
                upsert.raw_execute()?;
            }
        }
        Ok(())
    }

    fn slot(&mut self, key: &R::Key) -> Option<&mut Slot<R>> {
        match self.young.get_mut(key) {
            Some(slot) => Some(slot),
            None => self.old.get_mut(key),
        }
    }

    fn load(&self, db: &Connection, key: &R::Key) -> Result<Option<R>, ViewError> {
        let mut load = db.prepare_cached(&self.sql().load)?;
        R::bind_key(key, &mut Bind::new(&mut load))?;
        let mut rows = load.raw_query();
        let Some(row) = rows.next()? else { return Ok(None) };
        let row = R::read(&mut Read::new(row));
        row.map(Some).map_err(|e| ViewError::BadRow { table: R::TABLE, why: e.to_string() })
    }
}

/// A table as a fold sees it.
#[derive(Debug)]
pub struct Rows<'a, R: Row> {
    cache: &'a mut Cache<R>,
    db: Option<&'a Connection>,
}

impl<'a, R: Row> Rows<'a, R> {
    /// Rows of a table.
    pub const fn new(cache: &'a mut Cache<R>, db: &'a Connection) -> Self {
        Self { cache, db: Some(db) }
    }

    /// Rows that are nowhere else. For tests.
    pub const fn in_memory(cache: &'a mut Cache<R>) -> Self {
        Self { cache, db: None }
    }

    /// Brings the key's slot into the young generation.
    fn fetch(&mut self, key: &R::Key) -> Result<&mut Slot<R>, ViewError> {
        let Cache { young, old, .. } = &*self.cache;
        if !young.contains_key(key) && !old.contains_key(key) {
            let row = self.db.map(|db| self.cache.load(db, key)).transpose()?.flatten();
            let slot = Slot { stored: row.is_some(), row, changed: false };
            self.cache.young.insert(key.clone(), slot);
        }
        Ok(self.slot(key, false))
    }

    /// The key's slot, moved into the young generation or made.
    fn slot(&mut self, key: &R::Key, stored: bool) -> &mut Slot<R> {
        let Cache { young, old, .. } = &mut *self.cache;
        match young.entry(key.clone()) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(vacant) => {
                let known = if old.is_empty() { None } else { old.remove(key) };
                vacant.insert(known.unwrap_or(Slot { row: None, changed: false, stored }))
            }
        }
    }

    /// The row of a key.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub fn get(&mut self, key: &R::Key) -> Result<Option<&R>, ViewError> {
        Ok(self.fetch(key)?.row.as_ref())
    }

    /// Changes the row of a key, if there is one; the key's columns must stay.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub fn edit(&mut self, key: &R::Key, change: impl FnOnce(&mut R)) -> Result<(), ViewError> {
        let slot = self.fetch(key)?;
        let Some(row) = &mut slot.row else { return Ok(()) };
        change(row);
        if !std::mem::replace(&mut slot.changed, true) {
            self.cache.changed.push(key.clone());
        }
        Ok(())
    }

    /// Puts a row, new or in place of another.
    pub fn put(&mut self, row: R) {
        self.set(row, true);
    }

    /// Puts a row whose key never was in the table, or was removed from it.
    pub fn insert(&mut self, row: R) {
        self.set(row, false);
    }

    fn set(&mut self, row: R, stored: bool) {
        let key = row.key();
        let slot = self.slot(&key, stored);
        slot.row = Some(row);
        if !std::mem::replace(&mut slot.changed, true) {
            self.cache.changed.push(key);
        }
    }

    /// Adds a row that will never be looked at again by the fold.
    pub fn append(&mut self, row: R) {
        self.cache.appended.push(row);
    }

    /// Removes the row of a key, if there is one.
    pub fn remove(&mut self, key: &R::Key) {
        let slot = self.slot(key, true);
        slot.row = None;
        if !std::mem::replace(&mut slot.changed, true) {
            self.cache.changed.push(key.clone());
        }
    }
}
