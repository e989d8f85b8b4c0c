//! What servers remember together of a device from request to request.
//!
//! # Correctness
//! A change names the version that it was made from and is one statement, so of two servers that change the same at once
//! one changes nothing, and reads again. What was forgotten keeps counting its versions: nobody who remembers an old one
//! can bring it back.

use domain::id::DeviceId;

use super::{Private, PrivateError};
use crate::sql::sql;

/// What is remembered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Memory {
    /// Counts its changes; 0 for what was never written.
    pub version: i64,
    /// JSON; empty when nothing is remembered.
    pub value: String,
}

impl Private {
    /// What is remembered of a device.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn memory(&self, kind: &str, device: DeviceId) -> Result<Memory, PrivateError> {
        let query = sql("select version, value from device_memories where kind = ? and device = ?");
        let found = query.bind(kind).bind(device).optional::<(i64, String)>(&self.store).await?;
        Ok(found.map(|(version, value)| Memory { version, value }).unwrap_or_default())
    }

    /// Puts something in the place of what is remembered at `version`; `false` when that is not what there is any more.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn remember(
        &self,
        kind: &str,
        device: DeviceId,
        version: i64,
        value: &str,
    ) -> Result<bool, PrivateError> {
        let query = match version {
            0 => sql("insert into device_memories (kind, device, version, value) values (?1, ?2, ?3 + 1, ?4)
                      on conflict (kind, device) do nothing"),
            _ => sql("update device_memories set version = version + 1, value = ?4
                      where kind = ?1 and device = ?2 and version = ?3"),
        };
        Ok(query.bind(kind).bind(device).bind(version).bind(value).execute(&self.store).await? > 0)
    }

    /// Forgets what is remembered of a device.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn forget_memory(&self, kind: &str, device: DeviceId) -> Result<(), PrivateError> {
        let query = sql("update device_memories set version = version + 1, value = ''
                         where kind = ? and device = ?");
        query.bind(kind).bind(device).execute(&self.store).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::private::fresh::{Fresh, on_both};

    on_both!(
        of_two_who_change_the_same_at_once_one_reads_again,
        what_was_forgotten_cannot_be_brought_back_by_whoever_remembers_it
    );

    const DEVICE: DeviceId = DeviceId(Uuid::from_u128(7));

    async fn of_two_who_change_the_same_at_once_one_reads_again(Fresh { private, other, keep }: Fresh) {
        assert_eq!(private.memory("polls", DEVICE).await.unwrap(), Memory::default());
        let count = async |private: Private| {
            for _ in 0..20 {
                loop {
                    let Memory { version, value } = private.memory("polls", DEVICE).await.unwrap();
                    let next = value.parse().unwrap_or(0) + 1;
                    if private.remember("polls", DEVICE, version, &next.to_string()).await.unwrap() {
                        break;
                    }
                }
            }
        };
        tokio::join!(count(private.clone()), count(other.clone()), count(private.clone()), count(other));
        let Memory { version, value } = private.memory("polls", DEVICE).await.unwrap();
        assert_eq!((version, &*value), (80, "80"), "each counts once");
        assert_eq!(private.memory("check-ins", DEVICE).await.unwrap(), Memory::default());
        drop(keep);
    }

    async fn what_was_forgotten_cannot_be_brought_back_by_whoever_remembers_it(fresh: Fresh) {
        let Fresh { private, other, keep } = fresh;
        private.forget_memory("polls", DEVICE).await.unwrap();
        assert!(private.remember("polls", DEVICE, 0, "a").await.unwrap());
        other.forget_memory("polls", DEVICE).await.unwrap();
        assert!(!private.remember("polls", DEVICE, 1, "b").await.unwrap());
        assert!(!private.remember("polls", DEVICE, 0, "b").await.unwrap());
        assert_eq!(
            private.memory("polls", DEVICE).await.unwrap(),
            Memory { version: 2, value: String::new() }
        );
        assert!(private.remember("polls", DEVICE, 2, "c").await.unwrap());
        drop(keep);
    }
}
