//! A contract that is not closed, as the journal knows it: what was posted for each of its segments.

use serde::{Deserialize, Serialize};

use super::{Account, Entry, Posting, Stage};
use crate::{
    contract::{ContractEvent, Division, RentalStarted},
    device::{DeviceEvent, MAX_OUTAGES},
    id::{AccountId, ContractId},
    money::{Asset, Money},
    policy::{EndedBy, Policy},
    prorate::{Split, Terms, split, union_of},
    settlement::SettlementKind,
    time::{Interval, Time},
};

/// A contract that is not closed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenContract {
    contract: ContractId,
    owner: AccountId,
    renter: AccountId,
    asset: Asset,
    policy: Policy,
    segments: Vec<Line>,
    /// When the device was offline, as far as that is known while the rental runs.
    outages: Vec<Interval>,
    lost_since: Option<Time>,
    ended: Option<EndedBy>,
}

/// What was posted for a segment, in minor units.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Line {
    term: Interval,
    paid: i128,
    gross: i128,
    fee: i128,
    refunded: i128,
    verdict: Verdict,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Pending,
    Closed,
    Disputed,
    Decided,
}

impl Line {
    const fn new(term: Interval, paid: Money) -> Self {
        Self { term, paid: paid.minor(), gross: 0, fee: 0, refunded: 0, verdict: Verdict::Pending }
    }
}

impl OpenContract {
    pub(super) fn new(contract: ContractId, e: &RentalStarted) -> Self {
        Self {
            contract,
            owner: e.owner,
            renter: e.renter,
            asset: e.paid.asset(),
            policy: e.policy.clone(),
            segments: vec![Line::new(e.segment, e.paid)],
            outages: Vec::new(),
            lost_since: None,
            ended: None,
        }
    }

    /// Whether it runs: time served from now on will be posted.
    #[must_use]
    pub const fn runs(&self) -> bool {
        self.ended.is_none()
    }

    /// What was earned until `now` and is not posted yet, as if the term will be served; changes nothing.
    #[must_use]
    pub fn accrued_by(&self, now: Time) -> Vec<Posting> {
        let (mut entry, mut then) = (Entry::default(), self.clone());
        then.accrue_running(now, &mut entry);
        entry.0
    }

    /// A sign of life, or its lack.
    pub(super) fn note(&mut self, event: &DeviceEvent) {
        match event {
            DeviceEvent::DeviceLost(e) => self.lost_since = Some(e.last_seen),
            DeviceEvent::DeviceRecovered(e) => {
                self.lost_since = None;
                self.outages.push(Interval::new(e.last_seen, e.seen_at));
                if self.outages.len() > MAX_OUTAGES {
                    self.outages = union_of(MAX_OUTAGES, &self.outages, Interval::new(Time::MIN, Time::MAX));
                }
            }
            _ => {}
        }
    }

    /// Posts an event; true when the contract is closed by it.
    pub(super) fn post(&mut self, event: &ContractEvent, at: Time, entry: &mut Entry) -> bool {
        match event {
            ContractEvent::RentalExtended(e) => {
                self.accrue_running(at, entry);
                let segment = Account::Segment(self.contract, self.count());
                entry.transfer(segment, Account::Orders(e.order.marketplace.clone()), e.paid);
                self.segments.push(Line::new(e.segment, e.paid));
            }
            ContractEvent::RentalTerminated(e) => self.end(e.by, e.ended_at, &e.offline, entry),
            ContractEvent::RentalExpired(e) => self.end(EndedBy::Term, e.ended_at, &e.offline, entry),
            ContractEvent::SegmentClosed(e) => {
                let Some(at) = self.line(e.segment).map(|line| line.term.end) else { return false };
                let terms = self.policy.term;
                self.accrue(Some(e.segment), at, &terms, &e.offline, entry);
                self.set(e.segment, Verdict::Closed);
            }
            ContractEvent::RefundIssued(e) => {
                let Some(line) = self.line_mut(e.segment) else { return false };
                line.refunded += e.amount.minor();
                let decided = line.verdict == Verdict::Decided;
                let from = if decided { Account::Disputed(self.contract) } else { self.segment(e.segment) };
                entry.transfer(
                    Account::Claim(SettlementKind::Refund, self.renter, Stage::Due),
                    from,
                    e.amount,
                );
            }
            ContractEvent::SegmentPayoutIssued(e) => {
                self.pay_out(e.amount, e.fee, Account::FeeIncome(e.order.marketplace.clone()), entry);
            }
            ContractEvent::DisputeOpened(e) => self.dispute(e.segment, entry),
            ContractEvent::DisputeDecided(e) => {
                let by = self.ended.unwrap_or(EndedBy::Term);
                let fee_bps = self.policy.terms(by).fee_bps;
                let paid = self.line(e.segment).map_or(0, |line| line.paid);
                let division = Division::of(paid, e.amount.minor(), e.weights, fee_bps);
                if let Some(Division { owner, fee, .. }) = division {
                    let disputed = Account::Disputed(self.contract);
                    entry.add(disputed, owner + fee, self.asset);
                    entry.add(self.accrued(), -owner, self.asset);
                    entry.add(Account::FeesAccrued(self.contract), -fee, self.asset);
                }
                self.set(e.segment, Verdict::Decided);
            }
            ContractEvent::ModerationIssued(e) => {
                let due = Account::Claim(SettlementKind::Moderation, e.moderator, Stage::Due);
                entry.transfer(due, Account::Disputed(self.contract), e.amount);
            }
            ContractEvent::PayoutIssued(e) => {
                self.pay_out(e.amount, e.fee, Account::FeeIncome(e.order.marketplace.clone()), entry);
                return true;
            }
            ContractEvent::RentalStarted(_)
            | ContractEvent::ExtensionRequested(_)
            | ContractEvent::ExtensionLapsed(_)
            | ContractEvent::OfflineResumeChosen(_)
            | ContractEvent::ErasureAsked(_)
            | ContractEvent::OfferClosed(_) => {}
        }
        false
    }

