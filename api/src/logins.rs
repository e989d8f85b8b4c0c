//! Signing up and in: passwords, sessions, codes that are mailed.
//!
//! # Shape
//! A password is checked by [`sign_in`], an API token by [`sign_in_with_token`]; both open a session, whose cookie is the
//! only thing a browser keeps. [`forgotten`] and [`sign_up`] mail a code; [`reset`] and [`confirm`] use it up.
//!
//! # Correctness
//! Passwords are kept as Argon2id with its default cost, of which [`HASHING`] are computed at once, so guessing costs
//! whoever guesses, and signing in never takes all memory. An unknown address takes as long as a wrong password. Tries are
//! counted before they are judged, so many at once do not slip through: by the address together with the network that
//! they come from, so strangers do not lock anybody out, and by either alone with more patience. A new password ends every
//! session; tokens stay, unless the address was never proved until now: then whoever opened the account may have been
//! somebody else, and nothing that opens it or draws money out of it is left.

use std::{net::IpAddr, sync::LazyLock};

use argon2::{
    Argon2,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use axum::http::StatusCode;
use domain::{
    account::{Account, Role},
    event::Actor,
    id::{AccountId, CommandId, CorrelationId},
    key::Digest,
    time::Seconds,
};
use projections::private::{CodePurpose, Login, Person, PersonPatch};
use tokio::sync::Semaphore;

use crate::{
    accounts,
    app::App,
    clock::fresh_secret,
    error::Problem,
    execute::By,
    mail::{self, Letter, To},
};

/// Seconds after which a session ends.
pub const SESSION_S: Seconds = 30 * 86_400;
/// Seconds after which a session that nobody uses ends.
pub const IDLE_S: Seconds = 7 * 86_400;
/// Seconds for which a mailed code works.
pub const CODE_S: Seconds = 86_400;
/// Seconds in which tries are counted together.
const WINDOW_S: Seconds = 900;
/// Tries with one address from one network.
const MAX_TRIES: i64 = 10;
/// Tries with one address from everywhere.
const MAX_TRIES_OF_ADDRESS: i64 = 300;
/// Tries of one peer: many people may share one address of the network.
const MAX_TRIES_OF_PEER: i64 = 300;
/// Letters to one address that one network asks for.
const MAX_LETTERS: i64 = 3;
/// Letters to one address in a day.
const MAX_LETTERS_A_DAY: i64 = 10;
/// Seconds of a day.
const DAY_S: Seconds = 86_400;
/// Seconds after which tries count for nothing.
pub const TRIES_S: Seconds = DAY_S;
/// The shortest password, in characters.
pub const MIN_PASSWORD: usize = 10;
/// The longest password, in bytes.
const MAX_PASSWORD: usize = 200;
/// Passwords that are hashed at once; each takes 19 MiB.
const HASHING: usize = 4;

static HASHERS: Semaphore = Semaphore::const_new(HASHING);

/// What an unknown address is checked against.
static NOBODY: LazyLock<String> = LazyLock::new(|| hashed("nobody's password").unwrap_or_default());

/// What somebody signs up with.
#[derive(Clone)]
pub struct NewPerson {
    /// The name.
    pub name: String,
    /// The mail address.
    pub email: String,
    /// The password.
    pub password: String,
}

/// A session's cookie, given to the browser and kept nowhere.
#[derive(Clone)]
pub struct Cookie(pub String);

/// The address as it is looked up: without spaces around, in lower case.
///
/// # Errors
/// When it is no mail address.
pub fn address(text: &str) -> Result<String, Problem> {
    let text = text.trim().to_lowercase();
    let parts = text.split_once('@').filter(|(name, host)| !name.is_empty() && host.len() > 2);
    let plain = !text.chars().any(|c| c.is_whitespace() || c.is_control() || "<>,;:\"()[]\\".contains(c));
    if text.len() <= accounts::MAX_TEXT && plain && parts.is_some_and(|(_, host)| !host.contains('@')) {
        Ok(text)
    } else {
        Err(Problem::invalid("that is no mail address; one looks like ada@example.org"))
    }
}

fn check_password(password: &str) -> Result<(), Problem> {
    if password.chars().count() < MIN_PASSWORD {
        return Err(Problem::invalid(format!("a password has at least {MIN_PASSWORD} characters")));
    }
    if password.len() > MAX_PASSWORD {
        return Err(Problem::invalid(format!("a password has at most {MAX_PASSWORD} bytes")));
    }
    Ok(())
}

fn hashed(password: &str) -> Result<String, Problem> {
    let hash = Argon2::default().hash_password(password.as_bytes()).map_err(|e| Problem::internal(&e))?;
    Ok(hash.to_string())
}

/// Runs something that takes long and much memory, not too many at once.
async fn hashing<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
    let _permit = HASHERS.acquire().await.map_err(|e| Problem::internal(&e))?;
    tokio::task::spawn_blocking(work).await.map_err(|e| Problem::internal(&e))
}

