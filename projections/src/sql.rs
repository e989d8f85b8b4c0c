//! Statements that both databases understand: a file of SQLite's, or a PostgreSQL database that nodes share.
//!
//! # Shape
//! A [`Store`] is one or the other. A statement is written once ([`sql`]), with `?` and `?1` where values go, and only where
//! the two differ twice ([`two`]); [`Query::bind`] takes the values, and it is carried out on a store or in a [`Tx`].
//!
//! What both understand: `case when` and no `iif`; a condition is never a number; `on conflict … do update` names the table
//! of the old value; `is [not] distinct from`; a number that is selected is a column, a count or cast to `bigint`.
//!
//! # Correctness
//! SQLite has one writer at a time, and a transaction here is it from its beginning. PostgreSQL has many, each of which sees
//! what others have committed before each statement: of a row, `update`, `delete` and `on conflict` see the last state, of
//! everything else a statement may see an older one. So whatever counts or looks before it writes takes a name for itself
//! first ([`Tx::alone`]). A statement outside a transaction that PostgreSQL gave up to end a deadlock has changed nothing and
//! is repeated. Answers are read to their end: when a row is believed, what its statement changed is committed.
//!
//! A text has no NUL, which PostgreSQL cannot hold.

mod placeholders;
mod value;

use std::time::Duration;

use domain::key::Digest;
use sqlx::{
    AssertSqlSafe, FromRow, PgPool, Postgres, SqlSafeStr, Sqlite, SqlitePool, Transaction, postgres::PgRow,
    sqlite::SqliteRow,
};

pub(crate) use value::Value;

/// How often a statement is repeated that PostgreSQL gave up to end a deadlock.
const MAX_REPEATS: u32 = 5;
/// What PostgreSQL says then: a deadlock, or a conflict of transactions.
const GIVEN_UP: [&str; 2] = ["40P01", "40001"];

/// How long PostgreSQL may take for an answer: a host that is gone says nothing, and a lock is given up before.
const PATIENCE: Duration = Duration::from_secs(20);

async fn soon<T>(answer: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
    tokio::time::timeout(PATIENCE, answer).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
}

/// One database or the other; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) enum Store {
    /// A file.
    Sqlite(SqlitePool),
    /// A database that nodes share.
    Postgres(PgPool),
}

/// A transaction, undone when it is dropped.
#[derive(Debug)]
pub(crate) enum Tx {
    /// Of the only writer.
    Sqlite(Transaction<'static, Sqlite>),
    /// Of one of many.
    Postgres(Transaction<'static, Postgres>),
}

/// What a statement is carried out on.
pub(crate) enum On<'a> {
    /// By itself.
    Store(&'a Store),
    /// In a transaction.
    Tx(&'a mut Tx),
}

impl<'a> From<&'a Store> for On<'a> {
    fn from(store: &'a Store) -> Self {
        Self::Store(store)
    }
}

impl<'a> From<&'a mut Tx> for On<'a> {
    fn from(tx: &'a mut Tx) -> Self {
        Self::Tx(tx)
    }
}

/// What both databases' rows can be read as.
pub(crate) trait Row:
    for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin + 'static
{
}

impl<R> Row for R where R: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin + 'static
{}

impl Store {
    /// Begins a transaction that will write.
    pub async fn begin(&self) -> sqlx::Result<Tx> {
        match self {
            Self::Sqlite(pool) => pool.begin_with("begin immediate").await.map(Tx::Sqlite),
            Self::Postgres(pool) => soon(pool.begin()).await.map(Tx::Postgres),
        }
    }

    /// Closes every connection.
    pub async fn close(&self) {
        match self {
            Self::Sqlite(pool) => pool.close().await,
            Self::Postgres(pool) => pool.close().await,
        }
    }
}

impl Tx {
    /// Waits until no other transaction has taken this name, and takes it until this one ends. A transaction takes one name,
    /// so that none waits for another in a circle.
    pub async fn alone(&mut self, name: &str) -> sqlx::Result<()> {
        let Self::Postgres(tx) = self else { return Ok(()) };
        soon(sqlx::query("select pg_advisory_xact_lock($1)").bind(lock_of(name)).execute(&mut **tx)).await?;
        Ok(())
    }

