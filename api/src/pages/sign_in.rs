//! Signing up, in and out; letters with links.

use askama::Template;
use axum::{
    Router,
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use domain::{
    event::SystemPart,
    id::{AccountId, CommandId},
};
use serde::Deserialize;
use uuid::Uuid;

use super::{
    failure::Failure,
    form::Form,
    page::{Shell, done, page},
    passkeys::Here,
    visit::{Member, Visit, cookie_name},
};
use crate::{
    app::App,
    error::Problem,
    execute::By,
    http::extract::{Path, Query},
    logins::{self, Cookie, NewPerson},
    showcase::Somebody,
};

/// The routes.
pub fn routes() -> Router<App> {
    Router::new()
        .route("/sign-in", get(show_sign_in).post(sign_in))
        .route("/sign-in/token", post(sign_in_with_token))
        .route("/sign-in/as/{account}", post(sign_in_as))
        .route("/sign-up", get(show_sign_up).post(sign_up))
        .route("/sign-out", post(sign_out))
        .route("/forgot", get(show_forgot).post(forgot))
        .route("/reset/{code}", get(show_reset).post(reset))
        .route("/confirm/{code}", get(show_confirm).post(confirm))
        .route("/set-up", get(show_set_up).post(set_up))
}

/// Where people sign in.
#[derive(Template)]
#[template(path = "sign_in.html")]
pub struct SignInPage {
    /// What is around it.
    pub shell: Shell,
    /// Where to go after that.
    pub next: String,
    /// What was typed.
    pub email: String,
    /// Why it did not work.
    pub wrong: Option<String>,
    /// Whether people open accounts by themselves.
    pub sign_up: bool,
    /// Whose place a visitor of a demo may take.
    pub people: Vec<Somebody>,
    /// The script for passkeys, where they work.
    pub passkey_script: Option<&'static str>,
}

/// Where people open an account.
#[derive(Template)]
#[template(path = "sign_up.html")]
pub struct SignUpPage {
    /// What is around it.
    pub shell: Shell,
    /// The name that was typed.
    pub name: String,
    /// The address that was typed.
    pub email: String,
    /// Why it did not work.
    pub wrong: Option<String>,
    /// The shortest password, in characters.
    pub min_password: usize,
}

/// A form with one field, or none.
#[derive(Template)]
#[template(path = "letter.html")]
pub struct LetterPage {
    /// What is around it.
    pub shell: Shell,
    /// Which.
    pub what: LetterForm,
    /// Where it goes.
    pub action: String,
    /// Why it did not work.
    pub wrong: Option<String>,
}

/// What a [`LetterPage`] asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LetterForm {
    /// An address, to mail a link to.
    Forgot,
    /// A new password.
    Reset,
    /// Nothing but a press of the button: programs that look at links in mail press none.
    Confirm,
}

#[derive(Debug, Default, Deserialize)]
struct Next {
    #[serde(default)]
    next: String,
}

/// A path of this site, and nothing else: not what browsers take for another site.
pub(super) fn inside(next: &str) -> String {
    let ok = next.starts_with('/')
        && !next.starts_with("//")
        && !next.contains(['\\', '\n', '\r', '\t'])
        && HeaderValue::from_str(next).is_ok();
    if ok { next.to_owned() } else { "/home".to_owned() }
}

/// What gives the session's cookie to the browser.
pub(super) fn session_cookie(app: &App, cookie: &Cookie) -> Result<HeaderValue, Problem> {
    let secure = if app.config.web.is_secure() { "; Secure" } else { "" };
    let text = format!(
        "{}={}; Path=/; HttpOnly; SameSite=Lax; Max-Age={}{secure}",
        cookie_name(app),
        cookie.0,
        logins::SESSION_S
    );
    HeaderValue::from_str(&text).map_err(|e| Problem::internal(&e))
}

/// Leads on with the session's cookie.
pub(super) fn signed_in(app: &App, cookie: &Cookie, next: &str) -> Result<Response, Failure> {
    let mut response = Redirect::to(&inside(next)).into_response();
    response.headers_mut().append(header::SET_COOKIE, session_cookie(app, cookie)?);
    Ok(response)
}

/// The page, with what was typed and why it did not work.
fn sign_in_page(
    app: &App,
    (visit, here): (&Visit, &Here),
    (next, email): (String, String),
    wrong: Option<String>,
) -> SignInPage {
    let people = app.showcase.get().map(|showcase| showcase.people.clone()).unwrap_or_default();
    let shell = visit.shell("Sign in");
    let (sign_up, passkey_script) = (app.config.web.sign_up, here.script());
    SignInPage { shell, next, email, wrong, sign_up, people, passkey_script }
}

