//! The two sides of a rebuild: reading with decoding, and folding with writing.

use std::{
    cmp::Reverse,
    sync::{Arc, Mutex, PoisonError},
};

use domain::{
    any::AnyEvent,
    event::{Position, Recorded},
    id::EventId,
};
use tokio::{runtime::Handle, sync::mpsc, task::JoinSet};

use super::{Stage, Step};
use crate::{
    db::Db,
    log::{EventLog, LogError, MAX_PAGE, pages},
    rows::Which,
    runner::blocking,
    views::{
        self, Folder, Store, ViewError,
        tables::{self, Checkpoint},
    },
};

/// Threads that fold, each some of the views.
const BUILDERS: usize = 2;
/// Pages of the log that wait to be folded.
const PAGES_AHEAD: usize = 4;
/// Events after which a builder writes, so that other writers of the file wait for milliseconds.
const CHUNK: usize = 10_000;
/// Pages of 4 KiB in the write-ahead file after which they are copied: more than usual, because a rebuild writes the same
/// pages again and again.
const WAL_PAGES: u32 = 16_384;
/// Threads that help sorting when an index is made.
const SORTERS: u32 = 1;
/// How long to wait before tables that somebody reads are tried again.
const PAUSE: std::time::Duration = std::time::Duration::from_secs(1);
/// Rounds of catching up inside the last transaction, at least when the log grows all the time.
const LAST_ROUNDS: usize = 8;

type Decoded = (Vec<Recorded>, Vec<AnyEvent>);
type Pages = mpsc::Receiver<Result<Arc<Decoded>, ViewError>>;

