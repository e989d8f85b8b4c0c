//! The cache between a fold and its table.

use std::{
    collections::{HashMap, hash_map::Entry},
    fmt,
};

use super::{Bind, Read, Row, written::Written};
use crate::{
    db::{Array, Db, SOON, Session},
    views::ViewError,
};

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
    /// The same for many rows at once: a column is an array.
    inserts: String,
    upserts: String,
    deletes: String,
}

impl Sql {
    /// The statements for `R` in `table`.
    #[must_use]
    pub fn new<R: Row>(table: &str, in_order: bool) -> Self {
        let columns = R::COLUMNS.join(", ");
        let marks = (1..=R::COLUMNS.len()).map(|i| format!("?{i}")).collect::<Vec<_>>().join(", ");
        let keys = R::KEYS
            .iter()
            .enumerate()
            .map(|(i, key)| format!("{key} = ?{}", i + 1))
            .collect::<Vec<_>>()
            .join(" and ");
        let others = R::COLUMNS[R::KEYS.len()..].iter().filter(|column| !in_order || **column != "position");
        let others = others.map(|column| format!("{column} = excluded.{column}")).collect::<Vec<_>>();
        let insert = format!("insert into {table} ({columns}) values ({marks})");
        let change =
            if others.is_empty() { "nothing".into() } else { format!("update set {}", others.join(", ")) };
        let conflict = format!("on conflict ({}) do {change}", R::KEYS.join(", "));
        let arrays = |columns: &[&str]| {
            let arrays = R::KINDS.iter().zip(1..).take(columns.len());
            arrays.map(|(kind, i)| format!("?{i}::{}", Array::cast(*kind))).collect::<Vec<_>>().join(", ")
        };
        let inserts = format!("insert into {table} ({columns}) select * from unnest({})", arrays(R::COLUMNS));
        let own = R::KEYS.iter().map(|key| format!("{table}.{key} = gone.{key}")).collect::<Vec<_>>();
        Self {
            load: format!("select {columns} from {table} where {keys}"),
            upsert: format!("{insert} {conflict}"),
            insert,
            delete: format!("delete from {table} where {keys}"),
            upserts: format!("{inserts} {conflict}"),
            inserts,
            deletes: format!(
                "delete from {table} using unnest({}) as gone ({}) where {}",
                arrays(R::KEYS),
                R::KEYS.join(", "),
                own.join(" and ")
            ),
        }
    }
}

#[derive(Debug)]
struct Slot<R> {
    /// None: there is no such row.
    row: Option<Box<R>>,
    /// Whether the table says something else.
    changed: bool,
    /// Whether the table may hold the key.
    stored: bool,
    /// The round in which it was last asked for.
    used: u32,
}

/// What is known of a table, and what is to be written to it.
pub struct Cache<R: Row> {
    slots: HashMap<R::Key, Slot<R>>,
    /// Slots at which some are forgotten.
    max: usize,
    /// Whether the table lies in the order in which keys came, not in that of the keys.
    in_order: bool,
    /// Counts how often rows were forgotten.
    round: u32,
    changed: Vec<R::Key>,
    appended: Vec<R>,
    sql: Sql,
    /// Of a table that was empty: which keys were written since.
    written: Option<Written>,
}

impl<R: Row> fmt::Debug for Cache<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("sql", &self.sql)
            .field("rows", &self.slots.len())
            .finish_non_exhaustive()
    }
}

impl<R: Row> Cache<R> {
    /// Knows nothing yet of `table`; will hold about `max` rows.
    #[must_use]
    pub fn new(table: &str, max: usize, in_order: bool) -> Self {
        Self {
            slots: HashMap::new(),
            max,
            in_order,
            round: 0,
            changed: Vec::new(),
            appended: Vec::new(),
            sql: Sql::new::<R>(table, in_order),
            written: None,
        }
    }

    /// Knows that `table` is empty and that nobody else writes it, so most keys need not be looked for.
    #[must_use]
    pub fn of_empty(table: &str, max: usize, in_order: bool) -> Self {
        Self { written: Some(Written::default()), ..Self::new(table, max, in_order) }
    }

    /// Forgets everything, unwritten changes too.
    pub fn clear(&mut self) {
        self.slots.clear();
        self.changed.clear();
        self.appended.clear();
    }

    /// All rows of a cache that never had a table, by key. For tests.
    #[must_use]
    pub fn rows(&self) -> Vec<R> {
        let mut rows: Vec<_> = self.slots.values().filter_map(|slot| slot.row.as_deref().cloned()).collect();
        rows.extend(self.appended.iter().cloned());
        rows.sort_by_key(Row::key);
        rows
    }

