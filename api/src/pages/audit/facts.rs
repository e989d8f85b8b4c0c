//! How things stood after an event: the numbers that nobody wrote down because they follow.

use std::collections::BTreeMap;

use domain::{
    account::Account,
    aggregate::Aggregate,
    contract::{Contract, Rental, Verdict},
    device::Device,
    event::{Position, Recorded, StreamName},
    money::{Asset, Signed},
    order::{Fate, Order},
    settlement::{Settlement, Status},
};

pub use super::fields::Field;
use super::{super::show, thing::Thing};
use crate::{
    app::App,
    error::Problem,
    history::{Until, replay},
    http::history,
    settling,
};

/// How something stood.
pub type Facts = Vec<Field>;

/// What events changed, by position.
pub type Changes = BTreeMap<Position, Facts>;

/// A state that can be told in facts.
trait Told {
    fn facts(&self) -> Facts;
}

/// How a thing stood at a moment.
///
/// # Errors
/// When the log cannot be read.
pub async fn as_of(app: &App, thing: &Thing, until: Until) -> Result<Facts, Problem> {
    async fn last<A: Aggregate + Told>(app: &App, thing: &Thing, until: Until) -> Result<Facts, Problem> {
        Ok(replay::<A>(app, &thing.stream(), until, |_, _| {}).await?.facts())
    }
    match thing {
        Thing::Contract(_) => last::<Contract>(app, thing, until).await,
        Thing::Device(_) => last::<Device>(app, thing, until).await,
        Thing::Order(_) => last::<Order>(app, thing, until).await,
        Thing::Account(_) => last::<Account>(app, thing, until).await,
        Thing::Settlement(_) => last::<Settlement>(app, thing, until).await,
    }
}

/// What each of these events changed in the thing that its stream is of.
///
/// # Errors
/// When the log cannot be read.
pub async fn changes(app: &App, events: &[Recorded]) -> Result<Changes, Problem> {
    let mut streams: BTreeMap<&StreamName, Position> = BTreeMap::new();
    for recorded in events {
        streams.insert(&recorded.stream, recorded.position);
    }
    let mut changes = Changes::new();
    for (stream, last) in streams {
        let until = Until::Position(last);
        match Thing::of_stream(stream) {
            Some(Thing::Contract(_)) => changed::<Contract>(app, stream, until, &mut changes).await?,
            Some(Thing::Device(_)) => changed::<Device>(app, stream, until, &mut changes).await?,
            Some(Thing::Order(_)) => changed::<Order>(app, stream, until, &mut changes).await?,
            Some(Thing::Account(_)) => changed::<Account>(app, stream, until, &mut changes).await?,
            Some(Thing::Settlement(_)) => changed::<Settlement>(app, stream, until, &mut changes).await?,
            None => {}
        }
    }
    let shown: Vec<_> = events.iter().map(|recorded| recorded.position).collect();
    changes.retain(|position, _| shown.contains(position));
    Ok(changes)
}

async fn changed<A: Aggregate + Told>(
    app: &App,
    stream: &StreamName,
    until: Until,
    changes: &mut Changes,
) -> Result<(), Problem> {
    let mut before = Facts::new();
    let note = |recorded: Recorded, state: &A| {
        let after = state.facts();
        let new = after.iter().filter(|fact| !before.contains(fact)).cloned().collect();
        changes.insert(recorded.position, new);
        before = after;
    };
    replay::<A>(app, stream, until, note).await.map(|_| ())
}

impl Told for Contract {
    fn facts(&self) -> Facts {
        let Some(rental) = self.rental() else {
            let state = if self.is_closed() { "closed, never rented" } else { "open, not rented" };
            return vec![Field::new("state", state)];
        };
        let asset = rental.started.paid.asset();
        let money = |minor| Signed { minor, asset };
        let paid = rental.segments.iter().map(|segment| segment.paid.minor()).sum();
        let state = match (&rental.ended, rental.paid_out) {
            (None, _) => "running",
            (Some(_), false) => "ended",
            (Some(_), true) => "ended, payout issued",
        };
        let mut facts = vec![
            Field::new("state", state),
            Field::new("end of the paid time", show::when(rental.until())),
            Field::new("segments", rental.segments.len()),
            Field::new("paid", with_asset(money(paid))),
            Field::new("refunded", with_asset(money(refunded(rental)))),
        ];
        if let Some(pending) = rental.pending.as_ref().filter(|_| rental.ended.is_none()) {
            let until = show::when(pending.lapses_at);
            let wanted = format!("{} for {}, until {until}", show::span(pending.term_s), pending.price);
            facts.push(Field::new("extension that waits to be paid", wanted));
        }
        if let Some(ended) = &rental.ended {
            let by = format!("{:?}", ended.by);
            facts.push(Field::new("ended by", super::fields::title(&by).to_lowercase()));
            facts.push(Field::new("money is split at", show::when(ended.at)));
        }
        if let Some(split) = history::split(rental) {
            facts.push(Field::new("to the owner", split.owner));
            facts.push(Field::new("fee", split.fee));
        }
        let disputed =
            rental.segments.iter().filter(|s| matches!(s.verdict, Verdict::Disputed { .. })).count();
        if disputed > 0 {
            facts.push(Field::new("disputed segments", disputed));
        }
        facts
    }
}

