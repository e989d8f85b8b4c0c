//! What accounts may do.

use axum::extract::State;
use domain::{
    account::{Account as Ledger, AccountCommand, Role},
    id::AccountId,
};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{
    accounts::{Account, show},
    answer::{Answer, IfMatch, execute},
    auth::Operator,
    extract::{Json, Path},
    schema,
};
use crate::{accounts, app::App, error::Problem, leaving};

/// A role.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRole {
    /// The role.
    #[schema(value_type = schema::Role)]
    role: Role,
}

/// Gives an account a role.
#[utoipa::path(post, path = "/v1/accounts/{account}/roles", tag = "accounts", params(("account" = Uuid, Path)),
    security(("token" = ["operator"])), request_body = NewRole,
    responses((status = 200, description = "The account", body = Account)))]
pub async fn grant_role(
    State(app): State<App>,
    caller: Operator,
    Path(account): Path<AccountId>,
    condition: IfMatch,
    Json(NewRole { role }): Json<NewRole>,
) -> Result<Answer<Account>, Problem> {
    accounts::check_grant(&app, account, role).await?;
    let done =
        execute::<Ledger>(&app, &account, AccountCommand::Grant { role }, &caller.by(), condition).await?;
    show(&app, account, done.position).await
}

/// Takes a role from an account; its tokens lose it at once. The last operator keeps theirs.
#[utoipa::path(delete, path = "/v1/accounts/{account}/roles/{role}", tag = "accounts",
    params(("account" = Uuid, Path), ("role" = schema::Role, Path)), security(("token" = ["operator"])),
    responses((status = 200, description = "The account", body = Account)))]
pub async fn revoke_role(
    State(app): State<App>,
    caller: Operator,
    Path((account, role)): Path<(AccountId, Role)>,
    condition: IfMatch,
) -> Result<Answer<Account>, Problem> {
    let position = leaving::revoke(&app, account, role, condition.only_at(), &caller.by()).await?;
    app.catch_up(position).await;
    show(&app, account, position).await
}