async fn hash(password: &str) -> Result<String, Problem> {
    check_password(password)?;
    let password = password.to_owned();
    hashing(move || hashed(&password)).await?
}

async fn fits(password: &str, hash: String) -> Result<bool, Problem> {
    if password.len() > MAX_PASSWORD {
        return Ok(false);
    }
    let password = password.to_owned();
    hashing(move || {
        let parsed = PasswordHash::new(&hash);
        parsed.is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
    })
    .await
}

/// Counts a try.
///
/// # Errors
/// When there were too many.
async fn count(app: &App, what: &str, max: i64) -> Result<(), Problem> {
    let now = app.clock.time();
    let (tries, since) = app.private.count_try(what, now, WINDOW_S).await?;
    if tries <= max {
        return Ok(());
    }
    let wait_s = since.plus(WINDOW_S).since(now).clamp(1, WINDOW_S);
    let detail = format!("that was tried too often; wait {} minutes", (wait_s + 59) / 60);
    let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "too-many-tries", detail, "try again later");
    Err(problem.retry_after(u32::try_from(wait_s).unwrap_or(900)))
}

/// Whoever has one address of IPv6 mostly has its whole network.
fn network(peer: Option<IpAddr>) -> String {
    match peer {
        None => "nowhere".into(),
        Some(IpAddr::V4(address)) => address.to_string(),
        Some(IpAddr::V6(address)) => format!("{:x?}", &address.segments()[..4]),
    }
}

/// Counts a try of whoever is at an address of the network.
///
/// # Errors
/// When there were too many.
pub(crate) async fn count_peer(app: &App, what: &str, peer: Option<IpAddr>) -> Result<(), Problem> {
    count(app, &format!("{what} from {}", network(peer)), MAX_TRIES_OF_PEER).await
}

/// What tries of signing in with an address begin with.
fn tries_with(email: &str) -> String {
    format!("sign-in as {}", Digest::of(email.as_bytes()))
}

/// Opens a session; its cookie.
///
/// # Errors
/// When the private store fails.
pub(crate) async fn open(
    app: &App,
    account: AccountId,
    token: Option<uuid::Uuid>,
) -> Result<Cookie, Problem> {
    let (cookie, now) = (Cookie(fresh_secret("session_")), app.clock.time());
    let hash = Digest::of(cookie.0.as_bytes());
    app.private.open_session(hash, account, token, now, now.plus(SESSION_S)).await?;
    Ok(cookie)
}

