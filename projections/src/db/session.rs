//! A connection to PostgreSQL for blocking code.
//!
//! # Shape
//! One connection, driven by the runtime whose handle it holds; each method waits for its answer. Everything unqualified is
//! found in the schema of this program's views first.
//!
//! # Correctness
//! An answer is waited for a bounded time. After that, or when the connection fails, nobody knows what the server has
//! done, so the session refuses everything from then on; whoever holds it opens another.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    fmt,
    sync::Arc,
    time::Duration,
};

use futures_util::TryStreamExt;
use rusqlite::types::Value;
use sqlx::{Arguments, AssertSqlSafe, Executor, PgConnection, postgres::PgArguments};
use tokio::runtime::Handle;

use super::{Kind, Param, dialect};
use crate::{postgres::Postgres, rows::Read, views::ViewError};

/// How long a question or change is waited for.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long the rows of a question are, of which somebody waits for the answer.
pub const SOON: Duration = Duration::from_secs(10);
/// How long those of a whole table are, which may have to be sorted.
pub const LATE: Duration = Duration::from_secs(3_600);
/// How long the beginning and end of a transaction are, and other small things; longer than a lock may take.
const SHORT_PATIENCE: Duration = Duration::from_secs(15);
/// How long a connection may take to show that it works.
const TRY: Duration = Duration::from_secs(3);
/// How long one that makes an index of a large table is, and all rows of an answer together.
const LONG_PATIENCE: Duration = Duration::from_secs(6 * 3_600);

/// A writer of which nothing is heard for this long was frozen or cut off: the server ends its transaction, so that another
/// node can go on. Between two statements a fold takes a part of it.
const FROZEN: &str = "4s";

/// One writer of the views at a time, by an advisory lock of this number: `Brtv`.
const WRITER: i64 = 0x4272_7476;

/// A connection to PostgreSQL.
pub struct Session {
    connection: RefCell<PgConnection>,
    handle: Handle,
    form: String,
    /// Statements in PostgreSQL's words, by ours.
    words: RefCell<HashMap<String, Arc<str>>>,
    broken: Cell<bool>,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("form", &self.form).finish_non_exhaustive()
    }
}

/// A column's values of many rows.
#[derive(Debug, Clone)]
pub enum Array {
    /// Whole numbers.
    Integers(Vec<Option<i64>>),
    /// Texts.
    Texts(Vec<Option<String>>),
    /// Byte strings.
    Blobs(Vec<Option<Vec<u8>>>),
}

impl Array {
    /// No values yet.
    #[must_use]
    pub const fn new(kind: Kind) -> Self {
        match kind {
            Kind::Integer => Self::Integers(Vec::new()),
            Kind::Text => Self::Texts(Vec::new()),
            Kind::Blob => Self::Blobs(Vec::new()),
        }
    }

    /// The array's type.
    #[must_use]
    pub const fn cast(kind: Kind) -> &'static str {
        match kind {
            Kind::Integer => "bigint[]",
            Kind::Text => "text[]",
            Kind::Blob => "bytea[]",
        }
    }

    /// Adds a value; one of another kind is null.
    pub fn push(&mut self, value: Value) {
        match self {
            Self::Integers(all) => all.push(if let Value::Integer(n) = value { Some(n) } else { None }),
            Self::Texts(all) => all.push(if let Value::Text(text) = value { Some(text) } else { None }),
            Self::Blobs(all) => all.push(if let Value::Blob(bytes) = value { Some(bytes) } else { None }),
        }
    }
}

impl Session {
    /// Connects, and looks for tables in the schema `form` first. Blocks: not for the runtime's own threads.
    ///
    /// # Errors
    /// When the server cannot be reached.
    pub fn open(postgres: &Postgres, form: String) -> Result<Self, ViewError> {
        let handle = Handle::current();
        let connection =
            handle.block_on(postgres.connect()).map_err(|e| ViewError::Storage(e.to_string()))?;
        let session = Self {
            connection: RefCell::new(connection),
            handle,
            form,
            words: RefCell::default(),
            broken: Cell::new(false),
        };
        // A commit may be lost with the power, never half of it: what is missing is folded again.
        session.batch(&format!(
            "select set_config('search_path', '{}, ' || current_setting('search_path'), false);
             set synchronous_commit = off; set jit = off",
            session.form
        ))?;
        Ok(session)
    }

    /// The schema of this program's views.
    #[must_use]
    pub fn form(&self) -> &str {
        &self.form
    }

