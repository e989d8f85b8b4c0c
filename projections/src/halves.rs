//! The server's halves of volume keys: kept apart, so that destroying one leaves nothing behind.
//!
//! # Shape
//! One SQLite file of its own, outside the event log, outside the private store and outside every backup; or, where nodes
//! share a PostgreSQL database, a schema of its own there (`halves`), which backups leave out. A half is kept when its lease
//! is granted, is due once the lease has ended, and is destroyed; a row without it stays and says what it was.
//!
//! # Correctness
//! A half that is destroyed is gone from SQLite's files when [`Halves::destroy`] answers. Deleted content is overwritten
//! (`secure_delete`), there is no write-ahead log that would keep old pages until a checkpoint, and the rollback journal,
//! which holds the page as it was, is cut to nothing by the very commit: after a crash before it the half is still there
//! and is destroyed again, after it there is none. What the disk keeps of freed blocks is sealed with a key that lies
//! elsewhere. The first half of a lease is the only one: a second would open nothing. The table itself refuses to destroy
//! the half of a lease that was not said to have ended.
//!
//! PostgreSQL promises less. A row that is replaced stays in the table's file until that is written anew, and in its
//! write-ahead log, and so in archives, standbys and base backups. Here the file is written anew after a half was destroyed;
//! when that cannot be done at once, because somebody reads the table for long, PostgreSQL clears the row away within a
//! minute or when it can. Whatever is left is sealed with the key that lies elsewhere. Whoever needs more keeps no copies of
//! that database's log, or destroys the key.

use std::{fs, io, os::unix::fs::OpenOptionsExt, path::Path, time::Duration};

use domain::{
    device::KeyEnd,
    id::{DeviceId, Epoch},
    key::Digest,
    time::Time,
};
use sqlx::{
    PgPool,
    postgres::PgPoolOptions,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use uuid::Uuid;

use crate::{
    postgres::{Postgres, PostgresError},
    sql::{Store, sql},
};

/// Connections at most.
const MAX_CONNECTIONS: u32 = 2;
/// How long a connection is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// Where PostgreSQL keeps the table.
const SESSION: [(&str, &str); 1] = [("search_path", "halves")];
/// How often it is tried to write the table anew.
const MAX_REWRITES: u32 = 3;

/// The key halves cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HalvesError {
    /// The file is not what it should be.
    #[error(
        "{path} cannot be opened: {why}; there is no backup of it by design: use the program that wrote it, or move it \
         away, and running leases go on without the key halves in it"
    )]
    Damaged {
        /// The file.
        path: String,
        /// What the database said.
        why: String,
    },
    /// The database cannot be used, or is newer than this program.
    #[error(transparent)]
    Database(#[from] PostgresError),
    /// A statement failed.
    #[error("the key halves cannot be used: {0}")]
    Storage(#[from] sqlx::Error),
}

/// What is known of a lease's half.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Half {
    /// What it is or was.
    pub commitment: Digest,
    /// Why it was destroyed; none while it is held.
    pub destroyed: Option<KeyEnd>,
}

/// A handle on the key halves; cheap to clone.
#[derive(Debug, Clone)]
pub struct Halves {
    store: Store,
}

fn device(bytes: &[u8]) -> DeviceId {
    DeviceId(Uuid::from_slice(bytes).unwrap_or_default())
}

const fn word(why: KeyEnd) -> &'static str {
    match why {
        KeyEnd::Erased => "erased",
        KeyEnd::AppealOver => "appeal_over",
        KeyEnd::Asked => "asked",
    }
}

fn why(word: &str) -> KeyEnd {
    match word {
        "erased" => KeyEnd::Erased,
        "asked" => KeyEnd::Asked,
        _ => KeyEnd::AppealOver,
    }
}

fn lease((id, epoch): (Vec<u8>, i64)) -> (DeviceId, Epoch) {
    (device(&id), Epoch::try_from(epoch).unwrap_or_default())
}

fn digest(bytes: &[u8]) -> Digest {
    Digest(bytes.try_into().unwrap_or_default())
}