/// Signs somebody in with a password.
///
/// # Errors
/// When the address and the password do not belong together, or that was tried too often.
pub async fn sign_in(
    app: &App,
    email: &str,
    password: &str,
    peer: Option<IpAddr>,
) -> Result<Cookie, Problem> {
    count_peer(app, "sign-in", peer).await?;
    let wrong = || {
        let detail = "the address and the password do not belong together";
        Problem::new(
            StatusCode::UNAUTHORIZED,
            "wrong-password",
            detail,
            "try again, or choose a new password",
        )
    };
    let Ok(email) = address(email) else { return Err(wrong()) };
    let tries = tries_with(&email);
    count(app, &tries, MAX_TRIES_OF_ADDRESS).await?;
    let tries = format!("{tries} from {}", network(peer));
    count(app, &tries, MAX_TRIES).await?;
    let login = app.private.login_by_email(&email).await?;
    let hash = login.as_ref().map_or_else(|| NOBODY.clone(), |login| login.password.clone());
    let (true, Some(login)) = (fits(password, hash).await?, login) else { return Err(wrong()) };
    app.private.forgive_tries(&tries).await?;
    open(app, login.account, None).await
}

/// Signs somebody in with an API token: the session may do what the token may, and ends with it.
///
/// # Errors
/// When the token does not work, or that was tried too often.
pub async fn sign_in_with_token(app: &App, token: &str, peer: Option<IpAddr>) -> Result<Cookie, Problem> {
    count_peer(app, "sign-in", peer).await?;
    let holder = app.private.token_holder(Digest::of(token.trim().as_bytes()), app.clock.time()).await?;
    let unknown = || Problem::unauthenticated("the token is unknown, expired or revoked");
    let holder = holder.ok_or_else(unknown)?;
    open(app, holder.account, Some(holder.token)).await
}

/// Opens an account that may let and rent devices, and signs its person in; a link that proves the address is mailed.
///
/// # Errors
/// When something is invalid, the address has an account, or people may not sign up by themselves.
pub async fn sign_up(
    app: &App,
    new: NewPerson,
    peer: Option<IpAddr>,
    command: CommandId,
    correlation: CorrelationId,
) -> Result<Cookie, Problem> {
    if !app.config.web.sign_up {
        return Err(Problem::forbidden("accounts are opened by the operator here"));
    }
    if app.private.awaits_setup().await? {
        return Err(Problem::forbidden("the first account is the operator's: open it at /set-up"));
    }
    count_peer(app, "sign-up", peer).await?;
    accounts::check_text("name", &new.name)?;
    let email = address(&new.email)?;
    let password = hash(&new.password).await?;
    if let Some(login) = app.private.login_by_email(&email).await? {
        // The form was sent twice.
        let same = login.account == accounts::opened_by(command);
        return if same && fits(&new.password, login.password).await? {
            open(app, login.account, None).await
        } else {
            Err(taken())
        };
    }
    let person = Person { name: new.name, email: Some(email.clone()), ..Person::default() };
    let actor = Actor::Account(accounts::opened_by(command));
    let by = By { actor, on_behalf_of: None, command, causation: None, correlation };
    let account = accounts::open(app, person, vec![Role::Owner, Role::Renter], &by).await?;
    let login = Login { account, email: email.clone(), password, confirmed_at: None };
    if !app.private.add_login(&login).await? {
        // Somebody else was faster: the account has nothing and nobody.
        app.private.forget_person(account).await?;
        return Err(taken());
    }
    // Without the letter the account is as good; another one can be asked for.
    if let Err(e) = mail_code(app, account, CodePurpose::Confirm, &email).await {
        tracing::error!(%account, error = e.detail(), "a letter cannot be queued");
    }
    open(app, account, None).await
}

/// Makes the first operator with the code printed at the first start, and signs its person in.
///
/// # Errors
/// When something is invalid (the code still works then), or the code is wrong or was used.
pub async fn set_up(
    app: &App,
    code: &str,
    new: NewPerson,
    peer: Option<IpAddr>,
    by: &By,
) -> Result<Cookie, Problem> {
    count_peer(app, "set-up", peer).await?;
    let (email, password) = (address(&new.email)?, hash(&new.password).await?);
    if app.private.login_by_email(&email).await?.is_some() {
        return Err(taken());
    }
    let person = Person { name: new.name, email: Some(email.clone()), ..Person::default() };
    let account = accounts::first_operator(app, code, person, by).await?;
    let confirmed_at = Some(app.clock.time());
    if !app.private.add_login(&Login { account, email, password, confirmed_at }).await? {
        return Err(taken());
    }
    open(app, account, None).await
}