async fn show_sign_in(
    State(app): State<App>,
    visit: Visit,
    here: Here,
    Query(Next { next }): Query<Next>,
) -> Response {
    page(&sign_in_page(&app, (&visit, &here), (next, String::new()), None))
}

#[derive(Deserialize)]
struct SignIn {
    email: String,
    password: String,
    #[serde(default)]
    next: String,
}

/// A form is shown again with what was wrong when whoever sent it can mend that.
fn again(problem: Problem, show: impl FnOnce(String) -> Response) -> Result<Response, Failure> {
    let status = problem.status();
    let mendable = [
        StatusCode::UNAUTHORIZED,
        StatusCode::FORBIDDEN,
        StatusCode::UNPROCESSABLE_ENTITY,
        StatusCode::CONFLICT,
    ];
    if !mendable.contains(&status) {
        return Err(problem.into());
    }
    let mut response = show(problem.detail().to_owned());
    *response.status_mut() = status;
    Ok(response)
}

async fn sign_in(
    State(app): State<App>,
    visit: Visit,
    here: Here,
    Form { fields: SignIn { email, password, next }, .. }: Form<SignIn>,
) -> Result<Response, Failure> {
    match logins::sign_in(&app, &email, &password, visit.peer).await {
        Ok(cookie) => signed_in(&app, &cookie, &next),
        Err(problem) => {
            again(problem, |wrong| page(&sign_in_page(&app, (&visit, &here), (next, email), Some(wrong))))
        }
    }
}

#[derive(Deserialize)]
struct Token {
    token: String,
    #[serde(default)]
    next: String,
}

async fn sign_in_with_token(
    State(app): State<App>,
    visit: Visit,
    here: Here,
    Form { fields: Token { token, next }, .. }: Form<Token>,
) -> Result<Response, Failure> {
    match logins::sign_in_with_token(&app, &token, visit.peer).await {
        Ok(cookie) => signed_in(&app, &cookie, &next),
        Err(problem) => {
            let typed = (next, String::new());
            again(problem, |wrong| page(&sign_in_page(&app, (&visit, &here), typed, Some(wrong))))
        }
    }
}

async fn sign_in_as(
    State(app): State<App>,
    Path(account): Path<AccountId>,
    Form { fields: Next { next }, .. }: Form<Next>,
) -> Result<Response, Failure> {
    let people = app.showcase.get().map(|showcase| &showcase.people);
    let lent = people.is_some_and(|people| people.iter().any(|somebody| somebody.account == account));
    if !lent {
        return Err(Problem::not_found("page").into());
    }
    signed_in(&app, &logins::open(&app, account, None).await?, &next)
}

fn sign_up_page(visit: &Visit, name: String, email: String, wrong: Option<String>) -> SignUpPage {
    SignUpPage { shell: visit.shell("Sign up"), name, email, wrong, min_password: logins::MIN_PASSWORD }
}

async fn show_sign_up(State(app): State<App>, visit: Visit) -> Result<Response, Failure> {
    if !app.config.web.sign_up {
        return Err(Problem::forbidden("accounts are opened by the operator here").into());
    }
    Ok(page(&sign_up_page(&visit, String::new(), String::new(), None)))
}

#[derive(Deserialize)]
struct SignUp {
    name: String,
    email: String,
    password: String,
}

async fn sign_up(
    State(app): State<App>,
    visit: Visit,
    Form { fields: SignUp { name, email, password }, id }: Form<SignUp>,
) -> Result<Response, Failure> {
    // The form's id is known to whoever was shown it: another's must not lead to the same account.
    let command = CommandId(Uuid::new_v5(&id, format!("sign-up {email}").as_bytes()));
    let new = NewPerson { name: name.clone(), email: email.clone(), password };
    match logins::sign_up(&app, new, visit.peer, command, visit.request).await {
        Ok(cookie) => signed_in(&app, &cookie, "/home"),
        Err(problem) => again(problem, |wrong| page(&sign_up_page(&visit, name, email, Some(wrong)))),
    }
}

