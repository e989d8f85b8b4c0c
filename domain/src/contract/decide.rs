//! The rules: what each command leads to.

use super::{
    Contract, ContractCommand, ContractEvent, ContractRefusal, ErasureAsked, ExtensionLapsed,
    ExtensionRequested, MAX_SEGMENTS, OfferClosed, OfflineResumeChosen, Rental, RentalExpired,
    RentalExtended, RentalStarted, RentalTerminated,
};
use crate::{
    aggregate::Decision,
    device::LeaseEnd,
    id::{ContractId, DeviceId, Epoch, ExtensionId, OrderKey},
    money::Money,
    offer::{MAX_TERM_S, Offer},
    policy::EndedBy,
    time::{Interval, Seconds, Time},
};

pub(super) type Decided = Result<Decision<ContractEvent>, ContractRefusal>;

impl Contract {
    pub(super) fn handle(&self, command: ContractCommand, now: Time) -> Decided {
        match command {
            ContractCommand::Start { device, rentable, order, renter, paid, term_s, policy } => {
                let segment = Interval::new(now, now.plus(term_s));
                let (owner, epoch, offer) = (rentable.owner, rentable.epoch, rentable.offer);
                let policy = policy.for_term(term_s);
                let new = RentalStarted { device, epoch, owner, renter, order, segment, paid, offer, policy };
                self.start(new, term_s)
            }
            ContractCommand::RequestExtension { extension, term_s, valid_s, offered } => {
                self.request_extension(extension, term_s, valid_s, offered, now)
            }
            ContractCommand::Extend { extension, order, paid } => self.extend(extension, order, paid, now),
            ContractCommand::Lapse { extension } => self.lapse(extension, now),
            ContractCommand::Terminate { by, quoted_at, offline } => {
                self.terminate(by, quoted_at, &offline, now)
            }
            ContractCommand::Expire { offline } => self.expire(&offline, now),
            ContractCommand::CloseOffer { device, epoch } => self.close_offer(device, epoch),
            ContractCommand::CloseSegment { segment, offline } => self.close_segment(segment, &offline, now),
            ContractCommand::OpenDispute { segment, evidence } => self.open_dispute(segment, evidence),
            ContractCommand::DecideDispute { segment, weights, moderator, refund_held } => {
                self.decide_dispute(segment, weights, moderator, refund_held)
            }
            ContractCommand::ChooseOfflineResume { allowed } => self.choose_offline_resume(allowed, now),
            ContractCommand::AskErasure => self.ask_erasure(),
            ContractCommand::IssuePayout => self.issue_payout(now),
        }
    }

    pub(super) fn started(&self) -> Result<(&Rental, ContractId), ContractRefusal> {
        let rental = self.rental.as_ref().ok_or(ContractRefusal::Unknown)?;
        Ok((rental, ContractId::of(rental.started.device, rental.started.epoch)))
    }

    fn start(&self, new: RentalStarted, term_s: Seconds) -> Decided {
        match &self.rental {
            Some(rental) if rental.started.order == new.order => return Ok(Decision::AlreadyDone),
            Some(_) => return Err(ContractRefusal::AlreadyLet),
            None if self.closed => return Err(ContractRefusal::LeaseEnded),
            None => {}
        }
        if !new.policy.is_valid() {
            return Err(ContractRefusal::PolicyInvalid);
        }
        new.offer.validate().map_err(|_| ContractRefusal::NotOffered)?;
        check_term(&new.offer, new.segment.start, 0, term_s)?;
        check_price(price(&new.offer, term_s)?, new.paid)?;
        Ok(Decision::event(new))
    }

