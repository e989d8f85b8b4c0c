//! One contract: its events against those that must follow.

use std::collections::VecDeque;

use crate::{
    aggregate::Aggregate,
    contract::{
        Contract, ContractEvent, ModerationIssued, Rental, RentalExtended, RentalStarted, Segment, Verdict,
    },
    event::Events,
    id::{AccountId, ContractId, SettlementId},
    prorate::union,
    time::{Interval, Time},
};

/// A contract's state, and what its next events must be.
#[derive(Debug, Default)]
pub(super) struct ContractAudit {
    state: Contract,
    expected: VecDeque<ContractEvent>,
}

impl ContractAudit {
    /// Whether nothing more can happen to its money.
    pub(super) fn is_closed(&self) -> bool {
        self.state.is_closed() || self.state.rental().is_some_and(|rental| rental.paid_out)
    }

    /// Whether everything that had to follow has.
    pub(super) fn is_complete(&self) -> bool {
        self.expected.is_empty()
    }

    pub(super) fn next(&mut self, contract: ContractId, event: &ContractEvent) -> Vec<String> {
        let mut faults = Vec::new();
        match self.expected.pop_front() {
            Some(expected) if same(&expected, event) => {}
            Some(expected) => {
                faults.push(format!(
                    "{} must follow here, as computed from the events before",
                    shown(&expected)
                ));
            }
            None if is_consequence(event) => {
                faults.push(format!("nothing leads to {}", shown(event)));
            }
            None => {}
        }
        self.check(contract, event, &mut faults);
        self.state.apply(event);
        self.expect(contract, event);
        faults
    }

    /// What the event says by itself, against the state before it.
    fn check(&self, contract: ContractId, event: &ContractEvent, faults: &mut Vec<String>) {
        let rental = self.state.rental();
        match event {
            ContractEvent::RentalStarted(e) => {
                let RentalStarted { offer, segment, paid, .. } = e;
                if offer.price(segment.len()) != Some(*paid) {
                    faults.push(format!("{paid} were taken for {} s, which is not the price", segment.len()));
                }
                if rental.is_some() || ContractId::of(e.device, e.epoch) != contract {
                    faults.push("the contract has started, or is of another lease".into());
                }
            }
            ContractEvent::RentalExtended(RentalExtended { segment, paid, extension, .. }) => {
                let asked =
                    rental.and_then(|rental| rental.pending.as_ref()).filter(|p| p.extension == *extension);
                if asked.is_none_or(|asked| asked.price != *paid || asked.term_s != segment.len()) {
                    faults.push(format!("{paid} for {} s is not what was asked for", segment.len()));
                }
                if rental.is_none_or(|rental| rental.until() != segment.start) {
                    faults.push("the segment does not follow on the one before".into());
                }
            }
            ContractEvent::RentalTerminated(e) => {
                let fits = |r: &Rental| (r.started.segment.start..r.until()).contains(&e.ended_at);
                ends(rental, e.ended_at, &e.offline, fits, faults);
            }
            ContractEvent::RentalExpired(e) => {
                ends(rental, e.ended_at, &e.offline, |r| e.ended_at == r.until(), faults);
            }
            ContractEvent::DisputeDecided(e) => {
                let found = usize::try_from(e.segment).ok().and_then(|i| rental?.segments.get(i));
                let fits = found.is_some_and(|segment| match segment.verdict {
                    Verdict::Disputed { refunded, .. } => {
                        let paid = segment.paid.minor();
                        e.amount.minor() == paid || e.amount.minor() == paid - refunded
                    }
                    _ => false,
                });
                if !fits {
                    faults.push(format!("{} is not what was disputed of segment {}", e.amount, e.segment));
                }
            }
            ContractEvent::PayoutIssued(e) => {
                let computed = rental
                    .and_then(|rental| Some(rental.payout(contract, rental.ended.as_ref()?)))
                    .filter(|computed| computed == e);
                if computed.is_none() {
                    faults.push(format!("a payout of {} with a fee of {} does not follow", e.amount, e.fee));
                }
                if rental.is_some_and(|rental| rental.paid_out) {
                    faults.push("the contract is paid out twice".into());
                }
                let open = |segment: &Segment| matches!(segment.verdict, Verdict::Disputed { .. });
                if rental.is_some_and(|rental| rental.segments.iter().any(open)) {
                    faults.push("the contract is paid out while a dispute is open".into());
                }
            }
            _ => {}
        }
    }

