//! Orders: payments received by marketplaces and what became of them.

use domain::{
    any::AnyEvent,
    event::{Position, Revision},
    id::{AccountId, ContractId, MarketplaceName, OrderKey, SettlementId},
    money::Money,
    order::{OrderEvent, OrderItem, RejectReason},
    time::{Interval, Time},
};
use serde::{Deserialize, Serialize};

use super::{Envelope, Page, View, ViewError, Views, read::Filter};
use crate::rows::{Rows, column::word, row};

/// How far an order is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderStatus {
    /// Nobody has decided on it.
    Received,
    /// It became a segment of a contract.
    Accepted,
    /// It goes back in full.
    Rejected,
}
word!(OrderStatus);

row! {
    /// An order.
    OrderRow in "orders" by (
        /// Which.
        order_key: OrderKey,
    ) {
        /// The event that received it; lists are in this order.
        position: Position,
        /// The order stream's last revision: its ETag.
        revision: Revision,
        /// The last event that changed the row.
        updated: Position,
        /// Who received it.
        marketplace: MarketplaceName,
        /// What was bought.
        item: OrderItem,
        /// Who bought.
        renter: AccountId,
        /// What was received.
        paid: Money,
        /// How far it is.
        status: OrderStatus,
        /// When it was received.
        received_at: Time,
        /// When it was accepted or rejected.
        decided_at: Option<Time>,
        /// Why it was rejected.
        reason: Option<RejectReason>,
        /// The contract it pays for, once accepted.
        contract: Option<ContractId>,
        /// The time it bought, once accepted.
        segment: Option<Interval>,
        /// Its refund, once rejected.
        settlement: Option<SettlementId>,
    }
}

/// The view.
#[derive(Debug)]
pub struct Orders;

impl View for Orders {
    const VERSION: u32 = 2;
    const DDL: &'static str = include_str!("../../../migrations/sqlite/views/orders.sql");
    const WEIGHT: u32 = 20;
    const IN_ORDER: bool = true;
    type Row = OrderRow;

    fn fold(rows: &mut Rows<'_, OrderRow>, event: &Envelope<'_>) -> Result<(), ViewError> {
        let AnyEvent::Order(happened) = event.event else { return Ok(()) };
        let (position, revision, at) =
            (event.recorded.position, event.recorded.revision, event.recorded_at());
        let decide = |row: &mut OrderRow, status| {
            (row.status, row.decided_at) = (status, Some(at));
            (row.revision, row.updated) = (revision, position);
        };
        match happened {
            OrderEvent::OrderReceived(e) => {
                rows.insert(OrderRow {
                    order_key: e.order.clone(),
                    position,
                    revision,
                    updated: position,
                    marketplace: e.order.marketplace.clone(),
                    item: e.item.clone(),
                    renter: e.renter,
                    paid: e.paid,
                    status: OrderStatus::Received,
                    received_at: at,
                    decided_at: None,
                    reason: None,
                    contract: None,
                    segment: None,
                    settlement: None,
                });
                Ok(())
            }
            OrderEvent::OrderAccepted(e) => rows.edit(&(e.order.clone(),), |row| {
                decide(row, OrderStatus::Accepted);
                (row.contract, row.segment) = (Some(e.contract), Some(e.segment));
            }),
            OrderEvent::OrderRejected(e) => rows.edit(&(e.order.clone(),), |row| {
                decide(row, OrderStatus::Rejected);
                (row.reason, row.settlement) = (Some(e.reason.clone()), Some(e.settlement));
            }),
            OrderEvent::OrderCollected(e) => rows.edit(&(e.order.clone(),), |row| {
                (row.revision, row.updated) = (revision, position);
            }),
        }
    }
}

/// Whose orders are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OrderScope {
    /// Those of a renter.
    Renter(AccountId),
    /// Those that a marketplace received.
    Marketplace(MarketplaceName),
    /// Those that paid for a contract.
    Contract(ContractId),
    /// Those that nobody has decided on.
    Undecided,
    /// Those that go back in full.
    Rejected,
    /// All.
    All,
}

impl Views {
    /// One order.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn order(&self, order: OrderKey) -> Result<Option<OrderRow>, ViewError> {
        self.one(Filter::by("order_key = ?", &order)).await
    }

    /// Orders of somebody or something.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn orders(&self, scope: OrderScope, page: Page) -> Result<Vec<OrderRow>, ViewError> {
        let filter = match scope {
            OrderScope::Renter(account) => Filter::by("renter = ?", &account),
            OrderScope::Marketplace(name) => Filter::by("marketplace = ?", &name),
            OrderScope::Contract(contract) => Filter::by("contract = ?", &contract),
            OrderScope::Undecided => Filter::default().plain("status = 'received'"),
            OrderScope::Rejected => Filter::default().plain("status = 'rejected'"),
            OrderScope::All => Filter::default(),
        };
        self.list(filter, page).await
    }
}
