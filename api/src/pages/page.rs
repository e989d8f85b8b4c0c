//! What is around every page: its head, who is signed in, where to go from here, and the headers of the answer.

use askama::Template;
use axum::{
    http::{HeaderValue, header},
    response::{Html, IntoResponse, Redirect, Response},
};
use domain::{account::Role, event::Position};
use uuid::Uuid;

use super::{assets, visit::Visit};
use crate::error::Problem;

/// The content policy: only what this server serves, nothing inline.
pub const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                          connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// What an action has led to, told on the page after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Notice(pub &'static str);

/// Every notice by the name that stands in the address.
const NOTICES: &[(&str, &str)] = &[
    ("signed-out", "You are signed out."),
    ("confirmed", "Your address is proved. Mail about your rentals goes there from now on."),
    ("mailed", "A letter is on its way. The link in it works for a day."),
    ("password", "Your password is changed. Every other browser is signed out."),
    ("new-password", "Your password is changed. Sign in with it."),
    ("changed", "It is changed."),
    ("passkey", "The passkey is added. You can sign in with it from now on."),
    ("passkey-gone", "The passkey is removed. Nobody signs in with it any more."),
    ("revoked", "The token is revoked."),
    ("others-out", "Every other browser is signed out."),
    ("erased", "Your account is erased. The ledger keeps its bare number, and nothing else."),
    ("enrolled", "The device is enrolled, and its key was shown. If you have lost it, make a new one below."),
    ("key-changed", "The device has changed since you looked. If you still want a new key, make one now."),
    (
        "token-shown",
        "That token was made and shown already. If you have lost it, revoke it and make another.",
    ),
    ("offered", "The offer is on the market."),
    ("withdrawn", "The offer is off the market."),
    ("renamed", "The device has its new name."),
    ("transferred", "The device has a new owner."),
    ("retired", "The device is out of service. Its lease ends and its data is erased."),
    ("released", "The payouts are on their way."),
    ("extension", "Your request for more time is noted. It is yours once it is paid."),
    ("extending", "The payment is on its way. The rental is extended as soon as it arrives."),
    ("renting", "The order is placed and paid. Your rental starts as soon as the payment arrives."),
    ("ended", "The rental is over. What was not used goes back."),
    ("asked-erasure", "The device is told to destroy the key of your data."),
    ("resume", "Your choice is noted."),
    ("started", "It is noted as started."),
    ("seen-to", "It is off the list."),
    ("begun", "It is noted as started. Now report how it went: nobody else can start it."),
    ("moved", "It is noted that the money moved."),
    ("not-moved", "It is noted that the money did not move. It may be tried again."),
    ("in-doubt", "It is quarantined until somebody finds out whether the money moved."),
    ("opened", "The account is open."),
    ("granted", "The role is given."),
    ("role-gone", "The role is taken away. Its tokens have lost it."),
];

impl Notice {
    /// The notice that an address asks for.
    #[must_use]
    pub fn of(query: Option<&str>) -> Option<Self> {
        let wanted = query?.split('&').find_map(|pair| pair.strip_prefix("done="))?;
        NOTICES.iter().find(|(name, _)| *name == wanted).map(|(_, text)| Self(text))
    }
}

/// What is around a page.
#[derive(Debug, Clone)]
pub struct Shell {
    /// The page's title.
    pub title: String,
    /// Who is signed in.
    pub who: Option<Who>,
    /// What the page before has led to.
    pub notice: Option<Notice>,
    /// The path, which marks the page in the navigation.
    pub path: String,
    /// Where the page hears that it is outdated.
    pub live: Option<String>,
    /// Seconds since 1970.
    pub now: i64,
    /// The address of the style sheet.
    pub style: &'static str,
    /// The address of the script.
    pub script: &'static str,
    /// A fresh id for forms.
    pub fresh: Uuid,
    /// Whether this is a demo that lends out its people.
    pub showcase: bool,
    reached: Position,
}

/// Somebody signed in, as pages show it.
#[derive(Debug, Clone)]
pub struct Who {
    /// The name.
    pub name: String,
    /// What it may do.
    pub roles: Vec<Role>,
    /// What forms carry.
    pub csrf: String,
    /// Whether the address waits to be proved.
    pub unconfirmed: bool,
}

impl Who {
    /// Whether it lets devices.
    #[must_use]
    pub fn lets(&self) -> bool {
        self.roles.contains(&Role::Owner)
    }

    /// Whether it rents devices.
    #[must_use]
    pub fn rents(&self) -> bool {
        self.roles.contains(&Role::Renter)
    }

    /// Whether it sees everything.
    #[must_use]
    pub fn audits(&self) -> bool {
        self.roles.contains(&Role::Auditor) || self.operates()
    }

    /// Whether it runs the marketplace.
    #[must_use]
    pub fn operates(&self) -> bool {
        self.roles.contains(&Role::Operator)
    }
}

impl Shell {
    /// What is around a page of this visit.
    #[must_use]
    pub fn new(visit: &Visit, title: String) -> Self {
        let who = visit.visitor.as_ref().map(|visitor| Who {
            name: visitor.name.clone(),
            roles: visitor.caller.roles.clone(),
            csrf: visitor.csrf.clone(),
            unconfirmed: visitor.unconfirmed,
        });
        Self {
            title,
            who,
            notice: visit.notice,
            path: visit.uri.path().to_owned(),
            live: None,
            now: visit.now.unix(),
            style: assets::style(),
            script: assets::script(),
            fresh: visit.fresh,
            showcase: visit.showcase,
            reached: visit.reached,
        }
    }

    /// The same for a page that is told when one of these contracts, devices or settlements changes.
    #[must_use]
    pub fn live(self, of: impl IntoIterator<Item = String>) -> Self {
        let of: Vec<_> = of.into_iter().take(super::live::MAX_SUBJECTS).collect();
        self.listen(&of.join(","))
    }

    fn listen(mut self, of: &str) -> Self {
        let after = self.reached.checked_sub(1).map(|last| format!("&after={last}")).unwrap_or_default();
        self.live = Some(format!("/live?of={of}{after}"));
        self
    }

    /// The same for a page that is told of every event: of operators and auditors.
    #[must_use]
    pub fn live_all(self) -> Self {
        self.listen("all")
    }

    /// What forms carry.
    #[must_use]
    pub fn csrf(&self) -> &str {
        self.who.as_ref().map_or("", |who| &who.csrf)
    }

    /// Marks the part of the site that is shown.
    #[must_use]
    pub fn is_in(&self, part: &str) -> bool {
        self.path == part || self.path.strip_prefix(part).is_some_and(|rest| rest.starts_with('/'))
    }
}

/// A page.
pub fn page(template: &impl Template) -> Response {
    let text = match template.render() {
        Ok(text) => text,
        Err(e) => return Problem::internal(&e).into_response(),
    };
    let mut response = Html(text).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    // What somebody signed in sees, and every form's id, is for one look.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Leads to a page after an action, which tells what came of it.
#[must_use]
pub fn done(path: &str, notice: &str) -> Response {
    debug_assert!(NOTICES.iter().any(|(name, _)| *name == notice), "{notice} is no notice");
    let (path, place) = path.split_once('#').map_or((path, String::new()), |(p, at)| (p, format!("#{at}")));
    Redirect::to(&format!("{path}?done={notice}{place}")).into_response()
}
