//! The journal: double entry, derived from events alone.
//!
//! # Shape
//! [`post`] is given an event and what is open under its [`subject`] (a contract or a settlement); it answers with the
//! postings of the event and leaves what is open after it. Debits are positive, credits negative, so a liability's
//! balance is at most 0.
//!
//! | event | debit | credit |
//! |---|---|---|
//! | `OrderReceived` | escrow cash | orders |
//! | `RentalStarted`, `RentalExtended` | orders | the segment |
//! | time served, as of an extension, a close or an end | the segment | owner accrued, fees accrued |
//! | `RefundIssued` | the segment, or disputed | refund due |
//! | `OrderRejected` | orders | refund due |
//! | `OrderCollected` | network fees | platform cash |
//! | `PayoutIssued`, `SegmentPayoutIssued` | owner accrued, fees accrued | owner payable, fee income |
//! | `DisputeOpened` | the segment, what it accrued | disputed |
//! | `DisputeDecided`, `ModerationIssued` | disputed | owner accrued, fees accrued, moderator payable |
//! | `SettlementWithdrawn` | refund due | disputed |
//! | `SettlementReinstated` | disputed | refund due |
//! | `SettlementStarted` | due | in flight |
//! | `SettlementFailed` | in flight | due |
//! | `SettlementQuarantined` | in flight | quarantined |
//! | `SettlementSettled`, `SettlementResolved` (moved) | in flight or quarantined | escrow cash, and what is still owed |
//! | `SettlementResolved` (not moved) | quarantined | due |
//! | network fee, amount moved beyond what was due | expenses | platform cash |
//! | `FeesSwept` | platform cash | escrow cash |
//!
//! # Correctness
//! Every entry is made of transfers, so per asset it adds up to 0. Accrual is by difference: what was earned by now, less
//! what was posted; a late outage thus becomes a reversal, and any schedule of accruals adds up to the final amount.
//! What was received for a contract leaves escrow cash only by settlements and sweeps, so at every position escrow cash
//! is what is owed plus the fees that were not swept.

mod account;
mod books;
mod contract;
mod settlement;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use account::{Account, InvalidAccount, Stage};
pub use books::{Books, Fault};
pub use contract::OpenContract;
pub use settlement::OpenSettlement;

use crate::{
    any::AnyEvent,
    contract::ContractEvent,
    device::DeviceEvent,
    event::StreamName,
    id::{ContractId, DeviceId},
    money::{Asset, Money},
    order::OrderEvent,
    settlement::{SettlementEvent, SettlementKind},
    time::Time,
    treasury::TreasuryEvent,
};

/// A change of one account: debits are positive, credits negative.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posting {
    /// The account.
    pub account: Account,
    /// Minor units.
    pub minor: i128,
    /// Of what.
    pub asset: Asset,
}

/// What an event is posted against and leaves behind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Open {
    /// A contract that is not closed.
    Contract(Box<OpenContract>),
    /// A settlement that has not come to its end.
    Settlement(OpenSettlement),
}

/// An event as the journal sees it.
#[derive(Debug, Clone, Copy)]
pub struct Happened<'a> {
    /// Its stream.
    pub stream: &'a StreamName,
    /// The id that the stream is named by, if it is by one.
    pub id: Option<Uuid>,
    /// What happened.
    pub event: &'a AnyEvent,
    /// When it counts from.
    pub at: Time,
}

/// What the event is posted against, if anything is needed: the id of a contract or a settlement.
#[must_use]
pub fn subject(happened: &Happened<'_>) -> Option<Uuid> {
    match happened.event {
        AnyEvent::Contract(ContractEvent::OfferClosed(_)) => None,
        AnyEvent::Contract(ContractEvent::ExtensionRequested(_) | ContractEvent::ExtensionLapsed(_)) => None,
        AnyEvent::Contract(ContractEvent::OfflineResumeChosen(_) | ContractEvent::ErasureAsked(_)) => None,
        AnyEvent::Contract(_) | AnyEvent::Settlement(_) => happened.id,
        AnyEvent::Device(DeviceEvent::DeviceLost(e)) => {
            Some(ContractId::of(DeviceId(happened.id?), e.epoch).0)
        }
        AnyEvent::Device(DeviceEvent::DeviceRecovered(e)) => {
            Some(ContractId::of(DeviceId(happened.id?), e.epoch).0)
        }
        _ => None,
    }
}

