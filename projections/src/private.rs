//! The private store: everything that may be changed or forgotten, apart from the ledger.
//!
//! # Shape
//! One SQLite file beside the log, or tables of a PostgreSQL database that nodes share. People and tokens, sealed secrets,
//! presence, idempotent answers, followers' checkpoints, webhooks, mails, passkeys, what the OpenBazaar connector has seen,
//! leases of leadership, and the list of what a human should look at.
//!
//! # Correctness
//! The ledger refers to rows here by opaque ids only and never needs them to be replayed. Tokens and codes are kept as
//! SHA-256, secrets only sealed; the sealing key lies elsewhere. Each method is right while other nodes call it too: it is
//! one statement that sees the last state of its rows, or takes a name for itself before it looks ([`Tx::alone`]), or may be
//! done in part and again.

mod accounts;
mod alone;
mod devices;
mod gateways;
mod heartbeats;
mod idempotency;
mod leases;
mod logins;
mod memories;
mod nodes;
mod openbazaar;
mod outbox;
mod passkeys;
mod people;
mod statuses;
mod webhooks;

pub use accounts::{NewToken, Token, TokenHolder};
pub use alone::Alone;
pub use gateways::{GatewayReport, MAX_GATEWAYS, ReportedGateway};
pub use heartbeats::{GONE_S, Node};
pub use idempotency::Begun;
pub use logins::{CodePurpose, Login, Session};
pub use memories::Memory;
pub use openbazaar::LookedAt;
pub use outbox::{Mail, MailEnd, NewMail};
pub use passkeys::{Adding, MAX_PASSKEYS, Passkey};
pub use people::{Person, PersonPatch};
pub use webhooks::{FailedDelivery, NewWebhook, Webhook};

use std::{path::Path, sync::Arc};

use domain::{event::Position, id::AccountId, time::Time};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use tokio::sync::Mutex;

use crate::{
    postgres::{Postgres, PostgresError},
    sql::{Store, Tx, sql},
};

/// Connections at most.
const MAX_CONNECTIONS: u32 = 8;

/// Connections of a node to a database that others use too.
const MAX_SHARED: u32 = 6;

/// The private store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PrivateError {
    /// A newer Berth has changed the file.
    #[error("{0} was written by a newer Berth; upgrade this one (nothing was changed)")]
    Newer(String),
    /// The file is not what it should be.
    #[error("{path} cannot be opened: {why}; restore it from a backup")]
    Damaged {
        /// The file.
        path: String,
        /// What the database said.
        why: String,
    },
    /// A statement failed.
    #[error("the private store failed: {0}")]
    Storage(#[from] sqlx::Error),
    /// The database cannot be used, or is newer than this program.
    #[error(transparent)]
    Database(#[from] PostgresError),
    /// A marketplace name is in use.
    #[error("the marketplace name {0:?} belongs to another account; choose another")]
    MarketplaceTaken(String),
}

/// A handle on the private store; cheap to clone.
#[derive(Debug, Clone)]
pub struct Private {
    store: Store,
    alone: Arc<Mutex<()>>,
    given_times: bool,
}

/// Something a human should look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attention {
    /// The stream it is about, `webhook-<id>`, `mail-<cause>`, `passkey-<id>`, or a part of the data folder.
    pub subject: String,
    /// What kind of trouble.
    pub what: String,
    /// What happened.
    pub detail: String,
    /// Since when.
    pub since: Time,
}

impl Private {
    /// Opens the file, creating it or bringing its schema up to date.
    ///
    /// # Errors
    /// When it is damaged or newer than this program; then nothing was changed.
    pub async fn open(path: &Path) -> Result<Self, PrivateError> {
        let shown = path.display().to_string();
        let damaged =
            |e: &dyn std::fmt::Display| PrivateError::Damaged { path: shown.clone(), why: e.to_string() };
        if path.exists() {
            let read_only = SqliteConnectOptions::new().filename(path).read_only(true);
            let pool = SqlitePoolOptions::new()
                .max_connections(1)
                .connect_with(read_only)
                .await
                .map_err(|e| damaged(&e))?;
            let intact =
                sqlx::query_scalar::<_, i64>("select count(*) from sqlite_schema").fetch_one(&pool).await;
            let newest = sqlx::query_scalar::<_, Option<i64>>("select max(version) from _sqlx_migrations");
            let newest = newest.fetch_one(&pool).await.unwrap_or_default();
            pool.close().await;
            intact.map_err(|e| damaged(&e))?;
            let known = MIGRATIONS.iter().map(|m| m.version).max();
            if newest > known {
                return Err(PrivateError::Newer(shown));
            }
        }
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(std::time::Duration::from_secs(10));
        let pool = SqlitePoolOptions::new().max_connections(MAX_CONNECTIONS).connect_with(options).await;
        let pool = pool.map_err(|e| damaged(&e))?;
        MIGRATIONS.run(&pool).await.map_err(|e| damaged(&e))?;
        Ok(Self::of(Store::Sqlite(pool)))
    }

