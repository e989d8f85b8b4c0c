//! Moving the private store and the key halves to another place: every row of every table, as it is.
//!
//! # Shape
//! [`move_private`] reads each table in the order of its key and writes it to the other place, page by page. Which tables and
//! columns there are is asked of both places, so whatever a later migration adds is moved too; only the tables of
//! [`LEFT_BEHIND`] are not.
//!
//! # Correctness
//! - Nobody may write to either place meanwhile: the servers are stopped. Both are locked against writing all the same, in a
//!   file as its only writer, in PostgreSQL by locks on the tables; a leader's lease that has not run out is a refusal.
//! - One transaction per store writes to the target, and is committed only after every row was read back and compared. Both
//!   stores are compared before either is committed; a move that is cut off between the two is completed by the next.
//! - A target that holds rows is only compared: it is the same already, or it is refused. Nothing is ever overwritten.
//! - What numbers were given is kept with the rows: the next one is above all that the source gave.
//! - A text with a NUL, which only a file can hold, is a refusal where PostgreSQL is the target: nothing is changed on the way.
//! - Memory is bounded by a page of rows and by the longest row.
//!
//! Halves that were destroyed are moved as what they are, rows that say so. The old place still has the others: once it was
//! moved, what is destroyed in the new place is not gone in the old one, so the old place must be destroyed.

mod error;
mod page;
mod read;
mod tables;
#[cfg(test)]
mod tests;

pub use error::MoveError;
pub use tables::LEFT_BEHIND;

use futures_util::TryStreamExt;

use self::{page::Page, tables::Table};
use crate::{
    halves::Halves,
    private::Private,
    sql::{Store, Tx, made},
};

/// The people of one place.
#[derive(Debug, Clone, Copy)]
pub struct People<'a> {
    /// The private store.
    pub private: &'a Private,
    /// The key halves; they stay where they are when either place has none.
    pub halves: Option<&'a Halves>,
}

/// What was moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// The private store.
    pub private: Part,
    /// The key halves, if they were to be moved.
    pub halves: Option<Part>,
}

/// What one store holds now in both places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Rows of each table.
    pub tables: Vec<(String, u64)>,
    /// Whether the target held them before.
    pub was_there: bool,
}

impl Part {
    /// Rows of all tables.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.tables.iter().map(|(_, rows)| rows).sum()
    }
}

/// Moves what `from` holds into `to`, which is empty or holds the same; both are there and up to date. `report` is told
/// how many rows of how many were written or compared.
///
/// # Errors
/// When a place is in use, the target holds something else, the two are of different versions, or a database fails. Then
/// nothing was changed, except where the database fails between two commits: the next move finds the first store the same.
pub async fn move_private(
    from: People<'_>,
    to: People<'_>,
    report: impl Fn(u64, u64) + Send,
) -> Result<Moved, MoveError> {
    let mut private = Moving::begin("private store", from.private.store(), to.private.store()).await?;
    let mut halves = match (from.halves, to.halves) {
        (Some(from), Some(to)) => Some(Moving::begin("key halves", from.store(), to.store()).await?),
        _ => None,
    };
    let total = private.steps() + halves.as_ref().map_or(0, Moving::steps);
    let mut progress = Progress { report, done: 0, total };
    for moving in [Some(&mut private), halves.as_mut()].into_iter().flatten() {
        moving.copy(&mut progress).await?;
        moving.compare(&mut progress).await?;
    }
    // People who are there without their halves would be taken for people who never had any, so the halves come first.
    let halves = match halves {
        Some(halves) => Some(halves.keep().await?),
        None => None,
    };
    let private = private.keep().await?;
    progress.more(0);
    Ok(Moved { private, halves })
}

struct Progress<R> {
    report: R,
    done: u64,
    total: u64,
}

impl<R: Fn(u64, u64)> Progress<R> {
    fn more(&mut self, rows: u64) {
        self.done += rows;
        (self.report)(self.done, self.total.max(self.done));
    }
}

/// One store on its way.
struct Moving {
    what: &'static str,
    from: Tx,
    to: Tx,
    /// Each table, with how many rows the source has.
    tables: Vec<(Table, u64)>,
    was_there: bool,
}

