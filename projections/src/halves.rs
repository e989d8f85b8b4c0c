//! The server's halves of volume keys: kept apart, so that destroying one leaves nothing behind.
//!
//! # Shape
//! One SQLite file of its own, outside the event log, outside the private store and outside every backup. A half is kept
//! when its lease is granted, is due once the lease has ended, and is destroyed; a row without it stays and says what it
//! was.
//!
//! # Correctness
//! A half that is destroyed is gone from every file here when [`Halves::destroy`] answers. Deleted content is overwritten
//! (`secure_delete`), there is no write-ahead log that would keep old pages until a checkpoint, and the rollback journal,
//! which holds the page as it was, is cut to nothing by the very commit: after a crash before it the half is still there
//! and is destroyed again, after it there is none. What the disk keeps of freed blocks is sealed with a key that lies
//! elsewhere. The first half of a lease is the only one: a second would open nothing. The table itself refuses to destroy
//! the half of a lease that was not said to have ended.

use std::{fs, io, os::unix::fs::OpenOptionsExt, path::Path, time::Duration};

use domain::{
    device::KeyEnd,
    id::{DeviceId, Epoch},
    key::Digest,
    time::Time,
};
use sqlx::{
    SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use uuid::Uuid;

/// Connections at most.
const MAX_CONNECTIONS: u32 = 4;

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
    pool: SqlitePool,
}

fn key(device: DeviceId) -> Vec<u8> {
    device.0.as_bytes().to_vec()
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
        Ok(Self { pool })
    }

    /// Closes every connection.
    pub async fn close(&self) {
        self.pool.close().await;
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
        let sql = "insert into halves (device, epoch, sealed, commitment) values (?, ?, ?, ?)
                   on conflict (device, epoch) do nothing";
        let query = sqlx::query(sql).bind(key(device)).bind(epoch).bind(sealed);
        query.bind(commitment.0.as_slice()).execute(&self.pool).await?;
        Ok(())
    }

    /// A lease's sealed half, while it is held.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn sealed(&self, device: DeviceId, epoch: Epoch) -> Result<Option<Vec<u8>>, HalvesError> {
        let query = sqlx::query_scalar("select sealed from halves where device = ? and epoch = ?");
        let found = query.bind(key(device)).bind(epoch).fetch_optional(&self.pool).await?;
        Ok(found.flatten())
    }

    /// What is known of a lease's half; none when it never had one, or it was lost with the file.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn half(&self, device: DeviceId, epoch: Epoch) -> Result<Option<Half>, HalvesError> {
        let sql = "select commitment, why from halves where device = ? and epoch = ?";
        let query = sqlx::query_as::<_, (Vec<u8>, Option<String>)>(sql).bind(key(device)).bind(epoch);
        let half = |(commitment, destroyed): (Vec<u8>, Option<String>)| Half {
            commitment: digest(&commitment),
            destroyed: destroyed.as_deref().map(why),
        };
        Ok(query.fetch_optional(&self.pool).await?.map(half))
    }

    /// The lease has ended: its half may be destroyed, and is due then.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub async fn lease_ended(&self, device: DeviceId, epoch: Epoch, due_at: Time) -> Result<(), HalvesError> {
        let sql = "update halves set due_at = ? where device = ? and epoch = ? and due_at is null";
        let query = sqlx::query(sql).bind(due_at.unix()).bind(key(device)).bind(epoch);
        query.execute(&self.pool).await?;
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
        let sql = "update halves set sealed = null, why = ?
                   where device = ? and epoch = ? and sealed is not null";
        let query = sqlx::query(sql).bind(word(reason)).bind(key(device)).bind(epoch);
        query.execute(&self.pool).await?;
        let sql = "select commitment, why from halves where device = ? and epoch = ? and recorded = 0";
        let query = sqlx::query_as::<_, (Vec<u8>, String)>(sql).bind(key(device)).bind(epoch);
        let gone = query.fetch_optional(&self.pool).await?;
        Ok(gone.map(|(commitment, reason)| (digest(&commitment), why(&reason))))
    }

    /// The ledger says that a half was destroyed.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub async fn recorded(&self, device: DeviceId, epoch: Epoch) -> Result<(), HalvesError> {
        let sql = "update halves set recorded = 1 where device = ? and epoch = ? and sealed is null";
        sqlx::query(sql).bind(key(device)).bind(epoch).execute(&self.pool).await?;
        Ok(())
    }

    /// Halves to destroy at `now`, the longest due first, at most `limit`.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn due(&self, now: Time, limit: u32) -> Result<Vec<(DeviceId, Epoch)>, HalvesError> {
        let sql = "select device, epoch from halves where sealed is not null and due_at <= ?
                   order by due_at limit ?";
        let query = sqlx::query_as::<_, (Vec<u8>, Epoch)>(sql).bind(now.unix()).bind(limit);
        let rows = query.fetch_all(&self.pool).await?;
        Ok(rows.into_iter().map(|(id, epoch)| (device(&id), epoch)).collect())
    }

    /// Halves that are destroyed while the ledger does not say so yet, at most `limit`.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn unrecorded(&self, limit: u32) -> Result<Vec<(DeviceId, Epoch)>, HalvesError> {
        let sql = "select device, epoch from halves where sealed is null and recorded = 0 limit ?";
        let rows = sqlx::query_as::<_, (Vec<u8>, Epoch)>(sql).bind(limit).fetch_all(&self.pool).await?;
        Ok(rows.into_iter().map(|(id, epoch)| (device(&id), epoch)).collect())
    }
}

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("../migrations/sqlite/halves");

#[cfg(test)]
mod tests;
