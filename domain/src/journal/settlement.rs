//! A settlement that has not come to its end, as the journal knows it.

use serde::{Deserialize, Serialize};

use super::{Account, Entry, Stage};
use crate::{
    id::{AccountId, ContractId, MarketplaceName},
    money::Money,
    settlement::{Movement, Resolution, SettlementDue, SettlementEvent, SettlementKind},
};

/// A settlement that has not come to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenSettlement {
    kind: SettlementKind,
    to: AccountId,
    amount: Money,
    marketplace: MarketplaceName,
    contract: Option<ContractId>,
}

impl OpenSettlement {
    pub(super) fn new(e: &SettlementDue) -> Self {
        let marketplace = e.order.marketplace.clone();
        Self { kind: e.kind, to: e.to, amount: e.amount, marketplace, contract: e.contract }
    }

    /// Of one that was withdrawn: takes its amount out of what is disputed.
    pub(super) fn reinstated(e: &SettlementDue, entry: &mut Entry) -> Self {
        let (open, contract) = (Self::new(e), e.contract.unwrap_or(ContractId(uuid::Uuid::nil())));
        entry.transfer(open.at(Stage::Due), Account::Disputed(contract), e.amount);
        open
    }

    const fn at(&self, stage: Stage) -> Account {
        Account::Claim(self.kind, self.to, stage)
    }

    /// Posts an event; true when the settlement has come to its end.
    pub(super) fn post(&self, event: &SettlementEvent, entry: &mut Entry) -> bool {
        let mut go = |from, to| entry.transfer(self.at(to), self.at(from), self.amount);
        match event {
            SettlementEvent::SettlementDue(_) | SettlementEvent::SettlementReinstated(_) => {}
            SettlementEvent::SettlementStarted(_) => go(Stage::Due, Stage::InFlight),
            SettlementEvent::SettlementFailed(_) => go(Stage::InFlight, Stage::Due),
            SettlementEvent::SettlementQuarantined(_) => go(Stage::InFlight, Stage::Quarantined),
            SettlementEvent::SettlementSettled(e) => {
                self.moved(&e.movement, Stage::InFlight, entry);
                return true;
            }
            SettlementEvent::SettlementResolved(e) => match &e.resolution {
                Resolution::Moved { movement } => {
                    self.moved(movement, Stage::Quarantined, entry);
                    return true;
                }
                Resolution::NotMoved {} => go(Stage::Quarantined, Stage::Due),
            },
            SettlementEvent::SettlementWithdrawn(_) => {
                let contract = self.contract.unwrap_or(ContractId(uuid::Uuid::nil()));
                entry.transfer(Account::Disputed(contract), self.at(Stage::Due), self.amount);
                return true;
            }
        }
        false
    }

    /// Less than was due leaves the rest owed; more, and what the network took, is the operator's expense.
    fn moved(&self, movement: &Movement, from: Stage, entry: &mut Entry) {
        let (due, moved, asset) = (self.amount.minor(), movement.moved.minor(), self.amount.asset());
        let shop = || self.marketplace.clone();
        entry.add(self.at(from), due, asset);
        entry.add(Account::EscrowCash(shop()), -moved.min(due), asset);
        entry.add(self.at(Stage::Due), (moved - due).min(0), asset);
        let beyond = (moved - due).max(0);
        entry.transfer_minor(Account::PlatformCash(shop()), Account::Overpaid(shop()), beyond, asset);
        if let Some(fee) = movement.network_fee {
            entry.transfer(Account::PlatformCash(shop()), Account::NetworkFees(shop()), fee);
        }
    }
}
