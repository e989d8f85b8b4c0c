//! The distributed log: KurrentDB (EventStoreDB) holds the truth, and a PostgreSQL database mirrors it.
//!
//! # Shape
//! A Berth stream is a KurrentDB stream of the same name ([`names`]); an event's payload is its data, byte for byte,
//! and what else Berth knows of it is in its metadata ([`codec`]). Appends go to KurrentDB ([`append`]). Each node
//! follows `$all`, filtered on the server to Berth's streams ([`feed`]), and writes what comes, whole appends at a
//! time ([`assembly`]), into the tables of a PostgreSQL log ([`mirror`], [`store`]); all reading is done there. So
//! positions are dense and from 0, and every reader works as on PostgreSQL alone.
//!
//! # Correctness
//! - The order of positions is that of `$all`; a mirror that is made anew, by however many nodes, is the same.
//! - An append is answered when the shared mirror holds it, so whoever reads afterwards, on any node, sees it. A
//!   conflict is answered when the mirror has what the stream moved by.
//! - Nothing is ever skipped: a gap, or an event that is not Berth's, stops the mirror with a name and a revision.
//! - What was mirrored stays whatever happens in KurrentDB; [`KurrentLog::audit`] tells what is not there any more.
//! - No error and no log line shows the address's password.

mod address;
mod append;
mod assembly;
mod audit;
mod codec;
mod failure;
mod feed;
mod mirror;
mod names;
mod open;
mod store;
#[cfg(test)]
mod tests;
mod waiting;

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use domain::event::{Position, Recorded, Revision, StreamName};
use eventstore::{Client, Position as Place};
use tokio::{
    sync::{Mutex, Notify, OwnedSemaphorePermit, Semaphore, watch},
    task::JoinHandle,
};

use self::{address::Address, store::Store, waiting::Waiting};
pub use self::{
    audit::{Audit, Finding, MAX_FINDINGS},
    open::KurrentError,
};
use super::{Append, AppendError, Appended, EventLog, LogError, MAX_QUEUE, check, postgres::PostgresLog};
use crate::postgres::Postgres;

/// How long it may take to find where KurrentDB's log ends.
const OPENING: Duration = Duration::from_secs(30);

/// How often it is said how far the mirror is, when opening takes long.
const SAY: Duration = Duration::from_secs(5);

/// A log in KurrentDB, mirrored in a PostgreSQL database.
#[derive(Debug)]
pub struct KurrentLog {
    /// Reads the mirror's tables.
    mirror: PostgresLog,
    /// None when the log was opened for reading.
    writer: Option<Writer>,
}

/// What appends and mirrors.
struct Writer {
    inner: Arc<Inner>,
    stop: watch::Sender<bool>,
    mirroring: Mutex<Option<JoinHandle<()>>>,
}

/// What the mirror's task and appends share.
struct Inner {
    address: Address,
    client: Client,
    store: Store,
    waiting: Waiting,
    head: watch::Sender<Option<Position>>,
    /// Up to where in KurrentDB this node has seen everything mirrored.
    upto: watch::Sender<Option<Place>>,
    /// Whether the server has said that nothing more was there.
    caught_up: watch::Sender<bool>,
    /// Why nothing is mirrored any more.
    stopped: watch::Sender<Option<LogError>>,
    /// Told when the subscription should have said something.
    nudge: Notify,
    /// One for each append under way.
    places: Arc<Semaphore>,
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("address", &self.inner.address).finish_non_exhaustive()
    }
}

impl Inner {
    /// The mirror reaches up to `last`; wakes followers if that is news.
    fn mirrored(&self, last: Option<Position>) {
        self.head.send_if_modified(|head| std::mem::replace(head, (*head).max(last)) < last);
    }
}