impl Halves {
    /// Opens the file, creating it, for its owner only, or bringing its schema up to date.
    ///
    /// # Errors
    /// When it is damaged or newer than this program; then nothing was changed.
    pub async fn open(path: &Path) -> Result<Self, HalvesError> {
        let damaged = |e: &dyn std::fmt::Display| {
            let path = path.display().to_string();
            HalvesError::Damaged { path, why: e.to_string() }
        };
        match fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(damaged(&e)),
            _ => {}
        }
        let options = SqliteConnectOptions::new()
            .filename(path)
            .journal_mode(SqliteJournalMode::Truncate)
            .synchronous(SqliteSynchronous::Extra)
            .pragma("secure_delete", "on")
            .pragma("temp_store", "memory")
            .busy_timeout(Duration::from_secs(10));
        let pool = SqlitePoolOptions::new().max_connections(MAX_CONNECTIONS).connect_with(options).await;
        let pool = pool.map_err(|e| damaged(&e))?;
        MIGRATIONS.run(&pool).await.map_err(|e| damaged(&e))?;
        Ok(Self { store: Store::Sqlite(pool) })
    }

    /// The halves in a database that nodes share, whose schema is there ([`Postgres::prepare`]).
    ///
    /// # Errors
    /// When the database cannot be used, holds no schema, or needs a newer program.
    pub async fn on(postgres: &Postgres) -> Result<Self, HalvesError> {
        postgres.must_be_prepared().await?;
        let options = postgres.options().clone().options(SESSION);
        let pool = PgPoolOptions::new().max_connections(MAX_CONNECTIONS).acquire_timeout(PATIENCE);
        Ok(Self { store: Store::Postgres(pool.connect_lazy_with(options)) })
    }

    /// Where they are kept.
    pub(crate) const fn store(&self) -> &Store {
        &self.store
    }

    /// Closes every connection.
    pub async fn close(&self) {
        self.store.close().await;
    }

    /// Keeps the sealed half of a lease that is about to be granted, unless there is or was one.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub async fn keep(
        &self,
        device: DeviceId,
        epoch: Epoch,
        sealed: &[u8],
        commitment: Digest,
    ) -> Result<(), HalvesError> {
        let query = sql("insert into halves (device, epoch, sealed, commitment) values (?, ?, ?, ?)
                         on conflict (device, epoch) do nothing");
        query.bind(device).bind(epoch).bind(sealed).bind(commitment).execute(&self.store).await?;
        Ok(())
    }

    /// A lease's sealed half, while it is held.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn sealed(&self, device: DeviceId, epoch: Epoch) -> Result<Option<Vec<u8>>, HalvesError> {
        let query = sql("select sealed from halves where device = ? and epoch = ?");
        let found = query.bind(device).bind(epoch).optional::<(Option<Vec<u8>>,)>(&self.store).await?;
        Ok(found.and_then(|(sealed,)| sealed))
    }

    /// What is known of a lease's half; none when it never had one, or it was lost with the file.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn half(&self, device: DeviceId, epoch: Epoch) -> Result<Option<Half>, HalvesError> {
        let query = sql("select commitment, why from halves where device = ? and epoch = ?");
        let query = query.bind(device).bind(epoch);
        let half = |(commitment, destroyed): (Vec<u8>, Option<String>)| Half {
            commitment: digest(&commitment),
            destroyed: destroyed.as_deref().map(why),
        };
        Ok(query.optional(&self.store).await?.map(half))
    }

    /// The lease has ended: its half may be destroyed, and is due then.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub async fn lease_ended(&self, device: DeviceId, epoch: Epoch, due_at: Time) -> Result<(), HalvesError> {
        let query = sql("update halves set due_at = ? where device = ? and epoch = ? and due_at is null");
        query.bind(due_at).bind(device).bind(epoch).execute(&self.store).await?;
        Ok(())
    }

    /// Destroys the half of an ended lease; what it was and why it went, unless that is recorded or there was none.
    ///
    /// # Errors
    /// When the file cannot be written, or the lease was not said to have ended.
    pub async fn destroy(
        &self,
        device: DeviceId,
        epoch: Epoch,
        reason: KeyEnd,
    ) -> Result<Option<(Digest, KeyEnd)>, HalvesError> {
        let query = sql("update halves set sealed = null, why = ?
                         where device = ? and epoch = ? and sealed is not null");
        if query.bind(word(reason)).bind(device).bind(epoch).execute(&self.store).await? > 0 {
            self.write_anew().await;
        }
        // A row that is there has been destroyed: if not by this, then by another node.
        let query = sql("select commitment, why from halves
                         where device = ? and epoch = ? and sealed is null and recorded = 0");
        let gone = query.bind(device).bind(epoch).optional::<(Vec<u8>, String)>(&self.store).await?;
        Ok(gone.map(|(commitment, reason)| (digest(&commitment), why(&reason))))
    }

    /// Has PostgreSQL write the table's file anew, without what was replaced.
    async fn write_anew(&self) {
        let Store::Postgres(pool) = &self.store else { return };
        let mut tries = 0;
        while let Err(e) = rewrite(pool).await {
            tries += 1;
            if tries == MAX_REWRITES {
                tracing::warn!(error = %e, "the old row of a destroyed key half is left for PostgreSQL to clear away");
                return;
            }
        }
    }

    /// The ledger says that a half was destroyed.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub async fn recorded(&self, device: DeviceId, epoch: Epoch) -> Result<(), HalvesError> {
        let query = sql("update halves set recorded = 1 where device = ? and epoch = ? and sealed is null");
        query.bind(device).bind(epoch).execute(&self.store).await?;
        Ok(())
    }

    /// Halves to destroy at `now`, the longest due first, at most `limit`.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn due(&self, now: Time, limit: u32) -> Result<Vec<(DeviceId, Epoch)>, HalvesError> {
        let query = sql("select device, epoch from halves where sealed is not null and due_at <= ?
                         order by due_at limit ?");
        let rows = query.bind(now).bind(limit).all(&self.store).await?;
        Ok(rows.into_iter().map(lease).collect())
    }

    /// Halves that are destroyed while the ledger does not say so yet, at most `limit`.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn unrecorded(&self, limit: u32) -> Result<Vec<(DeviceId, Epoch)>, HalvesError> {
        let query = sql("select device, epoch from halves where sealed is null and recorded = 0 limit ?");
        let rows = query.bind(limit).all(&self.store).await?;
        Ok(rows.into_iter().map(lease).collect())
    }
}

/// Whoever uses the table waits behind this, so it waits for others only for a moment.
async fn rewrite(pool: &PgPool) -> sqlx::Result<()> {
    let mut connection = pool.acquire().await?;
    sqlx::raw_sql("set lock_timeout = '500ms'").execute(&mut *connection).await?;
    let done = sqlx::raw_sql("vacuum (full) halves").execute(&mut *connection).await;
    sqlx::raw_sql("reset lock_timeout").execute(&mut *connection).await?;
    done.map(|_| ())
}

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("../migrations/sqlite/halves");

#[cfg(test)]
mod tests;
