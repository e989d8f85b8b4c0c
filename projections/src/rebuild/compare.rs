//! Are the served views what the log gives? They are built again elsewhere and compared row by row.

use std::{path::Path, sync::Arc};

use domain::event::Position;
use rusqlite::Connection;

use super::{Scratch, Step};
use crate::{
    log::EventLog,
    runner::blocking,
    views::{
        self, ViewError,
        file::{self, Checkpoint},
    },
};

/// Rows of one table that differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The view.
    pub view: &'static str,
    /// Its table.
    pub table: &'static str,
    /// Rows that are served and should not be.
    pub extra: u64,
    /// Rows that are missing.
    pub missing: u64,
}

/// Builds every view again from the log, as far as the served ones are folded, and compares them. Answers that position
/// and what differs.
///
/// # Errors
/// When a file or the log cannot be used, or the served views are of another form: then rebuild them.
pub async fn compare(
    log: &Arc<dyn EventLog>,
    path: &Path,
    report: impl Fn(Step) + Send + Sync + 'static,
) -> Result<(Position, Vec<Difference>), ViewError> {
    let (at, scratch) = (path.to_owned(), Scratch::new()?);
    let built = scratch.path().display().to_string();
    // Reading the checkpoints begins a transaction in which the served rows stay as they are; the built ones are first
    // looked at when they are complete.
    let (served, next) = blocking(move || {
        let served = file::reader(&at)?;
        served.execute("attach database ?1 as built", [built])?;
        served.execute_batch("begin")?;
        let next = checkpoint(&served)?;
        Ok((served, next))
    })
    .await?;
    scratch.build(log, next, &views::names(), report).await?;
    let found = blocking(move || differences(&served)).await?;
    drop(scratch);
    Ok((next, found))
}

/// The position up to which every view is folded.
fn checkpoint(db: &Connection) -> Result<Position, ViewError> {
    let mut found = Vec::new();
    for view in views::all(false) {
        match file::checkpoint(db, view.name())? {
            Some(Checkpoint { version, digest, next, .. })
                if version == view.version() && digest == view.digest() =>
            {
                found.push(next);
            }
            _ => return Err(ViewError::Replaced { view: view.name() }),
        }
    }
    let (first, last) = (found.iter().min().copied(), found.iter().max().copied());
    match first.zip(last) {
        Some((first, last)) if first == last => Ok(first),
        Some((first, last)) => Err(ViewError::Gap { expected: last, found: first }),
        None => Ok(0),
    }
}

fn differences(served: &Connection) -> Result<Vec<Difference>, ViewError> {
    let mut found = Vec::new();
    for (view, table) in views::tables() {
        let count = |from: &str, except: &str| {
            let sql = format!("select count(*) from (select * from {from} except select * from {except})");
            served.query_row(&sql, (), |row| row.get::<_, i64>(0)).map(i64::cast_unsigned)
        };
        let (ours, theirs) = (format!("main.{table}"), format!("built.{table}"));
        let (extra, missing) = (count(&ours, &theirs)?, count(&theirs, &ours)?);
        if extra + missing > 0 {
            found.push(Difference { view, table, extra, missing });
        }
    }
    Ok(found)
}
