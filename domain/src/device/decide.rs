//! The rules: what each command leads to.

use super::{
    Device, DeviceCommand, DeviceEnrolled, DeviceEvent, DeviceLost, DeviceRecovered, DeviceRefusal,
    DeviceRetired, DeviceTransferred, EnrolmentKeyReplaced, EpochErased, LeaseEnd, LeaseEnded, LeaseGranted,
    LeaseKeyDestroyed, OfferPublished, OfferWithdrawn,
};
use crate::{
    aggregate::Decision,
    id::{AccountId, ContractId, DeviceId, Epoch},
    key::Digest,
    offer::Offer,
    time::Time,
    wire::SignedReceipt,
};

type Decided = Result<Decision<DeviceEvent>, DeviceRefusal>;

impl Device {
    pub(super) fn handle(&self, command: DeviceCommand) -> Decided {
        match command {
            DeviceCommand::Enrol { owner, enrolment_key } => self.enrol(owner, enrolment_key),
            DeviceCommand::ReplaceEnrolmentKey { enrolment_key } => self.replace_key(enrolment_key),
            DeviceCommand::PublishOffer { offer } => self.publish(offer),
            DeviceCommand::WithdrawOffer => self.withdraw(),
            DeviceCommand::GrantLease(lease) => self.grant(lease),
            DeviceCommand::ReportLost { epoch, last_seen, give_up_at } => {
                self.report_lost(DeviceLost { epoch, last_seen, give_up_at })
            }
            DeviceCommand::ReportSeen { seen_at } => self.report_seen(seen_at),
            DeviceCommand::EndLease { epoch, contract, why } => self.end_lease(epoch, contract, why),
            DeviceCommand::RecordErasure { device, receipt } => self.record_erasure(device, receipt),
            DeviceCommand::RecordKeyDestroyed { epoch, commitment, why } => {
                self.record_key_destroyed(LeaseKeyDestroyed { epoch, commitment, why })
            }
            DeviceCommand::Retire { is_let } => self.retire(is_let),
            DeviceCommand::Transfer { to } => self.transfer(to),
        }
    }

    pub(super) fn enrolled(&self) -> Result<AccountId, DeviceRefusal> {
        self.owner.ok_or(DeviceRefusal::Unknown)
    }

    fn in_service(&self) -> Result<(), DeviceRefusal> {
        self.enrolled()?;
        if self.retired { Err(DeviceRefusal::Retired) } else { Ok(()) }
    }

    fn enrol(&self, owner: AccountId, enrolment_key: Digest) -> Decided {
        match self.owner {
            None => Ok(Decision::event(DeviceEnrolled { owner, enrolment_key })),
            Some(old) if old == owner && self.enrolment_key == Some(enrolment_key) => {
                Ok(Decision::AlreadyDone)
            }
            Some(_) => Err(DeviceRefusal::AlreadyEnrolled),
        }
    }

    fn replace_key(&self, enrolment_key: Digest) -> Decided {
        self.in_service()?;
        if self.enrolment_key == Some(enrolment_key) {
            return Ok(Decision::AlreadyDone);
        }
        Ok(Decision::event(EnrolmentKeyReplaced { enrolment_key }))
    }

    fn publish(&self, offer: Offer) -> Decided {
        self.in_service()?;
        offer.validate()?;
        if self.offer.as_ref() == Some(&offer) {
            return Ok(Decision::AlreadyDone);
        }
        Ok(Decision::event(OfferPublished { offer }))
    }

    fn withdraw(&self) -> Decided {
        self.enrolled()?;
        let offered = self.offer.is_some();
        Ok(if offered { Decision::event(OfferWithdrawn {}) } else { Decision::AlreadyDone })
    }

    fn report_lost(&self, loss: DeviceLost) -> Decided {
        let lease = self.live_lease().ok_or(DeviceRefusal::NotLeased)?;
        if lease.epoch != loss.epoch {
            return Err(DeviceRefusal::WrongEpoch { expected: lease.epoch });
        }
        Ok(if self.lost.is_some() { Decision::AlreadyDone } else { Decision::event(loss) })
    }

    fn report_seen(&self, seen_at: Time) -> Decided {
        self.enrolled()?;
        // A sighting from before the loss is one that was already counted.
        let loss = self.lost.as_ref().filter(|loss| loss.last_seen < seen_at);
        let Some(&DeviceLost { epoch, last_seen, .. }) = loss else { return Ok(Decision::AlreadyDone) };
        Ok(Decision::event(DeviceRecovered { epoch, last_seen, seen_at }))
    }

    fn retire(&self, is_let: bool) -> Decided {
        self.enrolled()?;
        match (self.retired, is_let) {
            (true, _) => Ok(Decision::AlreadyDone),
            (false, true) => Err(DeviceRefusal::Let),
            (false, false) => Ok(Decision::event(DeviceRetired {})),
        }
    }

    fn transfer(&self, to: AccountId) -> Decided {
        self.in_service()?;
        if self.owner == Some(to) {
            return Ok(Decision::AlreadyDone);
        }
        match &self.lease {
            Some(lease) if lease.ended.is_none() => Err(DeviceRefusal::LeaseRunning),
            Some(lease) if !lease.erased => Err(DeviceRefusal::NotErased { epoch: lease.granted.epoch }),
            _ => Ok(Decision::event(DeviceTransferred { to, owner_gen: self.owner_gen.saturating_add(1) })),
        }
    }

    fn grant(&self, lease: LeaseGranted) -> Decided {
        let epoch = self.next_epoch(lease.device_key, lease.config_hash)?;
        match self.live_lease() {
            Some(live) if live.epoch == lease.epoch => Ok(Decision::AlreadyDone),
            _ if epoch == lease.epoch => Ok(Decision::event(lease)),
            _ => Err(DeviceRefusal::WrongEpoch { expected: epoch }),
        }
    }

    fn end_lease(&self, epoch: Epoch, contract: ContractId, why: LeaseEnd) -> Decided {
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

    fn record_erasure(&self, device: DeviceId, receipt: SignedReceipt) -> Decided {
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

    fn record_key_destroyed(&self, destroyed: LeaseKeyDestroyed) -> Decided {
        if self.keys_destroyed.contains(&destroyed.epoch) {
            return Ok(Decision::AlreadyDone);
        }
        if self.is_over(destroyed.epoch) {
            return Ok(Decision::event(destroyed));
        }
        let lease = self.lease.as_ref().ok_or(DeviceRefusal::NotLeased)?;
        if lease.granted.epoch == destroyed.epoch {
            return Err(DeviceRefusal::LeaseRunning);
        }
        Err(DeviceRefusal::WrongEpoch { expected: lease.granted.epoch })
    }
}