impl Moving {
    async fn begin(what: &'static str, from: &Store, to: &Store) -> Result<Self, MoveError> {
        let in_use = |place: &'static str| move |why| MoveError::begun(what, place, why);
        let mut source = locked(from, "share").await.map_err(in_use("source"))?;
        let mut target = locked(to, "share row exclusive").await.map_err(in_use("target"))?;
        for (place, tx) in [("source", &mut source), ("target", &mut target)] {
            if tables::is_led(tx).await? {
                return Err(MoveError::InUse { what, place });
            }
        }
        let ours = tables::same(tables::moved(&mut source).await?, tables::moved(&mut target).await?)
            .map_err(|why| MoveError::Versions { what, why })?;
        let (mut tables, mut was_there) = (Vec::with_capacity(ours.len()), false);
        for table in ours {
            let count = |table: &Table| made(format!("select count(*) from {}", table.quoted()));
            let (rows,): (i64,) = count(&table).one(&mut source).await?;
            let (there,): (i64,) = count(&table).one(&mut target).await?;
            was_there |= there > 0;
            tables.push((table, rows.unsigned_abs()));
        }
        Ok(Self { what, from: source, to: target, tables, was_there })
    }

    /// Rows to write and to compare.
    fn steps(&self) -> u64 {
        let rows: u64 = self.tables.iter().map(|(_, rows)| rows).sum();
        if self.was_there { rows } else { rows * 2 }
    }

    async fn copy(&mut self, progress: &mut Progress<impl Fn(u64, u64) + Send>) -> Result<(), MoveError> {
        if self.was_there {
            return Ok(());
        }
        for (table, _) in &self.tables {
            let mut page = Page::new(table);
            let mut rows = read::rows(&mut self.from, table);
            while let Some(row) = rows.try_next().await? {
                page.push(row);
                if page.is_full() {
                    progress.more(page.write(&mut self.to).await?);
                }
            }
            drop(rows);
            progress.more(page.write(&mut self.to).await?);
            if let Some(column) = table.counted() {
                let given = tables::given(&mut self.from, table, column).await?;
                tables::go_on_after(&mut self.to, table, column, given).await?;
            }
        }
        Ok(())
    }

    async fn compare(&mut self, progress: &mut Progress<impl Fn(u64, u64) + Send>) -> Result<(), MoveError> {
        for (table, _) in &self.tables {
            let (mut ours, mut theirs) = (read::rows(&mut self.from, table), read::rows(&mut self.to, table));
            let mut same = 0;
            loop {
                match (ours.try_next().await?, theirs.try_next().await?) {
                    (None, None) => break,
                    (ours, theirs) if ours == theirs => same += 1,
                    (ours, theirs) => {
                        let (what, why) =
                            (self.what, read::difference(table, ours.as_deref(), theirs.as_deref()));
                        return Err(match self.was_there {
                            true => MoveError::Holds { what, why },
                            false => MoveError::Differs { what, why },
                        });
                    }
                }
                if same == page::MAX_ROWS as u64 {
                    progress.more(std::mem::take(&mut same));
                }
            }
            progress.more(same);
        }
        Ok(())
    }

    /// Keeps what was written; the source stays locked until then.
    async fn keep(self) -> Result<Part, MoveError> {
        self.to.commit().await?;
        let tables = self.tables.into_iter().map(|(table, rows)| (table.name, rows)).collect();
        Ok(Part { tables, was_there: self.was_there })
    }
}

/// Begins a transaction during which nobody else writes.
async fn locked(store: &Store, lock: &str) -> sqlx::Result<Tx> {
    let mut tx = store.begin().await?;
    if matches!(tx, Tx::Postgres(_)) {
        // Nobody should be there to wait for, and the one side is idle while the other is busy.
        for set in ["lock_timeout = '2s'", "idle_in_transaction_session_timeout = '10min'"] {
            made(format!("set local {set}")).execute(&mut tx).await?;
        }
        let names: Vec<_> = tables::names(&mut tx).await?;
        made(format!("lock table {} in {lock} mode", names.join(", "))).execute(&mut tx).await?;
    }
    Ok(tx)
}
