//! Keeping the views up to date.
//!
//! # Shape
//! A [`Runner`] is one task: it reads the log from the views' checkpoint, folds page after page on a blocking thread,
//! publishes how far it is, and waits for more. The log's own watch wakes it at once; for what other processes append it
//! looks twice a second.
//!
//! # Correctness
//! - The checkpoint in the file is the only memory; the task may die anywhere and begins again there.
//! - Several runners on one store are harmless: whoever finds the checkpoint moved drops what it holds and goes on from it.
//!   On a server one of its nodes folds, by a lease; the others watch the checkpoint, and take the lease when it does not
//!   move on.
//! - An event that cannot be folded stops the runner with an error that names it. What was folded before stays served.

use std::{sync::Arc, time::Duration};

use domain::event::{Position, Recorded};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, timeout},
};
use uuid::Uuid;

use crate::{
    log::{EventLog, MAX_PAGE},
    views::{Applied, Engine, Store, ViewError, Views},
};

/// How often the log is asked when nothing in this process has appended.
const POLL: Duration = Duration::from_millis(500);

/// How often whoever waits for another node to fold looks how far it is.
const WATCH: Duration = Duration::from_millis(20);

/// How often a runner says that it uses its views.
const USE: Duration = Duration::from_secs(3_600);

/// How long to wait before a page that failed is folded again.
const RETRY: Duration = Duration::from_secs(1);

/// Events after which a batch takes no further page, some 20 MiB; folding them keeps readers waiting for a second or so.
const MAX_BATCH: usize = 16_000;

/// The same on a server, where nothing must be heard of a writer for seconds.
const MAX_SHARED_BATCH: usize = 4_000;

/// How far a runner is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// The first position that is not folded.
    pub next: Position,
    /// The first position that is not in the log yet, when it was last looked at.
    pub end: Position,
}

impl Progress {
    /// Events that wait to be folded.
    #[must_use]
    pub const fn lag(self) -> u64 {
        self.end.saturating_sub(self.next)
    }
}

/// Folds the log into the views until it is stopped or dropped.
#[derive(Debug)]
pub struct Runner {
    stop: watch::Sender<bool>,
    progress: watch::Receiver<Progress>,
    task: JoinHandle<Result<(), ViewError>>,
}

impl Runner {
    /// Starts following; the views must be current ([`crate::rebuild::prepare`]).
    ///
    /// # Errors
    /// When the views cannot be opened for writing.
    pub async fn start(log: Arc<dyn EventLog>, views: Views) -> Result<Self, ViewError> {
        let store = views.store().clone();
        let engine = blocking(move || {
            let engine = Engine::open(store)?;
            if let Err(error) = engine.drop_unused() {
                tracing::warn!(%error, "read models of another version that nobody uses cannot be dropped now");
            }
            Ok(engine)
        })
        .await?;
        let next = engine.next();
        views.reached().send_replace(next);
        let (stop, stopped) = watch::channel(false);
        let (sender, progress) = watch::channel(Progress { next, end: next });
        let following = Following {
            log,
            views,
            progress: sender,
            engine: Some(engine),
            holder: None,
            waits: false,
            used: Instant::now(),
        };
        let task = tokio::spawn(following.run(stopped));
        Ok(Self { stop, progress, task })
    }

    /// How far it is; changes with every page.
    #[must_use]
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.clone()
    }

    /// Stops after the page at hand.
    ///
    /// # Errors
    /// When it had stopped by itself before.
    pub async fn stop(self) -> Result<(), ViewError> {
        self.stop.send_replace(true);
        self.ended().await
    }

    /// Waits until it stops by itself, which it does only for a reason.
    ///
    /// # Errors
    /// The reason.
    pub async fn ended(self) -> Result<(), ViewError> {
        let Self { stop, task, .. } = self;
        let result = task.await.map_err(|e| ViewError::Storage(e.to_string()))?;
        drop(stop);
        result
    }
}

struct Following {
    log: Arc<dyn EventLog>,
    views: Views,
    progress: watch::Sender<Progress>,
    /// Taken while it works on another thread.
    engine: Option<Engine>,
    /// What the lease of folding knows this runner by, once it was asked for.
    holder: Option<Uuid>,
    /// Whether another node was to fold what came last.
    waits: bool,
    used: Instant,
}

impl Following {
    async fn run(mut self, mut stopped: watch::Receiver<bool>) -> Result<(), ViewError> {
        let result = self.follow(&mut stopped).await;
        if self.holder.is_some() {
            let given = self.with_engine(|engine, holder| engine.give_back(*holder)).await;
            if let Err(error) = given {
                tracing::debug!(%error, "the lease of folding runs out by itself");
            }
        }
        if let Err(error) = &result {
            tracing::error!(%error, next = self.progress.borrow().next, "the views are no longer kept up to date");
        }
        result
    }

