//! What every form of the journal is told, in which order.

use std::{borrow::Cow, collections::BTreeSet, io};

use domain::{
    event::{Position, StreamName},
    id::EventId,
    journal::{Account, Posting},
    money::{Asset, Signed},
    time::Time,
};

/// What the journal is of.
#[derive(Debug, Clone)]
pub struct About {
    /// The last event that is in it; `None` of an empty log.
    pub position: Option<Position>,
    /// That event's id: an export is of one log and no other.
    pub last: Option<EventId>,
    /// Until when served time is accrued, if it is.
    pub accrued_until: Option<Time>,
    /// Every asset in it.
    pub assets: BTreeSet<Asset>,
}

/// An entry.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The day it is booked on: that of its event's writing, or of the entry before when that is later.
    pub day: Day,
    /// The event; `None` of an accrual.
    pub position: Option<Position>,
    /// The event's name, or what is accrued.
    pub kind: Cow<'static, str>,
    /// The event's stream, or the contract's.
    pub stream: StreamName,
    /// When the event was written down; when it is accrued.
    pub recorded_at: Time,
    /// When it counts from.
    pub effective_at: Time,
    /// Debits are positive.
    pub postings: Vec<Posting>,
}

/// A day, as `2026-11-22`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day(Time);

impl Day {
    /// The day of a time.
    pub const fn of(time: Time) -> Self {
        Self(time)
    }

    /// The day after.
    pub const fn next(self) -> Self {
        Self(self.0.plus(86_400))
    }
}

impl std::fmt::Display for Day {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.to_string()[..10])
    }
}

/// A form of the journal. Its methods are called in the order in which they stand here.
pub trait Form {
    /// What comes first.
    fn begin(&mut self, about: &About, out: &mut dyn io::Write) -> io::Result<()>;

    /// Declares an account; all of them come before the entries.
    fn account(&mut self, account: &Account, out: &mut dyn io::Write) -> io::Result<()>;

    /// An entry, in the order of the log.
    fn entry(&mut self, entry: &Entry, out: &mut dyn io::Write) -> io::Result<()>;

    /// What an account must hold after the last entry, which was booked on `day`.
    fn balance(
        &mut self,
        day: Day,
        account: &Account,
        holds: Signed,
        out: &mut dyn io::Write,
    ) -> io::Result<()>;
}

/// Writes an entry's postings, each on a line of its own. Two spaces part account and amount: hledger and ledger take one
/// for a part of the name.
pub fn postings(entry: &Entry, indent: &str, out: &mut dyn io::Write) -> io::Result<()> {
    entry.postings.iter().try_for_each(|Posting { account, minor, asset }| {
        let amount = Signed { minor: *minor, asset: *asset };
        writeln!(out, "{indent}{account}  {amount} {asset}")
    })
}

/// What an account holds nothing of.
pub const fn nothing(asset: Asset) -> Signed {
    Signed { minor: 0, asset }
}

/// How an export says what it is of.
pub fn title(about: &About) -> String {
    let position = about.position.map_or_else(|| "none".into(), |position| position.to_string());
    let last = about.last.map_or_else(|| "none".into(), |last| last.to_string());
    let until = about.accrued_until.map(|until| format!(", accrued until {until}")).unwrap_or_default();
    format!("position {position}, event {last}{until}")
}
