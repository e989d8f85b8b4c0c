//! Opening: whether a file is a log that this program understands, and bringing it up to date.
//!
//! # Shape
//! `inspect` only reads and comes before anything that writes, the switch to WAL included. What it refuses stays as
//! it was, byte for byte.
//!
//! # Correctness
//! Two processes may open a new file at once. A migration is one transaction, so one of them wins and the other fails;
//! it looks again and finds the work done.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, ErrorCode, OpenFlags, config::DbConfig};
use sqlx::{
    ConnectOptions,
    migrate::Migrator,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};

static MIGRATOR: Migrator = sqlx::migrate!("../migrations/sqlite/log");

/// `Brth`; the first migration writes it into the file's header.
const APPLICATION_ID: i64 = 0x4272_7468;

/// How long a connection waits for another process's transaction.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Pages of 4 KiB in the write-ahead file after which they are copied into the database: 8 MiB.
///
/// An index page that many commits change is copied once, so more is better for many streams; but a commit into a
/// write-ahead file that still grows costs several times one into a file that has its size, so less is better after
/// a start.
const CHECKPOINT_PAGES: u32 = 2000;

/// Files up to this size are checked page by page when opened, about a second on a slow disk; of larger ones only the
/// header, the schema, the length and the last event are.
const FULL_CHECK_BYTES: u64 = 64 << 20;

/// Times to look again when another process is creating the same file.
const ATTEMPTS: u32 = 20;
const PAUSE: Duration = Duration::from_millis(100);

/// A file cannot be used as a log. It was not changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It is something else.
    #[error("{} is not a Berth event log: {why}; name another file or folder", path.display())]
    NotALog {
        /// The file.
        path: PathBuf,
        /// How one can tell.
        why: String,
    },
    /// It is damaged.
    #[error("the event log {} is damaged: {why}; it was not changed; restore it from a backup", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A newer program has brought it to a schema that this one does not know.
    #[error(
        "the event log {} was written by a newer Berth (schema {found}, this one knows {known}); it was not \
         changed; use the newer program, or restore a backup made before the upgrade", path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its schema's version.
        found: i64,
        /// The newest version known here.
        known: i64,
    },
    /// It is from an older program and was opened for reading only.
    #[error("the event log {} has an older schema; start the server once: it brings the schema up to date", path.display())]
    Older {
        /// The file.
        path: PathBuf,
    },
    /// There is none.
    #[error("there is no event log at {}; name the folder that `berth serve` uses", path.display())]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The system refused.
    #[error("the event log {} cannot be opened: {why}", path.display())]
    Storage {
        /// The file.
        path: PathBuf,
        /// What the system said.
        why: String,
    },
}

impl OpenError {
    pub(super) fn storage(path: &Path, why: &impl ToString) -> Self {
        Self::Storage { path: path.to_owned(), why: why.to_string() }
    }

    fn sqlite(path: &Path, error: &rusqlite::Error) -> Self {
        let path = path.to_owned();
        match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => {
                Self::NotALog { path, why: "it is not a SQLite database".into() }
            }
            Some(ErrorCode::DatabaseCorrupt) => Self::Damaged { path, why: error.to_string() },
            _ => Self::Storage { path, why: error.to_string() },
        }
    }
}

/// What stands at a path.
enum Found {
    /// No file, or one without any table.
    Nothing,
    /// A log with migrations still to be applied.
    Older,
    /// A log of exactly this schema.
    Current,
}

