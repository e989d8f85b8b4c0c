//! Payouts that wait until together they are worth sending.

use axum::{extract::State, http::Uri};
use domain::{
    account::Role,
    id::{AccountId, MarketplaceName},
    money::{Asset, Money},
    purse::PurseId,
    time::Time,
};
use projections::views::purses::PurseRow;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    answer::Answer,
    auth::{Caller, PurseKeeper, PurseReader},
    extract::{Json, Query},
    list::{List, Part},
    schema,
};
use crate::{app::App, error::Problem, payouts};

/// What waits for one owner, at one marketplace, in one asset.
#[derive(Debug, Serialize, ToSchema)]
pub struct Purse {
    /// Who will get it.
    owner: Uuid,
    /// Who holds the money.
    marketplace: String,
    /// All that waits.
    #[schema(value_type = schema::Money)]
    amount: Money,
    /// How many payouts that is.
    payouts: u32,
    /// Since when the oldest waits; null when nothing does.
    #[schema(value_type = Option<String>, format = DateTime, required)]
    held_since: Option<Time>,
}

impl From<PurseRow> for Purse {
    fn from(row: PurseRow) -> Self {
        Self {
            owner: row.owner.0,
            marketplace: row.purse.marketplace.to_string(),
            amount: row.amount,
            payouts: row.payouts,
            held_since: row.held_since,
        }
    }
}

impl Purse {
    fn empty(purse: &PurseId) -> Self {
        let (owner, marketplace) = (purse.owner.0, purse.marketplace.to_string());
        Self { owner, marketplace, amount: Money::zero(purse.asset), payouts: 0, held_since: None }
    }
}

/// Your payouts that wait to be worth sending, by marketplace and asset, the newest purse first; everybody's for
/// operators and auditors.
#[utoipa::path(get, path = "/v1/payouts/held", tag = "money", params(Part),
    security(("token" = ["owner", "operator", "auditor"])),
    responses((status = 200, description = "Purses with something in them", body = List<Purse>)))]
pub async fn list_held_payouts(
    State(app): State<App>,
    caller: PurseReader,
    uri: Uri,
    Query(part): Query<Part>,
) -> Result<Answer<List<Purse>>, Problem> {
    let everything = caller.is_any(&[Role::Operator, Role::Auditor]);
    let owner = (!everything).then_some(caller.account);
    let rows = app.views.purses(owner, part.newest("purses")?).await?;
    part.answer(&uri, "purses", rows, |row| row.position, Purse::from)
}

/// Which payouts shall wait no longer.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// Who holds the money.
    #[schema(value_type = String, pattern = "^[a-z0-9]{1,32}$")]
    marketplace: MarketplaceName,
    /// In what.
    #[schema(value_type = schema::Asset)]
    asset: Asset,
    /// Whose, when not your own; operators must say.
    owner: Option<Uuid>,
}

impl Release {
    fn purse(self, caller: &Caller) -> Result<PurseId, Problem> {
        let own = caller.is(Role::Owner).then_some(caller.account);
        let owner = self.owner.map(AccountId).or(own);
        let owner = owner.ok_or_else(|| Problem::invalid("say whose payouts: `owner`"))?;
        caller.owns_or(owner, &[Role::Operator], "purse")?;
        Ok(PurseId { owner, marketplace: self.marketplace, asset: self.asset })
    }
}

/// Makes all payouts that wait in a purse due, as one, however little that is.
#[utoipa::path(post, path = "/v1/payouts/release", tag = "money", security(("token" = ["owner", "operator"])),
    request_body = Release,
    responses((status = 200, description = "The purse after it", body = Purse)))]
pub async fn release_payouts(
    State(app): State<App>,
    caller: PurseKeeper,
    Json(release): Json<Release>,
) -> Result<Answer<Purse>, Problem> {
    let purse = release.purse(&caller)?;
    let done = payouts::release(&app, &purse, &caller.by()).await?;
    app.catch_up(done.position).await;
    Ok(Answer::ok(Purse::empty(&purse)).at(done.revision).wrote(done.position))
}
