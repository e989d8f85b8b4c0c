//! Are the served views what the log gives? They are built again elsewhere and compared row by row.

mod sides;

use std::{collections::BTreeMap, sync::Arc};

use domain::{event::Position, id::EventId};

use self::sides::Side;
use super::{Scratch, Step};
use crate::{
    db::Db,
    log::EventLog,
    runner::blocking,
    views::{
        self, Folder, Store, ViewError,
        tables::{self, Checkpoint},
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
    store: impl Into<Store>,
    report: impl Fn(Step) + Send + Sync + 'static,
) -> Result<Compared, ViewError> {
    let (at, scratch) = (store.into(), Scratch::new()?);
    // The served rows stay as they are while others are built.
    let (served, found) = blocking(move || {
        let served = at.reader()?;
        served.begin_snapshot()?;
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
    let built = scratch.store().clone();
    compared.differences = blocking(move || differences(served, built.reader()?, &views)).await?;
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
fn checkpoints(db: &Db) -> Result<Vec<(&'static str, Option<Checkpoint>)>, ViewError> {
    let stored = tables::checkpoints(db)?;
    let of = |view: &dyn Folder| {
        let found = stored.iter().find(|(name, _)| name == view.name()).map(|(_, checkpoint)| *checkpoint);
        (view.name(), found.filter(|c| c.version == view.version() && c.digest == view.digest()))
    };
    Ok(views::all(false).iter().map(|view| of(view.as_ref())).collect())
}

fn differences(served: Db, built: Db, views: &[&str]) -> Result<Vec<Difference>, ViewError> {
    let mut found = Vec::new();
    let (mut served, mut built) = (served, built);
    for view in views::all(false).iter().filter(|view| views.contains(&view.name())) {
        for (table, (keys, columns)) in view.tables().iter().zip(view.columns()) {
            let sql = format!("select {} from {table} order by {}", columns.join(", "), keys.join(", "));
            let start = |db| Side::start(db, sql.clone(), columns.len());
            let (mut ours, mut theirs) = (start(served), start(built));
            let (extra, missing) = sides::compare(&mut ours, &mut theirs, keys.len());
            (served, built) = (ours.end()?, theirs.end()?);
            if extra + missing > 0 {
                found.push(Difference { view: view.name(), table, extra, missing });
            }
        }
    }
    Ok(found)
}
