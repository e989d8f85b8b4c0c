//! The file that holds all read models, its tables and checkpoints.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use domain::{event::Position, id::EventId, key::Digest};
use rusqlite::{Connection, OpenFlags};

use super::{Folder, ViewError};
use crate::rows::{BadColumn, Column, Read};

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

/// Tables that are being built bear this suffix until they replace the served ones.
pub const BUILD: &str = "__build";

const CHECKPOINTS: &str = include_str!("../../../migrations/sqlite/views/checkpoints.sql");

/// A view's row in the table `checkpoints`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpoint {
    /// The fold's version.
    pub version: u32,
    /// The table's form.
    pub digest: Digest,
    /// Counts rebuilds.
    pub generation: u64,
    /// The first position not folded.
    pub next: Position,
    /// The event before it: tells whether the log is still the one that was folded.
    pub last: Option<EventId>,
}

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

/// A DDL text's statements without comments.
#[must_use]
pub fn statements(ddl: &str) -> Vec<String> {
    let code =
        ddl.lines().map(|line| line.split("--").next().unwrap_or("").trim()).filter(|line| !line.is_empty());
    let code = code.collect::<Vec<_>>().join(" ");
    code.split(';').map(str::trim).filter(|s| !s.is_empty()).map(String::from).collect()
}

/// Identifies the form of tables; comments do not count.
pub(crate) fn digest(ddl: &str) -> Digest {
    Digest::of(statements(ddl).join(";").as_bytes())
}

/// Makes a view's tables under names of their own, without indexes; drops what an earlier attempt left, and tables
/// without a checkpoint.
pub(crate) fn create_tables(db: &Connection, view: &dyn Folder, served: bool) -> Result<(), ViewError> {
    let statements = statements(view.ddl());
    for name in view.tables() {
        db.execute_batch(&format!("drop table if exists {name}{BUILD}"))?;
        if !served {
            db.execute_batch(&format!("drop table if exists {name}"))?;
        }
        let head = format!("create table {name} ");
        for statement in statements.iter().filter(|s| s.starts_with(&head)) {
            db.execute_batch(&statement.replacen(&head, &format!("create table {name}{BUILD} "), 1))?;
        }
    }
    Ok(())
}

/// Makes the indexes of a view that is being built. An index keeps its name for life, so the rebuild's number is in it.
pub(crate) fn create_indexes(db: &Connection, view: &dyn Folder, generation: u64) -> Result<(), ViewError> {
    for statement in statements(view.ddl()).iter().filter(|s| !s.starts_with("create table")) {
        let made = view.tables().iter().fold(statement.clone(), |made, name| {
            let made =
                made.replacen(&format!("index {name}_by_"), &format!("index {name}_{generation}_by_"), 1);
            made.replacen(&format!(" on {name} "), &format!(" on {name}{BUILD} "), 1)
        });
        db.execute_batch(&made)?;
    }
    Ok(())
}

/// Puts the built tables in the served ones' place.
pub(crate) fn replace_tables(db: &Connection, view: &dyn Folder) -> Result<(), ViewError> {
    for name in view.tables() {
        db.execute_batch(&format!(
            "drop table if exists {name}; alter table {name}{BUILD} rename to {name}"
        ))?;
    }
    Ok(())
}

/// Reads a view's checkpoint.
pub(crate) fn checkpoint(db: &Connection, view: &str) -> Result<Option<Checkpoint>, ViewError> {
    let mut statement =
        db.prepare_cached("select version, digest, generation, next, last from checkpoints where view = ?1")?;
    let mut rows = statement.query([view])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let mut columns = Read::new(row);
    let mut read = || {
        Ok(Checkpoint {
            version: columns.take()?,
            digest: columns.take()?,
            generation: columns.take()?,
            next: columns.take()?,
            last: columns.take()?,
        })
    };
    read().map(Some).map_err(|e: BadColumn| ViewError::BadRow { table: "checkpoints", why: e.to_string() })
}

/// Writes a view's checkpoint.
pub(crate) fn set_checkpoint(db: &Connection, view: &str, to: &Checkpoint) -> Result<(), ViewError> {
    let mut statement = db.prepare_cached(
        "insert or replace into checkpoints (view, version, digest, generation, next, last) \
         values (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    let Checkpoint { version, digest, generation, next, last } = to;
    statement.execute((view, version, digest.write(), generation.write(), next.write(), last.write()))?;
    Ok(())
}
