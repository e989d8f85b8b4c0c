//! Who may knock: limits on connections that have not proved anything yet.
//!
//! # Correctness
//! A connection holds a place from before its first byte is read until it has brought a tunnel up, or its grace is over.
//! Whoever finds all places taken waits; one address cannot take the places of others, and those who wait are counted too.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

/// Connections of all addresses that are being let in.
const MAX_KNOCKING: usize = 2_048;
/// Connections of one address that are being let in.
const MAX_KNOCKING_OF_ONE: usize = 256;
/// Connections that are there at all and have brought no tunnel up.
const MAX_WAITING: usize = 8_192;

/// The door.
#[derive(Debug)]
pub struct Door {
    waiting: Arc<Semaphore>,
    knocking: Arc<Semaphore>,
    of_one: Mutex<HashMap<IpAddr, Weak<Semaphore>>>,
}

/// A place before the door; given back when dropped.
#[derive(Debug)]
pub struct Place(
    #[expect(dead_code, reason = "held, not read")] [OwnedSemaphorePermit; 3],
    #[expect(dead_code, reason = "held, not read")] Arc<Semaphore>,
);

impl Default for Door {
    fn default() -> Self {
        let places = |n| Arc::new(Semaphore::new(n));
        Self { waiting: places(MAX_WAITING), knocking: places(MAX_KNOCKING), of_one: Mutex::default() }
    }
}

impl Door {
    /// A place in the queue, or none when even that is full.
    #[must_use]
    pub fn queue(&self) -> Option<OwnedSemaphorePermit> {
        self.waiting.clone().try_acquire_owned().ok()
    }

    /// Waits for a place; none in time is none at all.
    pub async fn place(
        &self,
        address: IpAddr,
        queued: OwnedSemaphorePermit,
        patience: Duration,
    ) -> Option<Place> {
        let of_one = self.of_one(address);
        let places = async {
            let one = of_one.clone().acquire_owned().await.ok()?;
            let any = self.knocking.clone().acquire_owned().await.ok()?;
            Some(Place([queued, one, any], of_one))
        };
        timeout(patience, places).await.ok()?
    }

    fn of_one(&self, address: IpAddr) -> Arc<Semaphore> {
        let mut of_one = self.of_one.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = of_one.get(&address).and_then(Weak::upgrade) {
            return known;
        }
        if of_one.len() >= 1_000 && of_one.len().is_power_of_two() {
            of_one.retain(|_, places| places.strong_count() > 0);
        }
        let places = Arc::new(Semaphore::new(MAX_KNOCKING_OF_ONE));
        of_one.insert(address, Arc::downgrade(&places));
        places
    }
}