/// Makes sure that `path` is a log of this program's schema.
pub(super) async fn prepare(path: &Path) -> Result<(), OpenError> {
    if path.parent().is_some_and(|folder| !folder.as_os_str().is_empty() && !folder.is_dir()) {
        return Err(OpenError::storage(path, &"its folder does not exist"));
    }
    let mut attempt = 1;
    loop {
        let found = match look(path).await {
            Ok(Found::Current) => return Ok(()),
            Ok(Found::Nothing | Found::Older) => {
                migrate(path).await.map_err(|error| OpenError::storage(path, &error))
            }
            Err(error) => Err(error),
        };
        match found {
            Ok(()) => return Ok(()),
            Err(OpenError::Storage { .. }) if attempt < ATTEMPTS => attempt += 1,
            Err(error) => return Err(error),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Makes sure, without writing, that `path` is a log of this program's schema.
pub(super) async fn must_be_current(path: &Path) -> Result<(), OpenError> {
    match look(path).await? {
        Found::Current => Ok(()),
        Found::Older => Err(OpenError::Older { path: path.to_owned() }),
        Found::Nothing => Err(OpenError::Missing { path: path.to_owned() }),
    }
}

/// [`inspect`] on a thread that may wait for the disk.
async fn look(path: &Path) -> Result<Found, OpenError> {
    let at = path.to_owned();
    let found = tokio::task::spawn_blocking(move || inspect(&at)).await;
    found.map_err(|error| OpenError::storage(path, &error))?
}

async fn migrate(path: &Path) -> Result<(), sqlx::Error> {
    let mut connection = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY_TIMEOUT)
        .connect()
        .await?;
    MIGRATOR.run(&mut connection).await?;
    sqlx::Connection::close(connection).await
}

/// Looks at a file without changing it.
fn inspect(path: &Path) -> Result<Found, OpenError> {
    let length = match path.metadata() {
        Ok(file) if file.is_dir() => {
            return Err(OpenError::NotALog { path: path.to_owned(), why: "it is a folder".into() });
        }
        Ok(file) => file.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) => return Err(OpenError::storage(path, &error)),
    };
    if length == 0 {
        return Ok(Found::Nothing);
    }
    let sqlite = |error: rusqlite::Error| OpenError::sqlite(path, &error);
    let connection = onlooker(path).map_err(sqlite)?;
    let number = |sql: &str| connection.query_row(sql, (), |row| row.get::<_, i64>(0)).map_err(sqlite);
    if number("select count(*) from sqlite_schema where name not like '%sqlx_migrations%'")? == 0 {
        return Ok(Found::Nothing);
    }
    if number("pragma application_id")? != APPLICATION_ID {
        return Err(OpenError::NotALog {
            path: path.to_owned(),
            why: "it belongs to another program".into(),
        });
    }
    let found = schema(path, &connection)?;
    let damaged = |why: String| Err(OpenError::Damaged { path: path.to_owned(), why });
    let expected = number("pragma page_count")? * number("pragma page_size")?;
    if !beside(path, "-wal").exists() && length < expected.cast_unsigned() {
        return damaged(format!("it has {length} bytes of {expected}"));
    }
    let check = match length {
        0..=FULL_CHECK_BYTES => "pragma quick_check(1)",
        _ => {
            "select 'ok' from (select * from events order by position desc limit 1) where payload is not null"
        }
    };
    let verdict = connection.query_row(check, (), |row| row.get::<_, String>(0));
    match verdict
        .or_else(|e| if e == rusqlite::Error::QueryReturnedNoRows { Ok("ok".into()) } else { Err(e) })
    {
        Ok(verdict) if verdict == "ok" => Ok(found),
        Ok(verdict) => damaged(verdict.replace('\n', ", ")),
        Err(error) => Err(sqlite(error)),
    }
}

/// Compares the migrations that a file has seen with those known here.
fn schema(path: &Path, connection: &Connection) -> Result<Found, OpenError> {
    let sqlite = |error: rusqlite::Error| OpenError::sqlite(path, &error);
    let known = MIGRATOR.iter().map(|migration| migration.version).max().unwrap_or(0);
    let mut applied = 0;
    let mut statement = connection
        .prepare("select version, checksum from _sqlx_migrations where success order by version")
        .map_err(sqlite)?;
    let mut rows = statement.query(()).map_err(sqlite)?;
    while let Some(row) = rows.next().map_err(sqlite)? {
        let found: i64 = row.get(0).map_err(sqlite)?;
        let checksum: Vec<u8> = row.get(1).map_err(sqlite)?;
        match MIGRATOR.iter().find(|migration| migration.version == found) {
            None => return Err(OpenError::Newer { path: path.to_owned(), found, known }),
            Some(migration) if *migration.checksum != checksum[..] => {
                let why = format!("its schema {found} is not the one known here");
                return Err(OpenError::NotALog { path: path.to_owned(), why });
            }
            Some(_) => applied += 1,
        }
    }
    Ok(if applied == MIGRATOR.iter().count() { Found::Current } else { Found::Older })
}

/// The name of a file that SQLite keeps beside `path`.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// A connection that looks at a file nobody has open without creating the files that SQLite keeps beside it.
fn onlooker(path: &Path) -> rusqlite::Result<Connection> {
    let Some(name) = path.to_str().filter(|_| !beside(path, "-wal").exists()) else {
        return reader(path);
    };
    let name = name.replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    let flags =
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    Connection::open_with_flags(format!("file:{name}?immutable=1"), flags)
}

/// A connection that reads, also while others write.
///
/// On a disk that cannot be written a log can still be read if it was closed properly.
pub(super) fn reader(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    configure(&connection)?;
    match connection.query_row("select count(*) from sqlite_schema", (), |_| Ok(())) {
        Err(error)
            if matches!(error.sqlite_error_code(), Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly))
                && !beside(path, "-wal").exists() =>
        {
            onlooker(path)
        }
        result => result.map(|()| connection),
    }
}

/// The connection that writes.
pub(super) fn writer(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    configure(&connection)?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    // The writer itself chooses a stream's number; checking it again for every event finds nothing.
    connection.pragma_update(None, "foreign_keys", false)?;
    Ok(connection)
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    // Without this a statement with `limit ?` is compiled again whenever it is used.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map(drop)
}
