//! Refunds and payouts on their way out of escrow.

use axum::{extract::State, http::Uri};
use domain::{
    account::Role, event::Position, id::SettlementId, money::Money, settlement::SettlementKind, time::Time,
};
use projections::views::settlements::{SettlementFilter, SettlementRow, SettlementStatus};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    answer::Answer,
    auth::{Caller, MoneyReader},
    extract::{Path, Query},
    list::{List, Part, list_query},
    orders::visible_marketplace,
    schema,
};
use crate::{app::App, error::Problem, settling};

/// A refund or a payout.
#[derive(Debug, Serialize, ToSchema)]
pub struct Settlement {
    /// The settlement.
    settlement: Uuid,
    /// Refund, payout, or what a moderator gets.
    #[schema(value_type = schema::SettlementKind)]
    kind: SettlementKind,
    /// How far it is.
    #[schema(value_type = schema::SettlementStatus)]
    status: SettlementStatus,
    /// The marketplace that holds the money.
    marketplace: String,
    /// The order that paid it.
    order_id: String,
    /// The contract, unless the order was rejected.
    #[schema(required)]
    contract: Option<Uuid>,
    /// Who gets it.
    recipient: Uuid,
    /// Where they want it, as far as they said; only told to whoever moves it, one settlement at a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    /// How much.
    #[schema(value_type = schema::Money)]
    amount: Money,
    /// Since when it is due.
    #[schema(value_type = String, format = DateTime)]
    due_at: Time,
    /// Tries so far; a report names the try it is about.
    attempt: u32,
    /// How the last try was made.
    #[schema(required)]
    method: Option<String>,
    /// When the last try began.
    #[schema(value_type = Option<String>, format = DateTime, required)]
    started_at: Option<Time>,
    /// When the last try came to something.
    #[schema(value_type = Option<String>, format = DateTime, required)]
    ended_at: Option<Time>,
    /// The transaction's id or the operator's reference, once it moved.
    #[schema(required)]
    reference: Option<String>,
    /// What arrived, once it moved.
    #[schema(value_type = Option<schema::Money>, required)]
    moved: Option<Money>,
    /// What the network took on top.
    #[schema(value_type = Option<schema::Money>, required)]
    network_fee: Option<Money>,
    /// Why the last try failed or is in doubt.
    #[schema(required)]
    reason: Option<String>,
}

impl From<SettlementRow> for Settlement {
    fn from(row: SettlementRow) -> Self {
        Self {
            settlement: row.settlement.0,
            kind: row.kind,
            status: row.status,
            marketplace: row.marketplace.to_string(),
            order_id: row.order_key.id.to_string(),
            contract: row.contract.map(|contract| contract.0),
            recipient: row.recipient.0,
            address: None,
            amount: row.amount,
            due_at: row.due_at,
            attempt: row.attempt,
            method: row.method.map(settling::shown),
            started_at: row.started_at,
            ended_at: row.ended_at,
            reference: row.reference,
            moved: row.moved,
            network_fee: row.network_fee,
            reason: row.reason,
        }
    }
}

/// How far a settlement is.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "documented with the settlement")]
pub enum Status {
    Due,
    Started,
    Settled,
    Failed,
    Quarantined,
    Withdrawn,
}

impl From<Status> for SettlementStatus {
    fn from(status: Status) -> Self {
        match status {
            Status::Due => Self::Due,
            Status::Started => Self::Started,
            Status::Settled => Self::Settled,
            Status::Failed => Self::Failed,
            Status::Quarantined => Self::Quarantined,
            Status::Withdrawn => Self::Withdrawn,
        }
    }
}

list_query! {
    /// Which settlements.
    SettlementsQuery {
        /// Only those that are this far.
        #[param(inline)]
        status: Status,
    }
}

list_query! {
    /// Which settlements, of every kind.
    AllSettlementsQuery {
        /// Only those that are this far.
        #[param(inline)]
        status: Status,
        /// Only those of this kind.
        #[param(inline, value_type = Option<schema::SettlementKind>)]
        kind: SettlementKind,
    }
}

/// What a caller may see: all, the own marketplace's, or what they receive.
async fn visible(app: &App, caller: &Caller) -> Result<SettlementFilter, Problem> {
    if caller.is_any(&[Role::Operator, Role::Auditor, Role::Marketplace]) {
        let marketplace = visible_marketplace(app, caller).await?;
        return Ok(SettlementFilter { marketplace, ..SettlementFilter::default() });
    }
    Ok(SettlementFilter { recipient: Some(caller.account), ..SettlementFilter::default() })
}

