//! What a contract's events make due.

use super::ContractEvent;
use crate::{
    id::{ContractId, SettlementId},
    settlement::{SettlementDue, SettlementKind},
};

impl ContractEvent {
    /// The settlement that an event of `contract` calls for; none of nothing.
    #[must_use]
    pub fn settlement(&self, contract: ContractId) -> Option<(SettlementId, SettlementDue)> {
        let (id, kind, order, to, amount) = match self {
            Self::RefundIssued(e) => (e.settlement, SettlementKind::Refund, &e.order, e.renter, e.amount),
            Self::PayoutIssued(e) => (e.settlement, SettlementKind::Payout, &e.order, e.owner, e.amount),
            Self::SegmentPayoutIssued(e) => {
                (e.settlement, SettlementKind::Payout, &e.order, e.owner, e.amount)
            }
            Self::ModerationIssued(e) => {
                (e.settlement, SettlementKind::Moderation, &e.order, e.moderator, e.amount)
            }
            _ => return None,
        };
        let due = SettlementDue { kind, order: order.clone(), contract: Some(contract), to, amount };
        (!amount.is_zero()).then_some((id, due))
    }
}
