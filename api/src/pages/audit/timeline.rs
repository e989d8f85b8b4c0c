//! The timeline of a thing: every event about it, what each came to, and how it stood at any moment.
//!
//! # Correctness
//! What is shown as of a moment is folded from the events up to it and from nothing else.

use askama::Template;
use axum::{extract::State, response::Response};
use domain::{
    event::{Position, Recorded},
    id::{AccountId, ContractId, DeviceId, MarketplaceName, OrderId, OrderKey, SettlementId},
};
use projections::views::MAX_LIMIT;
use serde::Deserialize;

use super::{
    super::{
        failure::Failure,
        page::{Shell, page},
        show::filters,
        visit::Member,
    },
    authorise,
    facts::{self, Facts, Field, Held},
    thing::Thing,
    told::{self, Derived, Told},
};
use crate::{
    app::App,
    error::Problem,
    history::Until,
    http::{
        extract::{Path, Query},
        machine::in_range,
    },
};

/// Events on a page.
pub const SHOWN: usize = 25;

/// Which part, and as of when.
#[derive(Debug, Default, Deserialize)]
pub struct Wanted {
    /// Goes on after this position.
    after: Option<Position>,
    /// A position or a time.
    as_of: Option<String>,
    /// The slider: counts the thing's events, from 1.
    event: Option<usize>,
    /// Given for the first page whatever the moment.
    first: Option<String>,
}

/// The timeline of a thing.
#[derive(Template)]
#[template(path = "audit/timeline.html")]
pub struct TimelinePage {
    /// What is around it.
    pub shell: Shell,
    /// What it is.
    pub kind: &'static str,
    /// Its id.
    pub id: String,
    /// This page.
    pub path: String,
    /// How it stood.
    pub summary: Facts,
    /// What the slider stands at.
    pub slider: Slider,
    /// The events.
    pub events: Vec<Told>,
    /// The query of the first page, when this is another.
    pub first: Option<String>,
    /// The query of the next page.
    pub next: Option<String>,
}

/// The moment that is looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Slider {
    /// How many of the events count.
    pub at: usize,
    /// How many there are.
    pub of: usize,
    /// Whether there are more than the slider reaches.
    pub more: bool,
    /// Whether the moment lies beyond what the slider reaches.
    pub beyond: bool,
    /// The moment as it was asked for; none for now.
    pub as_of: Option<String>,
    /// The last event that counts.
    pub last: Option<Position>,
    /// The event before that.
    pub back: Option<Position>,
    /// The event after that.
    pub forth: Option<Position>,
}

/// Reads events one by one: they lie apart.
///
/// # Errors
/// When the log cannot be read.
pub async fn read(app: &App, positions: &[Position]) -> Result<Vec<Recorded>, Problem> {
    let mut events = Vec::with_capacity(positions.len());
    for position in positions {
        events.extend(app.executor.log().read_all(*position, 1).await?);
    }
    Ok(events)
}

/// How many of these events count.
async fn count(app: &App, all: &[Position], until: Until) -> Result<usize, Problem> {
    Ok(match until {
        Until::End => all.len(),
        Until::Position(last) => all.partition_point(|position| *position <= last),
        Until::Time(_) => {
            let (mut low, mut high) = (0, all.len());
            while low < high {
                let middle = low + (high - low) / 2;
                let event = read(app, &all[middle..=middle]).await?;
                if event.iter().all(|event| until.covers(event)) { low = middle + 1 } else { high = middle }
            }
            low
        }
    })
}

fn query(part: String, as_of: Option<&str>) -> String {
    let as_of = as_of.map(|as_of| format!("&as_of={as_of}")).unwrap_or_default();
    format!("?{part}{as_of}")
}

