//! The steps of money out of escrow, reported by whoever moves it, and both at once when it was moved by hand.

use axum::extract::State;
use domain::{
    account::Role,
    id::SettlementId,
    money::Money,
    settlement::{Movement, Resolution, Settlement as Ledger, SettlementCommand},
};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{
    answer::{Answer, IfMatch, execute},
    auth::{Caller, MoneyMover, Operator},
    extract::{Json, Path},
    orders::marketplace,
    schema,
    settlements::{Settlement, show},
};
use crate::{
    app::App,
    error::Problem,
    settling::{self, ByHand},
};

/// Lets operators through, and the marketplace that holds the money.
async fn authorise(app: &App, caller: &Caller, settlement: SettlementId) -> Result<(), Problem> {
    let row = app.views.settlement(settlement).await?.ok_or_else(|| Problem::not_found("settlement"))?;
    if !caller.is(Role::Operator) && marketplace(app, caller).await? != row.marketplace {
        return Err(Problem::not_found("settlement"));
    }
    Ok(())
}

/// Carries out a step on a settlement of the caller's marketplace.
async fn step(
    app: &App,
    caller: &Caller,
    settlement: SettlementId,
    command: SettlementCommand,
    condition: IfMatch,
) -> Result<Answer<Settlement>, Problem> {
    authorise(app, caller, settlement).await?;
    let done = execute::<Ledger>(app, &settlement, command, &caller.by(), condition).await?;
    show(app, caller, settlement, done.position).await
}

/// How money is about to be moved.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Start {
    /// Such as `manual`; 1 to 500 bytes.
    #[schema(min_length = 1, max_length = 500)]
    method: String,
}

/// What moved.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Settled {
    /// The try.
    attempt: u32,
    /// The transaction's id or your own reference; 1 to 500 bytes.
    #[schema(min_length = 1, max_length = 500)]
    reference: String,
    /// What arrived.
    #[schema(value_type = schema::Money)]
    moved: Money,
    /// What the network took on top.
    #[schema(value_type = Option<schema::Money>)]
    network_fee: Option<Money>,
}

/// What was moved by hand.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MovedByHand {
    /// The transaction's id or your own reference; 1 to 500 bytes.
    #[schema(min_length = 1, max_length = 500)]
    reference: String,
    /// What arrived; all that is due when left out.
    #[schema(value_type = Option<schema::Money>)]
    moved: Option<Money>,
    /// What the network took on top.
    #[schema(value_type = Option<schema::Money>)]
    network_fee: Option<Money>,
}

/// What went wrong.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WentWrong {
    /// The try.
    attempt: u32,
    /// Why; 1 to 500 bytes.
    #[schema(min_length = 1, max_length = 500)]
    reason: String,
}

/// What an operator found out.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Found {
    /// What.
    #[schema(value_type = schema::Resolution)]
    resolution: Resolution,
    /// Why you are sure; 1 to 500 bytes.
    #[schema(min_length = 1, max_length = 500)]
    note: String,
}

/// Says that you are about to move the money. From now on it may have moved, so nobody else starts.
#[utoipa::path(post, path = "/v1/settlements/{settlement}/start", tag = "money", params(("settlement" = Uuid, Path)),
    security(("token" = ["marketplace", "operator"])), request_body = Start,
    responses((status = 200, description = "The settlement", body = Settlement)))]
pub async fn start_settlement(
    State(app): State<App>,
    caller: MoneyMover,
    Path(settlement): Path<SettlementId>,
    condition: IfMatch,
    Json(Start { method }): Json<Start>,
) -> Result<Answer<Settlement>, Problem> {
    step(&app, &caller, settlement, SettlementCommand::Start { method }, condition).await
}

/// Reports that the money moved.
#[utoipa::path(post, path = "/v1/settlements/{settlement}/settled", tag = "money", params(("settlement" = Uuid, Path)),
    security(("token" = ["marketplace", "operator"])), request_body = Settled,
    responses((status = 200, description = "The settlement", body = Settlement)))]
pub async fn report_settled(
    State(app): State<App>,
    caller: MoneyMover,
    Path(settlement): Path<SettlementId>,
    condition: IfMatch,
    Json(Settled { attempt, reference, moved, network_fee }): Json<Settled>,
) -> Result<Answer<Settlement>, Problem> {
    let movement = Movement { reference, moved, network_fee };
    step(&app, &caller, settlement, SettlementCommand::Settle { attempt, movement }, condition).await
}

/// Reports money that was moved by hand: starts the settlement with the method `manual` and settles it. Sent again, also
/// after it broke off, it finishes what it began and moves nothing twice.
#[utoipa::path(post, path = "/v1/settlements/{settlement}/manual", tag = "money", params(("settlement" = Uuid, Path)),
    security(("token" = ["marketplace", "operator"])), request_body = MovedByHand,
    responses((status = 200, description = "The settlement", body = Settlement)))]
pub async fn settle_by_hand(
    State(app): State<App>,
    caller: MoneyMover,
    Path(settlement): Path<SettlementId>,
    condition: IfMatch,
    Json(MovedByHand { reference, moved, network_fee }): Json<MovedByHand>,
) -> Result<Answer<Settlement>, Problem> {
    authorise(&app, &caller, settlement).await?;
    let moved = ByHand { reference, moved, network_fee };
    let done = settling::by_hand(&app, settlement, moved, condition.only_at(), &caller.by()).await?;
    show(&app, &caller, settlement, done.position).await
}

/// Reports that the money certainly did not move; it may be tried again.
#[utoipa::path(post, path = "/v1/settlements/{settlement}/failed", tag = "money", params(("settlement" = Uuid, Path)),
    security(("token" = ["marketplace", "operator"])), request_body = WentWrong,
    responses((status = 200, description = "The settlement", body = Settlement)))]
pub async fn report_failed(
    State(app): State<App>,
    caller: MoneyMover,
    Path(settlement): Path<SettlementId>,
    condition: IfMatch,
    Json(WentWrong { attempt, reason }): Json<WentWrong>,
) -> Result<Answer<Settlement>, Problem> {
    step(&app, &caller, settlement, SettlementCommand::Fail { attempt, reason }, condition).await
}

/// Reports that nobody knows whether the money moved: an operator must find out.
#[utoipa::path(post, path = "/v1/settlements/{settlement}/quarantined", tag = "money",
    params(("settlement" = Uuid, Path)), security(("token" = ["marketplace", "operator"])), request_body = WentWrong,
    responses((status = 200, description = "The settlement", body = Settlement)))]
pub async fn report_quarantined(
    State(app): State<App>,
    caller: MoneyMover,
    Path(settlement): Path<SettlementId>,
    condition: IfMatch,
    Json(WentWrong { attempt, reason }): Json<WentWrong>,
) -> Result<Answer<Settlement>, Problem> {
    step(&app, &caller, settlement, SettlementCommand::Quarantine { attempt, reason }, condition).await
}

/// Says what you found out about a quarantined settlement.
#[utoipa::path(post, path = "/v1/settlements/{settlement}/resolve", tag = "money", params(("settlement" = Uuid, Path)),
    security(("token" = ["operator"])), request_body = Found,
    responses((status = 200, description = "The settlement", body = Settlement)))]
pub async fn resolve_settlement(
    State(app): State<App>,
    caller: Operator,
    Path(settlement): Path<SettlementId>,
    condition: IfMatch,
    Json(Found { resolution, note }): Json<Found>,
) -> Result<Answer<Settlement>, Problem> {
    step(&app, &caller, settlement, SettlementCommand::Resolve { resolution, note }, condition).await
}
