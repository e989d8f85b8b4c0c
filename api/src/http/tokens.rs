//! Tokens: how accounts are recognised.

use axum::extract::State;
use domain::{account::Role, id::AccountId, time::Time};
use projections::private::Token as TokenRow;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    accounts::{authorise, authorise_fully},
    answer::Answer,
    auth::Caller,
    extract::{Json, Path},
    list::List,
    schema,
};
use crate::{accounts, app::App, error::Problem};

/// A new token.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// What you call it; 1 to 200 bytes.
    #[schema(min_length = 1, max_length = 200)]
    label: String,
    /// What it may do: at most what the account may.
    #[schema(value_type = Vec<schema::Role>, min_items = 1)]
    roles: Vec<Role>,
    /// When it stops working; never when left out.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Time>,
}

/// A token that was made.
#[derive(Serialize, ToSchema)]
pub struct IssuedToken {
    /// Its id.
    pub id: Uuid,
    /// The token, shown once.
    pub token: String,
}

/// A token in a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct Token {
    /// Its id.
    id: Uuid,
    /// What you call it.
    label: String,
    /// What it may do.
    #[schema(value_type = Vec<schema::Role>)]
    roles: Vec<Role>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    created_at: Time,
    /// When it stops working.
    #[schema(value_type = Option<String>, format = DateTime, required)]
    expires_at: Option<Time>,
    /// When it was revoked.
    #[schema(value_type = Option<String>, format = DateTime, required)]
    revoked_at: Option<Time>,
}

impl From<TokenRow> for Token {
    fn from(row: TokenRow) -> Self {
        let TokenRow { id, label, roles, created_at, expires_at, revoked_at } = row;
        Self { id, label, roles, created_at, expires_at, revoked_at }
    }
}

/// Makes a token: for your own account with a token that has all its roles, or for any as an operator.
#[utoipa::path(post, path = "/v1/accounts/{account}/tokens", tag = "accounts", params(("account" = Uuid, Path)),
    security(("token" = [])), request_body = NewToken,
    responses((status = 201, description = "The token", body = IssuedToken)))]
pub async fn issue_token(
    State(app): State<App>,
    caller: Caller,
    Path(account): Path<AccountId>,
    Json(NewToken { label, roles, expires_at }): Json<NewToken>,
) -> Result<Answer<IssuedToken>, Problem> {
    authorise_fully(&app, &caller, account).await?;
    if !caller.is(Role::Operator) {
        roles.iter().try_for_each(|role| caller.require(&[*role]))?;
    }
    let accounts::Issued { id, token } =
        accounts::issue_token(&app, account, &label, roles, expires_at).await?;
    Ok(Answer::created(IssuedToken { id, token }, &format!("/v1/accounts/{account}/tokens/{id}")))
}

/// The latest 200 tokens of your account, or of any as an operator.
#[utoipa::path(get, path = "/v1/accounts/{account}/tokens", tag = "accounts", params(("account" = Uuid, Path)),
    security(("token" = [])),
    responses((status = 200, description = "Tokens", body = List<Token>)))]
pub async fn list_tokens(
    State(app): State<App>,
    caller: Caller,
    Path(account): Path<AccountId>,
) -> Result<Answer<List<Token>>, Problem> {
    authorise(&caller, account)?;
    let items = app.private.tokens(account).await?.into_iter().map(Into::into).collect();
    Ok(Answer::ok(List { items, next: None }))
}

/// Revokes a token of your account with a token that has all its roles, or of any as an operator; it stops working at
/// once.
#[utoipa::path(delete, path = "/v1/accounts/{account}/tokens/{token}", tag = "accounts",
    params(("account" = Uuid, Path), ("token" = Uuid, Path)), security(("token" = [])),
    responses((status = 204, description = "Revoked")))]
pub async fn revoke_token(
    State(app): State<App>,
    caller: Caller,
    Path((account, token)): Path<(AccountId, Uuid)>,
) -> Result<Answer<()>, Problem> {
    authorise_fully(&app, &caller, account).await?;
    let revoked = app.private.revoke_token(account, token, app.clock.time()).await?;
    if revoked { Ok(Answer::done(None)) } else { Err(Problem::not_found("token")) }
}