    /// Writes what changed, [`Which::All`] before a commit that readers see; then forgets what was not used lately, when
    /// there is much.
    ///
    /// # Errors
    /// When the database refuses; then the transaction must be rolled back and the cache cleared.
    pub fn write(&mut self, db: &Db, which: Which) -> Result<(), ViewError> {
        let full = self.slots.len() >= self.max;
        self.write_appended(db)?;
        let due = match which {
            Which::All => std::mem::take(&mut self.changed),
            Which::Forgotten if full => {
                let (slots, round) = (&self.slots, self.round);
                let old = |key: &R::Key| slots.get(key).is_none_or(|slot| slot.used < round);
                let (due, later) = std::mem::take(&mut self.changed).into_iter().partition(old);
                self.changed = later;
                due
            }
            Which::Forgotten => Vec::new(),
        };
        self.write_changed(db, due)?;
        if full {
            self.slots.retain(|_, slot| slot.used >= self.round);
            self.round += 1;
        }
        Ok(())
    }

    fn write_appended(&mut self, db: &Db) -> Result<(), ViewError> {
        if self.appended.is_empty() {
            return Ok(());
        }
        match db {
            Db::Sqlite(db) => {
                let mut insert = db.prepare_cached(&self.sql.insert)?;
                for row in self.appended.drain(..) {
                    row.bind(&mut Bind::new(&mut insert))?;
                    insert.raw_execute()?;
                }
                Ok(())
            }
            Db::Postgres(session) => {
                let rows = std::mem::take(&mut self.appended);
                many(session, &self.sql.inserts, R::KINDS.len(), rows.iter(), |row, to| row.bind(to))
            }
        }
    }

    fn write_changed(&mut self, db: &Db, mut keys: Vec<R::Key>) -> Result<(), ViewError> {
        if keys.is_empty() {
            return Ok(());
        }
        if !self.in_order {
            keys.sort_unstable();
        }
        match db {
            Db::Sqlite(db) => self.write_each(db, &keys),
            Db::Postgres(session) => self.write_together(session, &keys),
        }
    }

    fn write_each(&mut self, db: &rusqlite::Connection, keys: &[R::Key]) -> Result<(), ViewError> {
        let mut delete = db.prepare_cached(&self.sql.delete)?;
        for key in keys {
            if let Some(Slot { row: None, stored, .. }) = self.slots.get_mut(key)
                && std::mem::take(stored)
            {
                R::bind_key(key, &mut Bind::new(&mut delete))?;
                delete.raw_execute()?;
            }
        }
        let mut upsert = db.prepare_cached(&self.sql.upsert)?;
        let mut insert = db.prepare_cached(&self.sql.insert)?;
        for key in keys {
            let Some(slot) = self.slots.get_mut(key) else { continue };
            slot.changed = false;
            if let Some(row) = &slot.row {
                let new = !std::mem::replace(&mut slot.stored, true);
                let statement = if new { &mut insert } else { &mut upsert };
                row.bind(&mut Bind::new(statement))?;
                statement.raw_execute()?;
                if let Some(written) = &mut self.written {
                    written.add(key);
                }
            }
        }
        Ok(())
    }

    /// A few statements for all rows: each would take a way to the server and back.
    fn write_together(&mut self, session: &Session, keys: &[R::Key]) -> Result<(), ViewError> {
        let (mut gone, mut changed, mut new) = (Vec::new(), Vec::new(), Vec::new());
        for key in keys {
            let Some(slot) = self.slots.get_mut(key) else { continue };
            slot.changed = false;
            let stored = std::mem::replace(&mut slot.stored, slot.row.is_some());
            match slot.row {
                None if stored => gone.push(key),
                None => {}
                Some(_) if stored => changed.push(key),
                Some(_) => new.push(key),
            }
            if slot.row.is_some()
                && let Some(written) = &mut self.written
            {
                written.add(key);
            }
        }
        many(session, &self.sql.deletes, R::KEYS.len(), gone.into_iter(), |key, to| R::bind_key(key, to))?;
        let Self { slots, sql, .. } = self;
        let row = |key: &R::Key| slots.get(key).and_then(|slot| slot.row.as_deref());
        for (sql, keys) in [(&sql.upserts, changed), (&sql.inserts, new)] {
            many(session, sql, R::KINDS.len(), keys.into_iter().filter_map(row), |row, to| row.bind(to))?;
        }
        Ok(())
    }
}

/// Rows in one statement.
const TOGETHER: usize = 4_000;

/// Runs a statement whose parameters are columns, for as many rows at once as it takes.
fn many<'a, T: 'a>(
    session: &Session,
    sql: &str,
    width: usize,
    mut rows: impl Iterator<Item = &'a T>,
    bind: impl Fn(&T, &mut Bind<'_, '_>) -> rusqlite::Result<()>,
) -> Result<(), ViewError> {
    loop {
        let mut columns: Vec<Option<Array>> = vec![None; width];
        for row in rows.by_ref().take(TOGETHER) {
            let mut params = Bind::Params(Vec::with_capacity(width));
            bind(row, &mut params)?;
            for (column, param) in columns.iter_mut().zip(params.params()) {
                column.get_or_insert_with(|| Array::new(param.kind)).push(param.value);
            }
        }
        let columns: Vec<_> = columns.into_iter().flatten().collect();
        if columns.is_empty() {
            return Ok(());
        }
        session.execute_columns(sql, columns)?;
    }
}

