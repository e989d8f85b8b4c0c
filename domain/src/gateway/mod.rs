//! A gateway's port pool.
//!
//! # Shape
//! One stream per gateway holds who has which port. A lease asks for a port with the range the gateway serves; the next
//! free port after the last one given is taken, so that a freed port rests as long as possible.
//!
//! # Correctness
//! Because the pool is one stream with expected revisions, two concurrent requests cannot take one port. A release names
//! the device and epoch that hold the port; a late release of an older lease therefore frees nothing.

mod event;

pub use event::{GatewayEvent, PortLeased, PortReleased};

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    aggregate::{Aggregate, Decision},
    id::{DeviceId, Epoch, GatewayName, Subdomain},
    time::Time,
};

/// A gateway's state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gateway {
    held: BTreeMap<u16, PortLeased>,
    by_lease: BTreeMap<(DeviceId, Epoch), u16>,
    subdomains: BTreeSet<Subdomain>,
    last: Option<u16>,
}

impl Gateway {
    /// The port that a lease holds.
    #[must_use]
    pub fn port_of(&self, device: DeviceId, epoch: Epoch) -> Option<&PortLeased> {
        self.by_lease.get(&(device, epoch)).and_then(|port| self.held.get(port))
    }

    fn free_port(&self, first: u16, last: u16) -> Option<u16> {
        let after = self.last.filter(|p| (first..last).contains(p)).map_or(first, |p| p + 1);
        (after..=last).chain(first..after).find(|port| !self.held.contains_key(port))
    }
}

/// What can be asked of a gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GatewayCommand {
    /// Give a lease a port and its subdomain.
    LeasePort {
        /// The device.
        device: DeviceId,
        /// Its lease.
        epoch: Epoch,
        /// The subdomain it gets.
        subdomain: Subdomain,
        /// First port of the gateway's range.
        first: u16,
        /// Last port of the gateway's range.
        last: u16,
    },
    /// Free what a lease holds.
    ReleasePort {
        /// The device.
        device: DeviceId,
        /// Its lease.
        epoch: Epoch,
    },
}

/// Why a gateway says no.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GatewayRefusal {
    /// Every port of the range is held.
    #[error("all {0} ports of the gateway are leased")]
    PoolExhausted(u32),
    /// Another lease has this subdomain.
    #[error("the subdomain {0} is leased")]
    SubdomainTaken(Subdomain),
}

impl Aggregate for Gateway {
    type Id = GatewayName;
    type Command = GatewayCommand;
    type Event = GatewayEvent;
    type Refusal = GatewayRefusal;

    const CATEGORY: &'static str = "gateway";

    fn decide(&self, command: GatewayCommand, _now: Time) -> Result<Decision<GatewayEvent>, GatewayRefusal> {
        match command {
            GatewayCommand::LeasePort { device, epoch, .. } if self.port_of(device, epoch).is_some() => {
                Ok(Decision::AlreadyDone)
            }
            GatewayCommand::LeasePort { device, epoch, subdomain, first, last } => {
                if self.subdomains.contains(&subdomain) {
                    return Err(GatewayRefusal::SubdomainTaken(subdomain));
                }
                let size = u32::from(last.saturating_sub(first)) + 1;
                let port = self.free_port(first, last).ok_or(GatewayRefusal::PoolExhausted(size))?;
                Ok(Decision::event(PortLeased { port, subdomain, device, epoch }))
            }
            GatewayCommand::ReleasePort { device, epoch } => Ok(match self.port_of(device, epoch) {
                None => Decision::AlreadyDone,
                Some(PortLeased { port, subdomain, .. }) => {
                    Decision::event(PortReleased { port: *port, subdomain: subdomain.clone(), device, epoch })
                }
            }),
        }
    }

    fn apply(&mut self, event: &GatewayEvent) {
        match event {
            GatewayEvent::PortLeased(e) => {
                self.by_lease.insert((e.device, e.epoch), e.port);
                self.subdomains.insert(e.subdomain.clone());
                self.held.insert(e.port, e.clone());
                self.last = Some(e.port);
            }
            GatewayEvent::PortReleased(e) => {
                self.by_lease.remove(&(e.device, e.epoch));
                self.subdomains.remove(&e.subdomain);
                self.held.remove(&e.port);
            }
        }
    }
}

#[cfg(test)]
mod tests;