    /// Keeps what was changed.
    pub async fn commit(self) -> sqlx::Result<()> {
        match self {
            Self::Sqlite(tx) => tx.commit().await,
            Self::Postgres(tx) => soon(tx.commit()).await,
        }
    }
}

/// The number of a name among PostgreSQL's advisory locks: the beginning of its digest.
fn lock_of(name: &str) -> i64 {
    let Digest([a, b, c, d, e, f, g, h, ..]) = Digest::of(format!("berth {name}").as_bytes());
    i64::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// A statement and its values.
#[derive(Debug, Clone)]
pub(crate) struct Query {
    text: Text,
    values: Vec<Value>,
}

#[derive(Debug, Clone)]
enum Text {
    One(&'static str),
    Two { sqlite: &'static str, postgres: &'static str },
    Made(String),
}

/// A statement that both databases understand.
pub(crate) const fn sql(text: &'static str) -> Query {
    Query { text: Text::One(text), values: Vec::new() }
}

/// A statement that is not the same for both.
pub(crate) const fn two(sqlite: &'static str, postgres: &'static str) -> Query {
    Query { text: Text::Two { sqlite, postgres }, values: Vec::new() }
}

/// A statement whose length depends on how many values it is given; nothing that anybody typed is part of it.
pub(crate) const fn made(text: String) -> Query {
    Query { text: Text::Made(text), values: Vec::new() }
}

/// `item` as often as asked, between commas.
pub(crate) fn listed(item: &str, times: usize) -> String {
    vec![item; times].join(", ")
}

impl Query {
    /// The next value.
    pub fn bind(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self
    }

    /// Carries it out; answers how many rows it changed.
    pub async fn execute<'a>(&self, on: impl Into<On<'a>>) -> sqlx::Result<u64> {
        match on.into() {
            On::Store(Store::Sqlite(pool)) => {
                self.for_sqlite()?.execute(pool).await.map(|done| done.rows_affected())
            }
            On::Tx(Tx::Sqlite(tx)) => {
                self.for_sqlite()?.execute(&mut **tx).await.map(|done| done.rows_affected())
            }
            On::Tx(Tx::Postgres(tx)) => {
                soon(self.for_postgres()?.execute(&mut **tx)).await.map(|done| done.rows_affected())
            }
            On::Store(Store::Postgres(pool)) => {
                let mut repeats = 0;
                loop {
                    match soon(self.for_postgres()?.execute(pool)).await {
                        Err(e) if repeats < MAX_REPEATS && was_given_up(&e) => repeats += 1,
                        done => return done.map(|done| done.rows_affected()),
                    }
                }
            }
        }
    }

    /// All rows.
    pub async fn all<'a, R: Row>(&self, on: impl Into<On<'a>>) -> sqlx::Result<Vec<R>> {
        match on.into() {
            On::Store(Store::Sqlite(pool)) => read(self.for_sqlite()?.fetch_all(pool).await?),
            On::Tx(Tx::Sqlite(tx)) => read(self.for_sqlite()?.fetch_all(&mut **tx).await?),
            On::Store(Store::Postgres(pool)) => read(soon(self.for_postgres()?.fetch_all(pool)).await?),
            On::Tx(Tx::Postgres(tx)) => read(soon(self.for_postgres()?.fetch_all(&mut **tx)).await?),
        }
    }

    /// The row, if there is one.
    pub async fn optional<'a, R: Row>(&self, on: impl Into<On<'a>>) -> sqlx::Result<Option<R>> {
        Ok(self.all(on).await?.into_iter().next())
    }

    /// The row, which there must be.
    pub async fn one<'a, R: Row>(&self, on: impl Into<On<'a>>) -> sqlx::Result<R> {
        self.optional(on).await?.ok_or(sqlx::Error::RowNotFound)
    }

    /// Whether there is a row.
    pub async fn any<'a>(&self, on: impl Into<On<'a>>) -> sqlx::Result<bool> {
        Ok(self.optional::<(i64,)>(on).await?.is_some())
    }

    fn for_sqlite(&self) -> sqlx::Result<sqlx::query::Query<'static, Sqlite, sqlx::sqlite::SqliteArguments>> {
        let text = match &self.text {
            Text::One(text) | Text::Two { sqlite: text, .. } => text.into_sql_str(),
            Text::Made(text) => AssertSqlSafe(text.clone()).into_sql_str(),
        };
        let query = sqlx::query_with(text, value::arguments::<Sqlite>(&self.values)?);
        Ok(query.persistent(!matches!(self.text, Text::Made(_))))
    }

    fn for_postgres(
        &self,
    ) -> sqlx::Result<sqlx::query::Query<'static, Postgres, sqlx::postgres::PgArguments>> {
        let text = match &self.text {
            Text::One(text) | Text::Two { postgres: text, .. } => placeholders::numbered(text),
            Text::Made(text) => placeholders::translated(text).into(),
        };
        let text = AssertSqlSafe(text).into_sql_str();
        let query = sqlx::query_with(text, value::arguments::<Postgres>(&self.values)?);
        Ok(query.persistent(!matches!(self.text, Text::Made(_))))
    }
}

fn read<D: sqlx::Row, R: for<'r> FromRow<'r, D>>(rows: Vec<D>) -> sqlx::Result<Vec<R>> {
    rows.iter().map(R::from_row).collect()
}

fn was_given_up(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|e| e.code());
    code.is_some_and(|code| GIVEN_UP.contains(&code.as_ref()))
}

/// Whether something is there already that only one can have.
pub(crate) fn is_taken(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(sqlx::error::DatabaseError::is_unique_violation)
}