fn load<R: Row>(sql: &Sql, db: &Db, key: &R::Key) -> Result<Option<Box<R>>, ViewError> {
    let bad = |e: super::BadColumn| ViewError::BadRow { table: R::TABLE, why: e.to_string() };
    match db {
        Db::Sqlite(db) => {
            let mut load = db.prepare_cached(&sql.load)?;
            R::bind_key(key, &mut Bind::new(&mut load))?;
            let mut rows = load.raw_query();
            let Some(row) = rows.next()? else { return Ok(None) };
            R::read(&mut Read::new(row)).map(|row| Some(Box::new(row))).map_err(bad)
        }
        Db::Postgres(session) => {
            let mut params = Bind::Params(Vec::with_capacity(R::KEYS.len()));
            R::bind_key(key, &mut params)?;
            let mut found = None;
            session.each(&sql.load, params.params(), SOON, |row| {
                found = Some(Box::new(R::read(row).map_err(bad)?));
                Ok::<_, ViewError>(false)
            })?;
            Ok(found)
        }
    }
}

/// A table as a fold sees it.
#[derive(Debug)]
pub struct Rows<'a, R: Row> {
    cache: &'a mut Cache<R>,
    db: Option<&'a Db>,
}

impl<'a, R: Row> Rows<'a, R> {
    /// Rows of a table.
    pub const fn new(cache: &'a mut Cache<R>, db: &'a Db) -> Self {
        Self { cache, db: Some(db) }
    }

    /// Rows that are nowhere else. For tests.
    pub const fn in_memory(cache: &'a mut Cache<R>) -> Self {
        Self { cache, db: None }
    }

    /// The key's slot, read from the table if need be; and the keys that changed.
    fn fetch(&mut self, key: R::Key) -> Result<(&mut Slot<R>, &mut Vec<R::Key>), ViewError> {
        let Cache { slots, round, changed, sql, written, .. } = &mut *self.cache;
        let slot = match slots.entry(key) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => {
                let written = written.as_ref().is_none_or(|written| written.may_have(unknown.key()));
                let db = self.db.filter(|_| written);
                let row = db.map(|db| load(sql, db, unknown.key())).transpose()?.flatten();
                unknown.insert(Slot { stored: row.is_some(), row, changed: false, used: *round })
            }
        };
        slot.used = *round;
        Ok((slot, changed))
    }

    /// The row of a key.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub fn get(&mut self, key: &R::Key) -> Result<Option<&R>, ViewError> {
        Ok(self.fetch(key.clone())?.0.row.as_deref())
    }

    /// Changes the row of a key, if there is one; the key's columns must stay.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub fn edit(&mut self, key: &R::Key, change: impl FnOnce(&mut R)) -> Result<(), ViewError> {
        let (slot, changed) = self.fetch(key.clone())?;
        if let Some(row) = &mut slot.row {
            change(row);
            slot.mark(key, changed);
        }
        Ok(())
    }

    /// Changes the row of a key, or puts a new one.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub fn edit_or(
        &mut self,
        key: &R::Key,
        new: impl FnOnce() -> R,
        change: impl FnOnce(&mut R),
    ) -> Result<(), ViewError> {
        let (slot, changed) = self.fetch(key.clone())?;
        change(slot.row.get_or_insert_with(|| Box::new(new())));
        slot.mark(key, changed);
        Ok(())
    }

    /// Changes, makes or removes the row of a key; a row's key must be that key.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub fn change(&mut self, key: &R::Key, change: impl FnOnce(&mut Option<R>)) -> Result<(), ViewError> {
        let (slot, changed) = self.fetch(key.clone())?;
        let mut row = slot.row.take().map(|row| *row);
        change(&mut row);
        slot.row = row.map(Box::new);
        slot.mark(key, changed);
        Ok(())
    }

    /// Puts a row, new or in place of another.
    pub fn put(&mut self, row: R) {
        self.set(row.key(), Some(row), true);
    }

    /// Puts a row whose key never was in the table, or was removed from it.
    pub fn insert(&mut self, row: R) {
        self.set(row.key(), Some(row), false);
    }

    /// Removes the row of a key, if there is one.
    pub fn remove(&mut self, key: &R::Key) {
        self.set(key.clone(), None, true);
    }

    fn set(&mut self, key: R::Key, row: Option<R>, stored: bool) {
        let Cache { slots, round, changed, .. } = &mut *self.cache;
        let slot = slots.entry(key.clone()).or_insert(Slot { row: None, changed: false, stored, used: 0 });
        slot.used = *round;
        slot.row = row.map(Box::new);
        slot.mark(&key, changed);
    }

    /// Adds a row that will never be looked at again by the fold.
    pub fn append(&mut self, row: R) {
        self.cache.appended.push(row);
    }
}

impl<R: Row> Slot<R> {
    fn mark(&mut self, key: &R::Key, changed: &mut Vec<R::Key>) {
        if !std::mem::replace(&mut self.changed, true) {
            changed.push(key.clone());
        }
    }
}
