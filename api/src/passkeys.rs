//! Passkeys: people sign in with what unlocks their phone, computer or security key.
//!
//! # Shape
//! Each of two ceremonies has two steps. [`ask_to_add`] and [`ask_to_sign_in`] make a challenge, which the browser hands to
//! an authenticator; [`add`] and [`sign_in`] check what it signed. Nobody types a name: the passkey says whose it is.
//!
//! # Correctness
//! A challenge works once and for [`CHALLENGE_S`], and one to add a passkey only in the session that asked; it is kept
//! here and never by the browser, which could answer with it twice. Authenticators must have verified their person. They
//! sign the site's name, so an answer given to another site is worth nothing here. A passkey outlives sessions and new
//! passwords, so adding one takes more than an open browser: the password, or, where the account has none, a session
//! younger than [`FRESH_S`]. A counter that does not grow tells of a copy: that answer is refused, and an operator is told.

use std::net::IpAddr;

use axum::http::StatusCode;
use domain::{
    id::AccountId,
    key::Digest,
    time::{Seconds, Time},
};
use projections::private::{Adding, Attention, MAX_PASSKEYS, Passkey as Kept};
use reqwest::Url;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use uuid::Uuid;
use webauthn_rs::prelude::{
    DiscoverableAuthentication, Passkey, PasskeyRegistration, PublicKeyCredential,
    RegisterPublicKeyCredential, Webauthn, WebauthnBuilder, WebauthnError,
};

use crate::{
    accounts,
    app::App,
    clock::fresh_secret,
    config::Web,
    error::Problem,
    logins::{self, Cookie},
};

/// Seconds in which a challenge can be answered.
pub const CHALLENGE_S: Seconds = 300;
/// Seconds for which a session counts as just opened.
pub const FRESH_S: Seconds = 600;
/// What an operator is told of.
const COPIED: &str = "passkey-copied";

/// The site as authenticators know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    name: String,
    origin: Url,
}

/// What an authenticator is asked.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Challenge {
    /// The name under which the answer is sent.
    pub challenge: String,
    /// What the browser hands on.
    pub public_key: Value,
}

/// Somebody who adds a passkey.
#[derive(Debug, Clone, Copy)]
pub struct Adder<'a> {
    /// Who, and in which session.
    pub adding: Adding,
    /// The person's name.
    pub name: &'a str,
}

impl Site {
    /// The site, if passkeys work there: at its own URL, or at `localhost` where it has none. Browsers know passkeys of
    /// names only, reached over TLS or on the same machine. `host` is what the request asked.
    #[must_use]
    pub fn of(web: &Web, host: Option<&str>) -> Option<Self> {
        let here = |host| Url::parse(&format!("http://{host}")).ok();
        let origin = if web.url.is_empty() { here(host?)? } else { Url::parse(&web.url).ok()? };
        let name = origin.domain()?.to_owned();
        let usable = name == "localhost" || !web.url.is_empty() && web.is_secure();
        usable.then_some(Self { name, origin })
    }

    fn webauthn(&self) -> Result<Webauthn, Problem> {
        let site = WebauthnBuilder::new(&self.name, &self.origin).map(|site| site.rp_name("Berth"));
        site.and_then(WebauthnBuilder::build).map_err(|e| Problem::internal(&e))
    }
}

fn read<T: DeserializeOwned>(text: &str) -> Result<T, Problem> {
    serde_json::from_str(text).map_err(|e| Problem::internal(&e))
}

fn write(value: &impl Serialize) -> Result<String, Problem> {
    serde_json::to_string(value).map_err(|e| Problem::internal(&e))
}

/// Keeps what the answer will be held against; the challenge as the browser gets it.
async fn ask(
    app: &App,
    adding: Option<Adding>,
    state: &impl Serialize,
    public_key: Value,
) -> Result<Challenge, Problem> {
    let (challenge, now) = (fresh_secret("challenge_"), app.clock.time());
    let hash = Digest::of(challenge.as_bytes());
    if !app.private.add_challenge(hash, adding, &write(state)?, now, now.plus(CHALLENGE_S)).await? {
        return Err(Problem::overloaded());
    }
    Ok(Challenge { challenge, public_key })
}

