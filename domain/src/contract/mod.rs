//! Contracts: the rental of one lease by one renter, as a list of paid segments.
//!
//! # Shape
//! started → (extension requested → extended | lapsed)* → expired | terminated → payout issued. Or the lease ended
//! unrented and the contract is closed before it ever started. Before the payout, the money of a segment may be decided
//! on its own: it is closed once served, when the rental is long, or disputed and divided.
//!
//! # Correctness
//! The contract's id is made of device and epoch, and its first event must meet an empty stream: a lease is let once, or
//! closed, never both. Segments follow on each other without gap or overlap, and are paid at one marketplace, whose
//! escrow the payout leaves. An end and the refunds it causes are one append: money is decided with the end or not at
//! all. Amounts come from [`crate::prorate`] over the pinned policy and the outages recorded in the ending event, so
//! replaying the log alone gives the same numbers. A segment's money is decided once ([`Verdict`]): what was closed or
//! divided stays so whatever ends the rental, and no payout is issued while a dispute is open.

mod command;
mod decide;
mod event;
mod issue;
mod refusal;
mod rental;
mod verdict;

pub use command::ContractCommand;
pub use event::{
    ContractEvent, DisputeDecided, DisputeOpened, ErasureAsked, ExtensionLapsed, ExtensionRequested,
    ModerationIssued, OfferClosed, OfflineResumeChosen, PayoutIssued, RefundIssued, RentalExpired,
    RentalExtended, RentalStarted, RentalTerminated, SegmentClosed, SegmentPayoutIssued, Weights,
};
pub use refusal::ContractRefusal;
pub use rental::{Division, Ended, Rental, Segment, Verdict};

use crate::{
    aggregate::{Aggregate, Decision},
    device::LeaseEnd,
    id::ContractId,
    policy::EndedBy,
    time::Time,
};

/// The most segments of one contract: its end and one refund for each of them are written in one append.
pub const MAX_SEGMENTS: usize = 500;

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
        self.handle(command, now)
    }

    fn apply(&mut self, event: &ContractEvent) {
        if let ContractEvent::RentalStarted(e) = event {
            self.rental = Some(Rental::new(e.clone()));
            return;
        }
        self.closed |= matches!(event, ContractEvent::OfferClosed(_));
        let Some(rental) = &mut self.rental else { return };
        match event {
            ContractEvent::RentalStarted(_)
            | ContractEvent::OfferClosed(_)
            | ContractEvent::RefundIssued(_)
            | ContractEvent::SegmentPayoutIssued(_)
            | ContractEvent::ModerationIssued(_) => {}
            ContractEvent::SegmentClosed(e) => rental.close(e.segment, &e.offline),
            ContractEvent::DisputeOpened(e) => rental.dispute(e.segment, e.evidence),
            ContractEvent::DisputeDecided(e) => rental.divide(e.segment, e.amount, e.weights),
            ContractEvent::ExtensionRequested(e) => rental.pending = Some(e.clone()),
            ContractEvent::ExtensionLapsed(e) => {
                rental.pending = None;
                rental.lapsed.insert(e.extension);
            }
            ContractEvent::RentalExtended(e) => {
                rental.pending = None;
                let (paid, order) = (e.paid, e.order.clone());
                let (extension, verdict) = (Some(e.extension), Verdict::Pending);
                rental.segments.push(Segment { term: e.segment, paid, order, extension, verdict });
            }
            ContractEvent::RentalTerminated(e) => {
                rental.ended = Some(Ended { by: e.by, at: e.ended_at, offline: e.offline.clone() });
            }
            ContractEvent::RentalExpired(e) => {
                rental.ended = Some(Ended { by: EndedBy::Term, at: e.ended_at, offline: e.offline.clone() });
            }
            ContractEvent::OfflineResumeChosen(e) => rental.offline_resume = e.allowed,
            ContractEvent::ErasureAsked(_) => rental.erasure_asked = true,
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
