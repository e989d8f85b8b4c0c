//! Folding batches of events into all views at once.
//!
//! # Shape
//! [`Engine::apply`] takes a page of the log, opens a transaction, folds every event into every view that has not seen
//! it, writes what changed and the checkpoints, and commits.
//!
//! # Correctness
//! - Rows and checkpoints are one commit: after a crash the next page begins where the rows end.
//! - `begin immediate` lets one process write at a time, and the checkpoints are read inside it. When they are not those
//!   that this engine left, another process has folded on or rebuilt: everything in memory is dropped, nothing is
//!   written, and the caller continues from the stored checkpoints.
//! - After any error the transaction is rolled back and the caches are dropped, so memory never runs ahead of the file.
//! - An event that cannot be decoded stops everything at the event before it. It is never skipped.

use domain::{
    any::AnyEvent,
    event::{Position, Recorded},
};

use uuid::Uuid;

use super::{
    Envelope, Folder, Store, ViewError, store,
    tables::{self, Checkpoint},
};
use crate::{
    db::{Db, Param},
    rows::Which,
};

/// The lease of folding, by the database's clock: it passes on after five seconds without a page.
const TAKE_LEASE: &str = "insert into leader_leases as l (name, holder, fence, until)
     values (?1, ?2, 1, clock_timestamp() + interval '5 seconds')
     on conflict (name) do update set
         fence = l.fence + case when l.holder = excluded.holder then 0 else 1 end,
         holder = excluded.holder, until = excluded.until
     where l.holder = excluded.holder or l.until <= clock_timestamp()
     returning fence";

/// What became of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// It is folded.
    Folded,
    /// Another process wrote the views; go on from [`Engine::next`].
    Moved,
}

/// All views with their caches and the connection that writes them.
pub struct Engine {
    db: Db,
    store: Store,
    views: Vec<Box<dyn Folder>>,
    /// As this engine last read or wrote them, in the order of `views`.
    checkpoints: Vec<Checkpoint>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("store", &self.store.shown())
            .field("next", &self.next())
            .finish_non_exhaustive()
    }
}

/// The events' payloads, decoded.
///
/// # Errors
/// The first event that cannot be read.
pub fn decode(page: &[Recorded]) -> Result<Vec<AnyEvent>, ViewError> {
    page.iter()
        .map(|recorded| AnyEvent::of(recorded).map_err(|why| ViewError::event(recorded, why)))
        .collect()
}

impl Engine {
    /// Opens a store whose views are current; see [`crate::rebuild::stale`].
    ///
    /// # Errors
    /// When the file cannot be used or a view in it is missing or of another form.
    pub fn open(store: impl Into<Store>) -> Result<Self, ViewError> {
        let store = store.into();
        let db = store.writer()?;
        let mut engine = Self { db, store, views: super::all(false), checkpoints: Vec::new() };
        let stored = engine.stored()?;
        engine.adopt(stored);
        Ok(engine)
    }

    /// The first position that some view has not folded yet.
    #[must_use]
    pub fn next(&self) -> Position {
        self.views.iter().map(|view| view.next()).min().unwrap_or(0)
    }

    fn stored(&self) -> Result<Vec<Checkpoint>, ViewError> {
        let stored = tables::checkpoints(&self.db).map_err(|e| self.store.named(e))?;
        let of =
            |view: &dyn Folder| stored.iter().find(|(name, _)| name == view.name()).map(|(_, found)| *found);
        let found = self.views.iter().map(|view| match of(view.as_ref()) {
            Some(found) if found.version == view.version() && found.digest == view.digest() => Ok(found),
            _ => Err(ViewError::Replaced { view: view.name() }),
        });
        found.collect()
    }

    fn adopt(&mut self, checkpoints: Vec<Checkpoint>) {
        for (view, checkpoint) in self.views.iter_mut().zip(&checkpoints) {
            view.reset(checkpoint.next);
        }
        self.checkpoints = checkpoints;
    }

    /// Folds a page that starts at or before [`Engine::next`].
    ///
    /// # Errors
    /// When an event cannot be folded or the file cannot be written; then nothing of the page is folded.
    pub fn apply(&mut self, page: &[Recorded]) -> Result<Applied, ViewError> {
        let events = decode(page)?;
        let result = self.transact(page, &events);
        if result.is_err() {
            let checkpoints = std::mem::take(&mut self.checkpoints);
            self.adopt(checkpoints);
        }
        result.map_err(|e| self.store.named(e))
    }

