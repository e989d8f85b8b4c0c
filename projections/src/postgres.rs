//! A PostgreSQL database that nodes share: how it is reached, and its schema.
//!
//! # Shape
//! One database holds log, read models, private store and key halves, each in tables of its own; one list of migrations
//! makes them. [`Postgres`] knows the address and opens connections.
//!
//! # Correctness
//! Migrations run under PostgreSQL's own advisory lock, so nodes that start together take turns. They only add:
//! `schema_floor` says which schema a program must know at least, so nodes of the version before go on while others are
//! upgraded. No message shows a password: what PostgreSQL says does not repeat the address.

use std::{fmt, str::FromStr, time::Duration};

use chrono::{DateTime, Utc};
pub use sqlx::PgConnection;
use sqlx::{
    ConnectOptions, PgPool,
    migrate::Migrator,
    postgres::{PgConnectOptions, PgPoolOptions},
};

/// The migrations known here. A database may have seen more: those of a newer program.
fn migrations() -> Migrator {
    let mut known = sqlx::migrate!("../migrations/postgres");
    known.set_ignore_missing(true);
    known
}

/// How long a connection is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// Told to every session: a statement or a lock that takes longer than this (in milliseconds) is given up, so a node
/// that hangs holds up nobody for ever.
const SESSION: [(&str, &str); 8] = [
    ("lock_timeout", "10000"),
    ("idle_in_transaction_session_timeout", "15000"),
    ("client_min_messages", "warning"),
    ("timezone", "UTC"),
    // Of a host that is gone the server learns soon, and gives its locks to others.
    ("tcp_keepalives_idle", "10"),
    ("tcp_keepalives_interval", "5"),
    ("tcp_keepalives_count", "3"),
    ("tcp_user_timeout", "30000"),
];

/// A database cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PostgresError {
    /// The address is none.
    #[error(
        "the database's address cannot be read: {0}; write it like postgres://user:password@host/database"
    )]
    Address(String),
    /// The server cannot be reached, or refuses.
    #[error("the database {shown} cannot be used: {why}")]
    Storage {
        /// The address without its password.
        shown: String,
        /// What was said.
        why: String,
    },
    /// A newer program has taken away what this one needs.
    #[error(
        "the database {shown} was brought to a schema by a newer Berth that programs need version {floor} for, and this \
         one knows {known}; upgrade this one (nothing was changed)"
    )]
    Newer {
        /// The address without its password.
        shown: String,
        /// The schema that a program must know.
        floor: i64,
        /// The newest schema known here.
        known: i64,
    },
}

/// What may stand behind the question mark of an address.
const PARAMETERS: [&str; 22] = [
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "statement-cache-capacity",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
    "passfile",
    "connect_timeout",
    "target_session_attrs",
    "client_encoding",
];

/// Refuses what would be passed over: a mistyped `sslmode` must not mean no TLS. Of the address only names are repeated.
fn known(url: &str) -> Result<(), String> {
    let Some(("postgres" | "postgresql", rest)) = url.split_once("://") else {
        return Err("it does not begin with postgres://".into());
    };
    let parameters = rest.split_once('?').map_or("", |(_, parameters)| parameters);
    let mut names = parameters.split('&').filter(|pair| !pair.is_empty());
    match names.find_map(|pair| {
        let name = pair.split('=').next().unwrap_or_default();
        let is_known = PARAMETERS.contains(&name) || name.starts_with("options[");
        (!is_known).then(|| name.to_owned())
    }) {
        Some(name) => Err(format!("there is no parameter {name:?}")),
        None => Ok(()),
    }
}

/// A database, by its address.
#[derive(Clone)]
pub struct Postgres {
    options: PgConnectOptions,
    shown: String,
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Postgres").field("shown", &self.shown).finish_non_exhaustive()
    }
}

impl Postgres {
    /// Reads an address such as `postgres://user:password@host:5432/database?sslmode=verify-full`; nothing is connected.
    ///
    /// # Errors
    /// When it is no such address.
    pub fn new(url: &str) -> Result<Self, PostgresError> {
        known(url).map_err(PostgresError::Address)?;
        let given = PgConnectOptions::from_str(url).map_err(|e| PostgresError::Address(e.to_string()))?;
        let database = given.get_database().unwrap_or(given.get_username());
        let place = given.get_socket().map(|path| path.display().to_string());
        let place = place.unwrap_or_else(|| format!("{}:{}", given.get_host(), given.get_port()));
        let shown = format!("{database} at {place}");
        let options = given.application_name("berth").options(SESSION).statement_cache_capacity(256);
        Ok(Self { options: options.log_statements(tracing::log::LevelFilter::Trace), shown })
    }

    /// Which database, without its password.
    #[must_use]
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// How to connect.
    #[must_use]
    pub const fn options(&self) -> &PgConnectOptions {
        &self.options
    }

