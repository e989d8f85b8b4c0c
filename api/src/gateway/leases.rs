//! The leases that live, as gateways need to know them.
//!
//! # Shape
//! One task takes the live leases from the devices view and follows the log from the view's checkpoint. Whoever serves a
//! gateway asks for what changed since a version, which is the log's next position.
//!
//! # Correctness
//! Nothing is told before the log's end was reached once: between the view's checkpoint and the end, a lease that is over
//! would seem to live for a moment. Afterwards changes are told in the log's order. A version that is too old, or
//! that another start of a server told, gets everything anew, so a gateway can never miss an end. A server that is behind
//! the one that told a gateway last tells it nothing until it has caught up; only when it does not within [`BEHIND`], the
//! log was put back to an older state, and what it holds now is told. A log that cannot be read for [`VOUCHED`] is vouched
//! for no longer.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use domain::{
    any::AnyEvent,
    device::DeviceEvent,
    event::{Position, Recorded},
    id::{DeviceId, Epoch, GatewayName, Subdomain},
    key::PublicKey,
};
use projections::{
    log::MAX_PAGE,
    views::{MAX_LIMIT, Page, devices::DeviceRow},
};
use serde::{Deserialize, Serialize};
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::app::App;

/// How often the log is looked at without a hint: other processes append too.
const POLL: Duration = Duration::from_millis(250);
/// How long to wait before a failed reading is tried again.
const RETRY: Duration = Duration::from_millis(250);
/// How long the last reading stands when the log cannot be read.
const VOUCHED: Duration = Duration::from_secs(30);
/// How long a server may be behind another that reads the same log.
const BEHIND: Duration = Duration::from_secs(10);
/// Changes remembered for gateways that were away for a moment.
const MAX_CHANGES: usize = 10_000;

/// A lease that lives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveLease {
    /// Who holds it.
    pub device: DeviceId,
    /// Which lease of the device.
    pub epoch: Epoch,
    /// Where its port is.
    pub gateway: GatewayName,
    /// The port.
    pub port: u16,
    /// The subdomain.
    pub subdomain: Subdomain,
    /// The key that the device proves to hold.
    pub device_key: PublicKey,
}

/// The lease of a device that is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndedLease {
    /// Who held it.
    pub device: DeviceId,
    /// Which lease of the device.
    pub epoch: Epoch,
}

/// What changed: ends first, then what was granted; what is told twice changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct News {
    /// Who tells: different after every start of a server, because a log that was restored may have other events at the
    /// same positions.
    pub source: Uuid,
    /// To ask with the next time.
    pub version: Position,
    /// Whether `live` is all there is: what it does not name is over.
    pub whole: bool,
    /// Leases that were granted and live.
    pub live: Vec<LiveLease>,
    /// Leases that ended.
    pub ended: Vec<EndedLease>,
}

#[derive(Debug, Clone)]
enum Change {
    Granted(LiveLease),
    Ended(EndedLease, GatewayName),
}

#[derive(Debug, Default)]
struct State {
    live: BTreeMap<DeviceId, LiveLease>,
    lost: HashMap<DeviceId, Epoch>,
    changes: VecDeque<(Position, Change)>,
    /// Changes before this version are not remembered.
    floor: Position,
    source: Uuid,
    /// The newest version that a gateway was told elsewhere and that was not reached here, and since when.
    behind: Option<(Position, Instant)>,
}

impl State {
    /// Whether another server may have told more than what is known here at `now`.
    fn is_behind(&mut self, now: Position, told: Position) -> bool {
        self.behind.take_if(|(version, _)| *version <= now);
        if told <= now {
            return false;
        }
        let (version, since) = self.behind.get_or_insert_with(|| (told, Instant::now()));
        *version = told.max(*version);
        since.elapsed() < BEHIND
    }
}

