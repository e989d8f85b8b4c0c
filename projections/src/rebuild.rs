//! Making views anew from the log, while the old ones serve.
//!
//! # Shape
//! Tables are built under names of their own: one task reads and decodes the log, one thread folds and writes; rows are
//! written when the cache forgets them, indexes are made at the end. Then the builder catches up with the log and, in one
//! transaction, drops the served tables, renames the built ones and writes their checkpoints.
//!
//! # Correctness
//! - Readers see the old table or the new one, complete, never neither: dropping, renaming and the checkpoint are one
//!   commit.
//! - The last events are folded inside that transaction. While it holds the file no runner can advance the served table,
//!   so a view never goes back.
//! - A rebuild that dies leaves tables that nobody reads; the next one drops them and begins at position 0.
//! - A file lock lets one rebuild run at a time; the system takes it away from a process that dies.
//! - Memory is bounded: a few pages of the log between the two sides, and the caches.

use std::{
    fs::{File, TryLockError},
    path::{Path, PathBuf},
    sync::Arc,
};

use domain::{
    any::AnyEvent,
    event::{Position, Recorded},
    id::EventId,
};
use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::{runtime::Handle, sync::mpsc};

use crate::{
    log::{EventLog, LogError, MAX_PAGE},
    rows::Which,
    runner::blocking,
    views::{
        self, Folder, ViewError,
        file::{self, BUILD, Checkpoint},
    },
};

/// Pages of the log that wait to be folded.
const PAGES_AHEAD: usize = 4;
/// Events after which the builder commits, so that other writers of the file wait for milliseconds.
const CHUNK: usize = 20_000;
/// Pages of 4 KiB in the write-ahead file after which they are copied: more than usual, because a rebuild writes the same
/// pages again and again.
const WAL_PAGES: u32 = 16_384;
/// Threads that help sorting when an index is made.
const SORTERS: u32 = 1;
/// Rounds of catching up inside the last transaction, at least when the log grows all the time.
const LAST_ROUNDS: usize = 8;

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
    path: &Path,
    report: impl Fn(Step) + Send + Sync + 'static,
) -> Result<Vec<&'static str>, ViewError> {
    if stale(log, path).await?.is_empty() {
        return Ok(Vec::new());
    }
    let at = path.to_owned();
    let lock = blocking(move || lock(&at, true)).await?;
    let names = stale(log, path).await?;
    if !names.is_empty() {
        tracing::info!(?names, "building read models");
        build(log, path, &names, report).await?;
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
    path: &Path,
    names: Option<&[String]>,
    report: impl Fn(Step) + Send + Sync + 'static,
) -> Result<Vec<&'static str>, ViewError> {
    let all = views::names();
    let chosen: Vec<&'static str> = match names {
        None => all.clone(),
        Some(names) => {
            let known = |name: &String| all.iter().copied().find(|known| known == name);
            let found = names.iter().map(|name| known(name).ok_or(ViewError::Unknown { name: name.clone() }));
            found.collect::<Result<_, _>>()?
        }
    };
    let at = path.to_owned();
    let lock = blocking(move || lock(&at, false)).await?;
    let report = Arc::new(report);
    let again = report.clone();
    let result = build(log, path, &chosen, move |step| report(step)).await;
    if let (Err(ViewError::Corrupt { why, .. }), None) = (&result, names) {
        tracing::warn!(%why, "the file of the read models is damaged; it is set aside and made anew");
        file::set_aside(path)?;
        build(log, path, &chosen, move |step| again(step)).await?;
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
pub async fn stale(log: &Arc<dyn EventLog>, path: &Path) -> Result<Vec<&'static str>, ViewError> {
    let at = path.to_owned();
    let found = blocking(move || {
        let db = file::writer(&at)?;
        let found = views::all("").into_iter().map(|view| {
            let checkpoint = file::checkpoint(&db, view.name())?;
            if let Some(Checkpoint { version: found, .. }) = checkpoint
                && found > view.version()
            {
                return Err(ViewError::Newer { view: view.name(), found, known: view.version() });
            }
            let same = |c: &Checkpoint| c.version == view.version() && c.digest == view.digest();
            Ok((view.name(), checkpoint.filter(same)))
        });
        found.collect::<Result<Vec<_>, _>>().map_err(|e| file::named(&at, e))
    })
    .await?;
    let mut stale = Vec::new();
    for (name, checkpoint) in found {
        let current = match checkpoint {
            None => false,
            Some(Checkpoint { next: 0, .. }) => true,
            Some(Checkpoint { next, last, .. }) => {
                let folded = log.read_all(next - 1, 1).await?;
                folded.first().map(|recorded| recorded.event.id) == last && last.is_some()
            }
        };
        if !current {
            stale.push(name);
        }
    }
    Ok(stale)
}

