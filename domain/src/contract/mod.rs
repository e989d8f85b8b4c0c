//! Contracts: the rental of one lease by one renter, as a list of paid segments.
//!
//! # Shape
//! started → (extension requested → extended | lapsed)* → expired | terminated → payout issued. Or the lease ended
//! unrented and the contract is closed before it ever started.
//!
//! # Correctness
//! The contract's id is made of device and epoch, and its first event must meet an empty stream: a lease is let once, or
//! closed, never both. Segments follow on each other without gap or overlap. An end and the refunds it causes are one
//! append: money is decided with the end or not at all. Amounts come from [`crate::prorate`] over the pinned policy and
//! the outages recorded in the ending event, so replaying the log alone gives the same numbers.

mod command;
mod event;
mod refusal;

pub use command::ContractCommand;
pub use event::{
    ContractEvent, ExtensionLapsed, ExtensionRequested, OfferClosed, PayoutIssued, RefundIssued,
    RentalExpired, RentalExtended, RentalStarted, RentalTerminated,
};
pub use refusal::ContractRefusal;

use std::collections::BTreeSet;

use crate::{
    aggregate::{Aggregate, Decision},
    device::LeaseEnd,
    id::{ContractId, ExtensionId, OrderKey, SettlementId},
    money::Money,
    offer::{MAX_TERM_S, Offer},
    policy::EndedBy,
    prorate::{Split, split},
    time::{Interval, Seconds, Time},
};

/// The most segments of one contract.
pub const MAX_SEGMENTS: usize = 10_000;

/// Time that one order paid for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// The time.
    pub term: Interval,
    /// What was received for it.
    pub paid: Money,
    /// The order.
    pub order: OrderKey,
    /// The extension request, unless it is the initial term.
    pub extension: Option<ExtensionId>,
}

/// How a rental ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Who or what ended it.
    pub by: EndedBy,
    /// The instant money is split at.
    pub at: Time,
    /// When the device was offline.
    pub offline: Vec<Interval>,
}

/// A rental.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rental {
    /// Its opening event.
    pub started: RentalStarted,
    /// What was paid for, in order of time.
    pub segments: Vec<Segment>,
    /// The request that waits to be paid.
    pub pending: Option<ExtensionRequested>,
    /// The requests that lapsed.
    lapsed: BTreeSet<ExtensionId>,
    /// How it ended, once it did.
    pub ended: Option<Ended>,
    /// Whether the owner's payout was issued.
    pub paid_out: bool,
}

impl Rental {
    /// The end of the paid time.
    #[must_use]
    pub fn until(&self) -> Time {
        self.segments.last().map_or(self.started.segment.end, |s| s.term.end)
    }

    /// Whether it runs at `now`: not ended, and its paid time not over.
    #[must_use]
    pub fn runs(&self, now: Time) -> bool {
        self.ended.is_none() && now < self.until()
    }

    /// What every segment would come to if the rental ended like this.
    #[must_use]
    pub fn splits(&self, ended: &Ended) -> Vec<Split> {
        let terms = self.started.policy.terms(ended.by);
        self.segments.iter().map(|s| split(s.term, s.paid.minor(), ended.at, terms, &ended.offline)).collect()
    }

    /// The refunds of an end, one for each segment that gets something back.
    #[must_use]
    pub fn refunds(&self, contract: ContractId, ended: &Ended) -> Vec<RefundIssued> {
        let parts = self.segments.iter().zip(self.splits(ended)).enumerate();
        parts
            .filter(|(_, (_, part))| part.refund > 0)
            .map(|(i, (segment, part))| RefundIssued {
                settlement: SettlementId::refund(contract, i),
                segment: u32::try_from(i).unwrap_or(u32::MAX),
                order: segment.order.clone(),
                renter: self.started.renter,
                amount: part_of(segment.paid, part.refund),
            })
            .collect()
    }

    fn end_with(&self, contract: ContractId, ended: &Ended, event: ContractEvent) -> Decision<ContractEvent> {
        let refunds = self.refunds(contract, ended).into_iter().map(ContractEvent::from);
        Decision::Events(std::iter::once(event).chain(refunds).collect())
    }

    fn payout(&self, contract: ContractId, ended: &Ended) -> PayoutIssued {
        let splits = self.splits(ended);
        let paid = self.started.paid;
        PayoutIssued {
            settlement: SettlementId::payout(contract),
            order: self.started.order.clone(),
            owner: self.started.owner,
            amount: part_of(paid, splits.iter().map(|s| s.owner).sum()),
            fee: part_of(paid, splits.iter().map(|s| s.fee).sum()),
        }
    }
}

/// A part of money that was received, so it is in range.
fn part_of(whole: Money, minor: i128) -> Money {
    Money::from_minor(minor, whole.asset()).unwrap_or(whole)
}

