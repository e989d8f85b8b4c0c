//! Refunds and payouts on their way out of escrow.

use domain::{
    any::AnyEvent,
    event::{Position, Revision},
    id::{AccountId, ContractId, MarketplaceName, OrderKey, SettlementId},
    money::Money,
    settlement::{Movement, Resolution, SettlementDue, SettlementEvent, SettlementKind},
    time::Time,
};
use serde::{Deserialize, Serialize};

use super::{Envelope, Page, View, ViewError, Views, read::Filter};
use crate::rows::{Rows, column::word, row};

/// How far a settlement is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SettlementStatus {
    /// It waits to be tried.
    Due,
    /// It is being tried and may have moved.
    Started,
    /// It moved.
    Settled,
    /// It certainly did not move; it may be tried again.
    Failed,
    /// Nobody knows whether it moved.
    Quarantined,
    /// It will not move: it is disputed.
    Withdrawn,
}
word!(SettlementStatus, SettlementKind);

row! {
    /// A refund or a payout.
    SettlementRow in "settlements" by (
        /// Which.
        settlement: SettlementId,
    ) {
        /// The event that made it due; lists are in this order.
        position: Position,
        /// The settlement stream's last revision: its ETag.
        revision: Revision,
        /// The last event that changed the row.
        updated: Position,
        /// Refund or payout.
        kind: SettlementKind,
        /// How far it is.
        status: SettlementStatus,
        /// The order that paid.
        order_key: OrderKey,
        /// Who holds the money.
        marketplace: MarketplaceName,
        /// The contract, unless the order was rejected.
        contract: Option<ContractId>,
        /// Who gets it.
        recipient: AccountId,
        /// How much.
        amount: Money,
        /// Since when it is due.
        due_at: Time,
        /// Tries so far.
        attempt: u32,
        /// How the last try was made.
        method: Option<String>,
        /// When the last try began.
        started_at: Option<Time>,
        /// When the last try came to something.
        ended_at: Option<Time>,
        /// The transaction's id or the operator's reference, once it moved.
        reference: Option<String>,
        /// What arrived, once it moved.
        moved: Option<Money>,
        /// What the network took on top.
        network_fee: Option<Money>,
        /// Why the last try failed or is in doubt.
        reason: Option<String>,
    }
}

impl SettlementRow {
    fn new(settlement: SettlementId, e: &SettlementDue, event: &Envelope<'_>) -> Self {
        Self {
            settlement,
            position: event.recorded.position,
            revision: event.recorded.revision,
            updated: event.recorded.position,
            kind: e.kind,
            status: SettlementStatus::Due,
            order_key: e.order.clone(),
            marketplace: e.order.marketplace.clone(),
            contract: e.contract,
            recipient: e.to,
            amount: e.amount,
            due_at: event.recorded_at(),
            attempt: 0,
            method: None,
            started_at: None,
            ended_at: None,
            reference: None,
            moved: None,
            network_fee: None,
            reason: None,
        }
    }

    fn settled(&mut self, movement: &Movement) {
        self.status = SettlementStatus::Settled;
        self.reference = Some(movement.reference.clone());
        self.moved = Some(movement.moved);
        self.network_fee = movement.network_fee;
        self.reason = None;
    }

    fn apply(&mut self, event: &SettlementEvent, at: Time) {
        self.ended_at = Some(at);
        match event {
            SettlementEvent::SettlementDue(_) => {}
            SettlementEvent::SettlementStarted(e) => {
                self.status = SettlementStatus::Started;
                self.attempt = e.attempt;
                self.method = Some(e.method.clone());
                (self.started_at, self.ended_at, self.reason) = (Some(at), None, None);
            }
            SettlementEvent::SettlementSettled(e) => self.settled(&e.movement),
            SettlementEvent::SettlementFailed(e) => {
                self.status = SettlementStatus::Failed;
                self.reason = Some(e.reason.clone());
            }
            SettlementEvent::SettlementQuarantined(e) => {
                self.status = SettlementStatus::Quarantined;
                self.reason = Some(e.reason.clone());
            }
            SettlementEvent::SettlementWithdrawn(_) => self.status = SettlementStatus::Withdrawn,
            SettlementEvent::SettlementReinstated(_) => self.status = SettlementStatus::Due,
            SettlementEvent::SettlementResolved(e) => match &e.resolution {
                Resolution::Moved { movement } => self.settled(movement),
                Resolution::NotMoved {} => self.status = SettlementStatus::Due,
            },
        }
    }
}

/// The view.
#[derive(Debug)]
pub struct Settlements;

impl View for Settlements {
    const VERSION: u32 = 1;
    const DDL: &'static str = include_str!("../../../migrations/sqlite/views/settlements.sql");
    const WEIGHT: u32 = 25;
    const IN_ORDER: bool = true;
    type Row = SettlementRow;

    fn fold(rows: &mut Rows<'_, SettlementRow>, event: &Envelope<'_>) -> Result<(), ViewError> {
        match event.event {
            AnyEvent::Settlement(SettlementEvent::SettlementDue(e)) => {
                rows.insert(SettlementRow::new(event.id()?, e, event));
                Ok(())
            }
            AnyEvent::Settlement(e) => rows.edit(&(event.id()?,), |row| {
                row.apply(e, event.recorded_at());
                row.revision = event.recorded.revision;
                row.updated = event.recorded.position;
            }),
            _ => Ok(()),
        }
    }
}

/// Which settlements are asked for; every condition that is given must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SettlementFilter {
    /// Refunds or payouts.
    pub kind: Option<SettlementKind>,
    /// How far they are.
    pub status: Option<SettlementStatus>,
    /// Who holds the money.
    pub marketplace: Option<MarketplaceName>,
    /// Who gets it.
    pub recipient: Option<AccountId>,
    /// What it is for.
    pub contract: Option<ContractId>,
}

impl Views {
    /// One settlement.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn settlement(&self, settlement: SettlementId) -> Result<Option<SettlementRow>, ViewError> {
        self.one(Filter::by("settlement = ?", &settlement)).await
    }

    /// Refunds and payouts.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn settlements(
        &self,
        wanted: SettlementFilter,
        page: Page,
    ) -> Result<Vec<SettlementRow>, ViewError> {
        // One condition chooses the index, in which rows lie in the order of the list; the plus keeps the others from it.
        let SettlementFilter { kind, status, marketplace, recipient, contract } = wanted;
        let of_somebody = recipient.is_some() || contract.is_some();
        let (by_status, by_marketplace) = match (of_somebody, status) {
            (false, Some(_)) => ("status = ?", "marketplace = ?"),
            _ => ("+status = ?", "+marketplace = ?"),
        };
        let by_recipient = if contract.is_some() { "+recipient = ?" } else { "recipient = ?" };
        let filter = Filter::default()
            .and_some("contract = ?", contract.as_ref())
            .and_some(by_recipient, recipient.as_ref())
            .and_some(by_marketplace, marketplace.as_ref())
            .and_some(by_status, status.as_ref())
            .and_some("+kind = ?", kind.as_ref());
        self.list(filter, page).await
    }
}