    async fn follow(&mut self, stopped: &mut watch::Receiver<bool>) -> Result<(), ViewError> {
        let mut news = self.log.follow();
        while !*stopped.borrow() && stopped.has_changed().is_ok() {
            news.mark_unchanged();
            match self.step().await {
                Ok(true) => continue,
                Ok(false) => {}
                Err(error) if error.may_pass() => {
                    tracing::error!(%error, next = self.progress.borrow().next, "a page was not folded; trying again");
                    let _ = timeout(RETRY, stopped.changed()).await;
                    continue;
                }
                Err(error) => return Err(error),
            }
            let patience = if self.waits { WATCH } else { POLL };
            tokio::select! {
                // A log that is closed sends no more hints; the poll still finds what others append.
                _ = timeout(patience, async { if news.changed().await.is_err() { std::future::pending().await } }) => {}
                _ = stopped.changed() => {}
            }
        }
        Ok(())
    }

    /// Folds the next page, if there is one and this runner is to.
    async fn step(&mut self) -> Result<bool, ViewError> {
        if self.used.elapsed() > USE {
            self.used = Instant::now();
            self.with_engine(|engine, _| engine.used()).await?;
        }
        // A connection that was opened anew may find less than the lost one had written: such a commit may be lost.
        if self.waits || self.engine.is_none() {
            self.watch().await?;
        }
        let from = self.progress.borrow().next;
        let end = self.log.head().await?.map_or(0, |head| head + 1);
        if end <= from {
            self.waits = false;
            if self.is_shared() {
                self.watch().await?;
            }
            self.publish_end(end);
            return Ok(self.progress.borrow().next < end);
        }
        if self.is_shared() && !self.with_engine(|engine, holder| engine.leads(holder)).await? {
            self.waits = true;
            self.publish(from, end);
            return Ok(false);
        }
        self.waits = false;
        let most = if self.is_shared() { MAX_SHARED_BATCH } else { MAX_BATCH };
        let page = read(&*self.log, from, most).await?;
        let Some(last) = page.last().map(|recorded| recorded.position) else { return Ok(false) };
        let (applied, next) = self
            .with_engine(move |engine, _| {
                let first = page.first().map_or(0, |recorded| recorded.position);
                if engine.next() < first {
                    return Ok((Applied::Moved, engine.next()));
                }
                let applied = engine.apply(&page)?;
                Ok((applied, engine.next()))
            })
            .await?;
        if applied == Applied::Moved {
            tracing::debug!(from, next, "another process has written the views");
        }
        self.publish(next, last + 1);
        Ok(true)
    }

    fn is_shared(&self) -> bool {
        matches!(self.views.store(), Store::Postgres(_))
    }

    fn publish_end(&self, end: Position) {
        let next = self.progress.borrow().next;
        self.publish(next, end);
    }

    /// Takes in how far the views are folded, by another node or before this one lost its connection.
    async fn watch(&mut self) -> Result<(), ViewError> {
        let next = self
            .with_engine(|engine, _| {
                engine.refresh()?;
                Ok(engine.next())
            })
            .await?;
        self.publish(next, next);
        Ok(())
    }

    /// Works with the engine on a thread that may wait. A connection that failed is opened again next time.
    async fn with_engine<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Engine, &mut Option<Uuid>) -> Result<T, ViewError> + Send + 'static,
    ) -> Result<T, ViewError> {
        let (engine, store) = (self.engine.take(), self.views.store().clone());
        let mut holder = self.holder.take();
        let (engine, holder, result) = blocking(move || {
            let mut engine = match engine.map_or_else(|| Engine::open(store), Ok) {
                Ok(engine) => engine,
                Err(error) => return Ok((None, holder, Err(error))),
            };
            let result = work(&mut engine, &mut holder);
            let engine = Some(engine).filter(|engine| result.is_ok() || engine.may_go_on());
            Ok((engine, holder, result))
        })
        .await?;
        (self.engine, self.holder) = (engine, holder);
        result
    }

    fn publish(&self, next: Position, end: Position) {
        let end = end.max(self.log.follow().borrow().map_or(0, |head| head + 1));
        self.views.reached().send_if_modified(|known| std::mem::replace(known, next) != next);
        self.progress.send_if_modified(|known| {
            let now = Progress { next, end: end.max(known.end) };
            std::mem::replace(known, now) != now
        });
    }
}

/// The events from a position on. Whoever is far behind takes many at once: rows of many events are written once.
async fn read(log: &dyn EventLog, from: Position, most: usize) -> Result<Vec<Recorded>, ViewError> {
    let mut events = log.read_all(from, MAX_PAGE).await?;
    let mut full = events.len() == MAX_PAGE;
    while let Some(last) = events.last().filter(|_| full && events.len() < most) {
        let page = log.read_all(last.position + 1, MAX_PAGE).await?;
        full = page.len() == MAX_PAGE;
        events.extend(page);
    }
    Ok(events)
}

/// Runs blocking work; a panic in it becomes an error.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ViewError> + Send + 'static,
) -> Result<T, ViewError> {
    tokio::task::spawn_blocking(work).await.map_err(|e| ViewError::Storage(e.to_string()))?
}
