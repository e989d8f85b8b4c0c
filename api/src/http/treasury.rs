//! Fees that the operator takes out of escrow.

use axum::{extract::State, http::StatusCode};
use domain::{
    id::MarketplaceName,
    money::{Asset, Money, Signed},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{answer::Answer, auth::Operator, extract::Json, schema};
use crate::{app::App, error::Problem, treasury};

/// Fees that were taken out.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSweep {
    /// Whose escrow.
    #[schema(value_type = String, pattern = "^[a-z0-9]{1,32}$")]
    marketplace: MarketplaceName,
    /// How much.
    #[schema(value_type = schema::Money)]
    amount: Money,
    /// The transaction's id or your own reference, which names the sweep; 1 to 500 bytes.
    #[schema(min_length = 1, max_length = 500)]
    reference: String,
}

/// An amount that may be below 0.
#[derive(Debug, Serialize, ToSchema)]
pub struct SignedMoney {
    /// A decimal number at the asset's scale.
    #[schema(example = "-1.20", pattern = "^-?[0-9]+(\\.[0-9]+)?$")]
    amount: String,
    /// The asset.
    #[schema(value_type = schema::Asset)]
    asset: Asset,
}

/// Fees that were taken out of escrow.
#[derive(Debug, Serialize, ToSchema)]
pub struct Sweep {
    /// Whose escrow.
    marketplace: String,
    /// How much.
    #[schema(value_type = schema::Money)]
    amount: Money,
    /// What names the sweep.
    reference: String,
    /// Earned fees that are left in escrow, less what settlements have cost.
    left: SignedMoney,
}

/// Records that earned fees were taken out of a marketplace's escrow. The reference stands for one sweep: sent again, it
/// is the same one.
#[utoipa::path(post, path = "/v1/sweeps", tag = "money", security(("token" = ["operator"])), request_body = NewSweep,
    responses((status = 201, description = "The sweep and what is left", body = Sweep)))]
pub async fn record_sweep(
    State(app): State<App>,
    caller: Operator,
    Json(NewSweep { marketplace, amount, reference }): Json<NewSweep>,
) -> Result<Answer<Sweep>, Problem> {
    let swept = treasury::sweep(&app, &marketplace, amount, reference.clone(), &caller.by()).await?;
    app.catch_up(swept.done.position).await;
    let asset = amount.asset();
    let left = SignedMoney { amount: Signed { minor: swept.left, asset }.to_string(), asset };
    let sweep = Sweep { marketplace: marketplace.to_string(), amount, reference, left };
    Ok(Answer::ok(sweep).status(StatusCode::CREATED).wrote(swept.done.position))
}
