//! Who may knock: limits on connections that have not proved anything yet.
//!
//! # Correctness
//! A connection holds a place from before its first byte is read until it has brought a tunnel up, or its grace is over.
//! Whoever finds all places taken waits; those who wait are counted, too. No address has more than its share of either, so
//! none can keep others out.

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

use super::crowd::{self, Crowd, network};
use crate::listen;

/// Connections of all addresses that are being let in.
const MAX_KNOCKING: usize = 2_048;
/// Connections of one address that are being let in.
const MAX_KNOCKING_OF_ONE: usize = 256;
/// Connections that are there at all and have brought no tunnel up; fewer if the process may not open so many files.
const MAX_WAITING: usize = 16_384;
/// Those of one address: a fleet behind one router may come back at once.
const MAX_WAITING_OF_ONE: u32 = 2_048;

/// The door.
#[derive(Debug)]
pub struct Door {
    waiting: Arc<Semaphore>,
    waiting_of_one: Crowd,
    knocking: Arc<Semaphore>,
    knocking_of_one: Mutex<HashMap<IpAddr, Weak<Semaphore>>>,
}

/// A place in the queue; given back when dropped.
#[derive(Debug)]
pub struct Queued {
    address: IpAddr,
    _any: OwnedSemaphorePermit,
    _one: crowd::Place,
}

/// A place before the door; given back when dropped.
#[derive(Debug)]
pub struct Place {
    _queued: Queued,
    _any: OwnedSemaphorePermit,
    _one: OwnedSemaphorePermit,
}

impl Default for Door {
    fn default() -> Self {
        let places = |n| Arc::new(Semaphore::new(n));
        Self {
            waiting: places(MAX_WAITING.min(listen::limit() / 4).max(1)),
            waiting_of_one: Crowd::new(MAX_WAITING_OF_ONE),
            knocking: places(MAX_KNOCKING),
            knocking_of_one: Mutex::default(),
        }
    }
}

impl Door {
    /// A place in the queue, or none when even that is full.
    #[must_use]
    pub fn queue(&self, address: IpAddr) -> Option<Queued> {
        let address = network(address);
        let one = self.waiting_of_one.enter(address)?;
        let any = self.waiting.clone().try_acquire_owned().ok()?;
        Some(Queued { address, _any: any, _one: one })
    }

    /// Waits for a place; none in time is none at all.
    pub async fn place(&self, queued: Queued, patience: Duration) -> Option<Place> {
        let of_one = self.of_one(queued.address);
        let places = async {
            let one = of_one.acquire_owned().await.ok()?;
            let any = self.knocking.clone().acquire_owned().await.ok()?;
            Some(Place { _queued: queued, _any: any, _one: one })
        };
        timeout(patience, places).await.ok()?
    }

    fn of_one(&self, address: IpAddr) -> Arc<Semaphore> {
        let mut of_one = self.knocking_of_one.lock().unwrap_or_else(PoisonError::into_inner);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn no_address_takes_the_places_of_others() {
        let door = Door::default();
        let from = |address: &str| door.queue(address.parse().unwrap());
        let mut held: Vec<_> = (0..5_000).map_while(|_| from("10.0.0.1")).collect();
        let other = from("10.0.0.2").expect("others find a place in the queue");
        assert!(held.len() <= MAX_WAITING_OF_ONE as usize && from("10.0.0.1").is_none());
        let mut inside = Vec::new();
        for queued in held.drain(..400) {
            inside.extend(door.place(queued, Duration::from_millis(1)).await);
        }
        assert_eq!(inside.len(), MAX_KNOCKING_OF_ONE);
        assert!(door.place(other, Duration::from_secs(5)).await.is_some());
        drop(inside);
        assert!(door.place(held.pop().unwrap(), Duration::from_secs(5)).await.is_some());
    }
}
