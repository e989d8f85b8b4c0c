//! Who has how many of something: no address more than its share.
//!
//! Of IPv6, one customer's network counts as one address, because its customer has all of it.

use std::{
    collections::{HashMap, hash_map::Entry},
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, PoisonError},
};

/// Bits of an IPv6 address that are the customer's own.
const CUSTOMER_BITS: u32 = 64;

/// What counts as one address.
#[must_use]
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << CUSTOMER_BITS)).into(),
        v4 => v4,
    }
}

/// Who has how many connections open.
#[derive(Debug)]
pub struct Crowd {
    each_max: u32,
    open: Arc<Mutex<HashMap<IpAddr, u32>>>,
}

/// One connection's place in the crowd.
#[derive(Debug)]
pub struct Place {
    address: IpAddr,
    open: Arc<Mutex<HashMap<IpAddr, u32>>>,
}

impl Crowd {
    /// A crowd in which each address has so many connections at most; 0 for any number.
    #[must_use]
    pub fn new(each_max: u32) -> Self {
        Self { each_max, open: Arc::default() }
    }

    /// A place for one more connection, if there is one.
    #[must_use]
    pub fn enter(&self, address: IpAddr) -> Option<Place> {
        let address = network(address);
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
