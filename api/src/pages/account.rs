//! One's own account: the person, the password, the tokens, the end.

use askama::Template;
use axum::{
    Router,
    extract::State,
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use domain::account::Role;
use projections::{
    private::{MAX_PASSKEYS, Passkey, PersonPatch, Token},
    views::Page,
};
use serde::Deserialize;
use uuid::Uuid;

use super::{
    failure::Failure,
    form::Form,
    page::{Shell, done, page},
    passkeys::Here,
    show::filters,
    sign_in,
    visit::Member,
};
use crate::{
    accounts::{self, check_text},
    app::App,
    error::Problem,
    http::{answer::changing, extract::Path},
    leaving, logins,
};

/// The routes.
pub fn routes() -> Router<App> {
    Router::new()
        .route("/home", get(home))
        .route("/account", get(show).post(change))
        .route("/account/confirmation", post(mail_confirmation))
        .route("/account/password", post(change_password))
        .route("/account/sessions", post(end_other_sessions))
        .route("/account/erasure", post(erase))
        .route("/account/tokens", get(show_tokens).post(issue_token))
        .route("/account/tokens/{token}/revocation", post(revoke_token))
}

/// One's own account.
#[derive(Template)]
#[template(path = "account.html")]
pub struct AccountPage {
    /// What is around it.
    pub shell: Shell,
    /// The account's number in the ledger.
    pub account: Uuid,
    /// The name.
    pub name: String,
    /// The mail address.
    pub email: String,
    /// Where refunds go.
    pub refund_address: String,
    /// Where payouts go.
    pub payout_address: String,
    /// The address that is typed at sign-in, if the account signs in with a password.
    pub login: Option<String>,
    /// Browsers that are signed in.
    pub sessions: i64,
    /// The shortest password, in characters.
    pub min_password: usize,
    /// Its passkeys, the oldest first.
    pub passkeys: Vec<Passkey>,
    /// How many it can have.
    pub max_passkeys: usize,
    /// The script for passkeys, where they work.
    pub passkey_script: Option<&'static str>,
}

/// One's API tokens.
#[derive(Template)]
#[template(path = "tokens.html")]
pub struct TokensPage {
    /// What is around it.
    pub shell: Shell,
    /// The tokens, the newest first.
    pub tokens: Vec<Token>,
    /// What a token can be for.
    pub roles: Vec<Role>,
    /// A new token, shown once.
    pub fresh: Option<String>,
}

/// Where somebody begins: with what the account is for.
async fn home(State(app): State<App>, member: Member) -> Result<Response, Failure> {
    let lets =
        member.is(Role::Owner) && !app.views.devices_of(member.account(), Page::newest(1)).await?.is_empty();
    let to = match &member.roles {
        roles if roles.contains(&Role::Operator) => "/operator",
        roles if roles.contains(&Role::Auditor) => "/audit",
        _ if lets => "/devices",
        roles if roles.contains(&Role::Renter) => "/rentals",
        roles if roles.contains(&Role::Owner) => "/devices",
        _ => "/account",
    };
    Ok(Redirect::to(to).into_response())
}

/// Lets through whoever may do all that the account may: a session of a narrower token must not widen itself.
pub(super) async fn require_whole(app: &App, member: &Member) -> Result<(), Problem> {
    let state = app.executor.load::<domain::account::Account>(&member.account()).await?.state;
    let whole = state.roles().iter().all(|role| member.is(*role));
    if whole {
        Ok(())
    } else {
        Err(Problem::forbidden("this session was opened with a token that may do less"))
    }
}

async fn show(State(app): State<App>, member: Member, here: Here) -> Result<Response, Failure> {
    let person = app.private.person(member.account()).await?.ok_or_else(|| Problem::not_found("account"))?;
    let login = app.private.login_of(member.account()).await?.map(|login| login.email);
    Ok(page(&AccountPage {
        shell: member.shell("Your account"),
        account: member.account().0,
        name: person.name,
        email: person.email.unwrap_or_default(),
        refund_address: person.refund_address.unwrap_or_default(),
        payout_address: person.payout_address.unwrap_or_default(),
        login,
        sessions: app.private.sessions_of(member.account(), member.visit.now).await?,
        min_password: logins::MIN_PASSWORD,
        passkeys: app.private.passkeys_of(member.account()).await?,
        max_passkeys: MAX_PASSKEYS,
        passkey_script: here.script(),
    }))
}

#[derive(Deserialize)]
struct Change {
    name: String,
    #[serde(default)]
    refund_address: String,
    #[serde(default)]
    payout_address: String,
}

async fn change(
    State(app): State<App>,
    member: Member,
    Form { fields: Change { name, refund_address, payout_address }, .. }: Form<Change>,
) -> Result<Response, Failure> {
    require_whole(&app, &member).await?;
    let [refund_address, payout_address] =
        [refund_address, payout_address].map(|text| text.trim().to_owned());
    check_text("name", &name)?;
    for (what, text) in [("refund address", &refund_address), ("payout address", &payout_address)] {
        if !text.is_empty() {
            check_text(what, text)?;
        }
    }
    let (refund_address, payout_address) = (Some(refund_address), Some(payout_address));
    let _alone = changing(&app).await?;
    let patch = PersonPatch { name: Some(name), email: None, refund_address, payout_address };
    app.private.change_person(member.account(), &patch).await?;
    Ok(done("/account", "changed"))
}

#[derive(Deserialize)]
struct Nothing {}

async fn mail_confirmation(
    State(app): State<App>,
    member: Member,
    Form { .. }: Form<Nothing>,
) -> Result<Response, Failure> {
    logins::mail_confirmation(&app, member.account()).await?;
    Ok(done("/account", "mailed"))
}

#[derive(Deserialize)]
struct NewPassword {
    old: String,
    new: String,
}

async fn change_password(
    State(app): State<App>,
    member: Member,
    Form { fields: NewPassword { old, new }, .. }: Form<NewPassword>,
) -> Result<Response, Failure> {
    let cookie = logins::change_password(&app, member.account(), &old, &new).await?;
    sign_in::signed_in(&app, &cookie, "/account?done=password")
}

async fn end_other_sessions(
    State(app): State<App>,
    member: Member,
    Form { .. }: Form<Nothing>,
) -> Result<Response, Failure> {
    require_whole(&app, &member).await?;
    app.private.end_other_sessions(member.account(), member.visitor.session).await?;
    Ok(done("/account", "others-out"))
}

#[derive(Deserialize)]
struct Erase {
    #[serde(default)]
    sure: String,
}

async fn erase(
    State(app): State<App>,
    member: Member,
    Form { fields: Erase { sure }, id }: Form<Erase>,
) -> Result<Response, Failure> {
    require_whole(&app, &member).await?;
    if sure != "yes" {
        return Err(Problem::invalid("tick the box that says you are sure").into());
    }
    let position = leaving::erase(&app, member.account(), None, &member.by_form(id)).await?;
    app.catch_up(position).await;
    Ok(done("/sign-in", "erased"))
}

async fn tokens_page(app: &App, member: &Member, fresh: Option<String>) -> Result<Response, Failure> {
    let tokens = app.private.tokens(member.account()).await?;
    let roles = member.visitor.caller.roles.clone();
    Ok(page(&TokensPage { shell: member.shell("API tokens"), tokens, roles, fresh }))
}

async fn show_tokens(State(app): State<App>, member: Member) -> Result<Response, Failure> {
    tokens_page(&app, &member, None).await
}

#[derive(Deserialize)]
struct NewToken {
    label: String,
    role: String,
    #[serde(default)]
    days: String,
}

async fn issue_token(
    State(app): State<App>,
    member: Member,
    Form { fields: NewToken { label, role, days }, id }: Form<NewToken>,
) -> Result<Response, Failure> {
    require_whole(&app, &member).await?;
    let roles = if role == "all" {
        member.visitor.caller.roles.clone()
    } else {
        vec![role.parse::<Role>().map_err(|e| Problem::invalid(e.to_string()))?]
    };
    member.visitor.caller.clone().require(&roles)?;
    let days = match days.trim() {
        "" => None,
        text => Some(text.parse::<u16>().ok().filter(|days| *days > 0)),
    };
    let until = match days {
        None => None,
        Some(Some(days)) => Some(member.visit.now.plus(i64::from(days) * 86_400)),
        Some(None) => return Err(Problem::invalid("days must be a whole number from 1 to 65535").into()),
    };
    let id = Uuid::new_v5(&member.account().0, id.as_bytes());
    match accounts::issue_token_once(&app, id, member.account(), &label, roles, until).await? {
        Some(issued) => tokens_page(&app, &member, Some(issued.token)).await,
        None => Ok(done("/account/tokens", "token-shown")),
    }
}

async fn revoke_token(
    State(app): State<App>,
    member: Member,
    Path(token): Path<Uuid>,
    Form { .. }: Form<Nothing>,
) -> Result<Response, Failure> {
    require_whole(&app, &member).await?;
    if !app.private.revoke_token(member.account(), token, member.visit.now).await? {
        return Err(Problem::not_found("token").into());
    }
    Ok(done("/account/tokens", "revoked"))
}