/// The live leases of all gateways.
#[derive(Debug)]
pub struct Leases {
    state: Mutex<State>,
    /// The log's next position; none until its end was reached once.
    version: watch::Sender<Option<Position>>,
}

impl Default for Leases {
    fn default() -> Self {
        Self { state: Mutex::default(), version: watch::Sender::new(None) }
    }
}

impl Leases {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notified when something changes.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Option<Position>> {
        self.version.subscribe()
    }

    /// What changed at a gateway since the news `(source, version)`; `None` while the log cannot be read, or is not read as
    /// far as by the server that told them, if there are `others`.
    #[must_use]
    pub fn since(&self, gateway: &GatewayName, told: Option<(Uuid, Position)>, others: bool) -> Option<News> {
        let mut state = self.state();
        let now = (*self.version.borrow())?;
        if told.is_some_and(|(_, version)| others && state.is_behind(now, version)) {
            return None;
        }
        let source = state.source;
        let mut news = News { source, version: now, whole: false, live: Vec::new(), ended: Vec::new() };
        let told = told.filter(|(by, since)| *by == source && (state.floor..=now).contains(since));
        let Some((_, since)) = told else {
            news.whole = true;
            news.live = state.live.values().filter(|lease| lease.gateway == *gateway).cloned().collect();
            return Some(news);
        };
        for (_, change) in state.changes.iter().rev().take_while(|(position, _)| *position >= since) {
            match change {
                Change::Granted(lease) if lease.gateway == *gateway => {
                    let lives = state.live.get(&lease.device).is_some_and(|live| live.epoch == lease.epoch);
                    if lives {
                        news.live.push(lease.clone());
                    }
                }
                Change::Ended(ended, at) if at == gateway => news.ended.push(*ended),
                Change::Granted(_) | Change::Ended(..) => {}
            }
        }
        Some(news)
    }

    /// The lost devices among `devices`, which should be found again.
    #[must_use]
    pub fn lost(&self, devices: &[DeviceId]) -> Vec<DeviceId> {
        let state = self.state();
        devices.iter().filter(|device| state.lost.contains_key(device)).copied().collect()
    }

    /// The live lease of a device.
    #[must_use]
    pub fn of(&self, device: DeviceId) -> Option<LiveLease> {
        self.state().live.get(&device).cloned()
    }

    /// The devices that hold a lease at a gateway.
    #[must_use]
    pub fn at(&self, gateway: &GatewayName) -> Vec<DeviceId> {
        self.state()
            .live
            .values()
            .filter(|lease| lease.gateway == *gateway)
            .map(|lease| lease.device)
            .collect()
    }

    /// How many leases live at each gateway.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<GatewayName, usize> {
        let mut counts = BTreeMap::new();
        for lease in self.state().live.values() {
            *counts.entry(lease.gateway.clone()).or_default() += 1;
        }
        counts
    }

    fn apply(&self, recorded: &Recorded) {
        let Ok(AnyEvent::Device(event)) = AnyEvent::of(recorded) else { return };
        let Ok(device) = recorded.stream.key().parse::<DeviceId>() else { return };
        let mut state = self.state();
        let change = match event {
            DeviceEvent::LeaseGranted(e) => {
                if state.live.get(&device).is_some_and(|live| live.epoch >= e.epoch) {
                    return;
                }
                let lease = LiveLease {
                    device,
                    epoch: e.epoch,
                    gateway: e.gateway.clone(),
                    port: e.port,
                    subdomain: e.subdomain.clone(),
                    device_key: e.device_key,
                };
                state.live.insert(device, lease.clone());
                Change::Granted(lease)
            }
            DeviceEvent::LeaseEnded(e) => {
                state.lost.remove(&device);
                if state.live.get(&device).is_some_and(|live| live.epoch == e.epoch) {
                    state.live.remove(&device);
                }
                Change::Ended(EndedLease { device, epoch: e.epoch }, e.gateway.clone())
            }
            DeviceEvent::DeviceLost(e) => {
                state.lost.insert(device, e.epoch);
                return;
            }
            DeviceEvent::DeviceRecovered(_) => {
                state.lost.remove(&device);
                return;
            }
            _ => return,
        };
        state.changes.push_back((recorded.position, change));
        while state.changes.len() > MAX_CHANGES {
            if let Some((position, _)) = state.changes.pop_front() {
                state.floor = position + 1;
            }
        }
    }
}

