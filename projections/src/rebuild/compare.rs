//! Are the served views what the log gives? They are built again elsewhere and compared row by row.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use domain::{event::Position, id::EventId};
use rusqlite::Connection;

use super::{Scratch, Step};
use crate::{
    log::EventLog,
    runner::blocking,
    views::{
        self, Folder, ViewError,
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

/// What a comparison came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Compared {
    /// The views that were compared, each with the first position that it has not folded.
    pub views: Vec<(&'static str, Position)>,
    /// The views that are not there in this program's form: they are built when a server starts.
    pub absent: Vec<&'static str>,
    /// The views that were folded from events that are not in the log, each with the last of them.
    pub astray: Vec<(&'static str, Position)>,
    /// What differs.
    pub differences: Vec<Difference>,
}

/// Builds the served views again from the log, each as far as it is folded, and compares them.
///
/// # Errors
/// When a file or the log cannot be used.
pub async fn compare(
    log: &Arc<dyn EventLog>,
    path: &Path,
    report: impl Fn(Step) + Send + Sync + 'static,
) -> Result<Compared, ViewError> {
    let (at, scratch) = (path.to_owned(), Scratch::new()?);
    let built = scratch.path().display().to_string();
    // Reading the checkpoints begins a transaction in which the served rows stay as they are; the built ones are first
    // looked at when they are complete.
    let (served, found) = blocking(move || {
        let served = file::reader(&at)?;
        served.execute("attach database ?1 as built", [built])?;
        served.execute_batch("begin")?;
        let found = checkpoints(&served)?;
        Ok((served, found))
    })
    .await?;
    let mut compared = Compared::default();
    for (view, checkpoint) in found {
        match checkpoint {
            None => compared.absent.push(view),
            Some(Checkpoint { next, last, .. }) if is_of(log, next, last).await? => {
                compared.views.push((view, next))
            }
            Some(Checkpoint { next, .. }) => compared.astray.push((view, next.saturating_sub(1))),
        }
    }
    // Mostly all are equally far.
    let mut by_end: BTreeMap<Position, Vec<&str>> = BTreeMap::new();
    for (view, end) in &compared.views {
        by_end.entry(*end).or_default().push(view);
    }
    let report = Arc::new(report);
    for (end, views) in by_end {
        let report = report.clone();
        scratch.build(log, end, &views, move |step| report(step)).await?;
    }
    let views: Vec<_> = compared.views.iter().map(|(view, _)| *view).collect();
    compared.differences = blocking(move || differences(&served, &views)).await?;
    drop(scratch);
    Ok(compared)
}

/// Whether the event before `next` is the one that was folded last.
async fn is_of(log: &Arc<dyn EventLog>, next: Position, last: Option<EventId>) -> Result<bool, ViewError> {
    let Some(before) = next.checked_sub(1) else { return Ok(true) };
    let folded = log.read_all(before, 1).await?;
    Ok(folded.first().map(|recorded| recorded.event.id) == last)
}

/// Every view's checkpoint, if it is of this program's form.
fn checkpoints(db: &Connection) -> Result<Vec<(&'static str, Option<Checkpoint>)>, ViewError> {
    let of = |view: &dyn Folder| {
        let current = |c: &Checkpoint| c.version == view.version() && c.digest == view.digest();
        Ok((view.name(), file::checkpoint(db, view.name())?.filter(current)))
    };
    views::all(false).iter().map(|view| of(view.as_ref())).collect()
}

fn differences(served: &Connection, views: &[&str]) -> Result<Vec<Difference>, ViewError> {
    let mut found = Vec::new();
    for (view, table) in views::tables().into_iter().filter(|(view, _)| views.contains(view)) {
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