    fn end(&mut self, by: EndedBy, at: Time, offline: &[Interval], entry: &mut Entry) {
        let terms = *self.policy.terms(by);
        self.accrue(None, at, &terms, offline, entry);
        self.ended = Some(by);
    }

    fn accrue_running(&mut self, now: Time, entry: &mut Entry) {
        let mut outages = self.outages.clone();
        outages.extend(self.lost_since.map(|since| Interval::new(since, now)));
        let terms = Terms { notice_s: 0, ..self.policy.term };
        self.accrue(None, now, &terms, &outages, entry);
    }

    /// Posts what was earned by `at`, less what was posted, of one pending segment or of all.
    fn accrue(
        &mut self,
        only: Option<u32>,
        at: Time,
        terms: &Terms,
        offline: &[Interval],
        entry: &mut Entry,
    ) {
        let (contract, asset) = (self.contract, self.asset);
        let (mut owner, mut fees) = (0, 0);
        for (i, line) in (0..).zip(&mut self.segments) {
            if line.verdict != Verdict::Pending || only.is_some_and(|only| only != i) {
                continue;
            }
            let now: Split = split(line.term, line.paid, at, terms, offline);
            let (gross, fee) = (now.gross() - line.gross, now.fee - line.fee);
            (line.gross, line.fee) = (now.gross(), now.fee);
            entry.add(Account::Segment(contract, i), gross, asset);
            (owner, fees) = (owner + gross - fee, fees + fee);
        }
        entry.add(self.accrued(), -owner, asset);
        entry.add(Account::FeesAccrued(contract), -fees, asset);
    }

    fn pay_out(&self, amount: Money, fee: Money, income: Account, entry: &mut Entry) {
        entry.add(self.accrued(), amount.minor(), amount.asset());
        entry.add(Account::FeesAccrued(self.contract), fee.minor(), fee.asset());
        entry.add(
            Account::Claim(SettlementKind::Payout, self.owner, Stage::Due),
            -amount.minor(),
            amount.asset(),
        );
        entry.add(income, -fee.minor(), fee.asset());
    }

    /// Every claim on the segment that is not on its way becomes one: the refund, if it is due, by its settlement.
    fn dispute(&mut self, segment: u32, entry: &mut Entry) {
        let (owner, fees) = (self.accrued(), Account::FeesAccrued(self.contract));
        let (disputed, asset) = (Account::Disputed(self.contract), self.asset);
        let from = self.segment(segment);
        let Some(line) = self.line_mut(segment) else { return };
        line.verdict = Verdict::Disputed;
        let unserved = line.paid - line.gross - line.refunded;
        entry.add(from, unserved, asset);
        entry.add(owner, line.gross - line.fee, asset);
        entry.add(fees, line.fee, asset);
        entry.add(disputed, -(unserved + line.gross), asset);
    }

    fn accrued(&self) -> Account {
        Account::Accrued(self.owner, self.contract)
    }

    const fn segment(&self, segment: u32) -> Account {
        Account::Segment(self.contract, segment)
    }

    fn count(&self) -> u32 {
        u32::try_from(self.segments.len()).unwrap_or(u32::MAX)
    }

    fn line(&self, segment: u32) -> Option<&Line> {
        self.segments.get(usize::try_from(segment).ok()?)
    }

    fn line_mut(&mut self, segment: u32) -> Option<&mut Line> {
        self.segments.get_mut(usize::try_from(segment).ok()?)
    }

    fn set(&mut self, segment: u32, verdict: Verdict) {
        if let Some(line) = self.line_mut(segment) {
            line.verdict = verdict;
        }
    }
}