async fn sign_out(
    State(app): State<App>,
    member: Member,
    Form { .. }: Form<Next>,
) -> Result<Response, Failure> {
    app.private.end_session(member.visitor.session).await?;
    let mut response = done("/sign-in", "signed-out");
    let gone = format!("{}=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0", cookie_name(&app));
    let value = HeaderValue::from_str(&gone).map_err(|e| Problem::internal(&e))?;
    response.headers_mut().append(header::SET_COOKIE, value);
    Ok(response)
}

fn letter_page(visit: &Visit, what: LetterForm, wrong: Option<String>) -> LetterPage {
    let title = match what {
        LetterForm::Forgot => "Choose a new password",
        LetterForm::Reset => "Your new password",
        LetterForm::Confirm => "Prove your address",
    };
    LetterPage { shell: visit.shell(title), what, action: visit.uri.path().to_owned(), wrong }
}

async fn show_forgot(visit: Visit) -> Response {
    page(&letter_page(&visit, LetterForm::Forgot, None))
}

#[derive(Deserialize)]
struct Email {
    email: String,
}

async fn forgot(
    State(app): State<App>,
    visit: Visit,
    Form { fields: Email { email }, .. }: Form<Email>,
) -> Result<Response, Failure> {
    match logins::forgotten(&app, &email, visit.peer).await {
        Ok(()) => Ok(done("/sign-in", "mailed")),
        Err(problem) => again(problem, |wrong| page(&letter_page(&visit, LetterForm::Forgot, Some(wrong)))),
    }
}

async fn show_reset(
    State(app): State<App>,
    visit: Visit,
    Path(code): Path<String>,
) -> Result<Response, Failure> {
    logins::check_reset(&app, &code).await?;
    Ok(page(&letter_page(&visit, LetterForm::Reset, None)))
}

#[derive(Deserialize)]
struct Password {
    password: String,
}

async fn reset(
    State(app): State<App>,
    visit: Visit,
    Path(code): Path<String>,
    Form { fields: Password { password }, .. }: Form<Password>,
) -> Result<Response, Failure> {
    match logins::reset(&app, &code, &password).await {
        Ok(()) => Ok(done("/sign-in", "new-password")),
        Err(problem) => again(problem, |wrong| page(&letter_page(&visit, LetterForm::Reset, Some(wrong)))),
    }
}

async fn show_confirm(
    State(app): State<App>,
    visit: Visit,
    Path(code): Path<String>,
) -> Result<Response, Failure> {
    logins::check_confirmation(&app, &code).await?;
    Ok(page(&letter_page(&visit, LetterForm::Confirm, None)))
}

async fn confirm(
    State(app): State<App>,
    visit: Visit,
    Path(code): Path<String>,
    Form { .. }: Form<Next>,
) -> Result<Response, Failure> {
    logins::confirm(&app, &code).await?;
    Ok(done(if visit.visitor.is_some() { "/account" } else { "/sign-in" }, "confirmed"))
}

/// Where the first operator is made.
#[derive(Template)]
#[template(path = "set_up.html")]
pub struct SetUpPage {
    /// What is around it.
    pub shell: Shell,
    /// The name that was typed.
    pub name: String,
    /// The address that was typed.
    pub email: String,
    /// Why it did not work.
    pub wrong: Option<String>,
}

async fn show_set_up(visit: Visit) -> Response {
    let shell = visit.shell("Set Berth up");
    page(&SetUpPage { shell, name: String::new(), email: String::new(), wrong: None })
}

#[derive(Deserialize)]
struct SetUp {
    code: String,
    name: String,
    email: String,
    password: String,
}

async fn set_up(
    State(app): State<App>,
    visit: Visit,
    Form { fields: SetUp { code, name, email, password }, .. }: Form<SetUp>,
) -> Result<Response, Failure> {
    let by = By { correlation: visit.request, ..app.by_system(SystemPart::Cli, None) };
    let new = NewPerson { name: name.clone(), email: email.clone(), password };
    match logins::set_up(&app, &code, new, visit.peer, &by).await {
        Ok(cookie) => signed_in(&app, &cookie, "/home"),
        Err(problem) => again(problem, |wrong| {
            page(&SetUpPage { shell: visit.shell("Set Berth up"), name, email, wrong: Some(wrong) })
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signing_in_leads_to_pages_of_this_site_only() {
        assert_eq!(inside("/rentals/1?x=2"), "/rentals/1?x=2");
        for outside in
            ["", "https://evil.example", "//evil.example", "/\\evil.example", "/a\r\nx: y", "/\t/evil"]
        {
            assert_eq!(inside(outside), "/home", "{outside}");
        }
    }
}
