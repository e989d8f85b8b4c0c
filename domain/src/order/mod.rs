//! Orders: every payment received, and what became of it.
//!
//! # Correctness
//! An order's stream is named by the marketplace's own id, so it is received once. It ends accepted or rejected, never
//! both; a rejection names the settlement that gives all of it back.

mod event;

pub use event::{OrderAccepted, OrderEvent, OrderItem, OrderReceived, OrderRejected, RejectReason};

use crate::{
    aggregate::{Aggregate, Decision},
    id::{AccountId, ContractId, OrderKey, SettlementId},
    money::Money,
    time::{Interval, Time},
};

/// What became of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It became a segment.
    Accepted(OrderAccepted),
    /// It goes back.
    Rejected(OrderRejected),
}

/// An order's state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Order {
    received: Option<OrderReceived>,
    fate: Option<Fate>,
}

impl Order {
    /// What was received, once it was.
    #[must_use]
    pub const fn received(&self) -> Option<&OrderReceived> {
        self.received.as_ref()
    }

    /// What became of it, once it is decided.
    #[must_use]
    pub const fn fate(&self) -> Option<&Fate> {
        self.fate.as_ref()
    }
}

/// What can be asked of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OrderCommand {
    /// A marketplace received a payment.
    Receive {
        /// Its id there.
        order: OrderKey,
        /// What was bought.
        item: OrderItem,
        /// Who bought.
        renter: AccountId,
        /// What was received.
        paid: Money,
    },
    /// A contract took it as a segment.
    Accept {
        /// The contract.
        contract: ContractId,
        /// The time it bought.
        segment: Interval,
    },
    /// It cannot be honoured.
    Reject {
        /// Why.
        reason: RejectReason,
    },
}

/// Why an order says no.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OrderRefusal {
    /// The same id was received with other contents.
    #[error("this order was already received with other contents")]
    Different,
    /// Nothing was paid.
    #[error("an order must pay more than nothing")]
    NothingPaid,
    /// It was never received.
    #[error("there is no such order")]
    Unknown,
    /// It was decided the other way.
    #[error("the order is already decided")]
    Decided,
}

impl Aggregate for Order {
    type Id = OrderKey;
    type Command = OrderCommand;
    type Event = OrderEvent;
    type Refusal = OrderRefusal;

    const CATEGORY: &'static str = "order";

    fn decide(&self, command: OrderCommand, _now: Time) -> Result<Decision<OrderEvent>, OrderRefusal> {
        match (command, &self.received, &self.fate) {
            (OrderCommand::Receive { order, item, renter, paid }, received, _) => {
                let new = OrderReceived { order, item, renter, paid };
                match received {
                    Some(old) if *old == new => Ok(Decision::AlreadyDone),
                    Some(_) => Err(OrderRefusal::Different),
                    None if paid.is_zero() => Err(OrderRefusal::NothingPaid),
                    None => Ok(Decision::event(new)),
                }
            }
            (_, None, _) => Err(OrderRefusal::Unknown),
            (OrderCommand::Accept { contract, segment }, Some(received), None) => {
                Ok(Decision::event(OrderAccepted { order: received.order.clone(), contract, segment }))
            }
            (OrderCommand::Accept { contract, .. }, _, Some(Fate::Accepted(old)))
                if old.contract == contract =>
            {
                Ok(Decision::AlreadyDone)
            }
            (OrderCommand::Reject { reason }, Some(received), None) => Ok(Decision::event(OrderRejected {
                order: received.order.clone(),
                reason,
                settlement: SettlementId::rejected_order(&received.order),
                renter: received.renter,
                refund: received.paid,
            })),
            (OrderCommand::Reject { .. }, _, Some(Fate::Rejected(_))) => Ok(Decision::AlreadyDone),
            (OrderCommand::Accept { .. } | OrderCommand::Reject { .. }, _, Some(_)) => {
                Err(OrderRefusal::Decided)
            }
        }
    }

    fn apply(&mut self, event: &OrderEvent) {
        match event {
            OrderEvent::OrderReceived(e) => self.received = Some(e.clone()),
            OrderEvent::OrderAccepted(e) => self.fate = Some(Fate::Accepted(e.clone())),
            OrderEvent::OrderRejected(e) => self.fate = Some(Fate::Rejected(e.clone())),
        }
    }
}

#[cfg(test)]
mod tests;
