//! Who visits.
//!
//! # Correctness
//! Roles are read from the ledger at every request, so what was revoked is gone at once. A session opened with an API
//! token may do no more than that token.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use axum::{
    extract::{FromRequestParts, OptionalFromRequestParts, Request, State},
    http::{HeaderMap, Uri, header, request::Parts},
    middleware::Next,
    response::Response,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::{
    account::{Account, Role},
    event::Position,
    id::{AccountId, CommandId, CorrelationId},
    key::Digest,
    time::Time,
};
use uuid::Uuid;

use super::{
    failure::{self, Failure},
    page::{Notice, Shell},
};
use crate::{
    app::App,
    error::Problem,
    execute::By,
    http::{auth::Caller, frame::RequestId},
    listen::Peer,
    logins,
};

/// How often a session's last use is written down, in seconds.
const SEEN_S: i64 = 3_600;
/// The longest cookie that is looked up, in bytes.
const MAX_COOKIE: usize = 200;

/// Somebody signed in.
#[derive(Debug)]
pub struct Visitor {
    /// The account and what it may do.
    pub caller: Caller,
    /// The person's name.
    pub name: String,
    /// Whether the person's address waits to be proved.
    pub unconfirmed: bool,
    /// SHA-256 of the session's cookie.
    pub session: Digest,
    /// What forms of this session carry.
    pub csrf: String,
}

/// A request for a page.
#[derive(Debug, Clone)]
pub struct Visit {
    /// Who asks, if signed in.
    pub visitor: Option<Arc<Visitor>>,
    /// What the page before has led to.
    pub notice: Option<Notice>,
    /// Now.
    pub now: Time,
    /// A fresh id for the page's forms.
    pub fresh: Uuid,
    /// Where the request came from.
    pub peer: Option<IpAddr>,
    /// The request's id.
    pub request: CorrelationId,
    /// Path and query.
    pub uri: Uri,
    /// Whether this is a demo that lends out its people.
    pub showcase: bool,
    /// The first position that some view had not folded when the request came.
    pub reached: Position,
}

/// A request of somebody signed in; others are led to the page where they can.
#[derive(Debug, Clone)]
pub struct Member {
    /// The request.
    pub visit: Visit,
    /// Who asks.
    pub visitor: Arc<Visitor>,
}

impl std::ops::Deref for Member {
    type Target = Caller;
    fn deref(&self) -> &Caller {
        &self.visitor.caller
    }
}

/// The name of the session's cookie.
#[must_use]
pub fn cookie_name(app: &App) -> &'static str {
    // Browsers take a cookie of this prefix only from the host itself, over TLS.
    if app.config.web.is_secure() { "__Host-berth" } else { "berth" }
}

fn cookie<'a>(app: &App, headers: &'a HeaderMap) -> Option<&'a str> {
    let name = cookie_name(app);
    let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let pairs = all.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let mut found = pairs.filter(|(key, _)| *key == name).map(|(_, value)| value);
    // Two were not both set here: a page of another host below the same domain has planted one.
    let (first, second) = (found.next(), found.next());
    first.filter(|value| second.is_none() && value.len() <= MAX_COOKIE)
}

/// What forms carry: nobody can make it who does not know the cookie, and it does not tell the cookie.
fn csrf(cookie: &str) -> String {
    URL_SAFE_NO_PAD.encode(Digest::of(format!("form of {cookie}").as_bytes()).0)
}

async fn recognise(
    app: &App,
    headers: &HeaderMap,
    request: CorrelationId,
) -> Result<Option<Visitor>, Problem> {
    let Some(cookie) = cookie(app, headers) else { return Ok(None) };
    let (hash, now) = (Digest::of(cookie.as_bytes()), app.clock.time());
    let Some(session) = app.private.session(hash, now, now.plus(-logins::IDLE_S)).await? else {
        return Ok(None);
    };
    if now.since(session.seen_at) >= SEEN_S {
        app.private.session_seen(hash, now).await?;
    }
    let account = session.account;
    let Some(person) = app.private.person(account).await? else { return Ok(None) };
    let login = app.private.login_of(account).await?;
    let state = app.executor.load::<Account>(&account).await?.state;
    let allowed = |role: &Role| session.roles.as_ref().is_none_or(|roles| roles.contains(role));
    let roles = state.roles().into_iter().filter(allowed).collect();
    let command = CommandId(app.fresh_id());
    Ok(Some(Visitor {
        caller: Caller { account, roles, command, request },
        name: person.name,
        unconfirmed: login.is_some_and(|login| login.confirmed_at.is_none()),
        session: hash,
        csrf: csrf(cookie),
    }))
}

