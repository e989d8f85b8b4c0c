//! How one segment's money is decided apart from the rental's end: closed once served, or disputed and divided.
//!
//! A dispute can always be decided, even when all of the segment had gone back: else it would hold the payout for ever.

use super::{
    Contract, ContractEvent, ContractRefusal, DisputeDecided, DisputeOpened, Division, ModerationIssued,
    Rental, Segment, SegmentClosed, Verdict, Weights,
    decide::Decided,
    rental::{number, part_of},
};
use crate::{
    aggregate::Decision,
    device::MAX_OUTAGES,
    id::{AccountId, SettlementId},
    key::Digest,
    money::Money,
    prorate::union_of,
    time::{Interval, Time},
};

impl Contract {
    pub(super) fn close_segment(&self, number: u32, offline: &[Interval], now: Time) -> Decided {
        let (rental, contract) = self.started()?;
        let (i, segment) = rental.segment(number)?;
        match segment.verdict {
            Verdict::Closed(_) => return Ok(Decision::AlreadyDone),
            Verdict::Disputed { .. } => return Err(ContractRefusal::Disputed(number)),
            Verdict::Decided(_) => return Err(ContractRefusal::SegmentDecided(number)),
            Verdict::Pending if rental.ended.is_some() => return Err(ContractRefusal::Over),
            Verdict::Pending if !rental.is_long() => return Err(ContractRefusal::PaidAtEnd),
            Verdict::Pending => {}
        }
        let at = segment.term.end.plus(rental.started.policy.close_delay_s());
        if now < at {
            return Err(ContractRefusal::NotServedYet { segment: number, at });
        }
        let offline = union_of(MAX_OUTAGES, offline, segment.term);
        let split = rental.served(segment, &offline);
        let (device, epoch) = (rental.started.device, rental.started.epoch);
        let closed: ContractEvent = SegmentClosed { device, epoch, segment: number, offline }.into();
        let refund = rental.refund(SettlementId::refund(contract, i), i, segment, split.refund);
        let payout = rental.segment_payout(contract, i, segment, &split);
        let events = std::iter::once(closed).chain(refund.map(Into::into)).chain([payout.into()]);
        Ok(Decision::Events(events.collect()))
    }

    pub(super) fn open_dispute(&self, number: u32, evidence: Option<Digest>) -> Decided {
        let (rental, _) = self.started()?;
        let (_, segment) = rental.segment(number)?;
        match segment.verdict {
            Verdict::Disputed { evidence: known, .. } if evidence.is_none() || known == evidence => {
                return Ok(Decision::AlreadyDone);
            }
            Verdict::Disputed { .. } => return Err(ContractRefusal::Disputed(number)),
            Verdict::Closed(_) | Verdict::Decided(_) => return Err(ContractRefusal::SegmentDecided(number)),
            Verdict::Pending if rental.paid_out => return Err(ContractRefusal::SegmentDecided(number)),
            Verdict::Pending => {}
        }
        Ok(Decision::event(DisputeOpened { segment: number, order: segment.order.clone(), evidence }))
    }

    pub(super) fn decide_dispute(
        &self,
        number: u32,
        weights: Weights,
        moderator: Option<AccountId>,
        refund_held: bool,
    ) -> Decided {
        let (rental, contract) = self.started()?;
        let (i, segment) = rental.segment(number)?;
        let refunded = match segment.verdict {
            Verdict::Disputed { refunded, .. } => refunded,
            Verdict::Decided(division) if division.weights == weights => return Ok(Decision::AlreadyDone),
            Verdict::Decided(_) => return Err(ContractRefusal::SegmentDecided(number)),
            Verdict::Pending | Verdict::Closed(_) => return Err(ContractRefusal::NotDisputed(number)),
        };
        let gone = if refund_held { 0 } else { refunded };
        let amount = segment.paid.minor() - gone;
        let division = Division::of(segment.paid.minor(), amount, weights, rental.fee_bps());
        let division = division.ok_or(ContractRefusal::WeightsInvalid)?;
        if weights.moderator > 0 && moderator.is_none() {
            return Err(ContractRefusal::WeightsInvalid);
        }
        let (order, amount) = (segment.order.clone(), part_of(segment.paid, amount));
        let decided: ContractEvent =
            DisputeDecided { segment: number, order: order.clone(), amount, weights }.into();
        let refund = rental.refund(SettlementId::dispute_refund(contract, i), i, segment, division.renter);
        let moderation = moderator.filter(|_| division.moderator > 0).map(|moderator| ModerationIssued {
            settlement: SettlementId::moderation(contract, i),
            segment: number,
            order,
            moderator,
            amount: part_of(segment.paid, division.moderator),
        });
        let events = std::iter::once(decided).chain(refund.map(Into::into)).chain(moderation.map(Into::into));
        Ok(Decision::Events(events.collect()))
    }
}

impl Rental {
    fn segment(&self, number: u32) -> Result<(usize, &Segment), ContractRefusal> {
        let i = usize::try_from(number).unwrap_or(usize::MAX);
        let segment = self.segments.get(i).ok_or(ContractRefusal::SegmentUnknown(number))?;
        Ok((i, segment))
    }

    /// The first segment that waits for a decision.
    pub(super) fn disputed(&self) -> Option<u32> {
        self.segments.iter().position(|s| matches!(s.verdict, Verdict::Disputed { .. })).map(number)
    }

    fn set(&mut self, segment: u32, verdict: Verdict) {
        if let Some(segment) = usize::try_from(segment).ok().and_then(|i| self.segments.get_mut(i)) {
            segment.verdict = verdict;
        }
    }

    pub(super) fn close(&mut self, segment: u32, offline: &[Interval]) {
        let split = self.segment(segment).map(|(_, found)| self.served(found, offline));
        if let Ok(split) = split {
            self.set(segment, Verdict::Closed(split));
        }
    }

    pub(super) fn dispute(&mut self, segment: u32, evidence: Option<Digest>) {
        let refunded = self.segment(segment).map_or(0, |(_, found)| self.refunded_by_end(found));
        self.set(segment, Verdict::Disputed { refunded, evidence });
    }

    pub(super) fn divide(&mut self, segment: u32, amount: Money, weights: Weights) {
        let paid = self.segment(segment).map_or(0, |(_, found)| found.paid.minor());
        if let Some(division) = Division::of(paid, amount.minor(), weights, self.fee_bps()) {
            self.set(segment, Verdict::Decided(division));
        }
    }
}