    /// Runs statements without parameters, as they are.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn batch(&self, sql: &str) -> Result<(), ViewError> {
        self.raw(SHORT_PATIENCE, sql)
    }

    /// As [`Session::batch`], for what may take hours.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn long(&self, sql: &str) -> Result<(), ViewError> {
        self.raw(LONG_PATIENCE, sql)
    }

    /// Whether the server answers soon.
    #[must_use]
    pub fn answers(&self) -> bool {
        self.raw(TRY, "").is_ok()
    }

    fn raw(&self, patience: Duration, sql: &str) -> Result<(), ViewError> {
        self.run(patience, async |connection| {
            connection.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.map(drop)
        })
    }

    /// Begins a transaction that alone writes views.
    ///
    /// # Errors
    /// When the server refuses, or another writer takes too long.
    pub fn begin_writing(&self) -> Result<(), ViewError> {
        let begun = self.batch(&format!(
            "begin; set local idle_in_transaction_session_timeout = '{FROZEN}'; select pg_advisory_xact_lock({WRITER})"
        ));
        if begun.is_err() && !self.broken.get() {
            self.batch("rollback")?;
        }
        begun
    }

    /// Runs a statement; answers how many rows it changed.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn execute(&self, sql: &str, params: Vec<Param>) -> Result<u64, ViewError> {
        let sql = AssertSqlSafe(self.words(sql));
        let arguments = arguments(params)?;
        self.run(PATIENCE, async |connection| {
            let done = sqlx::query_with(sql, arguments).execute(connection).await?;
            Ok(done.rows_affected())
        })
    }

    /// Runs a statement with a whole column for each parameter; the types stand in the statement.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn execute_columns(&self, sql: &str, columns: Vec<Array>) -> Result<u64, ViewError> {
        let sql = AssertSqlSafe(self.words(sql));
        let mut arguments = PgArguments::default();
        for column in columns {
            let added = match column {
                Array::Integers(all) => arguments.add(all),
                Array::Texts(all) => arguments.add(all),
                Array::Blobs(all) => arguments.add(all),
            };
            added.map_err(|e| ViewError::Storage(e.to_string()))?;
        }
        self.run(PATIENCE, async |connection| {
            let done = sqlx::query_with(sql, arguments).execute(connection).await?;
            Ok(done.rows_affected())
        })
    }

    /// As [`super::Db::each`]; a row is waited for as long as `patience`.
    pub fn each<E: From<ViewError>>(
        &self,
        sql: &str,
        params: Vec<Param>,
        patience: Duration,
        mut show: impl FnMut(&mut Read<'_, '_>) -> Result<bool, E>,
    ) -> Result<(), E> {
        let sql = AssertSqlSafe(self.words(sql));
        let arguments = arguments(params)?;
        let mut said = Ok(());
        self.run(LONG_PATIENCE, async |connection| {
            let mut rows = sqlx::query_with(sql, arguments).fetch(connection);
            let late = |_| std::io::Error::from(std::io::ErrorKind::TimedOut);
            // Whoever has enough still takes what the server sends: the connection is used again.
            let mut enough = false;
            while let Some(row) = tokio::time::timeout(patience, rows.try_next()).await.map_err(late)?? {
                if !enough {
                    match show(&mut Read::of(&row)) {
                        Ok(more) => enough = !more,
                        Err(e) => (said, enough) = (Err(e), true),
                    }
                }
            }
            Ok(())
        })?;
        said
    }

    fn words(&self, sql: &str) -> Arc<str> {
        if let Some(known) = self.words.borrow().get(sql) {
            return known.clone();
        }
        let words: Arc<str> = dialect::query(sql).into();
        self.words.borrow_mut().insert(sql.to_owned(), words.clone());
        words
    }

    fn run<T>(
        &self,
        patience: Duration,
        work: impl AsyncFnOnce(&mut PgConnection) -> sqlx::Result<T>,
    ) -> Result<T, ViewError> {
        if self.broken.get() {
            return Err(ViewError::Storage("the connection to the database was lost".into()));
        }
        let mut connection = self.connection.borrow_mut();
        let answer =
            self.handle.block_on(async { tokio::time::timeout(patience, work(&mut connection)).await });
        match answer {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => {
                self.broken.set(!matches!(error, sqlx::Error::Database(_)));
                Err(ViewError::Storage(error.to_string()))
            }
            Err(_) => {
                self.broken.set(true);
                Err(ViewError::Storage("the database does not answer".into()))
            }
        }
    }
}

fn arguments(params: Vec<Param>) -> Result<PgArguments, ViewError> {
    let mut arguments = PgArguments::default();
    for Param { kind, value } in params {
        let added = match (kind, value) {
            (_, Value::Integer(n)) => arguments.add(n),
            (_, Value::Text(text)) => arguments.add(text),
            (_, Value::Blob(bytes)) => arguments.add(bytes),
            (Kind::Integer, _) => arguments.add(None::<i64>),
            (Kind::Text, _) => arguments.add(None::<String>),
            (Kind::Blob, _) => arguments.add(None::<Vec<u8>>),
        };
        added.map_err(|e| ViewError::Storage(e.to_string()))?;
    }
    Ok(arguments)
}
