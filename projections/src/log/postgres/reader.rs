//! Reading: a few connections, each used by one read at a time.
//!
//! # Correctness
//! Rows are taken from the connection one by one until the page is full, so a page of the largest events is no more
//! memory than a page. What an average event of the last page was says how many are asked for, so that little is sent
//! in vain. A connection that broke while nobody used it is no failure: the read is done again on a new one.

use std::{
    collections::HashMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use domain::event::{Position, Recorded, StreamName};
use futures_util::TryStreamExt;
use sqlx::{ConnectOptions, PgConnection, Row as _, postgres::PgConnectOptions};
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{error::Elapsed, timeout},
};

use super::row::{Row, columns, number};
use crate::{
    log::{LogError, MAX_PAGE, MAX_PAGE_BYTES},
    postgres::Postgres,
};

/// Connections, and so reads at once; further reads wait.
const MAX_READERS: usize = 5;

/// Stream names that are remembered, some 100 bytes each.
const MAX_NAMES: usize = 65_536;

/// How long a read may take, connecting and waiting for others included.
const PATIENCE: Duration = Duration::from_secs(30);

/// Told to sessions that read: pages are always found by an index, never by going through the table.
const SESSION: [(&str, &str); 4] =
    [("statement_timeout", "30000"), ("enable_seqscan", "off"), ("enable_sort", "off"), ("jit", "off")];

const STREAM: &str = concat!(
    "select ",
    columns!(),
    " from events where stream = (select id from streams where name = $1) and revision >= $2 \
     order by revision limit $3"
);
const ALL: &str =
    concat!("select ", columns!(), " from events where position >= $1 order by position limit $2");
const NAMES: &str = "select id, name from streams where id = any ($1)";
const HEAD: &str = "select max(position) from events";

/// The connections, and what was learnt with them.
#[derive(Debug)]
pub struct Readers {
    options: PgConnectOptions,
    idle: Mutex<Vec<PgConnection>>,
    permits: Semaphore,
    names: Mutex<HashMap<i64, StreamName>>,
    /// Bytes of an average payload of the last page.
    typical: AtomicUsize,
}

/// A connection for one read.
struct Loan<'a> {
    readers: &'a Readers,
    connection: PgConnection,
    /// It was opened for this read.
    new: bool,
    _permit: SemaphorePermit<'a>,
}

/// What came of it.
enum Failed {
    Connection(sqlx::Error),
    Log(LogError),
}

impl From<sqlx::Error> for Failed {
    fn from(error: sqlx::Error) -> Self {
        Self::Connection(error)
    }
}

impl From<LogError> for Failed {
    fn from(error: LogError) -> Self {
        Self::Log(error)
    }
}

impl Readers {
    pub fn new(postgres: &Postgres) -> Self {
        Self {
            options: postgres.options().clone().options(SESSION),
            idle: Mutex::default(),
            permits: Semaphore::new(MAX_READERS),
            names: Mutex::default(),
            typical: AtomicUsize::new(0),
        }
    }

    /// Closes the connections that are not in use; later reads open new ones.
    pub fn close_idle(&self) {
        lock(&self.idle).clear();
    }

    pub async fn head(&self) -> Result<Option<Position>, LogError> {
        loop {
            let read = timeout(PATIENCE, async {
                let mut loan = self.loan().await?;
                let head = sqlx::query_scalar(HEAD).fetch_one(&mut loan.connection).await;
                loan.settle(
                    head.map(|head: Option<i64>| (head.map(i64::cast_unsigned), true)).map_err(Failed::from),
                )
            });
            if let Some(head) = read.await.map_err(silent)?? {
                return Ok(head);
            }
        }
    }

    /// A page of a stream, or of all.
    pub async fn read(
        &self,
        stream: Option<&StreamName>,
        from: u64,
        max: usize,
    ) -> Result<Vec<Recorded>, LogError> {
        loop {
            let read = timeout(PATIENCE, async {
                let mut loan = self.loan().await?;
                let page = self.page(&mut loan.connection, stream, number(from), max).await;
                loan.settle(page)
            });
            if let Some(page) = read.await.map_err(silent)?? {
                return Ok(page);
            }
        }
    }

