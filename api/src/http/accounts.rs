//! Accounts and the people behind them.

use axum::{extract::State, http::Uri};
use domain::{
    account::{Account as Ledger, Role},
    event::Position,
    id::{AccountId, MarketplaceName},
};
use projections::private::{Person, PersonPatch};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    answer::{Answer, IfMatch, Values, changing},
    auth::{Caller, Opener, Operator},
    extract::{Json, Path, Query},
    list::{List, Part},
    schema,
};
use crate::{
    accounts::{self, check_text},
    app::App,
    error::Problem,
    leaving,
};

/// A new account.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewAccount {
    /// What the person is called; 1 to 200 bytes.
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    /// What the account may do. A marketplace may open renters only.
    #[schema(value_type = Vec<schema::Role>, min_items = 1)]
    roles: Vec<Role>,
    /// Where mail goes.
    email: Option<String>,
    /// Where refunds go.
    refund_address: Option<String>,
    /// Where payouts go.
    payout_address: Option<String>,
    /// The name of a marketplace's orders: 1 to 32 of `a-z 0-9`; with the role marketplace only.
    #[schema(value_type = Option<String>, pattern = "^[a-z0-9]{1,32}$")]
    marketplace: Option<MarketplaceName>,
}

/// An account that was opened.
#[derive(Debug, Serialize, ToSchema)]
pub struct Opened {
    /// The account.
    account: Uuid,
}

/// An account and the person behind it.
#[derive(Serialize, ToSchema)]
pub struct Account {
    /// The account.
    account: Uuid,
    /// What it may do now.
    #[schema(value_type = Vec<schema::Role>)]
    roles: Vec<Role>,
    /// What the person is called.
    name: String,
    /// Where mail goes.
    #[schema(required)]
    email: Option<String>,
    /// Where refunds go.
    #[schema(required)]
    refund_address: Option<String>,
    /// Where payouts go.
    #[schema(required)]
    payout_address: Option<String>,
    /// The name of a marketplace's orders.
    #[schema(required)]
    marketplace: Option<String>,
}

impl Account {
    async fn new(app: &App, id: AccountId, person: Person) -> Result<Self, Problem> {
        let Person { name, email, refund_address, payout_address, marketplace } = person;
        let roles = app.executor.load::<Ledger>(&id).await?.state.roles();
        let marketplace = marketplace.map(|name| name.to_string());
        Ok(Self { account: id.0, roles, name, email, refund_address, payout_address, marketplace })
    }
}

/// Opens an account.
#[utoipa::path(post, path = "/v1/accounts", tag = "accounts", security(("token" = ["operator", "marketplace"])),
    request_body = NewAccount,
    responses((status = 201, description = "The account", body = Opened)))]
pub async fn open_account(
    State(app): State<App>,
    caller: Opener,
    Json(new): Json<NewAccount>,
) -> Result<Answer<Opened>, Problem> {
    if !caller.is(Role::Operator) && new.roles != [Role::Renter] {
        return Err(Problem::forbidden("a marketplace may open renters only"));
    }
    let NewAccount { name, roles, email, refund_address, payout_address, marketplace } = new;
    let person = Person { name, email, refund_address, payout_address, marketplace };
    let account = accounts::open(&app, person, roles, &caller.by()).await?;
    Ok(Answer::created(Opened { account: account.0 }, &format!("/v1/accounts/{account}")))
}

/// All accounts whose people are not forgotten.
#[utoipa::path(get, path = "/v1/accounts", tag = "accounts", params(Part), security(("token" = ["operator"])),
    responses((status = 200, description = "Accounts", body = List<Account>)))]
pub async fn list_accounts(
    State(app): State<App>,
    _caller: Operator,
    uri: Uri,
    Query(part): Query<Part>,
) -> Result<Answer<List<Account>>, Problem> {
    let limit = u32::try_from(part.limit()? + 1).unwrap_or(u32::MAX);
    let people = app.private.people(part.after("accounts")?, limit).await?;
    let mut found = Vec::with_capacity(people.len());
    for (id, person) in people {
        found.push(Account::new(&app, id, person).await?);
    }
    part.answer(&uri, "accounts", found, |account| account.account, |account| account)
}

/// Lets the account itself and operators through.
///
/// # Errors
/// 404 for all others.
pub fn authorise(caller: &Caller, account: AccountId) -> Result<(), Problem> {
    caller.owns_or(account, &[Role::Operator], "account")
}