fn taken() -> Problem {
    let detail = "this address has an account already";
    Problem::new(StatusCode::CONFLICT, "address-taken", detail, "sign in, or choose a new password")
}

/// Gives an account a password that it signs in with, and the address to do so; every session ends.
///
/// # Errors
/// When something is invalid, the address belongs to another account, or there is no such account.
pub async fn set_password(app: &App, account: AccountId, email: &str, password: &str) -> Result<(), Problem> {
    let email = address(email)?;
    if !app.executor.load::<Account>(&account).await?.state.exists() {
        return Err(Problem::not_found("account"));
    }
    let confirmed_at = Some(app.clock.time());
    let login = Login { account, email: email.clone(), password: hash(password).await?, confirmed_at };
    if !app.private.add_login(&login).await? {
        return Err(taken());
    }
    let patch = PersonPatch { email: Some(email), ..PersonPatch::default() };
    app.private.change_person(account, &patch).await?;
    Ok(app.private.change_password(account, &login.password).await?)
}

/// Mails a new code.
async fn mail_code(app: &App, account: AccountId, purpose: CodePurpose, email: &str) -> Result<(), Problem> {
    let prefix = if purpose == CodePurpose::Confirm { "confirm_" } else { "reset_" };
    let (code, until) = (fresh_secret(prefix), app.clock.time().plus(CODE_S));
    let hash = Digest::of(code.as_bytes());
    app.private.add_code(hash, account, purpose, email, until).await?;
    let letter = match purpose {
        CodePurpose::Confirm => Letter::ConfirmAddress { token: code },
        CodePurpose::Reset => Letter::ResetPassword { token: code },
    };
    mail::queue(app, &format!("code-{hash}"), To::Address(email.to_owned()), letter).await
}

/// Mails a link that proves an account's address, again.
///
/// # Errors
/// When that was asked for too often.
pub async fn mail_confirmation(app: &App, account: AccountId) -> Result<(), Problem> {
    count(app, &format!("confirmation of {account}"), MAX_LETTERS).await?;
    let Some(login) = app.private.login_of(account).await?.filter(|l| l.confirmed_at.is_none()) else {
        return Ok(());
    };
    mail_code(app, account, CodePurpose::Confirm, &login.email).await
}

/// Uses a code that proves an address.
///
/// # Errors
/// When it does not work.
pub async fn confirm(app: &App, code: &str) -> Result<(), Problem> {
    let (now, hash) = (app.clock.time(), Digest::of(code.as_bytes()));
    let used = app.private.use_code(hash, CodePurpose::Confirm, now).await?;
    let (account, email) = used.ok_or_else(dead_link)?;
    if app.private.confirm_login(account, &email, now).await? { Ok(()) } else { Err(dead_link()) }
}

fn dead_link() -> Problem {
    let detail = "this link was used, is too old, or is not whole";
    Problem::new(StatusCode::GONE, "dead-link", detail, "ask for a new one; only the latest link counts")
}

/// Mails a link with which a new password can be chosen, if the address has an account; says nothing of whether it has.
///
/// # Errors
/// When that was asked for too often.
pub async fn forgotten(app: &App, email: &str, peer: Option<IpAddr>) -> Result<(), Problem> {
    count_peer(app, "reset", peer).await?;
    let email = address(email)?;
    let letters = format!("reset of {}", Digest::of(email.as_bytes()));
    count(app, &format!("{letters} from {}", network(peer)), MAX_LETTERS).await?;
    let (today, _) = app.private.count_try(&letters, app.clock.time(), DAY_S).await?;
    match app.private.login_by_email(&email).await? {
        Some(login) if today <= MAX_LETTERS_A_DAY => {
            mail_code(app, login.account, CodePurpose::Reset, &email).await
        }
        _ => Ok(()),
    }
}