impl KurrentLog {
    /// Opens a log for reading and appending; the database is made its mirror if it holds no log, and brought up to
    /// what KurrentDB holds.
    ///
    /// # Errors
    /// When one of the two cannot be used, the database holds another log, or the log is damaged.
    pub async fn open(url: &str, postgres: &Postgres) -> Result<Self, KurrentError> {
        let address = Address::new(url)?;
        postgres.prepare().await?;
        let store = Store::new(postgres);
        store.claim(address.names().prefix()).await?;
        let mirror = PostgresLog::open_read_only(postgres).await?;
        let client = address.client()?;
        open::same(&address, &client, &mirror, &store).await?;
        // Where a server has very much else, it is quicker to follow than to look for the end.
        let end = tokio::time::timeout(OPENING, open::end(&address, &client)).await.ok().transpose()?;
        let inner = Arc::new(Inner {
            head: watch::Sender::new(mirror.head().await?),
            upto: watch::Sender::new(store.checkpoint().await?),
            caught_up: watch::Sender::new(false),
            address,
            client,
            store,
            waiting: Waiting::default(),
            stopped: watch::Sender::new(None),
            nudge: Notify::new(),
            places: Arc::new(Semaphore::new(MAX_QUEUE)),
        });
        let (stop, stopping) = watch::channel(false);
        let mirroring = tokio::spawn(mirror::run(inner.clone(), stopping));
        let writer = Writer { inner, stop, mirroring: Mutex::new(Some(mirroring)) };
        let log = Self { mirror, writer: Some(writer) };
        let mirrored = match end {
            Some(None) => Ok(()),
            Some(end) => log.mirrored_to(end).await,
            None => log.mirrored_to(None).await,
        };
        if let Err(error) = mirrored {
            log.close().await;
            return Err(error.into());
        }
        Ok(log)
    }

    /// Opens an existing mirror for reading only; KurrentDB is not asked.
    ///
    /// # Errors
    /// When the database cannot be used, or mirrors no KurrentDB.
    pub async fn open_read_only(postgres: &Postgres) -> Result<Self, KurrentError> {
        let mirror = PostgresLog::open_read_only(postgres).await?;
        let store = Store::new(postgres);
        let prefix = store.prefix().await;
        store.close().await;
        match prefix? {
            Some(_) => Ok(Self { mirror, writer: None }),
            None => Err(KurrentError::NoMirror { database: postgres.shown().to_owned() }),
        }
    }

    /// Compares what KurrentDB holds with what was mirrored; `progress` hears how many events were compared, and how
    /// many there are. Nothing is changed, and nothing else needs to be open.
    ///
    /// # Errors
    /// When one of the two cannot be read, or the database does not mirror these streams.
    pub async fn audit(
        url: &str,
        postgres: &Postgres,
        progress: &mut (dyn FnMut(u64, u64) + Send),
    ) -> Result<Audit, KurrentError> {
        let address = Address::new(url)?;
        let log = Self::open_read_only(postgres).await?;
        let store = Store::new(postgres);
        store.must_mirror(address.names().prefix()).await?;
        let client = address.client()?;
        let audit = audit::run(&address, &client, &log, &store, progress).await;
        store.close().await;
        log.close().await;
        audit
    }

    /// Appends without waiting for the mirror, for copying much in order: what is sent after an answer stands behind
    /// it. Nothing of it may have been read yet when [`KurrentLog::settled`] has not been asked since.
    ///
    /// # Errors
    /// As for [`EventLog::append`].
    pub async fn send(&self, append: Append) -> Result<(), AppendError> {
        let (inner, place) = self.enter(&append)?;
        // A task of its own goes on when nobody waits for it.
        let sending = async move {
            let _place = place;
            append::send(&inner, &append).await
        };
        tokio::spawn(sending).await.unwrap_or(Err(AppendError::OutcomeUnknown))
    }

    /// Waits until everything that KurrentDB holds now is mirrored.
    ///
    /// # Errors
    /// When KurrentDB does not answer, or the mirror has stopped.
    pub async fn settled(&self) -> Result<(), KurrentError> {
        let Some(Writer { inner, .. }) = &self.writer else { return Ok(()) };
        match open::end(&inner.address, &inner.client).await? {
            Some(end) => Ok(self.mirrored_to(Some(end)).await?),
            None => Ok(()),
        }
    }

