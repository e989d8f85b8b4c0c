//! What happens to one refund or payout on its way out of escrow.

use serde::{Deserialize, Serialize};

use crate::{
    events,
    id::{AccountId, ContractId, OrderKey},
    money::Money,
};

/// What kind of money it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SettlementKind {
    /// Back to a renter.
    Refund,
    /// To an owner.
    Payout,
    /// To whoever decided a dispute.
    Moderation,
}

/// What really moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Movement {
    /// The transaction's id or the operator's reference; 1 to [`super::MAX_TEXT`] bytes.
    pub reference: String,
    /// What arrived.
    pub moved: Money,
    /// What the network took on top.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_fee: Option<Money>,
}

/// What an operator found out about a quarantined settlement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case", deny_unknown_fields)]
pub enum Resolution {
    /// The money had moved.
    Moved {
        /// How.
        movement: Movement,
    },
    /// The money had not moved; it is due again.
    NotMoved {},
}

events! {
    /// The events of a settlement.
    SettlementEvent {
        /// Money must leave escrow.
        SettlementDue = 2 {
            /// Refund or payout.
            kind: SettlementKind,
            /// The order that paid, and so the marketplace that holds the money.
            order: OrderKey,
            /// The contract, unless the order was rejected.
            contract: Option<ContractId>,
            /// Who gets it.
            to: AccountId,
            /// How much.
            amount: Money,
        }
        /// Somebody is about to move it; from now on it may have moved.
        SettlementStarted = 1 {
            /// Counts tries, from 1.
            attempt: u32,
            /// How, such as `manual`.
            method: String,
        }
        /// It moved.
        SettlementSettled = 1 {
            /// The try.
            attempt: u32,
            /// What really moved.
            movement: Movement,
        }
        /// It certainly did not move; it may be tried again.
        SettlementFailed = 1 {
            /// The try.
            attempt: u32,
            /// What the integration said.
            reason: String,
        }
        /// Nobody knows whether it moved; an operator must find out.
        SettlementQuarantined = 1 {
            /// The try.
            attempt: u32,
            /// What the integration said.
            reason: String,
        }
        /// It was due and is no longer: what it would have moved is disputed.
        SettlementWithdrawn = 1 {
            /// How much.
            amount: Money,
        }
        /// It was withdrawn although the dispute was decided without it: it is due again.
        SettlementReinstated = 1 {
            /// What is due.
            due: SettlementDue,
        }
        /// An operator found out.
        SettlementResolved = 1 {
            /// The try.
            attempt: u32,
            /// What was found.
            resolution: Resolution,
            /// Why the operator is sure.
            note: String,
        }
    }
}
