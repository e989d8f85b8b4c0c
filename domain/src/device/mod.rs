//! Devices and their numbered leases.
//!
//! # Shape
//! enrolled → lease 1 granted → lease 1 ended → epoch 1 erased → lease 2 granted … → retired. Offer and presence run
//! beside it.
//!
//! # Correctness
//! A lease is granted only after the epoch before it was erased with a receipt signed by the key that held it, so one
//! renter's data never meets the next. A lease ends only by a command that names its epoch: a late command of an older
//! epoch ends nothing. The caller puts the contract's end into that command.

mod command;
mod event;
mod refusal;

pub use command::DeviceCommand;
pub use event::{
    DeviceEnrolled, DeviceEvent, DeviceLost, DeviceRecovered, DeviceRetired, DeviceTransferred,
    EnrolmentKeyReplaced, EpochErased, LeaseEnd, LeaseEnded, LeaseGranted, OfferPublished, OfferWithdrawn,
};
pub use refusal::DeviceRefusal;

use crate::{
    aggregate::{Aggregate, Decision},
    id::{AccountId, ContractId, DeviceId, Epoch},
    key::Digest,
    offer::Offer,
    order::RejectReason,
    time::{Interval, Time},
    wire::SignedReceipt,
};

/// The most outages kept for one lease; later ones widen the last, in the renter's favour.
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
        self.lease.as_ref().map_or(0, |l| if l.erased { l.granted.epoch } else { l.granted.epoch - 1 })
    }

    /// When the lease `epoch` was offline until `now`, a loss that goes on included.
    #[must_use]
    pub fn outages(&self, epoch: Epoch, now: Time) -> Vec<Interval> {
        if self.lease.as_ref().is_none_or(|lease| lease.granted.epoch != epoch) {
            return Vec::new();
        }
        let open = self.lost.as_ref().map(|lost| Interval::new(lost.last_seen, now.max(lost.last_seen)));
        self.outages.iter().copied().chain(open).collect()
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
    pub fn next_epoch(
        &self,
        device_key: crate::key::PublicKey,
        config_hash: Digest,
    ) -> Result<Epoch, DeviceRefusal> {
        self.enrolled()?;
        match &self.lease {
            Some(lease) if lease.ended.is_none() => {
                let same = lease.granted.device_key == device_key && lease.granted.config_hash == config_hash;
                if same { Ok(lease.granted.epoch) } else { Err(DeviceRefusal::LeaseHeld) }
            }
            Some(lease) if !lease.erased => Err(DeviceRefusal::NotErased { epoch: lease.granted.epoch }),
            _ if self.retired => Err(DeviceRefusal::Retired),
            Some(lease) => Ok(lease.granted.epoch + 1),
            None => Ok(1),
        }
    }

    fn enrolled(&self) -> Result<AccountId, DeviceRefusal> {
        self.owner.ok_or(DeviceRefusal::Unknown)
    }

    fn in_service(&self) -> Result<(), DeviceRefusal> {
        self.enrolled()?;
        if self.retired { Err(DeviceRefusal::Retired) } else { Ok(()) }
    }

    fn grant(&self, lease: LeaseGranted) -> Result<Decision<DeviceEvent>, DeviceRefusal> {
        let epoch = self.next_epoch(lease.device_key, lease.config_hash)?;
        match self.live_lease() {
            Some(live) if live.epoch == lease.epoch => Ok(Decision::AlreadyDone),
            _ if epoch == lease.epoch => Ok(Decision::event(lease)),
            _ => Err(DeviceRefusal::WrongEpoch { expected: epoch }),
        }
    }

    fn end_lease(
        &self,
        epoch: Epoch,
        contract: ContractId,
        why: LeaseEnd,
    ) -> Result<Decision<DeviceEvent>, DeviceRefusal> {
        let lease = self.lease.as_ref().ok_or(DeviceRefusal::NotLeased)?;
        if lease.granted.epoch > epoch || (lease.granted.epoch == epoch && lease.ended.is_some()) {
            return Ok(Decision::AlreadyDone);
        }
        if lease.granted.epoch != epoch {
            return Err(DeviceRefusal::WrongEpoch { expected: lease.granted.epoch });
        }
        let LeaseGranted { gateway, port, subdomain, .. } = lease.granted.clone();
        Ok(Decision::event(LeaseEnded { epoch, contract, why, gateway, port, subdomain }))
    }

    fn record_erasure(
        &self,
        device: DeviceId,
        receipt: SignedReceipt,
    ) -> Result<Decision<DeviceEvent>, DeviceRefusal> {
        let lease = self.lease.as_ref().ok_or(DeviceRefusal::NotLeased)?;
        let verified = receipt.verify(&lease.granted.device_key, device);
        let epoch = verified.map_err(|e| DeviceRefusal::BadReceipt(e.to_string()))?.get().epoch;
        match &lease.ended {
            _ if epoch < lease.granted.epoch => Ok(Decision::AlreadyDone),
            _ if epoch > lease.granted.epoch => {
                Err(DeviceRefusal::WrongEpoch { expected: lease.granted.epoch })
            }
            None => Err(DeviceRefusal::LeaseRunning),
            Some(_) if lease.erased => Ok(Decision::AlreadyDone),
            Some(_) => Ok(Decision::event(EpochErased { epoch, receipt })),
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
        match command {
            DeviceCommand::Enrol { owner, enrolment_key } => match self.owner {
                None => Ok(Decision::event(DeviceEnrolled { owner, enrolment_key })),
                Some(old) if old == owner && self.enrolment_key == Some(enrolment_key) => {
                    Ok(Decision::AlreadyDone)
                }
                Some(_) => Err(DeviceRefusal::AlreadyEnrolled),
            },
            DeviceCommand::ReplaceEnrolmentKey { enrolment_key } => {
                self.in_service()?;
                if self.enrolment_key == Some(enrolment_key) {
                    return Ok(Decision::AlreadyDone);
                }
                Ok(Decision::event(EnrolmentKeyReplaced { enrolment_key }))
            }
            DeviceCommand::PublishOffer { offer } => {
                self.in_service()?;
                offer.validate()?;
                if self.offer.as_ref() == Some(&offer) {
                    return Ok(Decision::AlreadyDone);
                }
                Ok(Decision::event(OfferPublished { offer }))
            }
            DeviceCommand::WithdrawOffer => {
                self.enrolled()?;
                Ok(if self.offer.is_none() {
                    Decision::AlreadyDone
                } else {
                    Decision::event(OfferWithdrawn {})
                })
            }
            DeviceCommand::GrantLease(lease) => self.grant(lease),
            DeviceCommand::ReportLost { epoch, last_seen, give_up_at } => {
                let lease = self.live_lease().ok_or(DeviceRefusal::NotLeased)?;
                if lease.epoch != epoch {
                    return Err(DeviceRefusal::WrongEpoch { expected: lease.epoch });
                }
                if self.lost.is_some() {
                    return Ok(Decision::AlreadyDone);
                }
                Ok(Decision::event(DeviceLost { epoch, last_seen, give_up_at }))
            }
            DeviceCommand::ReportSeen { seen_at } => {
                self.enrolled()?;
                Ok(match &self.lost {
                    None => Decision::AlreadyDone,
                    Some(lost) => Decision::event(DeviceRecovered {
                        epoch: lost.epoch,
                        last_seen: lost.last_seen,
                        seen_at: seen_at.max(lost.last_seen),
                    }),
                })
            }
            DeviceCommand::EndLease { epoch, contract, why } => self.end_lease(epoch, contract, why),
            DeviceCommand::RecordErasure { device, receipt } => self.record_erasure(device, receipt),
            DeviceCommand::Retire { is_let } => {
                self.enrolled()?;
                match (self.retired, is_let) {
                    (true, _) => Ok(Decision::AlreadyDone),
                    (false, true) => Err(DeviceRefusal::Let),
                    (false, false) => Ok(Decision::event(DeviceRetired {})),
                }
            }
            DeviceCommand::Transfer { to } => {
                self.in_service()?;
                if self.owner == Some(to) {
                    return Ok(Decision::AlreadyDone);
                }
                match &self.lease {
                    Some(lease) if lease.ended.is_none() => Err(DeviceRefusal::LeaseRunning),
                    Some(lease) if !lease.erased => {
                        Err(DeviceRefusal::NotErased { epoch: lease.granted.epoch })
                    }
                    _ => Ok(Decision::event(DeviceTransferred { to, owner_gen: self.owner_gen + 1 })),
                }
            }
        }
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
                self.lease = Some(Lease { granted: e.clone(), ended: None, erased: false });
                self.lost = None;
                self.outages.clear();
            }
            DeviceEvent::DeviceLost(e) => self.lost = Some(e.clone()),
            DeviceEvent::DeviceRecovered(e) => {
                self.lost = None;
                let outage = Interval::new(e.last_seen, e.seen_at);
                let full = self.outages.len() >= MAX_OUTAGES;
                match self.outages.last_mut() {
                    Some(last) if full => last.end = outage.end,
                    _ => self.outages.push(outage),
                }
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

#[cfg(test)]
mod tests;
