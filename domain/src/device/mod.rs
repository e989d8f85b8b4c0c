//! Devices and their numbered leases.
//!
//! # Shape
//! enrolled → lease 1 granted → lease 1 ended → epoch 1 erased → lease 2 granted … → retired. Offer and presence run
//! beside it.
//!
//! # Correctness
//! A lease is granted only after the epoch before it was erased with a receipt signed by the key that held it, so one
//! renter's data never meets the next. A lease ends only by a command that names its epoch: a late command of an older
//! epoch ends nothing. The caller puts the contract's end into that command. That a lease's key was destroyed is recorded
//! once, and only of a lease that has ended.

mod command;
mod decide;
mod event;
mod refusal;

pub use command::DeviceCommand;
pub use event::{
    DeviceEnrolled, DeviceEvent, DeviceLost, DeviceRecovered, DeviceRetired, DeviceTransferred,
    EnrolmentKeyReplaced, EpochErased, KeyEnd, LeaseEnd, LeaseEnded, LeaseGranted, LeaseKeyDestroyed,
    OfferPublished, OfferWithdrawn,
};
pub use refusal::DeviceRefusal;

use std::collections::BTreeSet;

use crate::{
    aggregate::{Aggregate, Decision},
    id::{AccountId, DeviceId, Epoch},
    key::{Digest, PublicKey},
    offer::Offer,
    order::RejectReason,
    prorate::union_of,
    time::{Interval, Time},
};

/// The most outages kept for one lease or contract; beyond, those closest together become one, in the renter's favour.
pub const MAX_OUTAGES: usize = 500;

/// A device's latest lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// What was granted.
    pub granted: LeaseGranted,
    /// How it ended, once it did.
    pub ended: Option<LeaseEnded>,
    /// Whether its data is erased.
    pub erased: bool,
    /// Under which owner it was granted, as [`Device::owner_gen`] counts them.
    pub owner_gen: u32,
}

/// A device's state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Device {
    owner: Option<AccountId>,
    owner_gen: u32,
    enrolment_key: Option<Digest>,
    offer: Option<Offer>,
    lease: Option<Lease>,
    lost: Option<DeviceLost>,
    outages: Vec<Interval>,
    keys_destroyed: BTreeSet<Epoch>,
    retired: bool,
}

/// What a renter can have of a device now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rentable {
    /// Who is paid.
    pub owner: AccountId,
    /// The lease.
    pub epoch: Epoch,
    /// What is asked.
    pub offer: Offer,
}

impl Device {
    /// Its owner, once enrolled.
    #[must_use]
    pub const fn owner(&self) -> Option<AccountId> {
        self.owner
    }

    /// Counts its owners, from 0 for the first.
    #[must_use]
    pub const fn owner_gen(&self) -> u32 {
        self.owner_gen
    }

    /// SHA-256 of the enrolment key in force.
    #[must_use]
    pub const fn enrolment_key(&self) -> Option<Digest> {
        self.enrolment_key
    }

    /// What is asked, while it is on the market.
    #[must_use]
    pub const fn offer(&self) -> Option<&Offer> {
        self.offer.as_ref()
    }

    /// The latest lease, ended or not.
    #[must_use]
    pub const fn lease(&self) -> Option<&Lease> {
        self.lease.as_ref()
    }

    /// The lease, while it lives.
    #[must_use]
    pub fn live_lease(&self) -> Option<&LeaseGranted> {
        self.lease.as_ref().filter(|lease| lease.ended.is_none()).map(|lease| &lease.granted)
    }

    /// Whether the lease `epoch` was granted and has ended.
    #[must_use]
    pub fn is_over(&self, epoch: Epoch) -> bool {
        let latest = self.lease.as_ref();
        latest.is_some_and(|l| {
            (1..l.granted.epoch).contains(&epoch) || (epoch == l.granted.epoch && l.ended.is_some())
        })
    }

    /// The owner that the device has not registered under yet, if it was leased under another before.
    #[must_use]
    pub fn moved(&self) -> Option<u32> {
        let lease = self.lease.as_ref()?;
        (lease.erased && lease.owner_gen != self.owner_gen).then_some(self.owner_gen)
    }

    /// The loss that goes on.
    #[must_use]
    pub const fn lost(&self) -> Option<&DeviceLost> {
        self.lost.as_ref()
    }

    /// Whether it is out of service.
    #[must_use]
    pub const fn is_retired(&self) -> bool {
        self.retired
    }

    /// The last epoch whose data is erased; 0 for none.
    #[must_use]
    pub fn erased_floor(&self) -> Epoch {
        self.lease
            .as_ref()
            .map_or(0, |l| if l.erased { l.granted.epoch } else { l.granted.epoch.saturating_sub(1) })
    }