/// Minor units with the asset's name.
pub fn with_asset(money: Signed) -> String {
    format!("{money} {}", money.asset)
}

/// What goes back to the renter, as far as that is decided.
fn refunded(rental: &Rental) -> i128 {
    let part = |segment: &domain::contract::Segment| match segment.verdict {
        Verdict::Pending => rental.refunded_by_end(segment),
        Verdict::Closed(split) => split.refund,
        Verdict::Disputed { refunded, .. } => refunded,
        Verdict::Decided(division) => division.gone + division.renter,
    };
    rental.segments.iter().map(part).sum()
}

impl Told for Device {
    fn facts(&self) -> Facts {
        let mut facts = Facts::new();
        if let Some(owner) = self.owner() {
            facts.push(Field::of("owner", &Thing::Account(owner)));
        }
        if let Some(lease) = self.lease() {
            let granted = &lease.granted;
            facts.push(Field::new("epoch", granted.epoch));
            let state = match (&lease.ended, lease.erased) {
                (None, _) => "runs",
                (Some(_), false) => "ended, not erased",
                (Some(_), true) => "ended, erased",
            };
            facts.push(Field::new("lease", state));
            facts.push(Field::new("port", format!("{} at {}", granted.port, granted.gateway)));
        }
        let lost = self.lost().map(|lost| {
            format!("since {}, given up at {}", show::when(lost.last_seen), show::when(lost.give_up_at))
        });
        facts.push(Field::new("lost", lost.unwrap_or_else(|| "no".to_owned())));
        facts.push(Field::new("on the market", if self.offer().is_some() { "yes" } else { "no" }));
        if self.is_retired() {
            facts.push(Field::new("out of service", "yes"));
        }
        facts
    }
}

impl Told for Order {
    fn facts(&self) -> Facts {
        let Some(received) = self.received() else { return Facts::new() };
        let mut facts = vec![Field::new("paid", received.paid)];
        match self.fate() {
            None => facts.push(Field::new("status", "received")),
            Some(Fate::Accepted(accepted)) => {
                facts.push(Field::new("status", "accepted"));
                facts.push(Field::of("contract", &Thing::Contract(accepted.contract)));
            }
            Some(Fate::Rejected(rejected)) => {
                facts.push(Field::new("status", format!("refused: {}", rejected.reason)));
                facts.push(Field::of("refund", &Thing::Settlement(rejected.settlement)));
            }
        }
        facts
    }
}

impl Told for Settlement {
    fn facts(&self) -> Facts {
        let Some(due) = self.due() else { return Facts::new() };
        let mut facts = vec![
            Field::new("status", self.status().name()),
            Field::new("due", due.amount),
            Field::new("tries", self.attempt()),
        ];
        match self.status() {
            Status::Started(method) => facts.push(Field::new("method", settling::shown(method.clone()))),
            Status::Settled(movement) => {
                facts.push(Field::new("moved", movement.moved));
                if let Some(fee) = movement.network_fee {
                    facts.push(Field::new("network fee", fee));
                }
                facts.push(Field::new("reference", &movement.reference));
            }
            Status::Failed(why) | Status::Quarantined(why) => facts.push(Field::new("why", why)),
            Status::None | Status::Due | Status::Withdrawn => {}
        }
        facts
    }
}

impl Told for Account {
    fn facts(&self) -> Facts {
        let roles: Vec<_> = self.roles().iter().map(|role| role.as_str()).collect();
        let roles = if roles.is_empty() { "none".to_owned() } else { roles.join(", ") };
        vec![Field::new("roles", roles)]
    }
}

/// What stands between what was received and what has left escrow, per asset.
#[derive(Debug, Default)]
pub struct Held(BTreeMap<Asset, i128>);

impl Held {
    /// Adds an entry of the journal.
    pub fn add(&mut self, postings: &[domain::journal::Posting]) {
        for posting in postings.iter().filter(|posting| posting.account.is_liability()) {
            *self.0.entry(posting.asset).or_default() -= posting.minor;
        }
    }

    /// The amounts, in words.
    #[must_use]
    pub fn told(&self) -> String {
        let amounts: Vec<_> =
            self.0.iter().map(|(asset, minor)| with_asset(Signed { minor: *minor, asset: *asset })).collect();
        amounts.join(", ")
    }
}
