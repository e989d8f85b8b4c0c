//! How a device is, in words.

use domain::{
    offer::{Offer, Unit},
    time::{Seconds, Time},
};
use projections::views::devices::DeviceRow;

use crate::app::App;

/// What a device is there for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It has no lease yet, or not again.
    Waiting,
    /// It has a lease, and is not on the market.
    Unlisted,
    /// It can be rented.
    Listed,
    /// It is rented.
    Let,
    /// Its lease has ended and its data is not proved to be erased.
    Erasing,
    /// It is out of service.
    Retired,
}

/// Whether a leased device is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// It was heard of within a poll, or its tunnel is up.
    Connected,
    /// It was not heard of for longer than a poll.
    Delayed,
    /// It was not heard of for so long that it counts as lost.
    Lost,
}

/// A state in words, with its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    /// The words.
    pub word: &'static str,
    /// The class of the colour; it says nothing that the words do not.
    pub class: &'static str,
}

impl From<Standing> for State {
    fn from(standing: Standing) -> Self {
        let (word, class) = match standing {
            Standing::Waiting => ("waiting to register", "warn"),
            Standing::Unlisted => ("not on the market", ""),
            Standing::Listed => ("listed", "good"),
            Standing::Let => ("let", "good"),
            Standing::Erasing => ("erasing", "warn"),
            Standing::Retired => ("retired", ""),
        };
        Self { word, class }
    }
}

impl From<Presence> for State {
    fn from(presence: Presence) -> Self {
        let (word, class) = match presence {
            Presence::Connected => ("connected", "good"),
            Presence::Delayed => ("delayed", "warn"),
            Presence::Lost => ("lost", "bad"),
        };
        Self { word, class }
    }
}

/// What a device is there for.
#[must_use]
pub fn standing(row: &DeviceRow) -> Standing {
    match (row.is_leased(), row.granted_at) {
        (true, _) if row.is_let => Standing::Let,
        (true, _) if row.retired_at.is_some() => Standing::Retired,
        (true, _) if row.offer.is_some() => Standing::Listed,
        (true, _) => Standing::Unlisted,
        (false, Some(_)) if row.erased_at.is_none() => Standing::Erasing,
        (false, _) if row.retired_at.is_some() => Standing::Retired,
        (false, _) => Standing::Waiting,
    }
}

/// Whether a leased device is there; `None` of one without a lease.
#[must_use]
pub fn presence(
    row: &DeviceRow,
    heard: Option<Time>,
    tunnel_up: bool,
    now: Time,
    late_after_s: Seconds,
) -> Option<Presence> {
    let in_time = || heard.is_some_and(|heard| now.since(heard) <= late_after_s);
    row.is_leased().then(|| match row.lost_since {
        Some(_) => Presence::Lost,
        None if tunnel_up || in_time() => Presence::Connected,
        None => Presence::Delayed,
    })
}

/// The state of a device, its presence first.
#[must_use]
pub fn states(app: &App, row: &DeviceRow, heard: Option<Time>) -> Vec<State> {
    let tunnel = app.gateways.tunnel(row.device, row.epoch);
    let up = tunnel.is_some_and(|tunnel| tunnel.heard_s_ago.is_some());
    // A device takes its time between two polls, and the polls take theirs.
    let late_after_s = i64::from(app.config.devices.poll_s()) * 3 / 2 + 2;
    let presence = presence(row, heard, up, app.clock.time(), late_after_s).map(State::from);
    presence.into_iter().chain([standing(row).into()]).collect()
}

/// A unit of time after "an" or "a".
#[must_use]
pub const fn per(unit: Unit) -> &'static str {
    match unit {
        Unit::Hour => "an hour",
        Unit::Day => "a day",
        Unit::Week => "a week",
        Unit::Month => "a month",
    }
}

/// What is asked, in one line.
#[must_use]
pub fn rates(offer: &Offer) -> String {
    let rates: Vec<_> = offer.rates.iter().map(|rate| format!("{} {}", rate.price, per(rate.per))).collect();
    rates.join(", ")
}