/// Builds views and puts them in the served ones' place.
pub(super) async fn build(
    log: &Arc<dyn EventLog>,
    store: &Store,
    names: &[&'static str],
    report: impl Fn(Step) + Send + Sync + 'static,
) -> Result<(), ViewError> {
    let total = log.head().await?.map_or(0, |head| head + 1);
    let (at, names) = (store.clone(), names.to_vec());
    let builders = blocking(move || Builder::deal(&at, &names)).await?;
    let report = Arc::new(report);
    let turn = Arc::new(Mutex::new(()));
    let mut channels = Vec::new();
    let mut loading = JoinSet::new();
    for (i, builder) in builders.into_iter().enumerate() {
        let (pages, waiting) = mpsc::channel(PAGES_AHEAD);
        let (turn, report) = (turn.clone(), report.clone());
        channels.push(pages);
        // The first has the most to do, and so speaks for all.
        let tell = move |done| {
            if i == 0 {
                report(Step { stage: Stage::Folding, done, total: total.max(done) })
            }
        };
        loading.spawn(blocking(move || builder.load(waiting, &turn, tell)));
    }
    let reading = tokio::spawn(read(log.clone(), channels));
    let loaded = loading.join_all().await;
    reading.abort();
    let (at, log, handle) = (store.clone(), log.clone(), Handle::current());
    blocking(move || {
        let mut builder = Builder::join(loaded).map_err(|e| at.named(e))?;
        builder.index(|done, total| report(Step { stage: Stage::Indexing, done, total }))?;
        let mut more = |from| handle.block_on(log.read_all(from, MAX_PAGE));
        builder.catch_up(&mut more)?;
        builder.swap(&mut more)?;
        report(Step { stage: Stage::Done, done: builder.next, total: builder.next });
        Ok(())
    })
    .await
    .map_err(|e| store.named(e))
}

/// Reads and decodes the log from its beginning to where it ends now, for every builder.
async fn read(log: Arc<dyn EventLog>, builders: Vec<mpsc::Sender<Result<Arc<Decoded>, ViewError>>>) {
    let mut pages = pages::Pages::new(log, 0, MAX_PAGE);
    loop {
        let decoded = match pages.next().await {
            Ok(page) if page.is_empty() => return,
            Ok(page) => blocking(move || views::decode(&page).map(|events| Arc::new((page, events)))).await,
            Err(error) => Err(error.into()),
        };
        for builder in &builders {
            if builder.send(decoded.clone()).await.is_err() {
                return;
            }
        }
        if decoded.is_err() {
            return;
        }
    }
}

struct Builder {
    db: Db,
    store: Store,
    /// Each with the number of its rebuild.
    views: Vec<(Box<dyn Folder>, u64)>,
    next: Position,
    last: Option<EventId>,
}

impl Builder {
    /// Makes empty tables and deals the views to builders, so that each has about as much to do.
    fn deal(store: &Store, names: &[&'static str]) -> Result<Vec<Self>, ViewError> {
        let mut views = views::all(true);
        views.retain(|view| names.contains(&view.name()));
        views.sort_by_key(|view| Reverse(view.weight()));
        let mut builders = (0..BUILDERS).map(|_| Self::new(store)).collect::<Result<Vec<_>, _>>()?;
        for view in views {
            let weight =
                |builder: &&mut Self| builder.views.iter().map(|(view, _)| view.weight()).sum::<u32>();
            let Some(builder) = builders.iter_mut().min_by_key(weight) else { break };
            let served = tables::checkpoint(&builder.db, view.name())?;
            tables::create(&builder.db, view.as_ref(), served.is_some())?;
            builder.views.push((view, served.map_or(1, |checkpoint| checkpoint.generation + 1)));
        }
        builders.retain(|builder| !builder.views.is_empty());
        Ok(builders)
    }

    fn new(store: &Store) -> Result<Self, ViewError> {
        let db = store.writer()?;
        if let Db::Sqlite(db) = &db {
            db.pragma_update(None, "wal_autocheckpoint", WAL_PAGES)?;
            db.pragma_update(None, "threads", SORTERS)?;
        }
        Ok(Self { db, store: store.clone(), views: Vec::new(), next: 0, last: None })
    }

    /// One builder for the views of all; they have folded the same events.
    fn join(loaded: Vec<Result<Self, ViewError>>) -> Result<Self, ViewError> {
        let mut builders = loaded.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter();
        let mut all = builders.next().ok_or_else(|| ViewError::Storage("nothing was built".into()))?;
        for other in builders {
            if other.next != all.next {
                return Err(ViewError::Gap { expected: all.next, found: other.next });
            }
            all.views.extend(other.views);
        }
        Ok(all)
    }

    fn fold(
        views: &mut [(Box<dyn Folder>, u64)],
        db: &Db,
        (page, events): &Decoded,
    ) -> Result<(), ViewError> {
        views::fold(db, views.iter_mut().map(|(view, _)| view), page, events).map(drop)
    }

    fn write(views: &mut [(Box<dyn Folder>, u64)], db: &Db, which: Which) -> Result<(), ViewError> {
        views.iter_mut().try_for_each(|(view, _)| view.write(db, which))
    }

    fn advance(&mut self, page: &[Recorded]) {
        if let Some(last) = page.last() {
            (self.next, self.last) = (last.position + 1, Some(last.event.id));
        }
    }

    /// Folds what comes. Nobody else writes these tables, so folding needs no transaction; builders write in turn.
    fn load(
        mut self,
        mut pages: Pages,
        turn: &Mutex<()>,
        report: impl Fn(Position),
    ) -> Result<Self, ViewError> {
        let mut unwritten = 0;
        while let Some(decoded) = pages.blocking_recv() {
            let decoded = decoded?;
            Self::fold(&mut self.views, &self.db, &decoded)?;
            self.advance(&decoded.0);
            unwritten += decoded.0.len();
            // Giving thousands of strings back takes its time; another thread may have some.
            tokio::task::spawn_blocking(move || drop(decoded));
            if unwritten >= CHUNK {
                unwritten = 0;
                self.commit(turn, Which::Forgotten)?;
                report(self.next);
            }
        }
        self.commit(turn, Which::All)?;
        report(self.next);
        Ok(self)
    }

    fn commit(&mut self, turn: &Mutex<()>, which: Which) -> Result<(), ViewError> {
        let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
        let tx = self.db.build()?;
        Self::write(&mut self.views, &self.db, which)?;
        tx.commit()
    }

    fn index(&self, report: impl Fn(u64, u64)) -> Result<(), ViewError> {
        let total = self.views.len() as u64;
        for (done, (view, generation)) in self.views.iter().enumerate() {
            report(done as u64, total);
            tables::create_indexes(&self.db, view.as_ref(), *generation)?;
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
            let tx = self.db.build()?;
            let decoded = (page, events);
            Self::fold(&mut self.views, &self.db, &decoded)?;
            Self::write(&mut self.views, &self.db, Which::All)?;
            tx.commit()?;
            self.advance(&decoded.0);
        }
    }

    fn swap(
        &mut self,
        more: &mut impl FnMut(Position) -> Result<Vec<Recorded>, LogError>,
    ) -> Result<(), ViewError> {
        let Self { db, views, next, last, store } = self;
        let tx = loop {
            let tx = db.write()?;
            if tables::take(db, views.iter().map(|(view, _)| view.as_ref()))? {
                break tx;
            }
            drop(tx);
            tracing::info!("somebody reads what is to be replaced; waiting");
            std::thread::sleep(PAUSE);
        };
        let served = tables::checkpoints(db)?;
        let built = |name: &str| views.iter().any(|(view, _)| view.name() == name);
        let served = served.iter().filter(|(name, _)| built(name)).map(|(_, c)| c.next).max().unwrap_or(0);
        for round in 0.. {
            if round >= LAST_ROUNDS && *next >= served {
                break;
            }
            let page = more(*next)?;
            let Some(end) = page.last().map(|end| (end.position + 1, end.event.id)) else { break };
            let events = views::decode(&page)?;
            Self::fold(views, db, &(page, events))?;
            Self::write(views, db, Which::All)?;
            (*next, *last) = (end.0, Some(end.1));
        }
        for (view, generation) in views.iter() {
            tables::replace(db, view.as_ref())?;
            let (version, digest) = (view.version(), view.digest());
            let checkpoint =
                Checkpoint { version, digest, generation: *generation, next: *next, last: *last };
            tables::set_checkpoints(db, &[(view.name(), checkpoint)])?;
        }
        tx.commit()?;
        tracing::info!(store = %store.shown(), next = *next, views = views.len(), "read models were rebuilt");
        Ok(())
    }
}