    /// What must follow in the same append.
    fn expect(&mut self, contract: ContractId, event: &ContractEvent) {
        let Some(rental) = self.state.rental() else { return };
        let segment = |number: u32| {
            let i = usize::try_from(number).ok()?;
            Some((i, rental.segments.get(i)?))
        };
        match event {
            ContractEvent::RentalTerminated(_) | ContractEvent::RentalExpired(_) => {
                if let Some(ended) = &rental.ended {
                    let refunds = rental.refunds(contract, ended);
                    self.expected.extend(refunds.into_iter().map(ContractEvent::from));
                }
            }
            ContractEvent::SegmentClosed(e) => {
                if let Some((i, found)) = segment(e.segment)
                    && let Verdict::Closed(split) = found.verdict
                {
                    let refund = rental.refund(SettlementId::refund(contract, i), i, found, split.refund);
                    let payout = rental.segment_payout(contract, i, found, &split);
                    self.expected.extend(refund.map(ContractEvent::from));
                    self.expected.push_back(payout.into());
                }
            }
            ContractEvent::DisputeDecided(e) => {
                if let Some((i, found)) = segment(e.segment)
                    && let Verdict::Decided(division) = found.verdict
                {
                    let id = SettlementId::dispute_refund(contract, i);
                    let refund = rental.refund(id, i, found, division.renter);
                    self.expected.extend(refund.map(ContractEvent::from));
                    if let Some(amount) = rental.part(found, division.moderator) {
                        let (settlement, order) = (SettlementId::moderation(contract, i), e.order.clone());
                        let moderator = AccountId(uuid::Uuid::nil());
                        let issued =
                            ModerationIssued { settlement, segment: e.segment, order, moderator, amount };
                        self.expected.push_back(issued.into());
                    }
                }
            }
            _ => {}
        }
    }
}

/// A rental ends once, within its paid time, and counts outages from before its end.
fn ends(
    rental: Option<&Rental>,
    at: Time,
    offline: &[Interval],
    fits: impl Fn(&Rental) -> bool,
    faults: &mut Vec<String>,
) {
    let Some(rental) = rental.filter(|rental| rental.ended.is_none()) else {
        return faults.push("the rental ends twice, or never started".into());
    };
    if !fits(rental) {
        faults.push(format!("the rental ends at {at}, which is not when it could"));
    }
    let window = Interval::new(rental.started.segment.start, at);
    if union(offline, window) != offline {
        faults.push("an outage counts that is not of the rental, or counts twice".into());
    }
}

/// Whether an event only ever follows another in the same append.
const fn is_consequence(event: &ContractEvent) -> bool {
    matches!(
        event,
        ContractEvent::RefundIssued(_)
            | ContractEvent::SegmentPayoutIssued(_)
            | ContractEvent::ModerationIssued(_)
    )
}

/// The event that must follow; who decided a dispute cannot be computed.
fn same(expected: &ContractEvent, event: &ContractEvent) -> bool {
    match (expected, event) {
        (ContractEvent::ModerationIssued(expected), ContractEvent::ModerationIssued(event)) => {
            *event == ModerationIssued { moderator: event.moderator, ..expected.clone() }
        }
        _ => expected == event,
    }
}

fn shown(event: &ContractEvent) -> String {
    match event {
        ContractEvent::RefundIssued(e) => format!("a refund of {} for segment {}", e.amount, e.segment),
        ContractEvent::SegmentPayoutIssued(e) => {
            format!("a payout of {} with a fee of {} for segment {}", e.amount, e.fee, e.segment)
        }
        ContractEvent::ModerationIssued(e) => {
            format!("{} to a moderator for segment {}", e.amount, e.segment)
        }
        other => other.kind().to_owned(),
    }
}
