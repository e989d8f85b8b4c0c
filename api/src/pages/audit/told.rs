//! An event as people read it: what happened, who did it, when, why, and what it came to.

use std::collections::HashMap;

use domain::{
    event::{Actor, Position, Recorded},
    id::{AccountId, EventId},
    journal::Posting,
    money::Signed,
    time::Time,
};
use uuid::Uuid;

use super::{
    facts::{Changes, Facts, with_asset},
    fields::{self, Field},
    thing::Thing,
};
use crate::{app::App, error::Problem};

/// A debit or a credit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostingLine {
    /// The journal's account.
    pub account: String,
    /// What is debited.
    pub debit: Option<String>,
    /// What is credited.
    pub credit: Option<String>,
}

impl From<&Posting> for PostingLine {
    fn from(posting: &Posting) -> Self {
        let amount = with_asset(Signed { minor: posting.minor.abs(), asset: posting.asset });
        let (debit, credit) = if posting.minor < 0 { (None, Some(amount)) } else { (Some(amount), None) };
        Self { account: posting.account.to_string(), debit, credit }
    }
}

/// A name that may lead somewhere.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Named {
    /// What it is called.
    pub text: String,
    /// Its page.
    pub href: Option<String>,
}

/// An event.
#[derive(Debug, Clone)]
pub struct Told {
    /// Its place in the log.
    pub position: Position,
    /// What happened, in words.
    pub title: String,
    /// Its name.
    pub kind: String,
    /// Its stream.
    pub stream: Named,
    /// When it was written down.
    pub recorded_at: Time,
    /// When it counts from.
    pub effective_at: Time,
    /// Who did it.
    pub who: Named,
    /// For whom.
    pub behalf: Option<Named>,
    /// The command.
    pub command: Uuid,
    /// The request or moment that everything goes back to.
    pub correlation: Uuid,
    /// The event that caused it.
    pub cause: Option<Named>,
    /// What it says.
    pub fields: Vec<Field>,
    /// Whether it says more than that.
    pub more: bool,
    /// What it changed.
    pub changed: Facts,
    /// What it means in double entry.
    pub postings: Vec<PostingLine>,
    /// Whether it came after the moment that is looked at.
    pub later: bool,
}

/// Names of the accounts behind some events.
pub type Names = HashMap<AccountId, String>;

/// Looks up who acted, or was acted for, as far as they are known.
///
/// # Errors
/// When the private store fails.
pub async fn names(app: &App, events: &[Recorded]) -> Result<Names, Problem> {
    let mut ids = Vec::new();
    for recorded in events {
        let meta = &recorded.event.meta;
        if let Actor::Account(account) = meta.actor {
            ids.push(account);
        }
        ids.extend(meta.on_behalf_of);
    }
    ids.sort_unstable();
    ids.dedup();
    Ok(app.private.account_names(&ids).await?)
}

/// An account by its name, if it still has one, and its number.
pub fn account(id: AccountId, names: &Names) -> Named {
    let text = names.get(&id).map_or_else(|| format!("account {id}"), |name| format!("{name} ({id})"));
    Named { text, href: Some(Thing::Account(id).path()) }
}

fn who(actor: &Actor, names: &Names) -> Named {
    match actor {
        Actor::Account(id) => account(*id, names),
        Actor::Device(id) => Named { text: format!("device {id}"), href: Some(Thing::Device(*id).path()) },
        Actor::System(_) => {
            let text = actor.to_string();
            Named { text: format!("the {}", text.trim_start_matches("system:")), href: None }
        }
    }
}

/// Where the event with an id is, if it is among these.
fn cause(id: EventId, near: &[Recorded]) -> Named {
    let found = near.iter().find(|recorded| recorded.event.id == id);
    match found {
        Some(found) => Named {
            text: format!("{} (#{})", fields::title(&found.event.kind), found.position),
            href: Some(format!("/audit/events/{}", found.position)),
        },
        None => Named { text: format!("event {id}"), href: Some(format!("/audit/find?what={id}")) },
    }
}

/// Tells an event; `near` are events in which its cause is looked for.
#[must_use]
pub fn tell(recorded: &Recorded, near: &[Recorded], names: &Names) -> Told {
    let event = &recorded.event;
    let (fields, more) = fields::of(recorded);
    let href = Thing::of_stream(&recorded.stream).map(|thing| thing.path());
    Told {
        position: recorded.position,
        title: fields::title(&event.kind),
        kind: event.kind.clone(),
        stream: Named { text: recorded.stream.to_string(), href },
        recorded_at: Time::from_unix(event.recorded_at.timestamp()),
        effective_at: event.effective_at,
        who: who(&event.meta.actor, names),
        behalf: event.meta.on_behalf_of.map(|id| account(id, names)),
        command: event.meta.command_id.0,
        correlation: event.meta.correlation_id.0,
        cause: event.meta.causation_id.map(|id| cause(id, near)),
        fields,
        more,
        changed: Facts::new(),
        postings: Vec::new(),
        later: false,
    }
}

/// What events changed and what they mean in double entry.
#[derive(Debug, Default)]
pub struct Derived {
    /// What they changed.
    pub changes: Changes,
    /// Their entries.
    pub entries: HashMap<Position, Vec<Posting>>,
}

impl Derived {
    /// Puts beside an event what follows from it.
    #[must_use]
    pub fn beside(&self, told: Told) -> Told {
        let changed = self.changes.get(&told.position).cloned().unwrap_or_default();
        let postings = self.entries.get(&told.position).map(|entry| entry.iter().map(Into::into).collect());
        Told { changed, postings: postings.unwrap_or_default(), ..told }
    }
}

/// The entries of some events.
///
/// # Errors
/// When the views cannot be read.
pub async fn entries(app: &App, of: &[Position]) -> Result<HashMap<Position, Vec<Posting>>, Problem> {
    let rows = app.views.entries_of(of).await?;
    Ok(rows.into_iter().map(|row| (row.position, row.postings)).collect())
}
