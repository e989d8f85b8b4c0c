//! The file that holds all read models.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags};

use super::ViewError;

/// `Brtv`; in the file's header.
const APPLICATION_ID: i64 = 0x4272_7476;

/// How long a writer waits for another: a rebuild of a large view makes its indexes in one transaction.
const WRITER_TIMEOUT: Duration = Duration::from_secs(120);
/// How long a reader waits; in WAL mode it only ever waits for a recovery.
const READER_TIMEOUT: Duration = Duration::from_secs(5);
/// The writer's page cache in KiB.
const CACHE_KIB: i64 = 65_536;
/// Pages of 4 KiB in the write-ahead file after which they are copied: a commit rewrites many of the pages of the one
/// before.
const WAL_PAGES: u32 = 4_096;
/// Prepared statements kept; every view has four.
const STATEMENTS: usize = 128;

const CHECKPOINTS: &str = include_str!("../../../migrations/sqlite/views/checkpoints.sql");

/// Opens the file for writing; makes it when there is none.
///
/// # Errors
/// When it is damaged or belongs to another program; then it was not changed.
pub fn writer(path: &Path) -> Result<Connection, ViewError> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags).map_err(|e| at(path, e))?;
    db.busy_timeout(WRITER_TIMEOUT)?;
    check(path, &db).map_err(|e| named(path, e))?;
    prepare(&db).map_err(|e| at(path, e))?;
    Ok(db)
}

fn prepare(db: &Connection) -> rusqlite::Result<()> {
    db.pragma_update(None, "journal_mode", "wal")?;
    db.pragma_update(None, "application_id", APPLICATION_ID)?;
    // A commit may be lost with the power, never half of it: what is missing is folded again.
    db.pragma_update(None, "synchronous", "normal")?;
    db.pragma_update(None, "cache_size", -CACHE_KIB)?;
    db.pragma_update(None, "wal_autocheckpoint", WAL_PAGES)?;
    db.set_prepared_statement_cache_capacity(STATEMENTS);
    db.execute_batch(CHECKPOINTS)
}

/// Opens the file for reading.
///
/// # Errors
/// When there is none, or it cannot be used.
pub fn reader(path: &Path) -> Result<Connection, ViewError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags).map_err(|e| at(path, e))?;
    db.busy_timeout(READER_TIMEOUT)?;
    db.set_prepared_statement_cache_capacity(STATEMENTS);
    check(path, &db).map_err(|e| named(path, e))?;
    Ok(db)
}

/// Only a file of ours, or an empty one, may be touched.
fn check(path: &Path, db: &Connection) -> Result<(), ViewError> {
    let number = |sql: &str| db.query_row(sql, (), |row| row.get::<_, i64>(0));
    if number("select count(*) from sqlite_schema")? == 0
        || number("pragma application_id")? == APPLICATION_ID
    {
        return Ok(());
    }
    Err(ViewError::Foreign { path: path.to_owned() })
}

fn at(path: &Path, error: rusqlite::Error) -> ViewError {
    named(path, error.into())
}

/// Puts the file's name into an error.
pub(crate) fn named(path: &Path, error: ViewError) -> ViewError {
    match error {
        ViewError::Corrupt { why, .. } => ViewError::Corrupt { path: path.to_owned(), why },
        other => other,
    }
}

/// Renames a damaged file to `<path>-damaged`. Nobody may have it open.
pub(crate) fn set_aside(path: &Path) -> Result<(), ViewError> {
    let storage = |e: std::io::Error| ViewError::Storage(e.to_string());
    std::fs::rename(path, beside(path, "-damaged")).map_err(storage)?;
    for suffix in ["-wal", "-shm"] {
        match std::fs::remove_file(beside(path, suffix)) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(storage(e)),
            _ => {}
        }
    }
    Ok(())
}

/// The name of a file beside `path`.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
