//! Reading: a few connections that cannot write, each used by one blocking call at a time.

use std::{
    collections::{HashMap, hash_map::Entry},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use domain::event::{Position, Recorded, Revision, StreamName};
use rusqlite::{Connection, OptionalExtension};
use tokio::sync::Semaphore;

use super::{
    heads::Known,
    open,
    row::{self, columns, number, storage},
};
use crate::log::{LogError, MAX_PAGE, MAX_PAGE_BYTES};

/// Connections, and so reads at once; further reads wait.
const MAX_READERS: usize = 4;

/// Stream names a connection remembers; events of the same streams stand near each other.
const MAX_NAMES: usize = 4096;

const STREAM: &str = concat!(
    "select ",
    columns!(),
    " from events where stream = (select id from streams where name = ?1) and revision >= ?2 \
     order by revision limit ?3"
);
const ALL: &str =
    concat!("select ", columns!(), " from events where position >= ?1 order by position limit ?2");
const NAME: &str = "select name from streams where id = ?1";
const HEAD: &str = "select max(position) from events";

/// The pool.
#[derive(Debug)]
pub struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Reader>>,
    permits: Arc<Semaphore>,
}

#[derive(Debug)]
struct Reader {
    connection: Connection,
    names: HashMap<i64, StreamName>,
}

impl Readers {
    pub fn new(path: PathBuf) -> Self {
        Self { path, idle: Mutex::default(), permits: Arc::new(Semaphore::new(MAX_READERS)) }
    }

    /// Whether a stream certainly has nothing from a revision on: the answer to most reads, as whoever decides keeps the
    /// last state it decided on.
    ///
    /// Runs on the caller's thread. It looks at the end of the log only, which is in memory after any append.
    pub fn nothing_from(&self, known: &Known, stream: &StreamName, from: Revision) -> bool {
        let Some((_, next)) = known.head(stream).filter(|(head, _)| from > head.last) else { return false };
        let Some(reader) = self.idle().pop() else { return false };
        let Ok(head) = reader.head() else { return false };
        self.idle().push(reader);
        head.map_or(0, |head| head + 1) == next
    }

    /// Closes the connections that are not in use; later reads open new ones.
    pub fn close_idle(&self) {
        self.idle().clear();
    }

    pub async fn head(self: &Arc<Self>) -> Result<Option<Position>, LogError> {
        self.run(|reader| reader.head().map_err(storage)).await
    }

    pub async fn read_stream(
        self: &Arc<Self>,
        stream: StreamName,
        from: Revision,
        max: usize,
    ) -> Result<Vec<Recorded>, LogError> {
        self.run(move |reader| {
            let mut statement = reader.connection.prepare_cached(STREAM).map_err(storage)?;
            let limit = number(max.clamp(1, MAX_PAGE) as u64);
            let rows = statement.query((stream.as_str(), number(from), limit)).map_err(storage)?;
            page(rows, |_| Ok(stream.clone()))
        })
        .await
    }

    pub async fn read_all(self: &Arc<Self>, from: Position, max: usize) -> Result<Vec<Recorded>, LogError> {
        self.run(move |Reader { connection, names }| {
            let mut statement = connection.prepare_cached(ALL).map_err(storage)?;
            let limit = number(max.clamp(1, MAX_PAGE) as u64);
            let rows = statement.query((number(from), limit)).map_err(storage)?;
            if names.len() > MAX_NAMES {
                names.clear();
            }
            page(rows, |stream| match names.entry(stream) {
                Entry::Occupied(known) => Ok(known.get().clone()),
                Entry::Vacant(unknown) => {
                    let mut statement = connection.prepare_cached(NAME).map_err(storage)?;
                    let name = statement.query_row([stream], |row| row.get::<_, String>(0)).optional();
                    let name = name.map_err(storage)?;
                    let name =
                        name.ok_or_else(|| LogError::Storage(format!("stream number {stream} has no name")))?;
                    Ok(unknown.insert(StreamName::stored(name)).clone())
                }
            })
        })
        .await
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Reader>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `read` on a connection of its own. A connection that failed is not used again.
    async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        read: impl FnOnce(&mut Reader) -> Result<T, LogError> + Send + 'static,
    ) -> Result<T, LogError> {
        let permit = self.permits.clone().acquire_owned().await;
        let permit = permit.map_err(|e| LogError::Storage(e.to_string()))?;
        let readers = self.clone();
        let done = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let idle = readers.idle().pop();
            let mut reader = match idle {
                Some(reader) => reader,
                None => Reader {
                    connection: open::reader(&readers.path).map_err(storage)?,
                    names: HashMap::new(),
                },
            };
            let result = read(&mut reader)?;
            readers.idle().push(reader);
            Ok(result)
        });
        done.await.map_err(|e| LogError::Storage(e.to_string()))?
    }
}

impl Reader {
    fn head(&self) -> rusqlite::Result<Option<Position>> {
        let mut statement = self.connection.prepare_cached(HEAD)?;
        statement.query_row((), |row| row.get(0)).map(|head: Option<i64>| head.map(i64::cast_unsigned))
    }
}

/// Reads rows until the page is full.
fn page(
    mut rows: rusqlite::Rows<'_>,
    mut name: impl FnMut(i64) -> Result<StreamName, LogError>,
) -> Result<Vec<Recorded>, LogError> {
    let mut page = Vec::new();
    let mut bytes = 0;
    while bytes < MAX_PAGE_BYTES
        && let Some(row) = rows.next().map_err(storage)?
    {
        let recorded = row::read(row, &mut name)?;
        bytes += recorded.event.payload.len();
        page.push(recorded);
    }
    Ok(page)
}