async fn show(app: &App, member: &Member, thing: Thing, wanted: Wanted) -> Result<Response, Failure> {
    authorise(member)?;
    let all = thing.positions(app, None, MAX_LIMIT).await?;
    if all.is_empty() {
        return Err(Problem::not_found(&thing.kind().to_lowercase()).into());
    }
    let asked = wanted.as_of.as_deref().map(str::trim).filter(|text| !text.is_empty());
    let until = match wanted.event {
        Some(event) if event < all.len() => Until::Position(all[event.max(1) - 1]),
        // What comes beyond the slider has no place on it.
        Some(_) if all.len() == MAX_LIMIT => Until::Position(all[MAX_LIMIT - 1]),
        Some(_) => Until::End,
        None => Until::parse(asked)?,
    };
    let as_of = match until {
        Until::End => None,
        Until::Position(position) => Some(position.to_string()),
        Until::Time(time) => Some(time.to_string()),
    };
    let at = count(app, &all, until).await?;
    let slider = Slider {
        at,
        of: all.len(),
        more: all.len() == MAX_LIMIT,
        beyond: all.len() == MAX_LIMIT && at == all.len() && until.is_after(all[MAX_LIMIT - 1]),
        last: at.checked_sub(1).map(|last| all[last]),
        back: at.checked_sub(2).map(|back| all[back]),
        forth: all.get(at).copied(),
        as_of,
    };
    let here = match until {
        Until::Position(position) if slider.beyond => position.checked_sub(1),
        _ => ((at.max(1) - 1) / SHOWN * SHOWN).checked_sub(1).map(|before| all[before]),
    };
    let after = match in_range(wanted.after) {
        None if slider.as_of.is_some() && wanted.first.is_none() => here,
        after => after,
    };
    let mut positions = thing.positions(app, after, SHOWN + 1).await?;
    let more = positions.len() > SHOWN;
    positions.truncate(SHOWN);
    let events = read(app, &positions).await?;
    let covered: Vec<_> = events.iter().filter(|event| until.covers(event)).cloned().collect();
    let derived = Derived {
        changes: facts::changes(app, &covered).await?,
        entries: told::entries(app, if after < all.last().copied() { &all } else { &positions }).await?,
    };
    let mut summary = facts::as_of(app, &thing, until).await?;
    let held = Held::of(&thing, &all, &derived);
    // What waits in a purse leaves escrow together with others' payouts, which no contract's history holds.
    let held = if in_purse(app, &thing).await? { HeldAfter::default() } else { held };
    summary.extend(slider.last.filter(|_| !slider.beyond).and_then(|last| held.at(last)));
    let names = told::names(app, &events).await?;
    let told = |recorded: &Recorded| {
        let told = told::tell(recorded, &events, &names);
        if !until.covers(recorded) {
            return Told { later: true, ..told };
        }
        let mut told = derived.beside(told);
        if !told.postings.is_empty() {
            told.changed.extend(held.at(told.position));
        }
        told
    };
    let shell = member.shell(format!("{} {}", thing.kind(), thing.id()));
    let shell = match (&thing, &slider.as_of) {
        (Thing::Contract(ContractId(id)) | Thing::Device(DeviceId(id)), None) => shell.live([id.to_string()]),
        _ => shell,
    };
    Ok(page(&TimelinePage {
        shell,
        kind: thing.kind(),
        id: thing.id(),
        path: thing.path(),
        summary,
        events: events.iter().map(told).collect(),
        first: after.map(|_| query("first=yes".to_owned(), slider.as_of.as_deref())),
        next: positions
            .last()
            .filter(|_| more)
            .map(|last| query(format!("after={last}"), slider.as_of.as_deref())),
        slider,
    }))
}

impl Held {
    /// What escrow held for a contract after each of its events.
    fn of(thing: &Thing, all: &[Position], derived: &Derived) -> HeldAfter {
        let mut after = Vec::new();
        if matches!(thing, Thing::Contract(_)) {
            let mut held = Self::default();
            for position in all {
                if let Some(entry) = derived.entries.get(position) {
                    held.add(entry);
                    after.push((*position, held.told()));
                }
            }
        }
        HeldAfter { after, known_to: all.last().copied() }
    }
}

/// Whether a contract's payout was put into a purse.
async fn in_purse(app: &App, thing: &Thing) -> Result<bool, Problem> {
    let Thing::Contract(contract) = thing else { return Ok(false) };
    let Some(row) = app.views.contract(*contract).await? else { return Ok(false) };
    let pays = row.payout.is_some_and(|payout| !payout.is_zero());
    Ok(pays && app.views.settlement(SettlementId::payout(*contract)).await?.is_none())
}

/// What escrow held after each entry.
#[derive(Default)]
struct HeldAfter {
    after: Vec<(Position, String)>,
    known_to: Option<Position>,
}

impl HeldAfter {
    fn at(&self, position: Position) -> Option<Field> {
        if Some(position) > self.known_to {
            return None;
        }
        let count = self.after.partition_point(|(entry, _)| *entry <= position);
        let (_, held) = self.after.get(count.checked_sub(1)?)?;
        Some(Field::new("held in escrow", held))
    }
}

/// A contract's timeline.
pub async fn contract(
    State(app): State<App>,
    member: Member,
    Path(id): Path<ContractId>,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Failure> {
    show(&app, &member, Thing::Contract(id), wanted).await
}

/// A device's timeline.
pub async fn device(
    State(app): State<App>,
    member: Member,
    Path(id): Path<DeviceId>,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Failure> {
    show(&app, &member, Thing::Device(id), wanted).await
}

/// An order's timeline.
pub async fn order(
    State(app): State<App>,
    member: Member,
    Path((marketplace, id)): Path<(MarketplaceName, OrderId)>,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Failure> {
    show(&app, &member, Thing::Order(OrderKey { marketplace, id }), wanted).await
}

/// An account's timeline.
pub async fn account(
    State(app): State<App>,
    member: Member,
    Path(id): Path<AccountId>,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Failure> {
    show(&app, &member, Thing::Account(id), wanted).await
}

/// A settlement's timeline.
pub async fn settlement(
    State(app): State<App>,
    member: Member,
    Path(id): Path<SettlementId>,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Failure> {
    show(&app, &member, Thing::Settlement(id), wanted).await
}
