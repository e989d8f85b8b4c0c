//! Making views anew from the log, while the old ones serve.
//!
//! # Shape
//! Tables are built under names of their own: one task reads and decodes the log, two threads fold and write some of the
//! views each; rows are written when the cache forgets them, indexes are made at the end. Then the builder catches up with the log and, in one
//! transaction, drops the served tables, renames the built ones and writes their checkpoints.
//!
//! # Correctness
//! - Readers see the old table or the new one, complete, never neither: dropping, renaming and the checkpoint are one
//!   commit.
//! - The last events are folded inside that transaction. While it holds the file no runner can advance the served table,
//!   so a view never goes back.
//! - A rebuild that dies leaves tables that nobody reads; the next one drops them and begins at position 0.
//! - A lock, on a file or of the server, lets one rebuild run at a time; it is taken away from a process that dies.
//! - Memory is bounded: a few pages of the log between the two sides, and the caches.

mod builder;
mod compare;
mod journal;
mod scratch;

use std::sync::Arc;

use self::builder::build;
pub use self::{
    compare::{Compared, Difference, compare},
    journal::{JournalAt, journal_at},
    scratch::Scratch,
};
use crate::{
    log::EventLog,
    runner::blocking,
    views::{
        self, Store, ViewError,
        tables::{self, Checkpoint},
    },
};

/// What a rebuild is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Folding events; counted in events.
    Folding,
    /// Making indexes; counted in views.
    Indexing,
    /// Done; counted in events.
    Done,
}

/// How far a rebuild is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// What it is doing.
    pub stage: Stage,
    /// How much of it is done.
    pub done: u64,
    /// How much there is; grows when the log does.
    pub total: u64,
}

/// Makes sure that the file holds every view in this program's form: makes what is missing, replaces what is of another
/// form, or was folded from another log. Answers what it had to build.
///
/// # Errors
/// When the file cannot be used, a newer program wrote it, or the log cannot be read.
pub async fn prepare(
    log: &Arc<dyn EventLog>,
    store: impl Into<Store>,
    report: impl Fn(Step) + Send + Sync + 'static,
) -> Result<Vec<&'static str>, ViewError> {
    let store = &store.into();
    if stale(log, store).await?.is_empty() {
        return Ok(Vec::new());
    }
    let at = store.clone();
    let lock = blocking(move || at.lock(true)).await?;
    let names = stale(log, store).await?;
    if !names.is_empty() {
        tracing::info!(?names, "building read models");
        build(log, store, &names, report).await?;
    }
    drop(lock);
    Ok(names)
}

/// Makes views anew: those named, or all. Of a damaged file a copy is kept beside it when all are made anew.
///
/// # Errors
/// When there is no such view, another rebuild runs, or file or log cannot be used.
pub async fn rebuild(
    log: &Arc<dyn EventLog>,
    store: impl Into<Store>,
    names: Option<&[String]>,
    report: impl Fn(Step) + Send + Sync + 'static,
) -> Result<Vec<&'static str>, ViewError> {
    let store = &store.into();
    let all = views::names();
    let chosen: Vec<&'static str> = match names {
        None => all.clone(),
        Some(names) => {
            let known = |name: &String| all.iter().copied().find(|known| known == name);
            let found = names.iter().map(|name| known(name).ok_or(ViewError::Unknown { name: name.clone() }));
            found.collect::<Result<_, _>>()?
        }
    };
    let at = store.clone();
    let lock = blocking(move || at.lock(false)).await?;
    let report = Arc::new(report);
    let again = report.clone();
    let result = build(log, store, &chosen, move |step| report(step)).await;
    if let (Err(ViewError::Corrupt { why, .. }), None) = (&result, names) {
        tracing::warn!(%why, "the file of the read models is damaged; it is set aside and made anew");
        store.set_aside()?;
        build(log, store, &chosen, move |step| again(step)).await?;
    } else {
        result?;
    }
    drop(lock);
    Ok(chosen)
}

/// The views that cannot be used as they are.
///
/// # Errors
/// When the file cannot be used, a newer program wrote it, or the log cannot be read.
pub async fn stale(log: &Arc<dyn EventLog>, store: impl Into<Store>) -> Result<Vec<&'static str>, ViewError> {
    let store = store.into();
    let found = blocking(move || {
        let stored = store.writer().and_then(|db| tables::checkpoints(&db)).map_err(|e| store.named(e))?;
        let found = views::all(false).into_iter().map(|view| {
            let of = |(name, checkpoint): &(String, Checkpoint)| (name == view.name()).then_some(*checkpoint);
            let checkpoint = stored.iter().find_map(of);
            if let Some(Checkpoint { version: found, .. }) = checkpoint
                && found > view.version()
            {
                return Err(ViewError::Newer { view: view.name(), found, known: view.version() });
            }
            let same = |c: &Checkpoint| c.version == view.version() && c.digest == view.digest();
            Ok((view.name(), checkpoint.filter(same)))
        });
        found.collect::<Result<Vec<_>, _>>()
    })
    .await?;
    let mut stale = Vec::new();
    for (name, checkpoint) in found {
        let current = match checkpoint {
            None => false,
            Some(Checkpoint { next: 0, .. }) => true,
            Some(Checkpoint { next, last, .. }) => {
                let folded = log.read_all(next - 1, 1).await?;
                let same = folded.first().map(|recorded| recorded.event.id) == last && last.is_some();
                if !same {
                    tracing::warn!(
                        view = name,
                        folded_to = next - 1,
                        "the view was folded from events that are not in the log: acknowledged events may be missing, \
                         unless the log was restored from a backup"
                    );
                }
                same
            }
        };
        if !current {
            stale.push(name);
        }
    }
    Ok(stale)
}