/// An address as proxies write it: bare, in brackets, or with a port.
fn forwarded_for(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = || text.trim_start_matches('[').trim_end_matches(']').parse().ok();
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    bare().or_else(with_port).map(|address: IpAddr| address.to_canonical())
}

/// The address of whoever visits.
fn peer(app: &App, request: &Request) -> Option<IpAddr> {
    let direct = request.extensions().get::<Peer>().map(|peer| peer.0);
    if !app.config.web.behind_proxy {
        return direct;
    }
    let forwarded = request.headers().get_all("x-forwarded-for").iter().next_back();
    let last = forwarded.and_then(|value| value.to_str().ok()?.rsplit(',').next()).unwrap_or_default();
    forwarded_for(last).or(direct)
}

/// Recognises the visitor, and shows a "no" as a page.
pub async fn enter(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let id = request.extensions().get::<RequestId>().map_or(CorrelationId(app.fresh_id()), |id| id.0);
    let headers = request.headers().clone();
    let known = async {
        let reached = app.views.checkpoint().await?;
        Ok::<_, Problem>((reached, recognise(&app, &headers, id).await?))
    };
    let (reached, visitor, refused) = match known.await {
        Ok((reached, visitor)) => (reached, visitor.map(Arc::new), None),
        Err(problem) => (0, None, Some(problem)),
    };
    let visit = Visit {
        visitor,
        notice: Notice::of(request.uri().query()),
        now: app.clock.time(),
        fresh: app.fresh_id(),
        peer: peer(&app, &request),
        request: id,
        uri: request.uri().clone(),
        showcase: app.showcase.get().is_some(),
        reached,
    };
    if let Some(problem) = refused {
        return failure::page(&visit, &problem);
    }
    request.extensions_mut().insert(visit.clone());
    // What a script sends as JSON is answered so.
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let by_script = kind.is_some_and(|kind| kind.starts_with("application/json"));
    let response = next.run(request).await;
    match response.extensions().get::<Problem>().filter(|_| !by_script) {
        Some(problem) => failure::page(&visit, problem),
        None => response,
    }
}

impl Visit {
    /// What is around a page.
    #[must_use]
    pub fn shell(&self, title: impl Into<String>) -> Shell {
        Shell::new(self, title.into())
    }
}

impl Member {
    /// What is around a page.
    #[must_use]
    pub fn shell(&self, title: impl Into<String>) -> Shell {
        self.visit.shell(title)
    }

    /// The account.
    #[must_use]
    pub fn account(&self) -> AccountId {
        self.visitor.caller.account
    }

    /// As whom the command of a form is carried out; `form` is the form's own id, which names the command.
    #[must_use]
    pub fn by_form(&self, form: Uuid) -> By {
        let what = format!("{}{form}", self.visit.uri.path());
        By { command: CommandId(Uuid::new_v5(&self.account().0, what.as_bytes())), ..self.by() }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Visit {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        let missing = || Failure::from(Problem::internal(&"a page was asked for without a visit"));
        parts.extensions.get::<Self>().cloned().ok_or_else(missing)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Member {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let visit = <Visit as FromRequestParts<S>>::from_request_parts(parts, state).await?;
        match visit.visitor.clone() {
            Some(visitor) => Ok(Self { visit, visitor }),
            None => Err(Failure::sign_in_first(&parts.method, &parts.uri)),
        }
    }
}

impl<S: Send + Sync> OptionalFromRequestParts<S> for Member {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Option<Self>, Failure> {
        let visit = <Visit as FromRequestParts<S>>::from_request_parts(parts, state).await?;
        Ok(visit.visitor.clone().map(|visitor| Self { visit, visitor }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_visitors_address_is_read_however_a_proxy_writes_it() {
        let wanted: IpAddr = "203.0.113.7".parse().unwrap();
        for text in ["203.0.113.7", " 203.0.113.7:5555", "::ffff:203.0.113.7", "[::ffff:203.0.113.7]:80"] {
            assert_eq!(forwarded_for(text), Some(wanted), "{text}");
        }
        assert_eq!(forwarded_for("[2001:db8::1]"), Some("2001:db8::1".parse().unwrap()));
        assert_eq!(forwarded_for("unknown"), None);
    }
}
