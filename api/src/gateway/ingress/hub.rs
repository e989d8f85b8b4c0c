//! What all connections share: the routes, the limits and the end.
//!
//! # Correctness
//! A connection's place is a guard: however its task ends, the place is free again.

use std::{
    collections::{HashMap, hash_map::Entry},
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
};

use rustls::ServerConfig;
use tokio_util::sync::CancellationToken;

use super::{certificate::Certificate, headers::Scheme, proxy::Trusted, routes::Routes, settings::Settings};

/// The network of one IPv6 customer.
const CUSTOMER_BITS: u32 = 64;

/// What all connections share.
pub(super) struct Hub {
    pub(super) routes: Arc<dyn Routes>,
    pub(super) settings: Settings,
    pub(super) trusted: Trusted,
    pub(super) crowd: Crowd,
    pub(super) termination: Option<Termination>,
    /// No new connections and requests.
    pub(super) stop: CancellationToken,
    /// No connections any longer.
    pub(super) kill: CancellationToken,
}

/// With what TLS is ended here.
pub(super) struct Termination {
    pub(super) certificate: Arc<Certificate>,
    pub(super) config: Arc<ServerConfig>,
}

/// Where a connection comes from.
#[derive(Debug, Clone)]
pub(super) struct Origin {
    pub(super) visitor: SocketAddr,
    pub(super) scheme: Scheme,
    /// The name that TLS was ended for.
    pub(super) sni: Option<String>,
}

/// Who has how many connections open.
#[derive(Debug)]
pub(super) struct Crowd {
    each_max: u32,
    open: Arc<Mutex<HashMap<IpAddr, u32>>>,
}

/// One connection's place in the crowd.
#[derive(Debug)]
pub(super) struct Place {
    address: IpAddr,
    open: Arc<Mutex<HashMap<IpAddr, u32>>>,
}

impl Crowd {
    /// A crowd in which each address has so many connections at most; 0 for any number.
    pub(super) fn new(each_max: u32) -> Self {
        Self { each_max, open: Arc::default() }
    }

    /// A place for one more connection, if there is one.
    pub(super) fn enter(&self, address: IpAddr) -> Option<Place> {
        let address = match address.to_canonical() {
            IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << CUSTOMER_BITS)).into(),
            v4 => v4,
        };
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(address).or_default();
        if self.each_max > 0 && *count >= self.each_max {
            return None;
        }
        *count += 1;
        Some(Place { address, open: self.open.clone() })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut count) = open.entry(self.address) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_as_many_places_as_it_may_and_gives_them_back() {
        let crowd = Crowd::new(2);
        let enter = |address: &str| crowd.enter(address.parse().unwrap());
        let (first, _second) = (enter("10.0.0.1"), enter("::ffff:10.0.0.1"));
        assert!(first.is_some() && enter("10.0.0.1").is_none());
        let (_a, _b) = (enter("2001:db8::1"), enter("2001:db8::2"));
        assert!(enter("2001:db8::3").is_none() && enter("2001:db8:0:1::3").is_some());
        drop(first);
        assert!(enter("10.0.0.1").is_some());
        assert_eq!(crowd.open.lock().unwrap().len(), 2);
    }
}
