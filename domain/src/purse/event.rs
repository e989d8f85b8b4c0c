//! What happens to payouts that wait.

use crate::{
    events,
    id::{AccountId, ContractId, OrderKey, SettlementId},
    money::Money,
};

events! {
    /// The events of a purse.
    PurseEvent {
        /// A payout waits in the purse.
        PayoutHeld = 1 {
            /// The settlement that the payout was issued with; it is never made due itself.
            payout: SettlementId,
            /// What it was earned with.
            contract: ContractId,
            /// The order whose marketplace holds the money.
            order: OrderKey,
            /// How much.
            amount: Money,
        }
        /// All that waited is to be paid together.
        PayoutsReleased = 1 {
            /// The settlement that moves it.
            settlement: SettlementId,
            /// An order of the marketplace that holds the money.
            order: OrderKey,
            /// Who gets it.
            owner: AccountId,
            /// All of it.
            amount: Money,
            /// The payouts it is made of.
            payouts: Vec<SettlementId>,
        }
    }
}