    /// When the lease `epoch` was offline until `now`, a loss that goes on included.
    #[must_use]
    pub fn outages(&self, epoch: Epoch, now: Time) -> Vec<Interval> {
        if self.lease.as_ref().is_none_or(|lease| lease.granted.epoch != epoch) {
            return Vec::new();
        }
        let mut outages = self.outages.clone();
        if let Some(lost) = &self.lost {
            add_outage(&mut outages, Interval::new(lost.last_seen, now.max(lost.last_seen)));
        }
        outages
    }

    /// What a renter can have of it now.
    ///
    /// # Errors
    /// Why it cannot be rented.
    pub fn rentable(&self) -> Result<Rentable, RejectReason> {
        let owner = self.owner.ok_or(RejectReason::DeviceUnknown)?;
        if self.retired {
            return Err(RejectReason::DeviceRetired);
        }
        let epoch = self.live_lease().ok_or(RejectReason::DeviceNotLeased)?.epoch;
        if self.lost.is_some() {
            return Err(RejectReason::DeviceLost);
        }
        let offer = self.offer.clone().ok_or(RejectReason::NotOffered)?;
        Ok(Rentable { owner, epoch, offer })
    }

    /// The epoch that a registration gets: the live one again, or the next.
    ///
    /// # Errors
    /// When the device is unknown or retired, another device holds the lease, or the last epoch is not erased.
    pub fn next_epoch(&self, device_key: PublicKey, config_hash: Digest) -> Result<Epoch, DeviceRefusal> {
        self.enrolled()?;
        match &self.lease {
            Some(lease) if lease.ended.is_none() => {
                let same = lease.granted.device_key == device_key && lease.granted.config_hash == config_hash;
                if same { Ok(lease.granted.epoch) } else { Err(DeviceRefusal::LeaseHeld) }
            }
            Some(lease) if !lease.erased => Err(DeviceRefusal::NotErased { epoch: lease.granted.epoch }),
            _ if self.retired => Err(DeviceRefusal::Retired),
            Some(lease) => Ok(lease.granted.epoch.saturating_add(1)),
            None => Ok(1),
        }
    }
}

impl Aggregate for Device {
    type Id = DeviceId;
    type Command = DeviceCommand;
    type Event = DeviceEvent;
    type Refusal = DeviceRefusal;

    const CATEGORY: &'static str = "device";

    fn decide(&self, command: DeviceCommand, _now: Time) -> Result<Decision<DeviceEvent>, DeviceRefusal> {
        self.handle(command)
    }

    fn apply(&mut self, event: &DeviceEvent) {
        match event {
            DeviceEvent::DeviceEnrolled(e) => {
                self.owner = Some(e.owner);
                self.enrolment_key = Some(e.enrolment_key);
            }
            DeviceEvent::EnrolmentKeyReplaced(e) => self.enrolment_key = Some(e.enrolment_key),
            DeviceEvent::OfferPublished(e) => self.offer = Some(e.offer.clone()),
            DeviceEvent::OfferWithdrawn(_) => self.offer = None,
            DeviceEvent::LeaseGranted(e) => {
                let owner_gen = self.owner_gen;
                self.lease = Some(Lease { granted: e.clone(), ended: None, erased: false, owner_gen });
                self.lost = None;
                self.outages.clear();
            }
            DeviceEvent::DeviceLost(e) => self.lost = Some(e.clone()),
            DeviceEvent::DeviceRecovered(e) => {
                self.lost = None;
                add_outage(&mut self.outages, Interval::new(e.last_seen, e.seen_at));
            }
            DeviceEvent::LeaseEnded(e) => {
                self.lost = None;
                if let Some(lease) = &mut self.lease {
                    lease.ended = Some(e.clone());
                }
            }
            DeviceEvent::EpochErased(_) => {
                if let Some(lease) = &mut self.lease {
                    lease.erased = true;
                }
            }
            DeviceEvent::LeaseKeyDestroyed(e) => {
                self.keys_destroyed.insert(e.epoch);
            }
            DeviceEvent::DeviceRetired(_) => {
                self.retired = true;
                self.offer = None;
            }
            DeviceEvent::DeviceTransferred(e) => {
                self.owner = Some(e.to);
                self.owner_gen = e.owner_gen;
                self.offer = None;
                self.enrolment_key = None;
            }
        }
    }

    fn effective_at(event: &DeviceEvent) -> Option<Time> {
        match event {
            DeviceEvent::DeviceLost(e) => Some(e.last_seen),
            DeviceEvent::DeviceRecovered(e) => Some(e.seen_at),
            _ => None,
        }
    }
}

fn add_outage(outages: &mut Vec<Interval>, outage: Interval) {
    outages.push(outage);
    if outages.len() > MAX_OUTAGES {
        *outages = union_of(MAX_OUTAGES, outages, Interval::new(Time::MIN, Time::MAX));
    }
}

#[cfg(test)]
mod tests;