    /// The page, and whether the connection can be used again: not when rows are still coming.
    async fn page(
        &self,
        connection: &mut PgConnection,
        stream: Option<&StreamName>,
        from: i64,
        max: usize,
    ) -> Result<(Vec<Recorded>, bool), Failed> {
        let enough = MAX_PAGE_BYTES / self.typical.load(Ordering::Relaxed).max(1) + 1;
        let limit = max.clamp(1, MAX_PAGE).min(enough) as i64;
        let query = match stream {
            Some(stream) => sqlx::query(STREAM).bind(stream.as_str()),
            None => sqlx::query(ALL),
        };
        let query = query.bind(from).bind(limit);
        let mut page: Vec<Row> = Vec::new();
        let mut bytes = 0;
        let mut whole = true;
        {
            let mut rows = query.fetch(&mut *connection);
            while let Some(row) = rows.try_next().await? {
                let row = Row::read(&row)?;
                bytes += row.event.payload.len();
                page.push(row);
                if bytes >= MAX_PAGE_BYTES {
                    whole = page.len() as i64 == limit;
                    break;
                }
            }
        }
        if !page.is_empty() {
            self.typical.store(bytes / page.len(), Ordering::Relaxed);
        }
        let named = match stream {
            Some(stream) => page.into_iter().map(|row| row.named(stream.clone())).collect(),
            None if whole => self.named(connection, page).await?,
            None => {
                let mut other = self.options.connect().await?;
                self.named(&mut other, page).await?
            }
        };
        Ok((named, whole))
    }

    /// Finds the streams' names.
    async fn named(&self, connection: &mut PgConnection, page: Vec<Row>) -> Result<Vec<Recorded>, Failed> {
        // The page's own, whatever else is remembered or forgotten meanwhile.
        let mut own: HashMap<i64, StreamName> = HashMap::new();
        let mut unknown: Vec<i64> = Vec::new();
        {
            let mut names = lock(&self.names);
            if names.len() > MAX_NAMES {
                names.clear();
            }
            for row in &page {
                match names.get(&row.stream) {
                    Some(name) => drop(own.insert(row.stream, name.clone())),
                    None => unknown.push(row.stream),
                }
            }
        }
        unknown.sort_unstable();
        unknown.dedup();
        let found = match unknown.is_empty() {
            true => Vec::new(),
            false => sqlx::query(NAMES).bind(unknown).fetch_all(connection).await?,
        };
        let found: Result<Vec<(i64, String)>, sqlx::Error> =
            found.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect();
        let found = found?.into_iter().map(|(id, name)| (id, StreamName::stored(name)));
        let found: Vec<_> = found.collect();
        lock(&self.names).extend(found.iter().cloned());
        own.extend(found);
        page.into_iter()
            .map(|row| {
                let nameless = || LogError::Storage(format!("stream number {} has no name", row.stream));
                let name = own.get(&row.stream).cloned().ok_or_else(nameless)?;
                Ok(row.named(name))
            })
            .collect()
    }

    async fn loan(&self) -> Result<Loan<'_>, LogError> {
        let permit = self.permits.acquire().await.map_err(|e| LogError::Storage(e.to_string()))?;
        let idle = lock(&self.idle).pop();
        let (connection, new) = match idle {
            Some(connection) => (connection, false),
            None => (self.options.connect().await.map_err(storage)?, true),
        };
        Ok(Loan { readers: self, connection, new, _permit: permit })
    }
}

impl Loan<'_> {
    /// Gives the connection back if it is sound; none when the read is to be done again on another.
    fn settle<T>(self, read: Result<(T, bool), Failed>) -> Result<Option<T>, LogError> {
        match read {
            Ok((value, reusable)) => {
                if reusable {
                    lock(&self.readers.idle).push(self.connection);
                }
                Ok(Some(value))
            }
            Err(Failed::Connection(_)) if !self.new => {
                self.readers.close_idle();
                Ok(None)
            }
            Err(Failed::Connection(error)) => Err(storage(error)),
            Err(Failed::Log(error)) => Err(error),
        }
    }
}

/// Every critical section leaves the value whole, so a panic elsewhere does not spoil it.
fn lock<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the database said.
#[expect(clippy::needless_pass_by_value, reason = "used by map_err")]
fn storage(error: sqlx::Error) -> LogError {
    LogError::Storage(error.to_string())
}

fn silent(_: Elapsed) -> LogError {
    LogError::Storage("the database does not answer".into())
}