async fn list(
    app: &App,
    caller: &Caller,
    uri: &Uri,
    part: &Part,
    status: Option<Status>,
    kind: Option<SettlementKind>,
) -> Result<Answer<List<Settlement>>, Problem> {
    let status = status.map(Into::into);
    let wanted = SettlementFilter { kind, status, ..visible(app, caller).await? };
    let rows = app.views.settlements(wanted, part.newest("settlements")?).await?;
    part.answer(uri, "settlements", rows, |row| row.position, Settlement::from)
}

/// Refunds, the newest first: your marketplace's, or those you receive; all for operators and auditors.
#[utoipa::path(get, path = "/v1/refunds", tag = "money", params(SettlementsQuery),
    security(("token" = ["owner", "renter", "marketplace", "operator", "auditor"])),
    responses((status = 200, description = "Refunds", body = List<Settlement>)))]
pub async fn list_refunds(
    State(app): State<App>,
    caller: MoneyReader,
    uri: Uri,
    Query(query): Query<SettlementsQuery>,
) -> Result<Answer<List<Settlement>>, Problem> {
    list(&app, &caller, &uri, &query.part(), query.status, Some(SettlementKind::Refund)).await
}

/// Payouts, the newest first: your marketplace's, or those you receive; all for operators and auditors.
#[utoipa::path(get, path = "/v1/payouts", tag = "money", params(SettlementsQuery),
    security(("token" = ["owner", "renter", "marketplace", "operator", "auditor"])),
    responses((status = 200, description = "Payouts", body = List<Settlement>)))]
pub async fn list_payouts(
    State(app): State<App>,
    caller: MoneyReader,
    uri: Uri,
    Query(query): Query<SettlementsQuery>,
) -> Result<Answer<List<Settlement>>, Problem> {
    list(&app, &caller, &uri, &query.part(), query.status, Some(SettlementKind::Payout)).await
}

/// Refunds, payouts and what moderators get, the newest first: your marketplace's, or those you receive; all for
/// operators and auditors.
#[utoipa::path(get, path = "/v1/settlements", tag = "money", params(AllSettlementsQuery),
    security(("token" = ["owner", "renter", "marketplace", "operator", "auditor"])),
    responses((status = 200, description = "Settlements", body = List<Settlement>)))]
pub async fn list_settlements(
    State(app): State<App>,
    caller: MoneyReader,
    uri: Uri,
    Query(query): Query<AllSettlementsQuery>,
) -> Result<Answer<List<Settlement>>, Problem> {
    list(&app, &caller, &uri, &query.part(), query.status, query.kind).await
}

async fn authorise(app: &App, caller: &Caller, row: &SettlementRow) -> Result<(), Problem> {
    let seen = visible(app, caller).await?;
    let ok = seen.marketplace.is_none_or(|own| own == row.marketplace)
        && seen.recipient.is_none_or(|own| own == row.recipient);
    if ok { Ok(()) } else { Err(Problem::not_found("settlement")) }
}

/// The settlement as it is after `position`.
///
/// # Errors
/// When there is none that the caller may see.
pub async fn show(
    app: &App,
    caller: &Caller,
    settlement: SettlementId,
    position: Option<Position>,
) -> Result<Answer<Settlement>, Problem> {
    app.catch_up(position).await;
    let row = app.views.settlement(settlement).await?.ok_or_else(|| Problem::not_found("settlement"))?;
    authorise(app, caller, &row).await?;
    let (revision, recipient, kind) = (row.revision, row.recipient, row.kind);
    let mut shown = Settlement::from(row);
    if caller.is_any(&[Role::Marketplace, Role::Operator]) {
        let person = app.private.person(recipient).await?;
        shown.address = person.and_then(|person| match kind {
            SettlementKind::Refund => person.refund_address,
            SettlementKind::Payout | SettlementKind::Moderation => person.payout_address,
        });
    }
    Ok(Answer::ok(shown).at(revision).wrote(position))
}

/// A refund or a payout.
#[utoipa::path(get, path = "/v1/settlements/{settlement}", tag = "money", params(("settlement" = Uuid, Path)),
    security(("token" = ["owner", "renter", "marketplace", "operator", "auditor"])),
    responses((status = 200, description = "The settlement", body = Settlement)))]
pub async fn get_settlement(
    State(app): State<App>,
    caller: MoneyReader,
    Path(settlement): Path<SettlementId>,
) -> Result<Answer<Settlement>, Problem> {
    show(&app, &caller, settlement, None).await
}
