//! Asking the views.
//!
//! # Shape
//! [`Views`] is a cheap handle on a few read-only connections; every question runs as one blocking call on one of them.
//! The questions themselves stand beside their rows, in each view's module.
//!
//! # Correctness
//! One question sees one state: each is a single statement, or a transaction. Two questions may see different positions; whoever has just
//! written waits with [`Views::wait_for`] first. Every list is limited and continues at an indexed column.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use domain::event::Position;
use tokio::{
    sync::{Semaphore, watch},
    time::{Instant, timeout},
};

use super::{Store, ViewError};
use crate::{
    db::{Db, Param},
    rows::{Column, Read, Row},
};

/// Rows in one answer, at most.
pub const MAX_LIMIT: usize = 500;

/// Connections, and so questions at once; further ones wait.
const READERS: usize = 6;

/// A connection that lay idle for longer is tried before it is used.
const FRESH: Duration = Duration::from_secs(1);

/// How often a waiting writer looks whether another process has folded its event.
const POLL: Duration = Duration::from_millis(50);

/// Read access to all views.
#[derive(Debug, Clone)]
pub struct Views {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    store: Store,
    /// Each since when.
    idle: Mutex<Vec<(Db, Instant)>>,
    permits: Arc<Semaphore>,
    /// The first position not folded, as this process's runner last knew it.
    next: watch::Sender<Position>,
}

impl Shared {
    fn idle(&self) -> MutexGuard<'_, Vec<(Db, Instant)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection that works as far as one can tell.
    fn connection(&self) -> Result<Db, ViewError> {
        loop {
            let Some((db, since)) = self.idle().pop() else { return self.store.reader() };
            if since.elapsed() < FRESH || db.answers() {
                return Ok(db);
            }
        }
    }
}

impl Views {
    /// Opens the views of a store that [`crate::rebuild::prepare`] has made sure of.
    ///
    /// # Errors
    /// When a file cannot be used; a server is connected to when something is asked.
    pub fn open(store: impl Into<Store>) -> Result<Self, ViewError> {
        let store = store.into();
        let first = match &store {
            Store::File(_) => vec![(store.reader()?, Instant::now())],
            Store::Postgres(_) => Vec::new(),
        };
        let shared = Shared {
            store,
            idle: Mutex::new(first),
            permits: Arc::new(Semaphore::new(READERS)),
            next: watch::Sender::new(0),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Where they are kept.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.shared.store
    }

    pub(crate) fn reached(&self) -> &watch::Sender<Position> {
        &self.shared.next
    }

    /// The first position that some view has not folded yet, by whichever process.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn checkpoint(&self) -> Result<Position, ViewError> {
        self.ask(|db| Ok(db.value("select min(next) from checkpoints", Vec::new())?.unwrap_or(0))).await
    }

    /// Waits until every view holds the event at `position`: read your writes. False when that took too long.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn wait_for(&self, position: Position, patience: Duration) -> Result<bool, ViewError> {
        let deadline = Instant::now() + patience;
        let mut next = self.shared.next.subscribe();
        loop {
            let now = Instant::now();
            if *next.borrow_and_update() > position || self.checkpoint().await? > position {
                return Ok(true);
            }
            if now >= deadline {
                return Ok(false);
            }
            let _ = timeout(POLL.min(deadline - now), next.wait_for(|next| *next > position)).await;
        }
    }

    /// Runs a question on a connection of its own. A connection that failed is not used again, nor are those that lay idle
    /// beside it: a server that was restarted has cut them all.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Db) -> Result<T, ViewError> + Send + 'static,
    ) -> Result<T, ViewError> {
        let permit = self.shared.permits.clone().acquire_owned().await;
        let permit = permit.map_err(|e| ViewError::Storage(e.to_string()))?;
        let shared = self.shared.clone();
        let answer = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let db = shared.connection()?;
            let answer = question(&db).map_err(|e| shared.store.named(e));
            match &answer {
                Ok(_) => shared.idle().push((db, Instant::now())),
                Err(_) => shared.idle().clear(),
            }
            answer
        });
        answer.await.map_err(|e| ViewError::Storage(e.to_string()))?
    }

    /// The rows that a filter lets through, a page of them.
    pub(super) async fn list<R: Row>(&self, filter: Filter, page: Page) -> Result<Vec<R>, ViewError> {
        self.ask(move |db| page.select(db, filter)).await
    }

    /// The one row that a filter lets through.
    pub(super) async fn one<R: Row>(&self, filter: Filter) -> Result<Option<R>, ViewError> {
        self.ask(move |db| Ok(filter.select(db, "limit 1")?.pop())).await
    }
}

