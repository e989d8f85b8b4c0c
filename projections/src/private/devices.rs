//! What is kept about devices outside the ledger: names, sealed credentials, presence.

use std::collections::HashMap;

use domain::{
    id::{DeviceId, Epoch},
    time::Time,
};
use sqlx::{FromRow, QueryBuilder, Sqlite, sqlite::SqliteRow};
use uuid::Uuid;

use super::{Private, PrivateError};

/// Devices that are asked about at once.
const MAX_ASKED: usize = 500;

fn device(id: &[u8]) -> DeviceId {
    DeviceId(Uuid::from_slice(id).unwrap_or_default())
}

fn key(device: DeviceId) -> Vec<u8> {
    device.0.as_bytes().to_vec()
}

impl Private {
    /// Names a device.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn name_device(&self, device: DeviceId, name: &str) -> Result<(), PrivateError> {
        let sql = "insert into device_names (device, name) values (?, ?)
                   on conflict (device) do update set name = excluded.name";
        sqlx::query(sql).bind(key(device)).bind(name).execute(&self.pool).await?;
        Ok(())
    }

    /// A device's name.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn device_name(&self, device: DeviceId) -> Result<Option<String>, PrivateError> {
        let query = sqlx::query_scalar("select name from device_names where device = ?").bind(key(device));
        Ok(query.fetch_optional(&self.pool).await?)
    }

    /// The names of some devices.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn device_names(
        &self,
        devices: &[DeviceId],
    ) -> Result<HashMap<DeviceId, String>, PrivateError> {
        let rows = self.of_devices::<(Vec<u8>, String)>("select device, name from device_names", devices);
        Ok(rows.await?.into_iter().map(|(id, name)| (device(&id), name)).collect())
    }

    /// When some devices were last heard of.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn last_seen_of(&self, devices: &[DeviceId]) -> Result<HashMap<DeviceId, Time>, PrivateError> {
        let rows = self.of_devices::<(Vec<u8>, i64)>("select device, last_seen from presence", devices);
        Ok(rows.await?.into_iter().map(|(id, at)| (device(&id), Time::from_unix(at))).collect())
    }

    /// The rows of some devices, at most [`MAX_ASKED`].
    async fn of_devices<R: for<'r> FromRow<'r, SqliteRow> + Send + Unpin>(
        &self,
        select: &str,
        devices: &[DeviceId],
    ) -> Result<Vec<R>, PrivateError> {
        let mut query = QueryBuilder::<Sqlite>::new(format!("{select} where device in ("));
        let mut list = query.separated(", ");
        for device in devices.iter().take(MAX_ASKED) {
            list.push_bind(key(*device));
        }
        query.push(")");
        Ok(query.build_query_as::<R>().fetch_all(&self.pool).await?)
    }

    /// Keeps a lease's sealed credentials unless there are some, and answers with those kept.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn keep_secret(
        &self,
        device: DeviceId,
        epoch: Epoch,
        sealed: Vec<u8>,
    ) -> Result<Vec<u8>, PrivateError> {
        let sql = "insert into secrets (device, epoch, sealed) values (?, ?, ?) on conflict do nothing";
        sqlx::query(sql).bind(key(device)).bind(epoch).bind(&sealed).execute(&self.pool).await?;
        Ok(self.secret(device, epoch).await?.unwrap_or(sealed))
    }

    /// A lease's sealed credentials.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn secret(&self, device: DeviceId, epoch: Epoch) -> Result<Option<Vec<u8>>, PrivateError> {
        let query = sqlx::query_scalar("select sealed from secrets where device = ? and epoch = ?");
        Ok(query.bind(key(device)).bind(epoch).fetch_optional(&self.pool).await?)
    }

    /// Keeps the SSH host keys of a lease's workload, in the place of those before.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn keep_host_keys(
        &self,
        device: DeviceId,
        epoch: Epoch,
        keys: &[String],
    ) -> Result<(), PrivateError> {
        let sql = "insert into host_keys (device, epoch, keys) values (?, ?, ?)
                   on conflict (device, epoch) do update set keys = excluded.keys";
        sqlx::query(sql).bind(key(device)).bind(epoch).bind(keys.join("\n")).execute(&self.pool).await?;
        Ok(())
    }

    /// The SSH host keys of a lease's workload; none when none were reported.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn host_keys(&self, device: DeviceId, epoch: Epoch) -> Result<Vec<String>, PrivateError> {
        let query =
            sqlx::query_scalar::<_, String>("select keys from host_keys where device = ? and epoch = ?");
        let keys = query.bind(key(device)).bind(epoch).fetch_optional(&self.pool).await?;
        Ok(keys.unwrap_or_default().lines().map(Into::into).collect())
    }

    /// Destroys the credentials of every lease up to `epoch`, and forgets the host keys.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn destroy_secrets(&self, device: DeviceId, epoch: Epoch) -> Result<(), PrivateError> {
        let query = sqlx::query("delete from secrets where device = ? and epoch <= ?");
        query.bind(key(device)).bind(epoch).execute(&self.pool).await?;
        let query = sqlx::query("delete from host_keys where device = ? and epoch <= ?");
        query.bind(key(device)).bind(epoch).execute(&self.pool).await?;
        Ok(())
    }

    /// Writes down when devices were last heard of; never moves one back.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn seen(&self, devices: &[(DeviceId, Time)]) -> Result<(), PrivateError> {
        let mut tx = self.pool.begin().await?;
        for (device, at) in devices {
            let sql = "insert into presence (device, last_seen, watched) values (?, ?, 0)
                       on conflict (device) do update set last_seen = max(last_seen, excluded.last_seen)";
            sqlx::query(sql).bind(key(*device)).bind(at.unix()).execute(&mut *tx).await?;
        }
        Ok(tx.commit().await?)
    }

    /// Starts or stops watching for a device's silence.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn watch_device(&self, device: DeviceId, watched: bool, now: Time) -> Result<(), PrivateError> {
        let sql = "insert into presence (device, last_seen, watched) values (?, ?, ?)
                   on conflict (device) do update set watched = excluded.watched";
        sqlx::query(sql).bind(key(device)).bind(now.unix()).bind(watched).execute(&self.pool).await?;
        Ok(())
    }

    /// When a device was last heard of.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn last_seen(&self, device: DeviceId) -> Result<Option<Time>, PrivateError> {
        let query = sqlx::query_scalar("select last_seen from presence where device = ?").bind(key(device));
        Ok(query.fetch_optional(&self.pool).await?.map(Time::from_unix))
    }

    /// Watched devices not heard of since before `before`, the longest silent first, at most `limit`.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn silent_devices(
        &self,
        before: Time,
        limit: u32,
    ) -> Result<Vec<(DeviceId, Time)>, PrivateError> {
        let sql = "select device, last_seen from presence where watched = 1 and last_seen < ? order by last_seen limit ?";
        let rows = sqlx::query_as::<_, (Vec<u8>, i64)>(sql)
            .bind(before.unix())
            .bind(limit)
            .fetch_all(&self.pool)
            .await?;
        let item = |(id, at): (Vec<u8>, i64)| (device(&id), Time::from_unix(at));
        Ok(rows.into_iter().map(item).collect())
    }
}