/// Uses a challenge up.
async fn answered<T: DeserializeOwned>(
    app: &App,
    challenge: &str,
    adding: Option<Adding>,
) -> Result<T, Problem> {
    let hash = Digest::of(challenge.as_bytes());
    let state = app.private.use_challenge(hash, adding, app.clock.time()).await?;
    let dead = || {
        let detail = "this was answered already, took too long, or was begun elsewhere";
        Problem::new(StatusCode::GONE, "dead-challenge", detail, "begin again")
    };
    read(&state.ok_or_else(dead)?)
}

/// Lets through whoever proves to be the person, and not just somebody at an open browser.
async fn confirm(app: &App, adding: Adding, password: Option<&str>) -> Result<(), Problem> {
    if let Some(login) = app.private.login_of(adding.account).await? {
        let password = password.unwrap_or_default();
        let known = logins::knows(app, login, password).await?;
        return if known { Ok(()) } else { Err(Problem::invalid("the password is wrong")) };
    }
    let opened_at = app.private.session_opened_at(adding.session).await?;
    if opened_at.is_some_and(|at| app.clock.time().since(at) <= FRESH_S) {
        return Ok(());
    }
    let detail = format!("you signed in more than {} minutes ago", FRESH_S / 60);
    let action = "sign out, sign in, and add the passkey then";
    Err(Problem::new(StatusCode::FORBIDDEN, "sign-in-again", detail, action))
}

fn full() -> Problem {
    let detail = format!("that passkey is in use already, or your account has its {MAX_PASSKEYS}");
    Problem::new(StatusCode::CONFLICT, "passkey-refused", detail, "remove a passkey that you do not use")
}

/// Makes a challenge for a new passkey of somebody signed in.
///
/// # Errors
/// When the password is wrong, or there is none and the session is not fresh, or the account has as many as it can have.
pub async fn ask_to_add(
    app: &App,
    site: &Site,
    adder: Adder<'_>,
    password: Option<&str>,
) -> Result<Challenge, Problem> {
    confirm(app, adder.adding, password).await?;
    let account = adder.adding.account;
    let kept = app.private.passkeys_of(account).await?;
    if kept.len() >= MAX_PASSKEYS {
        return Err(full());
    }
    let login = app.private.login_of(account).await?;
    let shown = login.as_ref().map_or(adder.name, |login| &login.email);
    let known = kept.into_iter().map(|passkey| passkey.credential_id).collect();
    let begun = site.webauthn()?.start_passkey_registration(account.0, shown, adder.name, Some(known));
    let (options, state) = begun.map_err(|e| Problem::internal(&e))?;
    let mut public_key = serde_json::to_value(&options.public_key).map_err(|e| Problem::internal(&e))?;
    // Found without a name at sign-in, which the crate does not ask authenticators for by itself.
    let choice = &mut public_key["authenticatorSelection"];
    choice["residentKey"] = json!("required");
    choice["requireResidentKey"] = json!(true);
    ask(app, Some(adder.adding), &state, public_key).await
}

/// Adds the passkey that an authenticator made.
///
/// # Errors
/// When the challenge or its answer is no good, or the passkey is known already.
pub async fn add(
    app: &App,
    site: &Site,
    adding: Adding,
    challenge: &str,
    name: &str,
    answer: &RegisterPublicKeyCredential,
) -> Result<(), Problem> {
    accounts::check_text("the passkey's name", name)?;
    let state: PasskeyRegistration = answered(app, challenge, Some(adding)).await?;
    let made = site.webauthn()?.finish_passkey_registration(answer, &state);
    let made = made.map_err(|e| Problem::invalid(format!("the authenticator's answer is not taken: {e}")))?;
    let passkey = Kept {
        id: app.fresh_id(),
        credential_id: made.cred_id().to_vec(),
        account: adding.account,
        name: name.trim().to_owned(),
        credential: write(&made)?,
        created_at: app.clock.time(),
        last_used_at: None,
    };
    if app.private.add_passkey(&passkey).await? { Ok(()) } else { Err(full()) }
}