/// Whether a code that proves an address would be taken.
///
/// # Errors
/// When it would not.
pub async fn check_confirmation(app: &App, code: &str) -> Result<(), Problem> {
    let (hash, now) = (Digest::of(code.as_bytes()), app.clock.time());
    if app.private.knows_code(hash, CodePurpose::Confirm, now).await? { Ok(()) } else { Err(dead_link()) }
}

/// Whether a code to choose a new password would be taken.
///
/// # Errors
/// When it would not.
pub async fn check_reset(app: &App, code: &str) -> Result<(), Problem> {
    let (hash, now) = (Digest::of(code.as_bytes()), app.clock.time());
    if app.private.knows_code(hash, CodePurpose::Reset, now).await? { Ok(()) } else { Err(dead_link()) }
}

/// Chooses a new password with a code, which proves the address too; every session ends. If the address was not proved
/// before, tokens and addresses for money go too: they may be of somebody who signed up with another's address.
///
/// # Errors
/// When the password is invalid (the code still works then) or the code does not work.
pub async fn reset(app: &App, code: &str, password: &str) -> Result<(), Problem> {
    check_reset(app, code).await?;
    let hash = hash(password).await?;
    let now = app.clock.time();
    let used = app.private.use_code(Digest::of(code.as_bytes()), CodePurpose::Reset, now).await?;
    let (account, email) = used.ok_or_else(dead_link)?;
    let login = app.private.login_of(account).await?.filter(|login| login.email == email);
    let login = login.ok_or_else(dead_link)?;
    if login.confirmed_at.is_none() {
        app.private.disown(account, now).await?;
    }
    app.private.change_password(account, &hash).await?;
    app.private.confirm_login(account, &email, now).await?;
    Ok(app.private.forgive_tries(&tries_with(&email)).await?)
}

/// Whether somebody signed in knows the password too.
///
/// # Errors
/// When that was tried too often.
pub(crate) async fn knows(app: &App, login: Login, password: &str) -> Result<bool, Problem> {
    count(app, &format!("password of {}", login.account), MAX_TRIES).await?;
    fits(password, login.password).await
}

/// Changes a password for whoever knows the old one; every session ends, and a new one is opened.
///
/// # Errors
/// When the old password is wrong, the new one invalid, or that was tried too often.
pub async fn change_password(app: &App, account: AccountId, old: &str, new: &str) -> Result<Cookie, Problem> {
    let login = app.private.login_of(account).await?;
    let login = login.ok_or_else(|| Problem::invalid("this account does not sign in with a password"))?;
    if !knows(app, login, old).await? {
        return Err(Problem::invalid("the old password is wrong"));
    }
    app.private.change_password(account, &hash(new).await?).await?;
    open(app, account, None).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_address_is_taken_in_lower_case_and_nothing_else_is() {
        assert_eq!(address(" Ada@Example.ORG ").unwrap(), "ada@example.org");
        for bad in ["", "ada", "@x.org", "ada@", "a b@x.org", "a@b@c.org", "<a@x.org>", "a@x.org,b@x.org"] {
            assert!(address(bad).is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn a_password_fits_its_hash_and_no_other() {
        let hash = hash("correct horse").await.unwrap();
        assert!(hash.starts_with("$argon2id$"), "{hash}");
        assert!(fits("correct horse", hash.clone()).await.unwrap());
        assert!(!fits("correct horsf", hash).await.unwrap());
        assert!(super::hash("too short").await.is_err() && super::hash(&"x".repeat(201)).await.is_err());
    }
}