    fn transact(&mut self, page: &[Recorded], events: &[AnyEvent]) -> Result<Applied, ViewError> {
        let stored = {
            let tx = self.db.write()?;
            let stored = self.stored()?;
            if stored == self.checkpoints {
                let db = &self.db;
                let next = fold(db, self.views.iter_mut(), page, events)?;
                let last = page.last().map(|recorded| recorded.event.id);
                let mut reached = stored;
                let mut moved = Vec::new();
                for (view, checkpoint) in self.views.iter_mut().zip(&mut reached) {
                    view.write(db, Which::All)?;
                    if next > checkpoint.next {
                        (checkpoint.next, checkpoint.last) = (next, last);
                        moved.push((view.name(), *checkpoint));
                    }
                }
                tables::set_checkpoints(db, &moved)?;
                tx.commit()?;
                self.checkpoints = reached;
                return Ok(Applied::Folded);
            }
            stored
        };
        self.adopt(stored);
        Ok(Applied::Moved)
    }

    /// Whether this one is to fold: on a server one of its nodes does, by a lease that is kept with every page and passes
    /// on when it is not. Two that believe they lead are wasteful, not wrong.
    ///
    /// # Errors
    /// When the database refuses.
    pub fn leads(&self, holder: &mut Option<Uuid>) -> Result<bool, ViewError> {
        let Some(lease) = self.lease() else { return Ok(true) };
        let id = match holder {
            Some(id) => id,
            None => {
                let sql = "select decode(replace(gen_random_uuid()::text, '-', ''), 'hex')";
                holder.insert(self.db.value(sql, Vec::new())?.unwrap_or_default())
            }
        };
        Ok(self.db.value::<i64>(TAKE_LEASE, vec![Param::of(&lease), Param::of(id)])?.is_some())
    }

    /// Gives the lease of folding back.
    ///
    /// # Errors
    /// When the database refuses.
    pub fn give_back(&self, holder: Option<Uuid>) -> Result<(), ViewError> {
        let (Some(lease), Some(id)) = (self.lease(), holder) else { return Ok(()) };
        let sql = "update leader_leases set until = clock_timestamp() where name = ? and holder = ?";
        self.db.execute(sql, vec![Param::of(&lease), Param::of(&id)]).map(drop)
    }

    /// Nodes of another version fold other tables, under a lease of their own.
    fn lease(&self) -> Option<String> {
        match &self.db {
            Db::Sqlite(_) => None,
            Db::Postgres(session) => Some(format!("read models {}", session.form())),
        }
    }

    /// Whether the connection can be used after an error.
    #[must_use]
    pub const fn may_go_on(&self) -> bool {
        matches!(self.db, Db::Sqlite(_))
    }

    /// Says that these views are in use, so that they are not dropped.
    ///
    /// # Errors
    /// When the database refuses.
    pub fn used(&self) -> Result<(), ViewError> {
        store::used(&self.db)
    }

    /// Drops views of other programs' forms that nobody has used for a day.
    ///
    /// # Errors
    /// When the database refuses.
    pub fn drop_unused(&self) -> Result<(), ViewError> {
        let dropped = store::drop_unused(&self.db)?;
        if !dropped.is_empty() {
            tracing::info!(?dropped, "read models of another version that nobody uses any more were dropped");
        }
        Ok(())
    }

    /// Looks for what another process has folded since.
    ///
    /// # Errors
    /// When the file cannot be read or a view was replaced by another form.
    pub fn refresh(&mut self) -> Result<(), ViewError> {
        let stored = self.stored()?;
        if stored != self.checkpoints {
            self.adopt(stored);
        }
        Ok(())
    }
}

/// Folds events into views, each from its own checkpoint on; answers the first position after them.
pub(crate) fn fold<'a>(
    db: &Db,
    views: impl Iterator<Item = &'a mut Box<dyn Folder>>,
    page: &[Recorded],
    events: &[AnyEvent],
) -> Result<Position, ViewError> {
    let mut views: Vec<_> = views.collect();
    let mut expected = views.iter().map(|view| view.next()).min().unwrap_or(0);
    for (recorded, event) in page.iter().zip(events) {
        if recorded.position > expected {
            return Err(ViewError::Gap { expected, found: recorded.position });
        }
        expected = expected.max(recorded.position + 1);
        let envelope = Envelope::new(recorded, event);
        for view in &mut views {
            view.fold(db, &envelope)?;
        }
    }
    Ok(expected)
}