/// Removes a passkey; sessions that were opened with it go on.
///
/// # Errors
/// When the account has no such passkey.
pub async fn remove(app: &App, account: AccountId, id: Uuid) -> Result<(), Problem> {
    if !app.private.remove_passkey(account, id).await? {
        return Err(Problem::not_found("passkey"));
    }
    Ok(app.private.end_attention(&format!("passkey-{id}"), COPIED).await?)
}

/// Makes a challenge for whoever has a passkey.
///
/// # Errors
/// When that was asked for too often.
pub async fn ask_to_sign_in(app: &App, site: &Site, peer: Option<IpAddr>) -> Result<Challenge, Problem> {
    logins::count_peer(app, "passkey challenge", peer).await?;
    let begun = site.webauthn()?.start_discoverable_authentication();
    let (options, state) = begun.map_err(|e| Problem::internal(&e))?;
    let public_key = serde_json::to_value(&options.public_key).map_err(|e| Problem::internal(&e))?;
    ask(app, None, &state, public_key).await
}

/// Signs somebody in with a passkey.
///
/// # Errors
/// When the challenge, its answer or the passkey is no good, or that was tried too often.
pub async fn sign_in(
    app: &App,
    site: &Site,
    challenge: &str,
    answer: &PublicKeyCredential,
    peer: Option<IpAddr>,
) -> Result<Cookie, Problem> {
    logins::count_peer(app, "sign-in", peer).await?;
    let state: DiscoverableAuthentication = answered(app, challenge, None).await?;
    let webauthn = site.webauthn()?;
    let named = webauthn.identify_discoverable_authentication(answer);
    let (account, credential_id) = named.map_err(|_| wrong())?;
    let kept = app.private.passkey(credential_id).await?.filter(|kept| kept.account.0 == account);
    let kept = kept.ok_or_else(wrong)?;
    let mut passkey: Passkey = read(&kept.credential)?;
    let result = match webauthn.finish_discoverable_authentication_v2(answer, state, &passkey) {
        Ok(result) if result.user_verified() => result,
        Err(WebauthnError::CredentialPossibleCompromise) => {
            report_copy(app, &kept, app.clock.time()).await?;
            return Err(wrong());
        }
        _ => return Err(wrong()),
    };
    passkey.update_credential(&result);
    if !app.private.passkey_used(&kept, &write(&passkey)?, app.clock.time()).await? {
        return Err(wrong());
    }
    logins::open(app, kept.account, None).await
}

fn wrong() -> Problem {
    let detail = "this passkey does not sign you in here";
    let action = "sign in in another way, and look after your passkeys on the page of your account";
    Problem::new(StatusCode::UNAUTHORIZED, "wrong-passkey", detail, action)
}

async fn report_copy(app: &App, kept: &Kept, since: Time) -> Result<(), Problem> {
    let detail = format!(
        "somebody answered with a passkey of account {} whose counter had not grown: there may be a copy of it; ask \
         its person to remove it and to add a new one",
        kept.account
    );
    let subject = format!("passkey-{}", kept.id);
    Ok(app.private.call_attention(&Attention { subject, what: COPIED.into(), detail, since }).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passkeys_work_at_names_over_tls_and_at_localhost() {
        let site = |url: &str, host: &str| {
            let web = Web { url: url.into(), ..Web::default() };
            Site::of(&web, Some(host)).map(|site| (site.name, site.origin.to_string()))
        };
        let found = |name: &str, origin: &str| Some((name.to_owned(), origin.to_owned()));
        let url = "https://berth.example";
        assert_eq!(site(url, "elsewhere.example"), found("berth.example", "https://berth.example/"));
        assert_eq!(site("", "localhost:8080"), found("localhost", "http://localhost:8080/"));
        assert_eq!(site("http://localhost:80", "x"), found("localhost", "http://localhost/"));
        for host in
            ["127.0.0.1:8080", "[::1]:8080", "berth.example", "localhost.evil.example", "", "a b", "/"]
        {
            assert_eq!(site("", host), None, "{host}");
        }
        for url in ["http://berth.example", "https://192.0.2.1", "https://[2001:db8::1]"] {
            assert_eq!(site(url, "localhost"), None, "{url}");
        }
        assert_eq!(Site::of(&Web::default(), None), None);
    }
}
