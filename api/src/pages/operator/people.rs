//! One account: the person, what it may do, and its tokens.

use askama::Template;
use axum::{extract::State, response::Response};
use domain::{
    account::{Account, AccountCommand, Role},
    id::AccountId,
};
use projections::private::{Person, Token};
use serde::Deserialize;
use uuid::Uuid;

use super::{
    super::{
        failure::Failure,
        form::Form,
        page::{Shell, done, page},
        show::filters,
        visit::Member,
    },
    again, authorise, mendable,
};
use crate::{accounts, app::App, error::Problem, execute::By, http::extract::Path, leaving};

/// Tokens shown.
const MAX_TOKENS: usize = 50;

/// One account.
#[derive(Template)]
#[template(path = "operator/account.html")]
pub struct AccountPage {
    /// What is around it.
    pub shell: Shell,
    /// Its number.
    pub account: Uuid,
    /// The person.
    pub person: Person,
    /// The address that is typed at sign-in.
    pub login: Option<String>,
    /// What it may do.
    pub roles: Vec<Role>,
    /// What it could be allowed.
    pub others: Vec<Role>,
    /// The newest tokens.
    pub tokens: Vec<Token>,
    /// A new token, shown once.
    pub fresh: Option<String>,
    /// What was wrong with what was typed.
    pub wrong: Option<String>,
}

async fn account_page(
    app: &App,
    member: &Member,
    id: AccountId,
    fresh: Option<String>,
    wrong: Option<String>,
) -> Result<Response, Failure> {
    let person = app.private.person(id).await?.ok_or_else(|| Problem::not_found("account"))?;
    let roles = app.executor.load::<Account>(&id).await?.state.roles();
    let may_have = |role: &Role| *role != Role::Marketplace || person.marketplace.is_some();
    let others = Role::ALL.into_iter().filter(|role| !roles.contains(role) && may_have(role)).collect();
    let mut tokens = app.private.tokens(id).await?;
    tokens.truncate(MAX_TOKENS);
    let login = app.private.login_of(id).await?.map(|login| login.email);
    let shell = member.shell(person.name.as_str());
    Ok(page(&AccountPage { shell, account: id.0, person, login, roles, others, tokens, fresh, wrong }))
}

/// Shows an account.
pub async fn show(
    State(app): State<App>,
    member: Member,
    Path(id): Path<AccountId>,
) -> Result<Response, Failure> {
    authorise(&member)?;
    account_page(&app, &member, id, None, None).await
}

async fn answer(
    app: &App,
    member: &Member,
    id: AccountId,
    outcome: Result<&'static str, Problem>,
) -> Result<Response, Failure> {
    match outcome {
        Ok(notice) => Ok(done(&format!("/operator/accounts/{id}"), notice)),
        Err(problem) => {
            let (status, wrong) = mendable(problem)?;
            Ok(again(account_page(app, member, id, None, Some(wrong)).await?, status))
        }
    }
}

/// A role.
#[derive(Debug, Deserialize)]
pub struct NewRole {
    #[serde(default)]
    role: String,
}

fn role(text: &str) -> Result<Role, Problem> {
    text.parse().map_err(|e: <Role as std::str::FromStr>::Err| Problem::invalid(e.to_string()))
}

async fn grant_one(app: &App, id: AccountId, text: &str, by: &By) -> Result<&'static str, Problem> {
    let role = role(text)?;
    accounts::check_grant(app, id, role).await?;
    let done = app.executor.execute::<Account>(&id, AccountCommand::Grant { role }, by).await?;
    app.catch_up(done.position).await;
    Ok("granted")
}

/// Gives an account a role.
pub async fn grant(
    State(app): State<App>,
    member: Member,
    Path(id): Path<AccountId>,
    Form { fields: NewRole { role }, id: form }: Form<NewRole>,
) -> Result<Response, Failure> {
    authorise(&member)?;
    let outcome = grant_one(&app, id, &role, &member.by_form(form)).await;
    answer(&app, &member, id, outcome).await
}

/// Nothing but that the button was pressed.
#[derive(Debug, Deserialize)]
pub struct Pressed {}

/// Takes a role from an account.
pub async fn revoke_role(
    State(app): State<App>,
    member: Member,
    Path((id, text)): Path<(AccountId, String)>,
    Form { id: form, .. }: Form<Pressed>,
) -> Result<Response, Failure> {
    authorise(&member)?;
    let role = role(&text).map_err(|_| Problem::not_found("role"))?;
    let outcome = leaving::revoke(&app, id, role, None, &member.by_form(form)).await;
    if let Ok(position) = &outcome {
        app.catch_up(*position).await;
    }
    answer(&app, &member, id, outcome.map(|_| "role-gone")).await
}

/// A new token.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct NewToken {
    label: String,
    role: String,
    days: String,
}

async fn issue(app: &App, member: &Member, id: AccountId, new: &NewToken) -> Result<String, Problem> {
    let roles = match new.role.as_str() {
        "all" => app.executor.load::<Account>(&id).await?.state.roles(),
        one => vec![role(one)?],
    };
    let until = match new.days.trim() {
        "" => None,
        text => {
            let days = text.parse::<u16>().ok().filter(|days| *days > 0);
            let days = days.ok_or_else(|| Problem::invalid("days must be a whole number from 1"))?;
            Some(member.visit.now.plus(i64::from(days) * 86_400))
        }
    };
    Ok(accounts::issue_token(app, id, &new.label, roles, until).await?.token)
}

/// Makes a token and shows it once.
pub async fn issue_token(
    State(app): State<App>,
    member: Member,
    Path(id): Path<AccountId>,
    Form { fields: new, .. }: Form<NewToken>,
) -> Result<Response, Failure> {
    authorise(&member)?;
    match issue(&app, &member, id, &new).await {
        Ok(token) => account_page(&app, &member, id, Some(token), None).await,
        Err(problem) => answer(&app, &member, id, Err(problem)).await,
    }
}

/// Revokes a token.
pub async fn revoke_token(
    State(app): State<App>,
    member: Member,
    Path((id, token)): Path<(AccountId, Uuid)>,
    Form { .. }: Form<Pressed>,
) -> Result<Response, Failure> {
    authorise(&member)?;
    if !app.private.revoke_token(id, token, member.visit.now).await? {
        return Err(Problem::not_found("token").into());
    }
    Ok(done(&format!("/operator/accounts/{id}"), "revoked"))
}
