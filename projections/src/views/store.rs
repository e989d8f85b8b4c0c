//! Where read models are kept: a file beside the log, or a database that nodes share.
//!
//! # Shape
//! On PostgreSQL the views of one form (all their versions and tables' forms together) stand in a schema of their own,
//! named by that form. Nodes of two versions so serve side by side, each from its own views, while a marketplace is
//! upgraded; a form that no node has used for a day is dropped by the next node that starts.
//!
//! # Correctness
//! A schema is made, and dropped, under an advisory lock. It is dropped only by its `used_at`, which every node that
//! folds its form renews far more often than once a day, and never when it is this program's.

use std::{
    fs::{File, TryLockError},
    path::{Path, PathBuf},
};

use domain::key::Digest;

use super::{ViewError, file};
use crate::{
    db::{Db, Session},
    postgres::Postgres,
};

/// Locks the making and dropping of schemas: `Brtf`.
const FORMS: i64 = 0x4272_7466;
/// Locks rebuilding: `Brtr`.
const REBUILD: i64 = 0x4272_7472;

/// The checkpoints of a schema; as migrations/sqlite/views/checkpoints.sql says.
const CHECKPOINTS: &str = "create table checkpoints (
    view text collate \"C\" primary key, version bigint not null, digest bytea not null, generation bigint not null,
    next bigint not null check (next >= 0), last bytea)";

/// Where read models are kept.
#[derive(Debug, Clone)]
pub enum Store {
    /// In a file of SQLite.
    File(PathBuf),
    /// On a server.
    Postgres(Box<Postgres>),
}

impl From<&Path> for Store {
    fn from(path: &Path) -> Self {
        Self::File(path.to_owned())
    }
}

impl From<PathBuf> for Store {
    fn from(path: PathBuf) -> Self {
        Self::File(path)
    }
}

impl From<&PathBuf> for Store {
    fn from(path: &PathBuf) -> Self {
        Self::File(path.clone())
    }
}

impl From<Postgres> for Store {
    fn from(postgres: Postgres) -> Self {
        Self::Postgres(Box::new(postgres))
    }
}

impl From<&Self> for Store {
    fn from(store: &Self) -> Self {
        store.clone()
    }
}

/// Keeps other rebuilds of a store away while it lives.
#[derive(Debug)]
pub struct RebuildLock {
    _file: Option<File>,
    _session: Option<Session>,
}

impl Store {
    /// What to call it in a log line.
    #[must_use]
    pub fn shown(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Postgres(postgres) => postgres.shown().to_owned(),
        }
    }

    /// Opens it for writing; makes what is missing. Blocks, as everything here.
    ///
    /// # Errors
    /// When it is damaged, belongs to another program, or cannot be reached.
    pub fn writer(&self) -> Result<Db, ViewError> {
        match self {
            Self::File(path) => file::writer(path).map(Db::Sqlite),
            Self::Postgres(postgres) => {
                let session = Session::open(postgres, form())?;
                make(&session)?;
                Ok(Db::Postgres(session))
            }
        }
    }

    /// Opens it for reading.
    ///
    /// # Errors
    /// As [`Store::writer`], and when there is none.
    pub fn reader(&self) -> Result<Db, ViewError> {
        match self {
            Self::File(path) => file::reader(path).map(Db::Sqlite),
            Self::Postgres(postgres) => Session::open(postgres, form()).map(Db::Postgres),
        }
    }

    /// Puts a file's name into an error.
    pub(crate) fn named(&self, error: ViewError) -> ViewError {
        match self {
            Self::File(path) => file::named(path, error),
            Self::Postgres(_) => error,
        }
    }

    /// Sets a damaged file aside. Nobody may have it open.
    pub(crate) fn set_aside(&self) -> Result<(), ViewError> {
        match self {
            Self::File(path) => file::set_aside(path),
            Self::Postgres(_) => Ok(()),
        }
    }

    /// Keeps other rebuilds away; waits for another, or says that there is one.
    pub(crate) fn lock(&self, wait: bool) -> Result<RebuildLock, ViewError> {
        match self {
            Self::File(path) => {
                let storage = |e: std::io::Error| ViewError::Storage(e.to_string());
                let file = File::create(file::beside(path, "-rebuild")).map_err(storage)?;
                match file.try_lock() {
                    Ok(()) => {}
                    Err(TryLockError::WouldBlock) if wait => file.lock().map_err(storage)?,
                    Err(TryLockError::WouldBlock) => return Err(ViewError::Busy),
                    Err(TryLockError::Error(error)) => return Err(storage(error)),
                }
                Ok(RebuildLock { _file: Some(file), _session: None })
            }
            Self::Postgres(postgres) => {
                let db = Db::Postgres(Session::open(postgres, form())?);
                let taken = format!("select pg_try_advisory_lock({REBUILD})");
                if !db.value::<bool>(&taken, Vec::new())?.unwrap_or(false) {
                    if !wait {
                        return Err(ViewError::Busy);
                    }
                    tracing::info!("another node is building read models; waiting for it");
                    db.long(&format!("set lock_timeout = 0; select pg_advisory_lock({REBUILD})"))?;
                }
                let Db::Postgres(session) = db else { return Err(ViewError::Busy) };
                Ok(RebuildLock { _file: None, _session: Some(session) })
            }
        }
    }
}

/// The schema of this program's views.
fn form() -> String {
    let views = super::all(false);
    let forms: String =
        views.iter().map(|v| format!("{} {} {};", v.name(), v.version(), v.digest())).collect();
    let digest = Digest::of(forms.as_bytes()).to_string();
    let short: String = digest.chars().filter(char::is_ascii_alphanumeric).take(10).collect();
    format!("berth_views_{}", short.to_lowercase())
}

/// Makes the schema unless it is there.
fn make(session: &Session) -> Result<(), ViewError> {
    let form = session.form();
    session.batch(&format!(
        "select pg_advisory_xact_lock({FORMS});
         create schema if not exists {form};
         {};
         insert into view_forms (form, used_at) values ('{form}', now())
             on conflict (form) do update set used_at = excluded.used_at",
        CHECKPOINTS.replacen("create table ", &format!("create table if not exists {form}."), 1)
    ))
}

/// Says that the schema is in use.
pub(crate) fn used(db: &Db) -> Result<(), ViewError> {
    match db {
        Db::Sqlite(_) => Ok(()),
        Db::Postgres(session) => session.batch(&format!(
            "insert into view_forms (form, used_at) values ('{}', now())
                 on conflict (form) do update set used_at = excluded.used_at",
            session.form()
        )),
    }
}

/// Drops schemas that no node has used for a day; answers which.
pub(crate) fn drop_unused(db: &Db) -> Result<Vec<String>, ViewError> {
    let Db::Postgres(session) = db else { return Ok(Vec::new()) };
    let mut unused: Vec<String> = Vec::new();
    let sql = "select form from view_forms where used_at < now() - interval '1 day'";
    db.each(sql, Vec::new(), |row| {
        unused.push(row.take().map_err(|e| ViewError::Storage(e.to_string()))?);
        Ok::<_, ViewError>(true)
    })?;
    unused.retain(|form| form != session.form() && form.starts_with("berth_views_"));
    for form in &unused {
        session.batch(&format!(
            "select pg_advisory_xact_lock({FORMS}); set local lock_timeout = '1s';
             do $$ begin
                 delete from view_forms where form = '{form}' and used_at < now() - interval '1 day';
                 if found then drop schema if exists {form} cascade; end if;
             end $$"
        ))?;
    }
    Ok(unused)
}
