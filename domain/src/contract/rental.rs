//! What was paid for, how it ended, and what each part of the money comes to.

use std::collections::BTreeSet;

use super::{
    ContractEvent, ExtensionRequested, PayoutIssued, RefundIssued, RentalStarted, SegmentPayoutIssued,
    Weights,
};
use crate::{
    device::MAX_OUTAGES,
    id::{ContractId, ExtensionId, OrderKey, SettlementId},
    key::Digest,
    money::{Money, mul_div},
    policy::EndedBy,
    prorate::{FULL_BPS, Split, largest_remainder, split, union_of},
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
    /// How its money is decided.
    pub verdict: Verdict,
}

/// How a segment's money is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Verdict {
    /// By the rental's end.
    #[default]
    Pending,
    /// It was served and paid out before the rental's end.
    Closed(Split),
    /// It waits for a decision.
    Disputed {
        /// The refund that was issued before, in minor units.
        refunded: i128,
        /// SHA-256 of the evidence.
        evidence: Option<Digest>,
    },
    /// A dispute was decided.
    Decided(Division),
}

/// What a decided dispute comes to, in minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Division {
    /// How it was divided.
    pub weights: Weights,
    /// A refund that had left, or may have, before the decision.
    pub gone: i128,
    /// Goes back to the renter.
    pub renter: i128,
    /// Goes to the owner.
    pub owner: i128,
    /// Is kept by the operator.
    pub fee: i128,
    /// Is kept by whoever decided.
    pub moderator: i128,
}

impl Division {
    /// Divides `amount` of what was paid by weight (largest remainder); the fee is floored out of the owner's part.
    ///
    /// Answers `None` when the weights add up to 0.
    #[must_use]
    pub fn of(paid: i128, amount: i128, weights: Weights, fee_bps: u32) -> Option<Self> {
        let by = [weights.renter, weights.owner, weights.moderator].map(u64::from);
        let [renter, earned, moderator] = largest_remainder(amount, &by)?.try_into().ok()?;
        let fee = mul_div(earned, fee_bps.into(), FULL_BPS.into());
        Some(Self { weights, gone: paid - amount, renter, owner: earned - fee, fee, moderator })
    }
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
    /// Whether the renter lets the device keep the server's half of the volume key.
    pub offline_resume: bool,
    /// Whether the renter asked for the data to be gone at once.
    pub erasure_asked: bool,
}

