//! What is remembered of each device from request to request.
//!
//! # Shape
//! A server that has the store for itself remembers in memory. Where others may be asked by the same device, the store
//! remembers, and what this server read or wrote last stands before it: a device that stays with one server costs one
//! small write for each change and no reading.
//!
//! # Correctness
//! A change is made from the newest state: the store takes it only at the version that it was made from, and otherwise it
//! is made again from what is there. A change that changes nothing of what stands here is not compared: what this server
//! knows to have happened has happened. Memory is bounded: a full one forgets everything, and what is remembered by
//! memory alone is lost with the process.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use domain::id::DeviceId;
use projections::private::{Memory, Private};
use serde::{Serialize, de::DeserializeOwned};

use crate::error::Problem;

/// Devices remembered here.
pub const MAX_DEVICES: usize = 50_000;
/// How often a change is made again because somebody else changed the same.
const MAX_ROUNDS: usize = 20;

/// What is remembered of a device, and which version of that the store has.
type Known<T> = (i64, Option<T>);

/// What is remembered of each device.
#[derive(Debug)]
pub struct Remembered<T> {
    kind: &'static str,
    known: Mutex<HashMap<DeviceId, Known<T>>>,
}

impl<T> Remembered<T> {
    /// Nothing yet; `kind` names it in the store.
    #[must_use]
    pub fn new(kind: &'static str) -> Self {
        Self { kind, known: Mutex::default() }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<DeviceId, Known<T>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at what is remembered in memory.
    pub fn here<R>(&self, device: DeviceId, change: impl FnOnce(&mut Option<T>) -> R) -> R {
        let mut known = self.known();
        if known.len() >= MAX_DEVICES && !known.contains_key(&device) {
            known.clear();
        }
        change(&mut known.entry(device).or_insert((0, None)).1)
    }

    /// Devices remembered here.
    #[cfg(test)]
    pub fn count(&self) -> usize {
        self.known().len()
    }
}

impl<T: Clone + PartialEq + Serialize + DeserializeOwned> Remembered<T> {
    /// Changes what is remembered of a device.
    ///
    /// # Errors
    /// When the private store fails, or too many change the same at once.
    pub async fn change<R>(
        &self,
        private: &Private,
        device: DeviceId,
        change: impl Fn(&mut Option<T>) -> R,
    ) -> Result<R, Problem> {
        if !private.is_shared() {
            return Ok(self.here(device, change));
        }
        let mut known = self.known().get(&device).cloned();
        for _ in 0..MAX_ROUNDS {
            let (version, before) = match known.take() {
                Some(known) => known,
                None => {
                    let Memory { version, value } = private.memory(self.kind, device).await?;
                    (version, serde_json::from_str(&value).ok())
                }
            };
            let mut after = before.clone();
            let answer = change(&mut after);
            if after == before {
                self.keep(device, (version, after));
                return Ok(answer);
            }
            let value = match &after {
                Some(value) => serde_json::to_string(value).map_err(|e| Problem::internal(&e))?,
                None => String::new(),
            };
            if private.remember(self.kind, device, version, &value).await? {
                self.keep(device, (version + 1, after));
                return Ok(answer);
            }
        }
        Err(Problem::overloaded())
    }

    fn keep(&self, device: DeviceId, state: Known<T>) {
        let mut known = self.known();
        if known.len() >= MAX_DEVICES && !known.contains_key(&device) {
            known.clear();
        }
        // Two requests of a device may come here in the other order.
        let newer = known.get(&device).is_none_or(|(version, _)| *version <= state.0);
        if newer {
            known.insert(device, state);
        }
    }

    /// Forgets what is remembered of a device.
    ///
    /// # Errors
    /// When the private store fails.
    pub async fn forget(&self, private: &Private, device: DeviceId) -> Result<(), Problem> {
        self.known().remove(&device);
        if private.is_shared() {
            private.forget_memory(self.kind, device).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use fixtures::postgres::Database;
    use projections::{postgres::Postgres, private::Private};

    /// An empty database, and what two servers on it have of it.
    pub async fn two_servers() -> ([Private; 2], Database) {
        let database = tokio::task::spawn_blocking(|| fixtures::postgres::server().fresh()).await.unwrap();
        let postgres = Postgres::new(&database.url()).unwrap();
        postgres.prepare().await.unwrap();
        ([Private::on(&postgres).await.unwrap(), Private::on(&postgres).await.unwrap()], database)
    }
}
