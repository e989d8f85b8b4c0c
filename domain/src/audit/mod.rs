//! Auditing: does every event about money follow from the events before it?
//!
//! # Shape
//! [`Audit::next`] is shown every event in the order of the log. It keeps the books ([`crate::journal`]), replays what is
//! open, computes what each end, close and decision must lead to, and answers with everything that is otherwise.
//!
//! # Correctness
//! Nothing here trusts an amount that can be computed: refunds, payouts, fees and divisions are computed from what was
//! received, the pinned policy and the recorded outages, and compared with what was issued; what is due is compared with
//! what was issued; a settlement's steps are compared with what its rules allow. Memory grows with what is open: a
//! contract is forgotten when it is closed, a settlement when it has come to its end, an order when it is decided.

mod contract;
mod settlement;

use std::collections::{BTreeMap, HashMap};

use uuid::Uuid;

use self::{contract::ContractAudit, settlement::SettlementAudit};
use crate::{
    any::AnyEvent,
    contract::ContractEvent,
    event::StreamName,
    id::{ContractId, SettlementId},
    journal::{Books, Happened, Posting},
    money::{Asset, Money},
    order::OrderEvent,
    purse::{PayoutHeld, PurseEvent},
    settlement::{SettlementDue, SettlementEvent, SettlementKind},
};

/// Everything that an audit remembers.
#[derive(Debug, Default)]
pub struct Audit {
    books: Books,
    contracts: HashMap<Uuid, ContractAudit>,
    settlements: HashMap<Uuid, SettlementAudit>,
    /// What was issued and is not due yet.
    issued: HashMap<SettlementId, SettlementDue>,
    held: HashMap<StreamName, Vec<PayoutHeld>>,
    /// Received and not decided on.
    orders: HashMap<StreamName, Money>,
    swept: BTreeMap<Asset, i128>,
    earned: BTreeMap<Asset, i128>,
}

/// What one event came to.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Findings {
    /// Its postings.
    pub postings: Vec<Posting>,
    /// What does not follow from the events before it.
    pub faults: Vec<String>,
}

impl Audit {
    /// Looks at the next event.
    pub fn next(&mut self, happened: &Happened<'_>) -> Findings {
        let (postings, faults) = self.books.post(happened);
        let mut faults: Vec<_> = faults.iter().map(ToString::to_string).collect();
        match happened.event {
            AnyEvent::Contract(e) => self.contract(happened, e, &mut faults),
            AnyEvent::Settlement(e) => self.settlement(happened, e, &mut faults),
            AnyEvent::Order(e) => self.order(happened.stream, e, &mut faults),
            AnyEvent::Purse(e) => self.purse(happened.stream, e, &mut faults),
            AnyEvent::Treasury(crate::treasury::TreasuryEvent::FeesSwept(e)) => {
                let (asset, earned) = (e.amount.asset(), &self.earned);
                let swept = self.swept.entry(asset).or_default();
                *swept += e.amount.minor();
                if *swept > earned.get(&asset).copied().unwrap_or(0) {
                    faults.push(format!("{} more is swept than was earned in {asset}", e.amount));
                }
            }
            _ => {}
        }
        Findings { postings, faults }
    }

    /// The books after all events so far.
    #[must_use]
    pub const fn books(&self) -> &Books {
        &self.books
    }

    /// What was issued and is not due yet; a steward that runs leaves nothing here.
    #[must_use]
    pub fn not_due(&self) -> usize {
        self.issued.len()
    }

    /// What was issued before the log ended but should have been in the same append.
    #[must_use]
    pub fn unfinished(&self) -> Vec<String> {
        let open = self.contracts.iter().filter(|(_, audit)| !audit.is_complete());
        open.map(|(id, _)| format!("contract-{id} ends in the middle of a decision")).collect()
    }

    fn contract(&mut self, happened: &Happened<'_>, event: &ContractEvent, faults: &mut Vec<String>) {
        let Some(id) = happened.id else { return faults.push("its stream is named by no id".into()) };
        let contract = ContractId(id);
        let audit = self.contracts.entry(id).or_default();
        faults.extend(audit.next(contract, event));
        if audit.is_closed() {
            self.contracts.remove(&id);
        }
        let fee = match event {
            ContractEvent::PayoutIssued(e) => Some(e.fee),
            ContractEvent::SegmentPayoutIssued(e) => Some(e.fee),
            _ => None,
        };
        if let Some(fee) = fee {
            *self.earned.entry(fee.asset()).or_default() += fee.minor();
        }
        self.issued.extend(event.settlement(contract));
    }

    fn settlement(&mut self, happened: &Happened<'_>, event: &SettlementEvent, faults: &mut Vec<String>) {
        let Some(id) = happened.id else { return faults.push("its stream is named by no id".into()) };
        if let SettlementEvent::SettlementDue(due) = event {
            match self.issued.remove(&SettlementId(id)) {
                Some(issued) if issued == *due => {}
                Some(issued) => {
                    faults.push(format!(
                        "{} to {} are due, but {} to {} were issued",
                        due.amount, due.to, issued.amount, issued.to
                    ));
                }
                None => faults.push(format!("{} are due that nothing issued", due.amount)),
            }
        }
        let audit = self.settlements.entry(id).or_default();
        faults.extend(audit.next(event));
        if let Some(rest) = audit.rest(SettlementId(id)) {
            self.issued.insert(rest.0, rest.1);
        }
        if audit.is_over() {
            self.settlements.remove(&id);
        }
    }

    fn order(&mut self, stream: &StreamName, event: &OrderEvent, faults: &mut Vec<String>) {
        match event {
            OrderEvent::OrderReceived(e) => {
                self.orders.insert(stream.clone(), e.paid);
            }
            OrderEvent::OrderAccepted(_) => {
                if self.orders.remove(stream).is_none() {
                    faults.push("an order is accepted that does not wait for a decision".into());
                }
            }
            OrderEvent::OrderRejected(e) => {
                match self.orders.remove(stream) {
                    Some(paid) if paid == e.refund => {}
                    Some(paid) => faults.push(format!("{} of {paid} go back for a rejected order", e.refund)),
                    None => faults.push("an order is rejected that does not wait for a decision".into()),
                }
                let (kind, order, to) = (SettlementKind::Refund, e.order.clone(), e.renter);
                self.issued.insert(
                    e.settlement,
                    SettlementDue { kind, order, contract: None, to, amount: e.refund },
                );
            }
        }
    }

    fn purse(&mut self, stream: &StreamName, event: &PurseEvent, faults: &mut Vec<String>) {
        match event {
            PurseEvent::PayoutHeld(e) => {
                let issued = self.issued.remove(&e.payout).map(|issued| issued.amount);
                if issued != Some(e.amount) {
                    faults.push(format!("{} are held, but {issued:?} were issued", e.amount));
                }
                self.held.entry(stream.clone()).or_default().push(e.clone());
            }
            PurseEvent::PayoutsReleased(e) => {
                let held = self.held.remove(stream).unwrap_or_default();
                let payouts: Vec<_> = held.iter().map(|held| held.payout).collect();
                let total: i128 = held.iter().map(|held| held.amount.minor()).sum();
                if payouts != e.payouts || total != e.amount.minor() {
                    faults.push(format!("{} are released, but {total} minor units were held", e.amount));
                }
                let (kind, order, contract) = (SettlementKind::Payout, e.order.clone(), None);
                self.issued.insert(
                    e.settlement,
                    SettlementDue { kind, order, contract, to: e.owner, amount: e.amount },
                );
            }
        }
    }
}