/// Keeps other rebuilds of the same file away while it lives.
fn lock(path: &Path, wait: bool) -> Result<File, ViewError> {
    let storage = |e: std::io::Error| ViewError::Storage(e.to_string());
    let file = File::create(file::beside(path, "-rebuild")).map_err(storage)?;
    if wait {
        file.lock().map_err(storage)?;
        return Ok(file);
    }
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(ViewError::Busy),
        Err(TryLockError::Error(error)) => Err(storage(error)),
    }
}

type Decoded = (Vec<Recorded>, Vec<AnyEvent>);

async fn build(
    log: &Arc<dyn EventLog>,
    path: &Path,
    names: &[&'static str],
    report: impl Fn(Step) + Send + Sync + 'static,
) -> Result<(), ViewError> {
    let total = log.head().await?.map_or(0, |head| head + 1);
    let (pages, waiting) = mpsc::channel(PAGES_AHEAD);
    let reading = tokio::spawn(read(log.clone(), pages));
    let names = names.to_vec();
    let (at, log, handle) = (path.to_owned(), log.clone(), Handle::current());
    let built = blocking(move || {
        let mut builder = Builder::new(&at, &names)?;
        builder.load(waiting, |done| report(Step { stage: Stage::Folding, done, total: total.max(done) }))?;
        builder.index(|done, total| report(Step { stage: Stage::Indexing, done, total }))?;
        let mut more = |from| handle.block_on(log.read_all(from, MAX_PAGE));
        builder.catch_up(&mut more)?;
        builder.swap(&mut more)?;
        report(Step { stage: Stage::Done, done: builder.next, total: builder.next });
        Ok(())
    })
    .await;
    reading.abort();
    built.map_err(|e| file::named(path, e))
}

/// Reads and decodes the log from its beginning to where it ends now.
async fn read(log: Arc<dyn EventLog>, pages: mpsc::Sender<Result<Decoded, ViewError>>) {
    let mut from = 0;
    loop {
        let decoded = match log.read_all(from, MAX_PAGE).await {
            Ok(page) if page.is_empty() => return,
            Ok(page) => {
                from = page.last().map_or(from, |last| last.position + 1);
                blocking(move || views::decode(&page).map(|events| (page, events))).await
            }
            Err(error) => Err(error.into()),
        };
        let failed = decoded.is_err();
        if pages.send(decoded).await.is_err() || failed {
            return;
        }
    }
}

struct Builder {
    db: Connection,
    path: PathBuf,
    views: Vec<Box<dyn Folder>>,
    generations: Vec<u64>,
    next: Position,
    last: Option<EventId>,
}

impl Builder {
    fn new(path: &Path, names: &[&'static str]) -> Result<Self, ViewError> {
        let db = file::writer(path)?;
        db.pragma_update(None, "wal_autocheckpoint", WAL_PAGES)?;
        db.pragma_update(None, "threads", SORTERS)?;
        let mut views = views::all(BUILD);
        views.retain(|view| names.contains(&view.name()));
        let mut generations = Vec::new();
        for view in &views {
            let served = file::checkpoint(&db, view.name())?;
            generations.push(served.map_or(1, |checkpoint| checkpoint.generation + 1));
            file::create_table(&db, view.as_ref(), served.is_some())?;
        }
        Ok(Self { db, path: path.to_owned(), views, generations, next: 0, last: None })
    }

    fn fold(
        views: &mut [Box<dyn Folder>],
        db: &Connection,
        (page, events): &Decoded,
        which: Which,
    ) -> Result<(), ViewError> {
        views::fold(db, views, page, events)?;
        views.iter_mut().try_for_each(|view| view.write(db, which))
    }

    fn advance(&mut self, page: &[Recorded]) {
        if let Some(last) = page.last() {
            (self.next, self.last) = (last.position + 1, Some(last.event.id));
        }
    }

    fn load(
        &mut self,
        mut pages: mpsc::Receiver<Result<Decoded, ViewError>>,
        report: impl Fn(Position),
    ) -> Result<(), ViewError> {
        let mut page = pages.blocking_recv();
        while page.is_some() {
            let tx = Transaction::new_unchecked(&self.db, TransactionBehavior::Immediate)?;
            let mut folded = 0;
            let mut last = None;
            while let Some(decoded) = page.take() {
                let decoded = decoded?;
                Self::fold(&mut self.views, &tx, &decoded, Which::Forgotten)?;
                folded += decoded.0.len();
                last = Some(decoded);
                page = if folded < CHUNK { pages.try_recv().ok() } else { None };
            }
            tx.commit()?;
            if let Some((page, _)) = &last {
                self.advance(page);
            }
            report(self.next);
            page = pages.blocking_recv();
        }
        let tx = Transaction::new_unchecked(&self.db, TransactionBehavior::Immediate)?;
        self.views.iter_mut().try_for_each(|view| view.write(&tx, Which::All))?;
        Ok(tx.commit()?)
    }

    fn index(&self, report: impl Fn(u64, u64)) -> Result<(), ViewError> {
        let total = self.views.len() as u64;
        for (done, (view, generation)) in self.views.iter().zip(&self.generations).enumerate() {
            report(done as u64, total);
            file::create_indexes(&self.db, view.as_ref(), *generation)?;
        }
        report(total, total);
        Ok(())
    }

    fn catch_up(
        &mut self,
        more: &mut impl FnMut(Position) -> Result<Vec<Recorded>, LogError>,
    ) -> Result<(), ViewError> {
        loop {
            let page = more(self.next)?;
            if page.is_empty() {
                return Ok(());
            }
            let events = views::decode(&page)?;
            let tx = Transaction::new_unchecked(&self.db, TransactionBehavior::Immediate)?;
            let decoded = (page, events);
            Self::fold(&mut self.views, &tx, &decoded, Which::All)?;
            tx.commit()?;
            self.advance(&decoded.0);
        }
    }

    fn swap(
        &mut self,
        more: &mut impl FnMut(Position) -> Result<Vec<Recorded>, LogError>,
    ) -> Result<(), ViewError> {
        let Self { db, views, generations, next, last, path } = self;
        let tx = Transaction::new_unchecked(db, TransactionBehavior::Immediate)?;
        let served = views.iter().map(|view| Ok(file::checkpoint(&tx, view.name())?.map_or(0, |c| c.next)));
        let served = served.collect::<Result<Vec<_>, ViewError>>()?.into_iter().max().unwrap_or(0);
        for round in 0.. {
            if round >= LAST_ROUNDS && *next >= served {
                break;
            }
            let page = more(*next)?;
            let Some(end) = page.last().map(|end| (end.position + 1, end.event.id)) else { break };
            let events = views::decode(&page)?;
            Self::fold(views, &tx, &(page, events), Which::All)?;
            (*next, *last) = (end.0, Some(end.1));
        }
        for (view, generation) in views.iter().zip(generations) {
            file::replace_table(&tx, view.as_ref())?;
            let (version, digest) = (view.version(), view.digest());
            let checkpoint =
                Checkpoint { version, digest, generation: *generation, next: *next, last: *last };
            file::set_checkpoint(&tx, view.name(), &checkpoint)?;
        }
        tx.commit()?;
        tracing::info!(path = %path.display(), next = *next, views = views.len(), "read models were rebuilt");
        Ok(())
    }
}