/// The postings of an event; `open` is what [`subject`] names, before and after.
///
/// An event about something that is not open posts nothing.
#[must_use]
pub fn post(happened: &Happened<'_>, open: &mut Option<Open>) -> Vec<Posting> {
    let mut entry = Entry::default();
    match happened.event {
        AnyEvent::Order(OrderEvent::OrderReceived(e)) => {
            let shop = &e.order.marketplace;
            entry.transfer(Account::Orders(shop.clone()), Account::EscrowCash(shop.clone()), e.paid);
        }
        AnyEvent::Order(OrderEvent::OrderRejected(e)) => {
            let due = Account::Claim(SettlementKind::Refund, e.renter, Stage::Due);
            entry.transfer(due, Account::Orders(e.order.marketplace.clone()), e.refund);
        }
        AnyEvent::Order(OrderEvent::OrderCollected(e)) => {
            let shop = &e.order.marketplace;
            entry.transfer(Account::PlatformCash(shop.clone()), Account::NetworkFees(shop.clone()), e.cost);
        }
        AnyEvent::Contract(ContractEvent::RentalStarted(e)) => {
            let contract = ContractId(happened.id.unwrap_or_default());
            let (orders, segment) =
                (Account::Orders(e.order.marketplace.clone()), Account::Segment(contract, 0));
            entry.transfer(segment, orders, e.paid);
            *open = Some(Open::Contract(Box::new(OpenContract::new(contract, e))));
        }
        AnyEvent::Contract(e) => {
            let Some(Open::Contract(contract)) = open else { return Vec::new() };
            if contract.post(e, happened.at, &mut entry) {
                *open = None;
            }
        }
        AnyEvent::Device(e) => {
            let Some(Open::Contract(contract)) = open else { return Vec::new() };
            contract.note(e);
        }
        AnyEvent::Settlement(SettlementEvent::SettlementDue(e)) => {
            *open = Some(Open::Settlement(OpenSettlement::new(e)));
        }
        AnyEvent::Settlement(SettlementEvent::SettlementReinstated(e)) => {
            *open = Some(Open::Settlement(OpenSettlement::reinstated(&e.due, &mut entry)));
        }
        AnyEvent::Settlement(e) => {
            let Some(Open::Settlement(settlement)) = open else { return Vec::new() };
            if settlement.post(e, &mut entry) {
                *open = None;
            }
        }
        AnyEvent::Treasury(TreasuryEvent::FeesSwept(e)) => {
            if let Ok(shop) = happened.stream.key().parse() {
                let shop: crate::id::MarketplaceName = shop;
                entry.transfer(Account::EscrowCash(shop.clone()), Account::PlatformCash(shop), e.amount);
            }
        }
        _ => {}
    }
    entry.0
}

/// The postings of one event, in the making.
#[derive(Debug, Default)]
struct Entry(Vec<Posting>);

impl Entry {
    /// Credits one account and debits the other.
    fn transfer(&mut self, credit: Account, debit: Account, amount: Money) {
        self.transfer_minor(credit, debit, amount.minor(), amount.asset());
    }

    /// As [`Entry::transfer`]; a negative amount goes the other way, and nothing is not posted.
    fn transfer_minor(&mut self, credit: Account, debit: Account, minor: i128, asset: Asset) {
        self.add(debit, minor, asset);
        self.add(credit, -minor, asset);
    }

    fn add(&mut self, account: Account, minor: i128, asset: Asset) {
        if minor != 0 {
            self.0.push(Posting { account, minor, asset });
        }
    }
}

#[cfg(test)]
mod tests;