/// Follows the log until stopped.
pub async fn run(app: App, stop: CancellationToken) {
    let mut hint = app.executor.log().follow();
    let (mut next, mut failing) = (None, None);
    loop {
        match catch_up(&app, &mut next).await {
            Ok(()) => {
                failing = None;
                app.leases.version.send_if_modified(|version| std::mem::replace(version, next) != next);
            }
            Err(e) => {
                tracing::error!(error = %e, "the gateways' leases cannot be read; trying again");
                // What cannot be read any more is not vouched for.
                if failing.get_or_insert_with(Instant::now).elapsed() > VOUCHED {
                    app.leases.version.send_replace(None);
                }
                tokio::time::sleep(RETRY).await;
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            _ = tokio::time::timeout(POLL, hint.changed()) => {}
        }
    }
}

async fn catch_up(app: &App, next: &mut Option<Position>) -> anyhow::Result<()> {
    let mut from = match *next {
        Some(next) => next,
        None => begin(app).await?,
    };
    loop {
        let page = app.executor.log().read_all(from, MAX_PAGE).await?;
        page.iter().for_each(|recorded| app.leases.apply(recorded));
        *next = Some(from);
        let Some(last) = page.last() else { return Ok(()) };
        from = last.position + 1;
    }
}

/// Takes what the view holds; answers where the log goes on.
async fn begin(app: &App) -> anyhow::Result<Position> {
    let checkpoint = app.views.checkpoint().await?;
    let (mut live, mut lost) = (BTreeMap::new(), HashMap::new());
    let mut after = None;
    loop {
        let page = Page { after, ..Page::oldest(MAX_LIMIT) };
        let rows = app.views.devices(page).await?;
        let Some(last) = rows.last() else { break };
        after = Some(last.position);
        for row in rows {
            if row.lost_since.is_some() {
                lost.insert(row.device, row.epoch);
            }
            if let Some(lease) = live_lease(row) {
                live.insert(lease.device, lease);
            }
        }
    }
    let source = app.fresh_id();
    *app.leases.state() =
        State { live, lost, changes: VecDeque::new(), floor: checkpoint, source, behind: None };
    Ok(checkpoint)
}

fn live_lease(row: DeviceRow) -> Option<LiveLease> {
    let lives = row.is_leased();
    let DeviceRow { device, epoch, gateway, port, subdomain, device_key, .. } = row;
    lives.then_some(LiveLease {
        device,
        epoch,
        gateway: gateway?,
        port: port?,
        subdomain: subdomain?,
        device_key: device_key?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_server_that_is_behind_tells_nothing_until_it_has_caught_up_or_the_log_was_put_back() {
        let (leases, gateway) = (Leases::default(), "north".parse().unwrap());
        let elsewhere = Uuid::from_u128(1);
        let told = |version, others| leases.since(&gateway, Some((elsewhere, version)), others);
        assert_eq!(told(12, true), None, "nothing is known");
        leases.version.send_replace(Some(10));
        assert!(told(10, true).is_some_and(|news| news.whole));
        assert!(told(12, false).is_some_and(|news| news.whole), "who could have told more?");
        assert_eq!(told(12, true), None);
        leases.version.send_replace(Some(12));
        assert!(told(12, true).is_some_and(|news| news.whole));
        assert_eq!(told(20, true), None);
        tokio::time::advance(BEHIND).await;
        assert!(told(20, true).is_some_and(|news| news.whole), "the log is shorter than it was");
    }
}
