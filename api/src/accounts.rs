//! Accounts, their tokens, and the first operator.

use axum::http::StatusCode;
use domain::{
    account::{Account, AccountCommand, AccountRefusal, Role},
    id::{AccountId, CommandId},
    key::Digest,
    time::Time,
};
use projections::private::{GONE_S, NewToken, Person};
use uuid::Uuid;

use crate::{app::App, clock::fresh_secret, error::Problem, execute::By, nodes};

/// The longest name, label or address, in bytes.
pub const MAX_TEXT: usize = 200;

/// A token, shown once.
#[derive(Clone)]
pub struct Issued {
    /// Its id, for lists and revocation.
    pub id: Uuid,
    /// The token itself.
    pub token: String,
}

impl std::fmt::Debug for Issued {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issued").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Checks a text that a person gave.
///
/// # Errors
/// When it is empty, too long or has control characters.
pub fn check_text(what: &str, text: &str) -> Result<(), Problem> {
    let ok = !text.trim().is_empty() && text.len() <= MAX_TEXT && !text.chars().any(char::is_control);
    if ok {
        Ok(())
    } else {
        Err(Problem::invalid(format!("{what} must be 1 to {MAX_TEXT} bytes without control characters")))
    }
}

/// The account that a command opens.
#[must_use]
pub fn opened_by(command: CommandId) -> AccountId {
    AccountId(Uuid::new_v5(&Uuid::NAMESPACE_OID, command.0.as_bytes()))
}

/// Opens an account; the same command opens the same account.
///
/// # Errors
/// When a text is invalid or the marketplace name is missing, misplaced or taken.
pub async fn open(app: &App, person: Person, roles: Vec<Role>, by: &By) -> Result<AccountId, Problem> {
    check_text("name", &person.name)?;
    let optional = [
        ("email", &person.email),
        ("refund_address", &person.refund_address),
        ("payout_address", &person.payout_address),
    ];
    for (what, text) in optional {
        text.as_deref().map_or(Ok(()), |text| check_text(what, text))?;
    }
    if roles.is_empty() {
        return Err(Problem::invalid("an account needs at least one role"));
    }
    if roles.contains(&Role::Marketplace) != person.marketplace.is_some() {
        return Err(Problem::invalid("a marketplace name goes with the role marketplace, and only with it"));
    }
    let id = opened_by(by.command);
    if app.executor.load::<Account>(&id).await?.state.is_erased() {
        return Err(AccountRefusal::Erased.into());
    }
    app.private.add_person(id, &person, app.clock.time()).await?;
    app.executor.execute::<Account>(&id, AccountCommand::Open { roles }, by).await?;
    Ok(id)
}

/// Makes a token of an account.
///
/// # Errors
/// When the account does not have a role, or the label is invalid.
pub async fn issue_token(
    app: &App,
    account: AccountId,
    label: &str,
    roles: Vec<Role>,
    expires_at: Option<Time>,
) -> Result<Issued, Problem> {
    let issued = issue_token_once(app, app.fresh_id(), account, label, roles, expires_at).await?;
    issued.ok_or_else(|| Problem::internal(&"two tokens have one id"))
}

/// As [`issue_token`] under an id; `None` when there is a token of that id already.
///
/// # Errors
/// As [`issue_token`].
pub async fn issue_token_once(
    app: &App,
    id: Uuid,
    account: AccountId,
    label: &str,
    roles: Vec<Role>,
    expires_at: Option<Time>,
) -> Result<Option<Issued>, Problem> {
    check_text("label", label)?;
    let state = app.executor.load::<Account>(&account).await?.state;
    if !state.exists() {
        return Err(Problem::not_found("account"));
    }
    if roles.is_empty() {
        return Err(Problem::invalid("a token needs at least one role"));
    }
    if let Some(missing) = roles.iter().find(|role| !state.may(**role)) {
        return Err(Problem::invalid(format!("the account does not have the role {missing}")));
    }
    if expires_at.is_some_and(|at| at <= app.clock.time()) {
        return Err(Problem::invalid("expires_at must be in the future"));
    }
    let issued = Issued { id, token: fresh_secret("berth_") };
    let (hash, created_at) = (Digest::of(issued.token.as_bytes()), app.clock.time());
    let new = NewToken { id: issued.id, hash, account, label: label.into(), roles, created_at, expires_at };
    Ok(app.private.add_token(&new).await?.then_some(issued))
}

/// Lets a role be given to an account.
///
/// # Errors
/// When nobody is known behind the account, or a marketplace would have no name.
pub async fn check_grant(app: &App, account: AccountId, role: Role) -> Result<(), Problem> {
    let person = app.private.person(account).await?.ok_or_else(|| Problem::not_found("account"))?;
    if role == Role::Marketplace && person.marketplace.is_none() {
        return Err(Problem::invalid("a marketplace needs a name: open a new account with one"));
    }
    Ok(())
}

/// A new set-up code when nobody has an account yet, and no other server has printed one.
///
/// # Errors
/// When the private store fails.
pub async fn offer_set_up(app: &App) -> Result<Option<String>, Problem> {
    if app.private.has_accounts().await? {
        return Ok(None);
    }
    // Of servers that start at once, the second finds the first there.
    let _alone = app.private.alone("set-up").await?;
    if app.private.is_shared() {
        if app.private.has_setup().await? && nodes::has_others(app).await? {
            tracing::info!(
                "nobody has an account yet; another server has printed the code for the first operator. If it is lost, \
                 stop every server for {GONE_S} seconds and start one, or run `berth account add --role operator`"
            );
            return Ok(None);
        }
        nodes::be_there(app, &app.config.roles.parse().map_err(|e| Problem::internal(&e))?).await?;
    }
    let code = fresh_secret("setup_");
    app.private.allow_setup(Digest::of(code.as_bytes())).await?;
    Ok(Some(code))
}

/// Makes the first operator with the code printed at the first start.
///
/// # Errors
/// When the code is wrong or was used.
pub async fn first_operator(app: &App, code: &str, person: Person, by: &By) -> Result<AccountId, Problem> {
    check_text("name", &person.name)?;
    if !app.private.use_setup(Digest::of(code.trim().as_bytes())).await? {
        let action =
            "use the code of the last start, or `berth account add --role operator` where the data folder is";
        let detail = "the set-up code is wrong or was used";
        return Err(Problem::new(StatusCode::FORBIDDEN, "wrong-setup-code", detail, action));
    }
    open(app, person, vec![Role::Operator], by).await
}

/// As [`first_operator`], with a token.
///
/// # Errors
/// When the code is wrong or was used.
pub async fn set_up(app: &App, code: &str, name: &str, by: &By) -> Result<(AccountId, Issued), Problem> {
    let person = Person { name: name.into(), ..Person::default() };
    let account = first_operator(app, code, person, by).await?;
    let issued = issue_token(app, account, "first set-up", vec![Role::Operator], None).await?;
    Ok((account, issued))
}