/// A contract's state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contract {
    rental: Option<Rental>,
    closed: bool,
}

impl Contract {
    /// The rental, once it started.
    #[must_use]
    pub const fn rental(&self) -> Option<&Rental> {
        self.rental.as_ref()
    }

    /// Whether the lease ended unrented.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        self.closed
    }

    /// How the lease may end now, if it may.
    #[must_use]
    pub fn lease_end(&self) -> Option<LeaseEnd> {
        match (&self.rental, self.closed) {
            (None, true) => Some(LeaseEnd::Unrented),
            (Some(Rental { ended: Some(Ended { by: EndedBy::Term, .. }), .. }), _) => Some(LeaseEnd::Expired),
            (Some(Rental { ended: Some(_), .. }), _) => Some(LeaseEnd::Terminated),
            _ => None,
        }
    }

    fn started(&self) -> Result<(&Rental, ContractId), ContractRefusal> {
        let rental = self.rental.as_ref().ok_or(ContractRefusal::Unknown)?;
        Ok((rental, ContractId::of(rental.started.device, rental.started.epoch)))
    }

    fn start(&self, new: RentalStarted, term_s: Seconds) -> Result<Decision<ContractEvent>, ContractRefusal> {
        match &self.rental {
            Some(rental) if rental.started.order == new.order => return Ok(Decision::AlreadyDone),
            Some(_) => return Err(ContractRefusal::AlreadyLet),
            None if self.closed => return Err(ContractRefusal::LeaseEnded),
            None => {}
        }
        if !new.policy.is_valid() {
            return Err(ContractRefusal::PolicyInvalid);
        }
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
    ) -> Result<Decision<ContractEvent>, ContractRefusal> {
        let (rental, _) = self.started()?;
        let seen = rental.segments.iter().any(|s| s.extension == Some(extension));
        if seen
            || rental.lapsed.contains(&extension)
            || rental.pending.as_ref().is_some_and(|p| p.extension == extension)
        {
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
            events.push(lapse(pending).into());
        }
        let price = price(&rental.started.offer, term_s)?;
        let total = rental.until().since(rental.started.segment.start) + term_s;
        if rental.segments.len() >= MAX_SEGMENTS || total > MAX_TERM_S {
            let max_term_s = MAX_TERM_S - (total - term_s);
            return Err(ContractRefusal::TermOutOfRange { min_term_s: 1, max_term_s });
        }
        let lapses_at = now.plus(valid_s).min(rental.until());
        events.push(ExtensionRequested { extension, term_s, price, lapses_at }.into());
        Ok(Decision::Events(events))
    }

    fn extend(
        &self,
        extension: ExtensionId,
        order: OrderKey,
        paid: Money,
        now: Time,
    ) -> Result<Decision<ContractEvent>, ContractRefusal> {
        let (rental, _) = self.started()?;
        if let Some(segment) = rental.segments.iter().find(|s| s.extension == Some(extension)) {
            return if segment.order == order {
                Ok(Decision::AlreadyDone)
            } else {
                Err(ContractRefusal::ExtensionPaid)
            };
        }
        if rental.lapsed.contains(&extension) {
            return Err(ContractRefusal::ExtensionLapsed);
        }
        if !rental.runs(now) {
            return Err(ContractRefusal::Over);
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

    fn terminate(
        &self,
        by: EndedBy,
        quoted_at: Option<Time>,
        offline: Vec<Interval>,
        now: Time,
    ) -> Result<Decision<ContractEvent>, ContractRefusal> {
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
        let ended = Ended { by, at, offline };
        let RentalStarted { device, epoch, .. } = rental.started;
        let event = RentalTerminated { device, epoch, by, ended_at: at, offline: ended.offline.clone() };
        Ok(rental.end_with(contract, &ended, event.into()))
    }

    fn expire(&self, offline: Vec<Interval>, now: Time) -> Result<Decision<ContractEvent>, ContractRefusal> {
        let (rental, contract) = self.started()?;
        if rental.ended.is_some() {
            return Ok(Decision::AlreadyDone);
        }
        let until = rental.until();
        if now < until {
            return Err(ContractRefusal::StillRunning { until });
        }
        let ended = Ended { by: EndedBy::Term, at: until, offline };
        let RentalStarted { device, epoch, .. } = rental.started;
        let event = RentalExpired { device, epoch, ended_at: until, offline: ended.offline.clone() };
        Ok(rental.end_with(contract, &ended, event.into()))
    }

    fn issue_payout(&self, now: Time) -> Result<Decision<ContractEvent>, ContractRefusal> {
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
        Ok(Decision::event(rental.payout(contract, ended)))
    }
}

fn lapse(pending: &ExtensionRequested) -> ExtensionLapsed {
    ExtensionLapsed { extension: pending.extension, lapses_at: pending.lapses_at }
}

fn price(offer: &Offer, term_s: Seconds) -> Result<Money, ContractRefusal> {
    let Offer { min_term_s, max_term_s, .. } = *offer;
    if !(min_term_s..=max_term_s).contains(&term_s) {
        return Err(ContractRefusal::TermOutOfRange { min_term_s, max_term_s });
    }
    offer.price(term_s).ok_or(ContractRefusal::PriceOutOfRange)
}

fn check_price(expected: Money, paid: Money) -> Result<(), ContractRefusal> {
    if paid.asset() != expected.asset() {
        return Err(ContractRefusal::WrongAsset { expected: expected.asset() });
    }
    if paid == expected { Ok(()) } else { Err(ContractRefusal::WrongAmount { expected }) }
}

impl Aggregate for Contract {
    type Id = ContractId;
    type Command = ContractCommand;
    type Event = ContractEvent;
    type Refusal = ContractRefusal;

    const CATEGORY: &'static str = "contract";

    fn decide(
        &self,
        command: ContractCommand,
        now: Time,
    ) -> Result<Decision<ContractEvent>, ContractRefusal> {
        match command {
            ContractCommand::Start { device, rentable, order, renter, paid, term_s, policy } => {
                let segment = Interval::new(now, now.plus(term_s));
                let (owner, epoch, offer) = (rentable.owner, rentable.epoch, rentable.offer);
                let new = RentalStarted { device, epoch, owner, renter, order, segment, paid, offer, policy };
                self.start(new, term_s)
            }
            ContractCommand::RequestExtension { extension, term_s, valid_s, offered } => {
                self.request_extension(extension, term_s, valid_s, offered, now)
            }
            ContractCommand::Extend { extension, order, paid } => self.extend(extension, order, paid, now),
            ContractCommand::Lapse { extension } => {
                let (rental, _) = self.started()?;
                match &rental.pending {
                    Some(p) if p.extension == extension && now < p.lapses_at && rental.ended.is_none() => {
                        Err(ContractRefusal::NotLapsedYet { until: p.lapses_at })
                    }
                    Some(p) if p.extension == extension => Ok(Decision::event(lapse(p))),
                    _ => Ok(Decision::AlreadyDone),
                }
            }
            ContractCommand::Terminate { by, quoted_at, offline } => {
                self.terminate(by, quoted_at, offline, now)
            }
            ContractCommand::Expire { offline } => self.expire(offline, now),
            ContractCommand::CloseOffer { device, epoch } => match (&self.rental, self.closed) {
                (Some(_), _) => Err(ContractRefusal::Let),
                (None, true) => Ok(Decision::AlreadyDone),
                (None, false) => Ok(Decision::event(OfferClosed {
                    contract: ContractId::of(device, epoch),
                    device,
                    epoch,
                    why: LeaseEnd::Unrented,
                })),
            },
            ContractCommand::IssuePayout => self.issue_payout(now),
        }
    }

    fn apply(&mut self, event: &ContractEvent) {
        if let ContractEvent::RentalStarted(e) = event {
            let segment = Segment { term: e.segment, paid: e.paid, order: e.order.clone(), extension: None };
            self.rental = Some(Rental {
                started: e.clone(),
                segments: vec![segment],
                pending: None,
                lapsed: BTreeSet::new(),
                ended: None,
                paid_out: false,
            });
            return;
        }
        self.closed |= matches!(event, ContractEvent::OfferClosed(_));
        let Some(rental) = &mut self.rental else { return };
        match event {
            ContractEvent::RentalStarted(_)
            | ContractEvent::OfferClosed(_)
            | ContractEvent::RefundIssued(_) => {}
            ContractEvent::ExtensionRequested(e) => rental.pending = Some(e.clone()),
            ContractEvent::ExtensionLapsed(e) => {
                rental.pending = None;
                rental.lapsed.insert(e.extension);
            }
            ContractEvent::RentalExtended(e) => {
                rental.pending = None;
                let (paid, order) = (e.paid, e.order.clone());
                rental.segments.push(Segment { term: e.segment, paid, order, extension: Some(e.extension) });
            }
            ContractEvent::RentalTerminated(e) => {
                rental.ended = Some(Ended { by: e.by, at: e.ended_at, offline: e.offline.clone() });
            }
            ContractEvent::RentalExpired(e) => {
                rental.ended = Some(Ended { by: EndedBy::Term, at: e.ended_at, offline: e.offline.clone() });
            }
            ContractEvent::PayoutIssued(_) => rental.paid_out = true,
        }
    }

    fn effective_at(event: &ContractEvent) -> Option<Time> {
        match event {
            ContractEvent::RentalTerminated(e) => Some(e.ended_at),
            ContractEvent::RentalExpired(e) => Some(e.ended_at),
            ContractEvent::ExtensionLapsed(e) => Some(e.lapses_at),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
