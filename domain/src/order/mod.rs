//! Orders: every payment received, and what became of it.
//!
//! # Correctness
//! An order's stream is named by the marketplace's own id, so it is received once. It ends accepted or rejected, never
//! both; a rejection names the settlement that gives all of it back. What collecting the payment cost is recorded once for
//! each transaction, whatever became of the order.

mod event;

pub use event::{
    OrderAccepted, OrderCollected, OrderEvent, OrderItem, OrderReceived, OrderRejected, RejectReason,
    Unsellable,
};

use std::collections::BTreeMap;

use crate::{
    aggregate::{Aggregate, Decision},
    id::{AccountId, ContractId, OrderKey, SettlementId},
    money::Money,
    settlement::MAX_TEXT,
    time::{Interval, Time},
};

/// The longest name of a listing, in bytes.
pub const MAX_LISTING: usize = 200;
/// The most transactions that bring one order's payment.
pub const MAX_COLLECTIONS: usize = 100;

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
    /// What collecting it cost, by transaction.
    collected: BTreeMap<String, Money>,
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

    /// Whether it is recorded what this transaction cost.
    #[must_use]
    pub fn has_collected(&self, reference: &str) -> bool {
        self.collected.contains_key(reference)
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
    /// A transaction brought what was paid into the marketplace's wallet, less what it cost.
    Collect {
        /// The transaction's id; 1 to [`MAX_TEXT`] bytes.
        reference: String,
        /// What it cost.
        cost: Money,
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
    /// An empty, long or odd name of a listing.
    #[error("listing must be 1 to {MAX_LISTING} bytes without control characters")]
    Listing,
    /// What collecting it is said to have cost cannot be.
    #[error("collecting an order costs more than nothing, at most what was paid, in the same asset")]
    Cost,
    /// An empty or long reference, or too many of them.
    #[error("reference must be 1 to {MAX_TEXT} bytes, and there may be {MAX_COLLECTIONS} of an order")]
    Reference,
}

/// Whether an item's texts are within their limits.
fn is_valid(item: &OrderItem) -> bool {
    match item {
        OrderItem::Rental { .. } | OrderItem::Extension { .. } => true,
        OrderItem::Unsellable { listing, .. } => {
            (1..=MAX_LISTING).contains(&listing.len()) && !listing.chars().any(char::is_control)
        }
    }
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
                    None if !is_valid(&new.item) => Err(OrderRefusal::Listing),
                    None => Ok(Decision::event(new)),
                }
            }
            (_, None, _) => Err(OrderRefusal::Unknown),
            (OrderCommand::Collect { reference, cost }, Some(received), _) => {
                self.collect(received, reference, cost)
            }
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
            OrderEvent::OrderCollected(e) => {
                self.collected.insert(e.reference.clone(), e.cost);
            }
        }
    }
}

impl Order {
    fn collect(
        &self,
        received: &OrderReceived,
        reference: String,
        cost: Money,
    ) -> Result<Decision<OrderEvent>, OrderRefusal> {
        if self.collected.get(&reference) == Some(&cost) {
            return Ok(Decision::AlreadyDone);
        }
        let known = self.collected.contains_key(&reference) || self.collected.len() >= MAX_COLLECTIONS;
        if known || reference.trim().is_empty() || reference.len() > MAX_TEXT {
            return Err(OrderRefusal::Reference);
        }
        let paid = received.paid;
        if cost.asset() != paid.asset() || cost.is_zero() || cost.minor() > paid.minor() {
            return Err(OrderRefusal::Cost);
        }
        Ok(Decision::event(OrderCollected { order: received.order.clone(), reference, cost }))
    }
}

#[cfg(test)]
mod tests;
