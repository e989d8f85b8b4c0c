//! Passkeys: what the script of the sign-in page and of the account's page sends.

use std::convert::Infallible;

use axum::{
    Json, Router,
    extract::{FromRequestParts, State},
    http::{HeaderValue, header, request::Parts},
    response::{IntoResponse, Response},
    routing::post,
};
use projections::private::Adding;
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;
use webauthn_rs::prelude::{PublicKeyCredential, RegisterPublicKeyCredential};

use super::{
    account::require_whole,
    assets,
    failure::Failure,
    form::{Form, Sent},
    page::done,
    sign_in::{inside, session_cookie},
    visit::{Member, Visit},
};
use crate::{
    app::App,
    error::Problem,
    http::extract::Path,
    passkeys::{self, Adder, Site},
};

/// The routes.
pub fn routes() -> Router<App> {
    Router::new()
        .route("/account/passkeys", post(add))
        .route("/account/passkeys/challenge", post(ask_to_add))
        .route("/account/passkeys/{passkey}/removal", post(remove))
        .route("/sign-in/passkey", post(sign_in))
        .route("/sign-in/passkey/challenge", post(ask_to_sign_in))
}

/// The site as the visitor's browser knows it, if passkeys work there.
pub struct Here(Option<Site>);

impl Here {
    /// The script that carries passkeys' forms out, where they work.
    #[must_use]
    pub fn script(&self) -> Option<&'static str> {
        self.0.as_ref().map(|_| assets::passkeys())
    }

    fn site(&self) -> Result<&Site, Problem> {
        let nowhere = "passkeys work where this site has a name, over https or at localhost";
        self.0.as_ref().ok_or_else(|| Problem::invalid(nowhere))
    }
}

impl FromRequestParts<App> for Here {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Infallible> {
        let host = parts.headers.get(header::HOST).and_then(|host| host.to_str().ok());
        Ok(Self(Site::of(&app.config.web, host)))
    }
}

/// An answer to the script, for one look.
fn told(body: impl Serialize) -> Response {
    ([(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))], Json(body)).into_response()
}

/// Somebody signed in; a script is not led to another page.
fn member(visit: Visit) -> Result<Member, Problem> {
    let visitor = visit.visitor.clone();
    let visitor = visitor.ok_or_else(|| Problem::unauthenticated("you are signed out; sign in again"))?;
    Ok(Member { visit, visitor })
}

fn adding(member: &Member) -> Adding {
    Adding { account: member.account(), session: member.visitor.session }
}

#[derive(Deserialize)]
struct ToAdd {
    #[serde(default)]
    password: Option<String>,
}

async fn ask_to_add(
    State(app): State<App>,
    visit: Visit,
    here: Here,
    Sent(ToAdd { password }): Sent<ToAdd>,
) -> Result<Response, Problem> {
    let member = member(visit)?;
    require_whole(&app, &member).await?;
    let adder = Adder { adding: adding(&member), name: &member.visitor.name };
    Ok(told(passkeys::ask_to_add(&app, here.site()?, adder, password.as_deref()).await?))
}

#[derive(Deserialize)]
struct New {
    challenge: String,
    name: String,
    answer: RegisterPublicKeyCredential,
}

async fn add(
    State(app): State<App>,
    visit: Visit,
    here: Here,
    Sent(New { challenge, name, answer }): Sent<New>,
) -> Result<Response, Problem> {
    let member = member(visit)?;
    require_whole(&app, &member).await?;
    passkeys::add(&app, here.site()?, adding(&member), &challenge, &name, &answer).await?;
    Ok(told(json!({"to": "/account?done=passkey"})))
}

#[derive(Deserialize)]
struct Nothing {}

async fn remove(
    State(app): State<App>,
    member: Member,
    Path(passkey): Path<Uuid>,
    Form { .. }: Form<Nothing>,
) -> Result<Response, Failure> {
    require_whole(&app, &member).await?;
    passkeys::remove(&app, member.account(), passkey).await?;
    Ok(done("/account", "passkey-gone"))
}

async fn ask_to_sign_in(
    State(app): State<App>,
    visit: Visit,
    here: Here,
    Sent(Nothing {}): Sent<Nothing>,
) -> Result<Response, Problem> {
    Ok(told(passkeys::ask_to_sign_in(&app, here.site()?, visit.peer).await?))
}

#[derive(Deserialize)]
struct SignIn {
    challenge: String,
    answer: PublicKeyCredential,
    #[serde(default)]
    next: String,
}

async fn sign_in(
    State(app): State<App>,
    visit: Visit,
    here: Here,
    Sent(SignIn { challenge, answer, next }): Sent<SignIn>,
) -> Result<Response, Problem> {
    let cookie = passkeys::sign_in(&app, here.site()?, &challenge, &answer, visit.peer).await?;
    let mut response = told(json!({"to": inside(&next)}));
    response.headers_mut().append(header::SET_COOKIE, session_cookie(&app, &cookie)?);
    Ok(response)
}