    fn request_extension(
        &self,
        extension: ExtensionId,
        term_s: Seconds,
        valid_s: Seconds,
        offered: bool,
        now: Time,
    ) -> Decided {
        let (rental, _) = self.started()?;
        if rental.knows(extension) {
            return Ok(Decision::AlreadyDone);
        }
        if !rental.runs(now) {
            return Err(ContractRefusal::Over);
        }
        if !offered {
            return Err(ContractRefusal::NotOffered);
        }
        let mut events = Vec::new();
        if let Some(pending) = &rental.pending {
            if now < pending.lapses_at {
                return Err(ContractRefusal::ExtensionPending(pending.extension));
            }
            events.push(lapsed(rental, pending).into());
        }
        if rental.segments.len() >= MAX_SEGMENTS {
            return Err(ContractRefusal::TooManySegments);
        }
        let (offer, until) = (&rental.started.offer, rental.until());
        check_term(offer, until, until.since(rental.started.segment.start), term_s)?;
        let price = price(offer, term_s)?;
        rental.total_with(price).ok_or(ContractRefusal::PriceOutOfRange)?;
        let lapses_at = now.plus(valid_s).min(until);
        events.push(ExtensionRequested { extension, term_s, price, lapses_at }.into());
        Ok(Decision::Events(events))
    }

    fn extend(&self, extension: ExtensionId, order: OrderKey, paid: Money, now: Time) -> Decided {
        let (rental, _) = self.started()?;
        if let Some(segment) = rental.segments.iter().find(|s| s.extension == Some(extension)) {
            let same = segment.order == order;
            return if same { Ok(Decision::AlreadyDone) } else { Err(ContractRefusal::ExtensionPaid) };
        }
        if rental.lapsed.contains(&extension) {
            return Err(ContractRefusal::ExtensionLapsed);
        }
        if !rental.runs(now) {
            return Err(ContractRefusal::Over);
        }
        // What was paid elsewhere could not leave with the payout, which has one marketplace.
        let expected = &rental.started.order.marketplace;
        if order.marketplace != *expected {
            return Err(ContractRefusal::WrongMarketplace { expected: expected.clone() });
        }
        let asked = rental.pending.as_ref().filter(|p| p.extension == extension);
        let asked = asked.ok_or(ContractRefusal::ExtensionUnknown)?;
        if now >= asked.lapses_at {
            return Err(ContractRefusal::ExtensionLapsed);
        }
        check_price(asked.price, paid)?;
        let RentalStarted { device, epoch, .. } = rental.started;
        let segment = Interval::new(rental.until(), rental.until().plus(asked.term_s));
        Ok(Decision::event(RentalExtended { device, epoch, extension, order, segment, paid }))
    }

    fn lapse(&self, extension: ExtensionId, now: Time) -> Decided {
        let (rental, _) = self.started()?;
        let Some(pending) = rental.pending.as_ref().filter(|p| p.extension == extension) else {
            return Ok(Decision::AlreadyDone);
        };
        if now < pending.lapses_at && rental.ended.is_none() {
            return Err(ContractRefusal::NotLapsedYet { until: pending.lapses_at });
        }
        Ok(Decision::event(lapsed(rental, pending)))
    }

    fn terminate(&self, by: EndedBy, quoted_at: Option<Time>, offline: &[Interval], now: Time) -> Decided {
        let (rental, contract) = self.started()?;
        match &rental.ended {
            Some(ended) if ended.by == EndedBy::Term => return Err(ContractRefusal::Over),
            Some(_) => return Ok(Decision::AlreadyDone),
            None if now >= rental.until() || by == EndedBy::Term => return Err(ContractRefusal::Over),
            None => {}
        }
        let at = quoted_at.unwrap_or(now);
        let oldest = now.plus(-rental.started.policy.quote_valid_s).max(rental.started.segment.start);
        if quoted_at.is_some() && !(oldest..=now).contains(&at) {
            return Err(ContractRefusal::QuoteExpired);
        }
        let ended = rental.end_at(by, at, offline);
        let RentalStarted { device, epoch, .. } = rental.started;
        let event = RentalTerminated { device, epoch, by, ended_at: at, offline: ended.offline.clone() };
        Ok(Decision::Events(rental.end_with(contract, &ended, event.into())))
    }

