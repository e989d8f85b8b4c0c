//! What was paid for, how it ended, and what each part of the money comes to.

use std::collections::BTreeSet;

use super::{ContractEvent, ExtensionRequested, PayoutIssued, RefundIssued, RentalStarted};
use crate::{
    device::MAX_OUTAGES,
    id::{ContractId, ExtensionId, OrderKey, SettlementId},
    money::Money,
    policy::EndedBy,
    prorate::{Split, split, union_of},
    time::{Interval, Time},
};

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
    pub(super) lapsed: BTreeSet<ExtensionId>,
    /// How it ended, once it did.
    pub ended: Option<Ended>,
    /// Whether the owner's payout was issued.
    pub paid_out: bool,
}

impl Rental {
    pub(super) fn new(started: RentalStarted) -> Self {
        let (term, paid, order) = (started.segment, started.paid, started.order.clone());
        Self {
            started,
            segments: vec![Segment { term, paid, order, extension: None }],
            pending: None,
            lapsed: BTreeSet::new(),
            ended: None,
            paid_out: false,
        }
    }

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

    /// Whether `extension` was paid, lapsed or waits to be paid.
    pub(super) fn knows(&self, extension: ExtensionId) -> bool {
        self.segments.iter().any(|s| s.extension == Some(extension))
            || self.lapsed.contains(&extension)
            || self.pending.as_ref().is_some_and(|p| p.extension == extension)
    }

    /// All that was received for it; `None` when that and `more` are beyond what the asset can hold.
    pub(super) fn total_with(&self, more: Money) -> Option<Money> {
        self.segments.iter().try_fold(more, |sum, segment| sum.plus(segment.paid))
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

    /// How it ends at `at`, with the outages that count: those before that instant, merged.
    pub(super) fn end_at(&self, by: EndedBy, at: Time, offline: &[Interval]) -> Ended {
        let window = Interval::new(self.started.segment.start, at);
        Ended { by, at, offline: union_of(MAX_OUTAGES, offline, window) }
    }

    /// The end itself and the refunds it causes.
    pub(super) fn end_with(
        &self,
        contract: ContractId,
        ended: &Ended,
        event: ContractEvent,
    ) -> Vec<ContractEvent> {
        let refunds = self.refunds(contract, ended).into_iter().map(ContractEvent::from);
        std::iter::once(event).chain(refunds).collect()
    }

    pub(super) fn payout(&self, contract: ContractId, ended: &Ended) -> PayoutIssued {
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

/// A part of all that was received, which is in range ([`Rental::total_with`]), so this never falls back.
fn part_of(whole: Money, minor: i128) -> Money {
    Money::from_minor(minor, whole.asset()).unwrap_or(whole)
}
