//! The leases of this gateway and who finds them by what.
//!
//! # Correctness
//! A lease is taken out by device and epoch, so a late end of an older lease ends nothing. Before a port or subdomain is
//! given to another lease, the one that held it is ended: no two berths ever have one port or one name, and everything of
//! the older one is cancelled before the newer is found.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard},
};

use domain::{id::DeviceId, key::PublicKey};

use super::{
    berth::Berth,
    leases::{LiveLease, News},
};

/// Names of ended leases that are remembered, so that visitors are told why nobody answers.
const MAX_REMEMBERED: usize = 10_000;

#[derive(Debug, Default)]
struct State {
    by_device: HashMap<DeviceId, Arc<Berth>>,
    by_port: HashMap<u16, Arc<Berth>>,
    by_subdomain: HashMap<String, Arc<Berth>>,
    by_key: HashMap<PublicKey, Vec<Arc<Berth>>>,
    over: HashSet<String>,
    over_in_order: VecDeque<String>,
}

impl State {
    fn remove(&mut self, berth: &Arc<Berth>) {
        berth.end();
        let LiveLease { device, port, subdomain, device_key, .. } = &berth.lease;
        let its = |found: Option<&Arc<Berth>>| found.is_some_and(|found| Arc::ptr_eq(found, berth));
        if its(self.by_device.get(device)) {
            self.by_device.remove(device);
        }
        if its(self.by_port.get(port)) {
            self.by_port.remove(port);
        }
        if its(self.by_subdomain.get(subdomain.as_str())) {
            self.by_subdomain.remove(subdomain.as_str());
        }
        if let Some(same) = self.by_key.get_mut(device_key) {
            same.retain(|other| !Arc::ptr_eq(other, berth));
            if same.is_empty() {
                self.by_key.remove(device_key);
            }
        }
    }

    /// Its visitors are told that the rental is over.
    fn remember(&mut self, name: &str) {
        if self.over.insert(name.to_owned()) {
            self.over_in_order.push_back(name.to_owned());
        }
        if self.over_in_order.len() > MAX_REMEMBERED
            && let Some(oldest) = self.over_in_order.pop_front()
        {
            self.over.remove(&oldest);
        }
    }

    fn insert(&mut self, berth: Arc<Berth>) {
        let lease = &berth.lease;
        let before = [
            self.by_device.get(&lease.device).cloned(),
            self.by_port.get(&lease.port).cloned(),
            self.by_subdomain.get(lease.subdomain.as_str()).cloned(),
        ];
        for before in before.into_iter().flatten() {
            self.remove(&before);
            self.remember(before.lease.subdomain.as_str());
        }
        // Forgotten or not: what is told to live is not over.
        self.over.remove(lease.subdomain.as_str());
        self.by_device.insert(lease.device, berth.clone());
        self.by_port.insert(lease.port, berth.clone());
        self.by_subdomain.insert(lease.subdomain.as_str().to_owned(), berth.clone());
        self.by_key.entry(lease.device_key).or_default().push(berth);
    }
}

/// What a name stands for.
#[derive(Debug, Clone)]
pub enum Named {
    /// A lease that lives.
    Live(Arc<Berth>),
    /// A lease that is over.
    Over,
    /// Nothing that was leased here lately.
    Unknown,
}

/// The leases of a gateway.
#[derive(Debug, Default)]
pub struct Table(RwLock<State>);

impl Table {
    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes news in; answers the berths that are new. Whatever is over is ended when this returns.
    pub fn take(&self, news: &News, make: impl Fn(LiveLease) -> Arc<Berth>) -> Vec<Arc<Berth>> {
        let mut state = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let told: HashMap<_, _> = news.live.iter().map(|lease| (lease.device, lease)).collect();
        let ended: HashSet<_> = news.ended.iter().map(|ended| (ended.device, ended.epoch)).collect();
        let over = |berth: &&Arc<Berth>| {
            let lease = &berth.lease;
            let is_told = told.get(&lease.device).is_some_and(|told| **told == *lease);
            ended.contains(&(lease.device, lease.epoch)) || (news.whole && !is_told)
        };
        let over: Vec<_> = match news.whole || !news.ended.is_empty() {
            true => state.by_device.values().filter(over).cloned().collect(),
            false => Vec::new(),
        };
        for berth in over {
            state.remove(&berth);
            state.remember(berth.lease.subdomain.as_str());
        }
        let mut fresh = Vec::new();
        for lease in &news.live {
            let known = state.by_device.get(&lease.device);
            if known.is_some_and(|known| known.lease.epoch >= lease.epoch) {
                continue;
            }
            let berth = make(lease.clone());
            state.insert(berth.clone());
            fresh.push(berth);
        }
        fresh
    }