    fn expire(&self, offline: &[Interval], now: Time) -> Decided {
        let (rental, contract) = self.started()?;
        if rental.ended.is_some() {
            return Ok(Decision::AlreadyDone);
        }
        let until = rental.until();
        if now < until {
            return Err(ContractRefusal::StillRunning { until });
        }
        let ended = rental.end_at(EndedBy::Term, until, offline);
        let RentalStarted { device, epoch, .. } = rental.started;
        let event = RentalExpired { device, epoch, ended_at: until, offline: ended.offline.clone() };
        Ok(Decision::Events(rental.end_with(contract, &ended, event.into())))
    }

    fn close_offer(&self, device: DeviceId, epoch: Epoch) -> Decided {
        if self.rental.is_some() {
            return Err(ContractRefusal::Let);
        }
        if self.closed {
            return Ok(Decision::AlreadyDone);
        }
        let contract = ContractId::of(device, epoch);
        Ok(Decision::event(OfferClosed { contract, device, epoch, why: LeaseEnd::Unrented }))
    }

    fn choose_offline_resume(&self, allowed: bool, now: Time) -> Decided {
        let (rental, _) = self.started()?;
        if rental.offline_resume == allowed {
            return Ok(Decision::AlreadyDone);
        }
        if !rental.runs(now) {
            return Err(ContractRefusal::Over);
        }
        let RentalStarted { device, epoch, .. } = rental.started;
        Ok(Decision::event(OfflineResumeChosen { device, epoch, allowed }))
    }

    fn ask_erasure(&self) -> Decided {
        let (rental, _) = self.started()?;
        if rental.erasure_asked {
            return Ok(Decision::AlreadyDone);
        }
        if rental.ended.is_none() {
            return Err(ContractRefusal::StillRunning { until: rental.until() });
        }
        let RentalStarted { device, epoch, .. } = rental.started;
        Ok(Decision::event(ErasureAsked { device, epoch }))
    }

    fn issue_payout(&self, now: Time) -> Decided {
        let (rental, contract) = self.started()?;
        if rental.paid_out {
            return Ok(Decision::AlreadyDone);
        }
        let Some(ended) = &rental.ended else {
            return Err(ContractRefusal::StillRunning { until: rental.until() });
        };
        let at = ended.at.plus(rental.started.policy.payout_delay_s);
        if now < at {
            return Err(ContractRefusal::PayoutNotDue { at });
        }
        if let Some(disputed) = rental.disputed() {
            return Err(ContractRefusal::Disputed(disputed));
        }
        Ok(Decision::event(rental.payout(contract, ended)))
    }
}

/// A request lapses at its own time, or with the rental when that ended before.
fn lapsed(rental: &Rental, pending: &ExtensionRequested) -> ExtensionLapsed {
    let lapses_at = rental.ended.as_ref().map_or(pending.lapses_at, |end| end.at.min(pending.lapses_at));
    ExtensionLapsed { extension: pending.extension, lapses_at }
}

/// A term keeps to the offer, to [`MAX_TERM_S`] with what was `bought` before, and to the end of time.
fn check_term(offer: &Offer, from: Time, bought: Seconds, term_s: Seconds) -> Result<(), ContractRefusal> {
    let room = (MAX_TERM_S - bought).min(Time::MAX.since(from));
    let (min_term_s, max_term_s) = (offer.min_term_s, offer.max_term_s.min(room));
    let ok = (min_term_s..=max_term_s).contains(&term_s);
    if ok { Ok(()) } else { Err(ContractRefusal::TermOutOfRange { min_term_s, max_term_s }) }
}

fn price(offer: &Offer, term_s: Seconds) -> Result<Money, ContractRefusal> {
    offer.price(term_s).ok_or(ContractRefusal::PriceOutOfRange)
}

fn check_price(expected: Money, paid: Money) -> Result<(), ContractRefusal> {
    if paid.asset() != expected.asset() {
        return Err(ContractRefusal::WrongAsset { expected: expected.asset() });
    }
    if paid == expected { Ok(()) } else { Err(ContractRefusal::WrongAmount { expected }) }
}