    /// Lets an append in, if one can be.
    fn enter(&self, append: &Append) -> Result<(Arc<Inner>, OwnedSemaphorePermit), AppendError> {
        check(append)?;
        let Some(Writer { inner, .. }) = &self.writer else {
            return Err(AppendError::Fatal("it was opened for reading only".into()));
        };
        if let Some(why) = &*inner.stopped.borrow() {
            return Err(AppendError::Fatal(why.to_string()));
        }
        let place = inner.places.clone().try_acquire_owned().map_err(|_| AppendError::Overloaded)?;
        Ok((inner.clone(), place))
    }

    /// Why the mirror has stopped, if it has: the log is damaged, nothing can be appended, and nothing new is read.
    #[must_use]
    pub fn stopped(&self) -> Option<LogError> {
        self.writer.as_ref().and_then(|writer| writer.inner.stopped.borrow().clone())
    }

    /// Stops accepting, waits for the appends under way, and closes all connections.
    pub async fn close(&self) {
        if let Some(writer) = &self.writer {
            // All places free means that nothing is under way; closing them keeps others from beginning.
            let all = u32::try_from(MAX_QUEUE).unwrap_or(u32::MAX);
            if let Ok(places) = writer.inner.places.acquire_many(all).await {
                places.forget();
            }
            writer.inner.places.close();
            writer.stop.send_replace(true);
            if let Some(mirroring) = writer.mirroring.lock().await.take() {
                let _ = mirroring.await;
            }
            writer.inner.store.close().await;
        }
        self.mirror.close().await;
    }

    /// Waits until this node has seen everything mirrored up to a place in KurrentDB; without one, until the server has
    /// no more.
    async fn mirrored_to(&self, end: Option<Place>) -> Result<(), LogError> {
        let Some(Writer { inner, .. }) = &self.writer else { return Ok(()) };
        let (mut upto, mut stopped) = (inner.upto.subscribe(), inner.stopped.subscribe());
        let mut caught_up = inner.caught_up.subscribe();
        loop {
            tokio::select! {
                _ = upto.wait_for(|upto| *upto >= end), if end.is_some() => return Ok(()),
                _ = caught_up.wait_for(|caught_up| *caught_up), if end.is_none() => return Ok(()),
                Ok(why) = stopped.wait_for(Option::is_some) => return why.clone().map_or(Ok(()), Err),
                () = tokio::time::sleep(SAY) => {
                    let mirrored = inner.head.borrow().map_or(0, |head| head + 1);
                    tracing::info!(mirrored, "the mirror is being brought up to what KurrentDB holds");
                }
            }
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

#[async_trait]
impl EventLog for KurrentLog {
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        let (inner, place) = self.enter(&append)?;
        let appending = async move {
            let _place = place;
            let appended = append::append(&inner, &append).await?;
            inner.mirrored(Some(appended.last));
            Ok(appended)
        };
        tokio::spawn(appending).await.unwrap_or(Err(AppendError::OutcomeUnknown))
    }

    async fn bring(&self, append: Append) -> Result<Option<Appended>, AppendError> {
        self.send(append).await.map(|()| None)
    }

    async fn settled(&self) -> Result<(), LogError> {
        Self::settled(self).await.map_err(|e| LogError::Storage(e.to_string()))
    }

    async fn read_stream(
        &self,
        stream: &StreamName,
        from: Revision,
        max: usize,
    ) -> Result<Vec<Recorded>, LogError> {
        self.mirror.read_stream(stream, from, max).await
    }

    async fn read_all(&self, from: Position, max: usize) -> Result<Vec<Recorded>, LogError> {
        let page = self.mirror.read_all(from, max).await?;
        match self.stopped() {
            Some(why) if page.is_empty() => Err(why),
            _ => Ok(page),
        }
    }

    async fn head(&self) -> Result<Option<Position>, LogError> {
        self.mirror.head().await
    }

    fn follow(&self) -> watch::Receiver<Option<Position>> {
        match &self.writer {
            Some(writer) => writer.inner.head.subscribe(),
            None => self.mirror.follow(),
        }
    }
}