impl Rental {
    pub(super) fn new(started: RentalStarted) -> Self {
        let (term, paid, order) = (started.segment, started.paid, started.order.clone());
        Self {
            started,
            segments: vec![Segment { term, paid, order, extension: None, verdict: Verdict::Pending }],
            pending: None,
            lapsed: BTreeSet::new(),
            ended: None,
            paid_out: false,
            offline_resume: false,
            erasure_asked: false,
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

    /// Whether it is long enough to be paid out segment by segment.
    #[must_use]
    pub fn is_long(&self) -> bool {
        self.until().since(self.started.segment.start) > self.started.policy.segment_payout_after_s
    }

    /// Every extension that was paid, lapsed or waits to be paid.
    pub fn extensions(&self) -> impl Iterator<Item = ExtensionId> {
        let paid = self.segments.iter().filter_map(|segment| segment.extension);
        let waits = self.pending.iter().map(|pending| pending.extension);
        waits.chain(paid).chain(self.lapsed.iter().copied())
    }

    /// Whether `extension` is one of them.
    pub(super) fn knows(&self, extension: ExtensionId) -> bool {
        self.extensions().any(|known| known == extension)
    }

    /// All that was received for it; `None` when that and `more` are beyond what the asset can hold.
    pub(super) fn total_with(&self, more: Money) -> Option<Money> {
        self.segments.iter().try_fold(more, |sum, segment| sum.plus(segment.paid))
    }

    /// What every segment comes to if the rental ends like this: as it was decided, or else by its end. Nothing is known
    /// of one that is disputed.
    #[must_use]
    pub fn splits(&self, ended: &Ended) -> Vec<Split> {
        let part = |segment: &Segment| match segment.verdict {
            Verdict::Pending => self.split(segment, ended),
            Verdict::Closed(split) => split,
            Verdict::Disputed { .. } => Split::default(),
            Verdict::Decided(d) => Split { refund: d.gone + d.renter, owner: d.owner, fee: d.fee },
        };
        self.segments.iter().map(part).collect()
    }

    fn split(&self, segment: &Segment, ended: &Ended) -> Split {
        let terms = self.started.policy.terms(ended.by);
        split(segment.term, segment.paid.minor(), ended.at, terms, &ended.offline)
    }

    /// What a segment comes to that was served to its end.
    pub(super) fn served(&self, segment: &Segment, offline: &[Interval]) -> Split {
        let ended = Ended { by: EndedBy::Term, at: segment.term.end, offline: offline.to_vec() };
        self.split(segment, &ended)
    }

    /// What goes back of a segment, by its end alone; 0 while that is not known.
    #[must_use]
    pub fn refunded_by_end(&self, segment: &Segment) -> i128 {
        self.ended.as_ref().map_or(0, |ended| self.split(segment, ended).refund)
    }

    /// The refunds of an end, one for each segment that gets something back and was not decided before.
    #[must_use]
    pub fn refunds(&self, contract: ContractId, ended: &Ended) -> Vec<RefundIssued> {
        let pending = self.segments.iter().enumerate().filter(|(_, s)| s.verdict == Verdict::Pending);
        pending
            .filter_map(|(i, segment)| {
                self.refund(SettlementId::refund(contract, i), i, segment, self.split(segment, ended).refund)
            })
            .collect()
    }

    /// A refund to the renter; none of nothing.
    #[must_use]
    pub fn refund(
        &self,
        settlement: SettlementId,
        i: usize,
        segment: &Segment,
        minor: i128,
    ) -> Option<RefundIssued> {
        (minor > 0).then(|| RefundIssued {
            settlement,
            segment: number(i),
            order: segment.order.clone(),
            renter: self.started.renter,
            amount: part_of(segment.paid, minor),
        })
    }

    /// A part of what was paid for a segment; none of nothing.
    #[must_use]
    pub fn part(&self, segment: &Segment, minor: i128) -> Option<Money> {
        (minor > 0).then(|| part_of(segment.paid, minor))
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

    /// What the owner earned in all segments that were not closed before.
    #[must_use]
    pub fn payout(&self, contract: ContractId, ended: &Ended) -> PayoutIssued {
        let splits = self.splits(ended);
        let open = || {
            let parts = self.segments.iter().zip(&splits);
            parts.filter(|(s, _)| !matches!(s.verdict, Verdict::Closed(_))).map(|(_, split)| split)
        };
        let paid = self.started.paid;
        PayoutIssued {
            settlement: SettlementId::payout(contract),
            order: self.started.order.clone(),
            owner: self.started.owner,
            amount: part_of(paid, open().map(|s| s.owner).sum()),
            fee: part_of(paid, open().map(|s| s.fee).sum()),
        }
    }

    /// What the owner earned in a segment that is closed now.
    #[must_use]
    pub fn segment_payout(
        &self,
        contract: ContractId,
        i: usize,
        segment: &Segment,
        split: &Split,
    ) -> SegmentPayoutIssued {
        SegmentPayoutIssued {
            settlement: SettlementId::segment_payout(contract, i),
            segment: number(i),
            order: segment.order.clone(),
            owner: self.started.owner,
            amount: part_of(segment.paid, split.owner),
            fee: part_of(segment.paid, split.fee),
        }
    }

    /// The operator's share of what a decision gives to the owner: as the rental ended, or as if it served its term.
    #[must_use]
    pub fn fee_bps(&self) -> u32 {
        let by = self.ended.as_ref().map_or(EndedBy::Term, |ended| ended.by);
        self.started.policy.terms(by).fee_bps
    }
}

/// There are at most [`super::MAX_SEGMENTS`].
pub(super) fn number(i: usize) -> u32 {
    u32::try_from(i).unwrap_or(u32::MAX)
}

/// A part of all that was received, which is in range ([`Rental::total_with`]), so this never falls back.
pub(super) fn part_of(whole: Money, minor: i128) -> Money {
    Money::from_minor(minor, whole.asset()).unwrap_or(whole)
}