    /// Ends everything: the gateway may no longer believe what it was told.
    pub fn clear(&self) {
        let mut state = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let all: Vec<_> = state.by_device.values().cloned().collect();
        all.iter().for_each(|berth| state.remove(berth));
    }

    /// The berths of a key; more than one when a machine is enrolled more than once.
    #[must_use]
    pub fn of_key(&self, key: &PublicKey) -> Vec<Arc<Berth>> {
        self.read().by_key.get(key).cloned().unwrap_or_default()
    }

    /// What a subdomain stands for.
    #[must_use]
    pub fn of_subdomain(&self, name: &str) -> Named {
        let state = self.read();
        match state.by_subdomain.get(name) {
            Some(berth) => Named::Live(berth.clone()),
            None if state.over.contains(name) => Named::Over,
            None => Named::Unknown,
        }
    }

    /// Every berth.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Berth>> {
        self.read().by_device.values().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use domain::id::{GatewayName, Subdomain};
    use uuid::Uuid;

    use super::{super::leases::EndedLease, *};

    fn lease(n: u8, epoch: u32, port: u16) -> LiveLease {
        let device = DeviceId(Uuid::from_u128(n.into()));
        LiveLease {
            device,
            epoch,
            gateway: GatewayName::new("local").unwrap(),
            port,
            subdomain: Subdomain::of(device, epoch),
            device_key: PublicKey([n; 32]),
        }
    }

    fn news(whole: bool, live: &[LiveLease], ended: &[(u8, u32)]) -> News {
        let ended = ended
            .iter()
            .map(|(n, epoch)| EndedLease { device: DeviceId(Uuid::from_u128((*n).into())), epoch: *epoch });
        News { source: Uuid::nil(), version: 0, whole, live: live.to_vec(), ended: ended.collect() }
    }

    fn take(table: &Table, news: &News) -> Vec<Arc<Berth>> {
        table.take(news, |lease| Berth::new(lease, 8, None))
    }

    #[test]
    fn a_re_leased_port_belongs_to_the_new_lease_only_and_the_old_one_is_ended_first() {
        let table = Table::default();
        let old = take(&table, &news(false, &[lease(1, 1, 6000)], &[])).remove(0);
        // The end of the old lease was not told yet, or never will be.
        let new = take(&table, &news(false, &[lease(2, 1, 6000)], &[])).remove(0);
        assert!(old.ended.is_cancelled() && !new.ended.is_cancelled());
        assert!(table.of_key(&PublicKey([1; 32])).is_empty());
        // It comes late: it ends nothing of the new one.
        take(&table, &news(false, &[], &[(1, 1)]));
        assert!(!new.ended.is_cancelled());
        assert!(matches!(table.of_subdomain(old.lease.subdomain.as_str()), Named::Over));
        assert!(matches!(table.of_subdomain(new.lease.subdomain.as_str()), Named::Live(_)));
    }

    #[test]
    fn a_late_end_of_an_older_lease_and_a_repeated_grant_change_nothing() {
        let table = Table::default();
        let live = take(&table, &news(false, &[lease(1, 2, 6001)], &[(1, 1)])).remove(0);
        assert!(take(&table, &news(false, &[lease(1, 2, 6001), lease(1, 1, 6000)], &[(1, 1)])).is_empty());
        assert!(!live.ended.is_cancelled());
        take(&table, &news(false, &[], &[(1, 2)]));
        assert!(live.ended.is_cancelled() && table.all().is_empty());
    }

    #[test]
    fn whole_news_end_what_they_do_not_name() {
        let table = Table::default();
        let berths = take(&table, &news(true, &[lease(1, 1, 6000), lease(2, 1, 6001)], &[]));
        let fresh = take(&table, &news(true, &[lease(2, 1, 6001), lease(3, 1, 6002)], &[]));
        let ended: Vec<_> = berths.iter().map(|berth| berth.ended.is_cancelled()).collect();
        assert_eq!((ended, fresh.len()), (vec![true, false], 1));
    }
}
