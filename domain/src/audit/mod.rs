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

use std::collections::HashMap;

use uuid::Uuid;

use self::{contract::ContractAudit, settlement::SettlementAudit};
use crate::{
    any::AnyEvent,
    contract::ContractEvent,
    event::StreamName,
    id::{ContractId, MarketplaceName, OrderKey, SettlementId},
    journal::{Account, Books, Happened, Posting},
    money::Asset,
    order::{OrderEvent, OrderItem, OrderReceived},
    purse::{PayoutHeld, PurseEvent},
    settlement::{SettlementDue, SettlementEvent, SettlementKind},
    time::Interval,
    treasury::TreasuryEvent,
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
    /// Received and not decided on, each with the contract that took it, once one did.
    orders: HashMap<OrderKey, (OrderReceived, Option<(ContractId, Interval)>)>,
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
            AnyEvent::Order(e) => self.order(e, &mut faults),
            AnyEvent::Purse(e) => self.purse(happened.stream, e, &mut faults),
            AnyEvent::Treasury(TreasuryEvent::FeesSwept(e)) => {
                self.swept(happened.stream, e.amount.asset(), &mut faults);
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

    /// What the end of the log leaves undone: a decision without its consequences, money that stays disputed for ever.
    #[must_use]
    pub fn unfinished(&self) -> Vec<String> {
        let open = self.contracts.iter().filter(|(_, audit)| !audit.is_complete());
        let open = open.map(|(id, _)| format!("contract-{id} ends in the middle of a decision"));
        let stuck = self.books.balances().filter_map(|(account, asset, minor)| match account {
            Account::Disputed(contract) if !self.contracts.contains_key(&contract.0) => {
                Some(format!("{minor} minor units of {asset} are left in {account} of a closed contract"))
            }
            _ => None,
        });
        open.chain(stuck).collect()
    }

    fn contract(&mut self, happened: &Happened<'_>, event: &ContractEvent, faults: &mut Vec<String>) {
        let Some(id) = happened.id else { return faults.push("its stream is named by no id".into()) };
        // What has nothing to do with money may come after the contract was closed.
        if matches!(event, ContractEvent::OfflineResumeChosen(_) | ContractEvent::ErasureAsked(_)) {
            return;
        }
        let contract = ContractId(id);
        self.taken(contract, event, faults);
        let audit = self.contracts.entry(id).or_default();
        faults.extend(audit.next(contract, event));
        if audit.is_closed() {
            self.contracts.remove(&id);
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
        self.issued.extend(audit.rest(SettlementId(id)));
        if audit.is_over() {
            self.settlements.remove(&id);
        }
    }

    /// What a contract takes is what its order brought: the same money for the same thing.
    fn taken(&mut self, contract: ContractId, event: &ContractEvent, faults: &mut Vec<String>) {
        let (order, paid, segment, item) = match event {
            ContractEvent::RentalStarted(e) => {
                let item = OrderItem::Rental { device: e.device, term_s: e.segment.len() };
                (&e.order, e.paid, e.segment, item)
            }
            ContractEvent::RentalExtended(e) => {
                (&e.order, e.paid, e.segment, OrderItem::Extension { contract, extension: e.extension })
            }
            _ => return,
        };
        let Some((received, taken)) = self.orders.get_mut(order) else {
            return faults.push(format!("the order {order} was not received, or is decided already"));
        };
        if received.paid != paid || received.item != item {
            faults.push(format!("the order {order} brought {} for something else", received.paid));
        }
        if let ContractEvent::RentalStarted(e) = event
            && e.renter != received.renter
        {
            faults.push(format!("the order {order} was somebody else's"));
        }
        if taken.replace((contract, segment)).is_some() {
            faults.push(format!("the order {order} is taken twice"));
        }
    }

    fn order(&mut self, event: &OrderEvent, faults: &mut Vec<String>) {
        match event {
            OrderEvent::OrderCollected(_) => {}
            OrderEvent::OrderReceived(e) => {
                self.orders.insert(e.order.clone(), (e.clone(), None));
            }
            OrderEvent::OrderAccepted(e) => match self.orders.remove(&e.order) {
                Some((_, taken)) if taken == Some((e.contract, e.segment)) => {}
                Some(_) => faults.push("an order is accepted that no contract took like this".into()),
                None => faults.push("an order is accepted that does not wait for a decision".into()),
            },
            OrderEvent::OrderRejected(e) => {
                match self.orders.remove(&e.order) {
                    Some((received, None)) if received.paid == e.refund && received.renter == e.renter => {}
                    Some((received, None)) => {
                        faults
                            .push(format!("{} of {} go back for a rejected order", e.refund, received.paid));
                    }
                    Some(_) => faults.push("an order is rejected that a contract took".into()),
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

    /// All that was swept of a marketplace's escrow is in platform cash, less what settlements have cost.
    fn swept(&self, stream: &StreamName, asset: Asset, faults: &mut Vec<String>) {
        let Ok(shop) = stream.key().parse::<MarketplaceName>() else {
            return faults.push("its stream is named by no marketplace".into());
        };
        let holds =
            |account: fn(MarketplaceName) -> Account| self.books.balance(&account(shop.clone()), asset);
        let costs = holds(Account::NetworkFees) + holds(Account::Overpaid);
        let (swept, earned) = (holds(Account::PlatformCash) + costs, -holds(Account::FeeIncome));
        if swept > earned {
            faults.push(format!("{swept} minor units of {asset} are swept by now, but {earned} were earned"));
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
