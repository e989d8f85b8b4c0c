//! Wakes the devices that wait for news, and only those that an event concerns.
//!
//! # Shape
//! One task follows the log from its head and notifies whoever waits on an event's device.
//!
//! # Correctness
//! A wake-up is a hint: the woken poll reads the streams itself, and looks by itself every few seconds. A waiter is
//! registered before it reads, so an event after its reading wakes it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use domain::{any::AnyEvent, contract::ContractEvent, event::Recorded, id::DeviceId};
use projections::log::{EventLog, MAX_PAGE};
use tokio::sync::{Notify, futures::OwnedNotified};
use tokio_util::sync::CancellationToken;

/// How often the log is looked at without a hint: other processes append too.
const POLL: Duration = Duration::from_millis(500);

/// Who waits for news of which device.
#[derive(Debug, Default)]
pub struct Feed {
    waiting: Mutex<HashMap<DeviceId, Weak<Notify>>>,
}

/// A place in the queue for a device's news.
#[derive(Debug)]
pub struct Waiter {
    wait: OwnedNotified,
}

impl Waiter {
    /// Resolves at the first news after [`Feed::wait_on`].
    pub async fn notified(self) {
        self.wait.await;
    }
}

impl Feed {
    /// Starts waiting for a device's news.
    #[must_use]
    pub fn wait_on(&self, device: DeviceId) -> Waiter {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let notify = waiting.get(&device).and_then(Weak::upgrade).unwrap_or_default();
        waiting.insert(device, Arc::downgrade(&notify));
        if waiting.len() > 1_000 && waiting.len().is_power_of_two() {
            waiting.retain(|_, notify| notify.strong_count() > 0);
        }
        Waiter { wait: notify.notified_owned() }
    }

    /// Wakes whoever waits for a device's news.
    pub fn wake(&self, device: DeviceId) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(notify) = waiting.remove(&device).and_then(|notify| notify.upgrade()) {
            notify.notify_waiters();
        }
    }

    /// Follows the log until stopped.
    pub async fn run(&self, log: &dyn EventLog, stop: CancellationToken) {
        let mut hint = log.follow();
        let mut next = log.head().await.ok().flatten().map_or(0, |head| head + 1);
        loop {
            match log.read_all(next, MAX_PAGE).await {
                Ok(page) => {
                    page.iter().filter_map(concerns).for_each(|device| self.wake(device));
                    if let Some(last) = page.last() {
                        next = last.position + 1;
                        continue;
                    }
                }
                Err(e) => tracing::error!(error = %e, "the device feed cannot read the log; trying again"),
            }
            tokio::select! {
                () = stop.cancelled() => return,
                _ = tokio::time::timeout(POLL, hint.changed()) => {}
            }
        }
    }
}

/// The device whose answer an event may change.
fn concerns(recorded: &Recorded) -> Option<DeviceId> {
    match recorded.stream.category() {
        "device" => recorded.stream.key().parse().ok(),
        "contract" => match AnyEvent::of(recorded).ok()? {
            AnyEvent::Contract(ContractEvent::RentalStarted(e)) => Some(e.device),
            AnyEvent::Contract(ContractEvent::RentalExtended(e)) => Some(e.device),
            AnyEvent::Contract(ContractEvent::RentalTerminated(e)) => Some(e.device),
            AnyEvent::Contract(ContractEvent::RentalExpired(e)) => Some(e.device),
            AnyEvent::Contract(ContractEvent::OfferClosed(e)) => Some(e.device),
            AnyEvent::Contract(ContractEvent::OfflineResumeChosen(e)) => Some(e.device),
            _ => None,
        },
        _ => None,
    }
}