/// Lets operators through, and the account itself with a token that has all its roles: with a narrower one, nobody
/// changes who the account is or what opens it.
///
/// # Errors
/// 404 for strangers, 403 for a narrower token.
pub async fn authorise_fully(app: &App, caller: &Caller, account: AccountId) -> Result<(), Problem> {
    authorise(caller, account)?;
    let roles = app.executor.load::<Ledger>(&account).await?.state.roles();
    let missing: Vec<_> = roles.iter().filter(|role| !caller.is(**role)).map(|role| role.as_str()).collect();
    if caller.is(Role::Operator) || missing.is_empty() {
        return Ok(());
    }
    let missing = missing.join(", ");
    Err(Problem::forbidden(format!(
        "this needs a token with all roles of the account; this one lacks {missing}"
    )))
}

/// What an ETag says of a person.
fn values(person: &Person) -> Values {
    let Person { name, email, refund_address, payout_address, .. } = person;
    Values::of(&(name, email, refund_address, payout_address))
}

/// The account as it is after `position`.
///
/// # Errors
/// When there is none, or its person was forgotten.
pub async fn show(
    app: &App,
    account: AccountId,
    position: Option<Position>,
) -> Result<Answer<Account>, Problem> {
    let person = app.private.person(account).await?.ok_or_else(|| Problem::not_found("account"))?;
    let revision = app.executor.load::<Ledger>(&account).await?.revision;
    let values = values(&person);
    Ok(Answer::ok(Account::new(app, account, person).await?).at(revision).of(values).wrote(position))
}

/// An account: your own, or any for operators.
#[utoipa::path(get, path = "/v1/accounts/{account}", tag = "accounts", params(("account" = Uuid, Path)),
    security(("token" = [])),
    responses((status = 200, description = "The account", body = Account)))]
pub async fn get_account(
    State(app): State<App>,
    caller: Caller,
    Path(account): Path<AccountId>,
) -> Result<Answer<Account>, Problem> {
    authorise(&caller, account)?;
    show(&app, account, None).await
}

/// What to change; what is left out stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangedPerson {
    /// What the person is called.
    name: Option<String>,
    /// Where mail goes.
    email: Option<String>,
    /// Where refunds go.
    refund_address: Option<String>,
    /// Where payouts go.
    payout_address: Option<String>,
}

/// Changes what is known of a person: your own account with a token that has all its roles, or any for operators.
#[utoipa::path(patch, path = "/v1/accounts/{account}", tag = "accounts", params(("account" = Uuid, Path)),
    security(("token" = [])), request_body = ChangedPerson,
    responses((status = 200, description = "The account", body = Account)))]
pub async fn change_account(
    State(app): State<App>,
    caller: Caller,
    Path(account): Path<AccountId>,
    condition: IfMatch,
    Json(ChangedPerson { name, email, refund_address, payout_address }): Json<ChangedPerson>,
) -> Result<Answer<Account>, Problem> {
    authorise_fully(&app, &caller, account).await?;
    let _alone = changing(&app).await?;
    let person = app.private.person(account).await?.ok_or_else(|| Problem::not_found("account"))?;
    condition.check_values(app.executor.load::<Ledger>(&account).await?.revision, values(&person))?;
    let texts = [
        ("name", &name),
        ("email", &email),
        ("refund_address", &refund_address),
        ("payout_address", &payout_address),
    ];
    for (what, text) in texts {
        text.as_deref().map_or(Ok(()), |text| check_text(what, text))?;
    }
    app.private.change_person(account, &PersonPatch { name, email, refund_address, payout_address }).await?;
    show(&app, account, None).await
}

/// Forgets the person behind an account: your own with a token that has all its roles, or any for operators. The ledger
/// keeps the bare id. Refused while the account has devices in service, running rentals, or money on its way, and for the
/// last operator.
#[utoipa::path(delete, path = "/v1/accounts/{account}", tag = "accounts", params(("account" = Uuid, Path)),
    security(("token" = [])),
    responses((status = 204, description = "Forgotten")))]
pub async fn erase_account(
    State(app): State<App>,
    caller: Caller,
    Path(account): Path<AccountId>,
    condition: IfMatch,
) -> Result<Answer<()>, Problem> {
    authorise_fully(&app, &caller, account).await?;
    let position = leaving::erase(&app, account, condition.only_at(), &caller.by()).await?;
    app.catch_up(position).await;
    Ok(Answer::done(position))
}
