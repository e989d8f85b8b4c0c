//! What is kept about devices outside the ledger: names, sealed credentials, presence.

use std::collections::{BTreeMap, HashMap};

use domain::{
    id::{DeviceId, Epoch},
    time::Time,
};
use uuid::Uuid;

use super::{Private, PrivateError};
use crate::sql::{Row, listed, made, sql};

/// Devices that are asked about at once.
const MAX_ASKED: usize = 500;
/// Signs of life that one statement writes down.
const MAX_SEEN: usize = 500;

fn device(id: &[u8]) -> DeviceId {
    DeviceId(Uuid::from_slice(id).unwrap_or_default())
}

impl Private {
    /// Names a device.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn name_device(&self, device: DeviceId, name: &str) -> Result<(), PrivateError> {
        let query = sql("insert into device_names (device, name) values (?, ?)
                         on conflict (device) do update set name = excluded.name");
        query.bind(device).bind(name).execute(&self.store).await?;
        Ok(())
    }

    /// A device's name.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn device_name(&self, device: DeviceId) -> Result<Option<String>, PrivateError> {
        let query = sql("select name from device_names where device = ?").bind(device);
        Ok(query.optional::<(String,)>(&self.store).await?.map(|(name,)| name))
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
    async fn of_devices<R: Row>(
        &self,
        select: &'static str,
        devices: &[DeviceId],
    ) -> Result<Vec<R>, PrivateError> {
        let devices = &devices[..devices.len().min(MAX_ASKED)];
        if devices.is_empty() {
            return Ok(Vec::new());
        }
        let query = made(format!("{select} where device in ({})", listed("?", devices.len())));
        let query = devices.iter().fold(query, |query, device| query.bind(*device));
        Ok(query.all::<R>(&self.store).await?)
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
        let query =
            sql("insert into secrets (device, epoch, sealed) values (?, ?, ?) on conflict do nothing");
        query.bind(device).bind(epoch).bind(&sealed).execute(&self.store).await?;
        Ok(self.secret(device, epoch).await?.unwrap_or(sealed))
    }

    /// A lease's sealed credentials.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn secret(&self, device: DeviceId, epoch: Epoch) -> Result<Option<Vec<u8>>, PrivateError> {
        let query = sql("select sealed from secrets where device = ? and epoch = ?");
        let found = query.bind(device).bind(epoch).optional::<(Vec<u8>,)>(&self.store).await?;
        Ok(found.map(|(sealed,)| sealed))
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
        let query = sql("insert into host_keys (device, epoch, keys) values (?, ?, ?)
                         on conflict (device, epoch) do update set keys = excluded.keys");
        query.bind(device).bind(epoch).bind(keys.join("\n")).execute(&self.store).await?;
        Ok(())
    }

    /// The SSH host keys of a lease's workload; none when none were reported.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn host_keys(&self, device: DeviceId, epoch: Epoch) -> Result<Vec<String>, PrivateError> {
        let query = sql("select keys from host_keys where device = ? and epoch = ?");
        let keys = query.bind(device).bind(epoch).optional::<(String,)>(&self.store).await?;
        Ok(keys.unwrap_or_default().0.lines().map(Into::into).collect())
    }

    /// Destroys the credentials of every lease up to `epoch`, and forgets the host keys.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn destroy_secrets(&self, device: DeviceId, epoch: Epoch) -> Result<(), PrivateError> {
        for query in [
            sql("delete from secrets where device = ? and epoch <= ?"),
            sql("delete from host_keys where device = ? and epoch <= ?"),
        ] {
            query.bind(device).bind(epoch).execute(&self.store).await?;
        }
        Ok(())
    }

    /// Writes down when devices were last heard of; never moves one back.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn seen(&self, devices: &[(DeviceId, Time)]) -> Result<(), PrivateError> {
        let mut last = BTreeMap::new();
        for (device, at) in devices {
            let seen = last.entry(*device).or_insert(*at);
            *seen = (*seen).max(*at);
        }
        // In the order of devices: two nodes that write at once wait for each other and not in a circle.
        let last: Vec<_> = last.into_iter().collect();
        let mut tx = self.store.begin().await?;
        for some in last.chunks(MAX_SEEN) {
            let query = made(format!(
                "insert into presence (device, last_seen, watched) values {}
                 on conflict (device) do update set last_seen = case
                     when presence.last_seen < excluded.last_seen then excluded.last_seen
                     else presence.last_seen end",
                listed("(?, ?, 0)", some.len())
            ));
            let query = some.iter().fold(query, |query, (device, at)| query.bind(*device).bind(*at));
            query.execute(&mut tx).await?;
        }
        Ok(tx.commit().await?)
    }

    /// Starts or stops watching for a device's silence.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn watch_device(&self, device: DeviceId, watched: bool, now: Time) -> Result<(), PrivateError> {
        let query = sql("insert into presence (device, last_seen, watched) values (?, ?, ?)
                         on conflict (device) do update set watched = excluded.watched");
        query.bind(device).bind(now).bind(watched).execute(&self.store).await?;
        Ok(())
    }

    /// When a device was last heard of.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn last_seen(&self, device: DeviceId) -> Result<Option<Time>, PrivateError> {
        let query = sql("select last_seen from presence where device = ?").bind(device);
        Ok(query.optional::<(i64,)>(&self.store).await?.map(|(at,)| Time::from_unix(at)))
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
        let query = sql("select device, last_seen from presence where watched = 1 and last_seen < ?
                         order by last_seen limit ?");
        let rows = query.bind(before).bind(limit).all::<(Vec<u8>, i64)>(&self.store).await?;
        let item = |(id, at): (Vec<u8>, i64)| (device(&id), Time::from_unix(at));
        Ok(rows.into_iter().map(item).collect())
    }
}