    /// The private store in a database that nodes share, whose schema is there ([`Postgres::prepare`]).
    ///
    /// # Errors
    /// When the database cannot be used, holds no schema, or needs a newer program.
    pub async fn on(postgres: &Postgres) -> Result<Self, PrivateError> {
        postgres.must_be_prepared().await?;
        Ok(Self::of(Store::Postgres(postgres.pool(MAX_SHARED))))
    }

    fn of(store: Store) -> Self {
        Self { store, alone: Arc::default(), given_times: false }
    }

    /// Where it is kept.
    pub(crate) const fn store(&self) -> &Store {
        &self.store
    }

    /// Begins a transaction that has an account for itself.
    async fn alone_with(&self, account: AccountId) -> sqlx::Result<Tx> {
        let mut tx = self.store.begin().await?;
        tx.alone(&format!("account {account}")).await?;
        Ok(tx)
    }

    /// Whether a file holds an account, and so belongs to a ledger; changes nothing.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn is_used(path: &Path) -> Result<bool, PrivateError> {
        let read_only = SqliteConnectOptions::new().filename(path).read_only(true);
        let pool = SqlitePoolOptions::new().max_connections(1).connect_with(read_only).await?;
        // A file without the table was cut off while it was made.
        let found =
            sqlx::query_scalar::<_, i64>("select exists (select 1 from accounts)").fetch_one(&pool).await;
        pool.close().await;
        Ok(found.unwrap_or(0) == 1)
    }

    /// Closes every connection.
    pub async fn close(&self) {
        self.store.close().await;
    }

    /// The next position a follower will read; 0 when it never ran.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn follower(&self, name: &str) -> Result<Position, PrivateError> {
        let next = sql("select next_position from followers where name = ?").bind(name);
        Ok(next.optional::<(i64,)>(&self.store).await?.map_or(0, |(next,)| next.cast_unsigned()))
    }

    /// Remembers how far a follower has come; whoever was overtaken by another node moves nothing back.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn advance_follower(&self, name: &str, next: Position) -> Result<(), PrivateError> {
        let query = sql("insert into followers (name, next_position) values (?, ?)
                         on conflict (name) do update set next_position = excluded.next_position
                         where followers.next_position < excluded.next_position");
        query.bind(name).bind(next.cast_signed()).execute(&self.store).await?;
        Ok(())
    }

    /// Puts something on the list of what a human should look at; the same cause is listed once.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn call_attention(&self, item: &Attention) -> Result<(), PrivateError> {
        let query = sql("insert into attention (subject, what, detail, since) values (?, ?, ?, ?)
                         on conflict (subject, what) do update set detail = excluded.detail");
        let query = query.bind(&item.subject).bind(&item.what).bind(&item.detail).bind(item.since);
        query.execute(&self.store).await?;
        Ok(())
    }

    /// Takes something off that list, if it is there: it has been seen to.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn end_attention(&self, subject: &str, what: &str) -> Result<(), PrivateError> {
        let query = sql("delete from attention where subject = ? and what = ?");
        query.bind(subject).bind(what).execute(&self.store).await?;
        Ok(())
    }

    /// Takes everything of a kind off that list.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn end_attention_to(&self, what: &str) -> Result<(), PrivateError> {
        sql("delete from attention where what = ?").bind(what).execute(&self.store).await?;
        Ok(())
    }

    /// What a human should look at of every kind that starts with `what`.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn attention_to(&self, what: &str) -> Result<Vec<Attention>, PrivateError> {
        let query = sql("select subject, what, detail, since from attention
                         where substr(what, 1, cast(? as integer)) = ?");
        let length = i64::try_from(what.chars().count()).unwrap_or_default();
        let rows = query.bind(length).bind(what).all::<Row>(&self.store).await?;
        Ok(rows.into_iter().map(item).collect())
    }

    /// What a human should look at, oldest first, at most 500.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn attention(&self) -> Result<Vec<Attention>, PrivateError> {
        let query = sql("select subject, what, detail, since from attention
                         order by since, subject, what limit 500");
        let rows = query.all::<Row>(&self.store).await?;
        Ok(rows.into_iter().map(item).collect())
    }
}

type Row = (String, String, String, i64);

fn item((subject, what, detail, since): Row) -> Attention {
    Attention { subject, what, detail, since: Time::from_unix(since) }
}

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("../migrations/sqlite/private");

#[cfg(test)]
mod fresh;
#[cfg(test)]
mod outbox_tests;
#[cfg(test)]
mod races;
#[cfg(test)]
mod tests;