    /// What to say when the database has failed.
    pub fn failed(&self, why: &impl ToString) -> PostgresError {
        PostgresError::Storage { shown: self.shown.clone(), why: why.to_string() }
    }

    /// A connection of its own.
    ///
    /// # Errors
    /// When the server cannot be reached in ten seconds, or refuses.
    pub async fn connect(&self) -> Result<PgConnection, PostgresError> {
        match tokio::time::timeout(PATIENCE, self.options.connect()).await {
            Ok(connected) => connected.map_err(|e| self.failed(&e)),
            Err(_) => Err(self.failed(&"it does not answer")),
        }
    }

    /// What time the server says it is.
    ///
    /// # Errors
    /// When it does not.
    pub async fn time(&self, connection: &mut PgConnection) -> Result<DateTime<Utc>, PostgresError> {
        let sql = "select (extract(epoch from clock_timestamp()) * 1000000)::bigint";
        let asked = sqlx::query_scalar::<_, i64>(sql).fetch_one(connection);
        let micros = match tokio::time::timeout(PATIENCE, asked).await {
            Ok(answer) => answer.map_err(|e| self.failed(&e))?,
            Err(_) => return Err(self.failed(&"it does not answer")),
        };
        DateTime::from_timestamp_micros(micros).ok_or_else(|| self.failed(&"it does not tell the time"))
    }

    /// Up to `max` connections, opened when they are needed.
    #[must_use]
    pub fn pool(&self, max: u32) -> PgPool {
        let options = PgPoolOptions::new().max_connections(max).acquire_timeout(PATIENCE);
        options.idle_timeout(Duration::from_secs(600)).connect_lazy_with(self.options.clone())
    }

    /// Brings the schema up to date, unless it is or is newer in a way that this program can live with.
    ///
    /// # Errors
    /// When the database cannot be used, or needs a newer program; then it was not changed.
    pub async fn prepare(&self) -> Result<(), PostgresError> {
        let mut connection = self.connect().await?;
        self.check(&mut connection).await?;
        self.must_be_ours(&mut connection).await?;
        // `run` gives a future that no other thread may take over.
        migrations().run_direct(None, &mut connection, false).await.map_err(|e| self.failed(&e))
    }

    /// Makes sure, without changing anything, that the schema is one that this program can read.
    ///
    /// # Errors
    /// When there is none, or it needs a newer program.
    pub async fn must_be_prepared(&self) -> Result<(), PostgresError> {
        let mut connection = self.connect().await?;
        match self.check(&mut connection).await? {
            () if self.floor(&mut connection).await?.is_some() => Ok(()),
            () => Err(self.failed(&"it holds no ledger; name the one that `berth serve` uses")),
        }
    }

    async fn check(&self, connection: &mut PgConnection) -> Result<(), PostgresError> {
        let known = migrations().iter().map(|migration| migration.version).max().unwrap_or(0);
        match self.floor(connection).await? {
            Some(floor) if floor > known => {
                Err(PostgresError::Newer { shown: self.shown.clone(), floor, known })
            }
            _ => Ok(()),
        }
    }

    /// Refuses a database that something else lives in.
    async fn must_be_ours(&self, connection: &mut PgConnection) -> Result<(), PostgresError> {
        if self.floor(connection).await?.is_some() {
            return Ok(());
        }
        // One statement, so that another node that begins at the same moment is seen whole or not at all.
        let found = "select count(*), count(*) filter (where tablename = '_sqlx_migrations') > 0 from pg_tables \
                     where schemaname = current_schema()";
        let ask = |e: sqlx::Error| self.failed(&e);
        let (tables, begun): (i64, bool) =
            sqlx::query_as(found).fetch_one(&mut *connection).await.map_err(ask)?;
        let ours = match begun {
            // Another node begins, or a first start was cut off between two migrations.
            true => {
                let first = "select exists (select from _sqlx_migrations where version = 1 and description = 'log') \
                             or not exists (select from _sqlx_migrations)";
                sqlx::query_scalar(first).fetch_one(connection).await.map_err(ask)?
            }
            false => tables == 0,
        };
        let other = "it holds something else; make an empty database for Berth (nothing was changed)";
        if ours { Ok(()) } else { Err(self.failed(&other)) }
    }

    /// The schema that a program must know; none while there is no schema.
    async fn floor(&self, connection: &mut PgConnection) -> Result<Option<i64>, PostgresError> {
        let there = "select to_regclass('schema_floor') is not null";
        let there: bool =
            sqlx::query_scalar(there).fetch_one(&mut *connection).await.map_err(|e| self.failed(&e))?;
        if !there {
            return Ok(None);
        }
        let floor = sqlx::query_scalar("select version from schema_floor");
        floor.fetch_optional(connection).await.map_err(|e| self.failed(&e))
    }
}
