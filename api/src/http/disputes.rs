//! Disputes about a segment's money: opened by whoever it concerns, decided by whoever received it.

use axum::{extract::State, http::StatusCode};
use domain::{
    account::Role,
    contract::{ContractRefusal, Rental, Weights},
    id::{AccountId, ContractId},
    key::Digest,
};
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    answer::{Answer, IfMatch},
    auth::{Arbiter, Caller, Disputant},
    contracts::{Contract, find, show},
    extract::{Json, Path},
    orders::marketplace,
    schema,
};
use crate::{app::App, disputes, error::Problem};

/// A segment whose money shall wait.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewDispute {
    /// The segment, from 0.
    segment: u32,
    /// SHA-256 of the evidence, which you keep: 64 lower-case hex digits.
    #[schema(value_type = Option<String>, pattern = "^[0-9a-f]{64}$")]
    evidence: Option<Digest>,
}

/// How disputed money is divided.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewDecision {
    /// In what proportion.
    #[schema(value_type = schema::Weights)]
    weights: Weights,
    /// The account that gets the moderator's part, if there is one.
    moderator: Option<Uuid>,
}

/// Lets through the marketplace that received a segment's order.
async fn authorise_receiver(
    app: &App,
    caller: &Caller,
    rental: &Rental,
    segment: u32,
) -> Result<(), Problem> {
    if !caller.is(Role::Marketplace) {
        return Err(ContractRefusal::Unknown.into());
    }
    let own = marketplace(app, caller).await?;
    let received = usize::try_from(segment).ok().and_then(|i| rental.segments.get(i));
    let ok = received.is_some_and(|segment| segment.order.marketplace == own);
    if ok { Ok(()) } else { Err(ContractRefusal::Unknown.into()) }
}

/// Lets a segment's money wait for a decision, as its renter, its owner, an operator, or the marketplace that received
/// it. A refund that is not on its way yet is held back, and no payout is issued before the decision.
#[utoipa::path(post, path = "/v1/contracts/{contract}/disputes", tag = "contracts", params(("contract" = Uuid, Path)),
    security(("token" = ["owner", "renter", "marketplace", "operator"])), request_body = NewDispute,
    responses((status = 201, description = "The contract", body = Contract)))]
pub async fn open_dispute(
    State(app): State<App>,
    caller: Disputant,
    Path(contract): Path<ContractId>,
    condition: IfMatch,
    Json(NewDispute { segment, evidence }): Json<NewDispute>,
) -> Result<Answer<Contract>, Problem> {
    let (rental, part) = find(&app, &caller, contract).await?;
    if part.is_none() {
        authorise_receiver(&app, &caller, &rental, segment).await?;
    }
    let done = disputes::open(&app, contract, segment, evidence, condition.only_at(), &caller.by()).await?;
    app.follow_up(done.position).await;
    Ok(show(&app, contract, done.position).await?.status(StatusCode::CREATED))
}

/// Divides a disputed segment's money, as an operator or the marketplace that received it. A refund that is on its way or
/// has arrived is no part of it.
#[utoipa::path(post, path = "/v1/contracts/{contract}/disputes/{segment}/decision", tag = "contracts",
    params(("contract" = Uuid, Path), ("segment" = u32, Path)),
    security(("token" = ["marketplace", "operator"])), request_body = NewDecision,
    responses((status = 200, description = "The contract", body = Contract)))]
pub async fn decide_dispute(
    State(app): State<App>,
    caller: Arbiter,
    Path((contract, segment)): Path<(ContractId, u32)>,
    condition: IfMatch,
    Json(NewDecision { weights, moderator }): Json<NewDecision>,
) -> Result<Answer<Contract>, Problem> {
    let (rental, _) = find(&app, &caller, contract).await?;
    if !caller.is(Role::Operator) {
        authorise_receiver(&app, &caller, &rental, segment).await?;
    }
    let (moderator, only_at) = (moderator.map(AccountId), condition.only_at());
    let done = disputes::decide(&app, contract, segment, weights, moderator, only_at, &caller.by()).await?;
    app.follow_up(done.position).await;
    show(&app, contract, done.position).await
}