/// A part of a list, in the order in which the things came into the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// Goes on after the row with this position, the `position` of the last row of the page before.
    pub after: Option<Position>,
    /// The latest first; else the oldest.
    pub newest_first: bool,
    /// Rows wanted, 1 to [`MAX_LIMIT`]; other values are clamped.
    pub limit: usize,
}

impl Page {
    /// The first page, oldest first.
    #[must_use]
    pub const fn oldest(limit: usize) -> Self {
        Self { after: None, newest_first: false, limit }
    }

    /// The first page, newest first.
    #[must_use]
    pub const fn newest(limit: usize) -> Self {
        Self { after: None, newest_first: true, limit }
    }

    fn select<R: Row>(self, db: &Db, filter: Filter) -> Result<Vec<R>, ViewError> {
        let (beyond, order) =
            if self.newest_first { ("position < ?", "desc") } else { ("position > ?", "asc") };
        let filter = match self.after {
            Some(after) => filter.and(beyond, &after),
            None => filter,
        };
        filter.select(db, &format!("order by position {order} limit {}", limit(self.limit)))
    }
}

/// Clamps a number of rows.
pub(super) fn limit(wanted: usize) -> usize {
    wanted.clamp(1, MAX_LIMIT)
}

/// Conditions that all must hold.
#[derive(Debug, Clone, Default)]
pub(super) struct Filter {
    conditions: String,
    values: Vec<Param>,
}

impl Filter {
    /// A condition with one `?` and its value.
    pub(super) fn by(condition: &str, value: &impl Column) -> Self {
        Self::default().and(condition, value)
    }

    pub(super) fn and(mut self, condition: &str, value: &impl Column) -> Self {
        self.values.push(Param::of(value));
        self.plain(condition)
    }

    /// A condition with two `?`.
    pub(super) fn pair(mut self, condition: &str, first: &impl Column, second: &impl Column) -> Self {
        self.values.push(Param::of(first));
        self.and(condition, second)
    }

    pub(super) fn and_some(self, condition: &str, value: Option<&impl Column>) -> Self {
        match value {
            Some(value) => self.and(condition, value),
            None => self,
        }
    }

    pub(super) fn plain(mut self, condition: &str) -> Self {
        self.conditions.push_str(if self.conditions.is_empty() { " where " } else { " and " });
        self.conditions.push_str(condition);
        self
    }

    /// Both filters' conditions.
    pub(super) fn also(mut self, other: Self) -> Self {
        if let Some(conditions) = other.conditions.strip_prefix(" where ") {
            self.values.extend(other.values);
            return self.plain(conditions);
        }
        self
    }

    pub(super) fn is_empty(&self) -> bool {
        self.conditions.is_empty()
    }

    pub(super) fn select<R: Row>(self, db: &Db, tail: &str) -> Result<Vec<R>, ViewError> {
        let mut found = Vec::new();
        self.each(db, &format!("{} from {}", R::COLUMNS.join(", "), R::TABLE), tail, |row| {
            found.push(R::read(row).map_err(|e| ViewError::BadRow { table: R::TABLE, why: e.to_string() })?);
            Ok(true)
        })?;
        Ok(found)
    }

    /// Whether a table has a row that all conditions let through.
    pub(super) fn exists(self, db: &Db, table: &str) -> Result<bool, ViewError> {
        let mut found = false;
        self.each(db, &format!("1 from {table}"), "limit 1", |_| {
            found = true;
            Ok(false)
        })?;
        Ok(found)
    }

    /// Shows what is chosen of each row, until `show` says that it is enough.
    pub(super) fn each(
        self,
        db: &Db,
        what: &str,
        tail: &str,
        show: impl FnMut(&mut Read<'_, '_>) -> Result<bool, ViewError>,
    ) -> Result<(), ViewError> {
        let sql = format!("select {what}{} {tail}", self.conditions);
        #[cfg(test)]
        tests::assert_indexed(db, &sql);
        db.each(&sql, self.values, show)
    }
}

#[cfg(test)]
pub(super) mod tests;
