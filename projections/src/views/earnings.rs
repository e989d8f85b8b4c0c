//! What owners have earned and got, by month and device.
//!
//! # Shape
//! One view of two tables. [`EarningsRow`] holds sums: for each owner, asset and month one row of all devices
//! ([`ALL_DEVICES`]) and one of each device that had a part in it, and the same of all months together ([`Month::ALL`]).
//! [`EarningsOpen`] remembers the device of every contract that is not closed, and of what parts a payout is made that has
//! not arrived.
//!
//! # Correctness
//! - *Earned* is what an event decided to pay the owner, in the month from which it counts. What accrues while a rental
//!   runs is the journal's ([`super::journal`]).
//! - *Paid* is what arrived of it, in the month in which it did. What a purse releases is sent as one; its parts are paid
//!   in the order in which they came into the purse, so when less arrives than was due, the last ones wait for the rest.
//!   Once all has arrived, every device has been paid what it earned, to the minor unit. What arrives beyond that was
//!   never owed and is not counted.
//! - The row of all devices is the sum of the others; all are changed by the same event.

mod month;
mod read;

use std::fmt;

use domain::{
    any::AnyEvent,
    contract::ContractEvent,
    event::Position,
    id::{AccountId, DeviceId, SettlementId},
    key::Digest,
    money::{Asset, Money},
    purse::PurseEvent,
    settlement::{Resolution, SettlementEvent},
};
use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use self::month::Month;
use super::{Envelope, Folder, ViewError, tables};
use crate::db::{Db, Kind};
use crate::rows::{BadColumn, Cache, Column, Row, Rows, Which, column::json, row};

/// Stands for all devices of an owner.
pub const ALL_DEVICES: DeviceId = DeviceId(Uuid::nil());

/// A sum in minor units; never below 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Sum(pub i128);

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Column for Sum {
    const KIND: Kind = Kind::Text;

    fn write(&self) -> ToSqlOutput<'_> {
        ToSqlOutput::Owned(Value::Text(format!("{:039}", self.0)))
    }

    fn read(value: ValueRef<'_>) -> Result<Self, BadColumn> {
        i128::read(value).map(Self)
    }
}

row! {
    /// What an owner got out of a device, or of all, in a month, or in all.
    EarningsRow in "earnings" by (
        /// Who.
        owner: AccountId,
        /// Which device; [`ALL_DEVICES`] for all together.
        device: DeviceId,
        /// In what.
        asset: Asset,
        /// When; [`Month::ALL`] for all months together.
        month: Month,
    ) {
        /// What was decided to be paid, in minor units.
        earned: Sum,
        /// What arrived, in minor units.
        paid: Sum,
        /// Payouts that were decided.
        payouts: u64,
        /// Rentals that were started.
        rentals: u64,
        /// The last event that changed it.
        updated: Position,
    }
}

/// A part of a payout: what a device earned of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    device: DeviceId,
    minor: i128,
}

/// What is remembered of a contract or a payout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OpenEarnings {
    /// A contract, by its device.
    Contract(DeviceId),
    /// A payout, by its owner, its asset and its parts in the order in which they are paid.
    Payout(AccountId, Asset, Vec<Part>),
}
json!(OpenEarnings);

row! {
    /// Something that later events will refer to.
    EarningsOpen in "earnings_open" by (
        /// A contract or a settlement.
        subject: Uuid,
    ) {
        /// What is remembered of it.
        open: OpenEarnings,
    }
}

const DDL: &str = include_str!("../../../migrations/sqlite/views/earnings.sql");
/// The view's tables, its own first.
const TABLES: [&str; 2] = ["earnings", "earnings_open"];
/// The fold's version.
const VERSION: u32 = 1;
/// Rows in memory, of each table.
const CACHED: usize = 65_536;

/// The view.
pub(super) struct Earnings {
    sums: Cache<EarningsRow>,
    open: Cache<EarningsOpen>,
    next: Position,
}

/// What an event adds to an owner's sums.
#[derive(Debug, Clone, Copy, Default)]
struct More {
    earned: i128,
    paid: i128,
    payouts: u64,
    rentals: u64,
}

impl Earnings {
    /// Folds into the tables that are served, or into empty ones that are being built.
    pub(super) fn folder(build: bool) -> Box<dyn Folder> {
        let [sums, open] =
            TABLES.map(|table| if build { format!("{table}{}", tables::BUILD) } else { table.into() });
        Box::new(match build {
            true => Self {
                sums: Cache::of_empty(&sums, CACHED, false),
                open: Cache::of_empty(&open, CACHED, false),
                next: 0,
            },
            false => Self {
                sums: Cache::new(&sums, CACHED, false),
                open: Cache::new(&open, CACHED, false),
                next: 0,
            },
        })
    }

    fn apply(&mut self, db: &Db, event: &Envelope<'_>) -> Result<(), ViewError> {
        match event.event {
            AnyEvent::Contract(e) => self.contract(db, event, e),
            AnyEvent::Purse(PurseEvent::PayoutsReleased(e)) => {
                let mut parts = Vec::new();
                for payout in &e.payouts {
                    if let Some(OpenEarnings::Payout(_, _, part)) = self.take(db, payout.0)? {
                        parts.extend(part);
                    }
                }
                self.keep(db, e.settlement.0, OpenEarnings::Payout(e.owner, e.amount.asset(), parts));
                Ok(())
            }
            AnyEvent::Settlement(
                SettlementEvent::SettlementSettled(domain::settlement::SettlementSettled {
                    movement, ..
                })
                | SettlementEvent::SettlementResolved(domain::settlement::SettlementResolved {
                    resolution: Resolution::Moved { movement },
                    ..
                }),
            ) => self.arrived(db, event, movement.moved),
            _ => Ok(()),
        }
    }

    fn contract(&mut self, db: &Db, event: &Envelope<'_>, happened: &ContractEvent) -> Result<(), ViewError> {
        match happened {
            ContractEvent::RentalStarted(e) => {
                self.keep(db, event.id()?, OpenEarnings::Contract(e.device));
                let more = More { rentals: 1, ..More::default() };
                self.add(db, event, (e.owner, e.device, e.paid.asset()), more)
            }
            ContractEvent::SegmentPayoutIssued(e) => {
                let Some(device) = self.device_of(db, event.id()?)? else { return Ok(()) };
                self.decided(db, event, (e.owner, device), e.settlement, e.amount)
            }
            ContractEvent::PayoutIssued(e) => {
                let Some(device) = self.device_of(db, event.id()?)? else { return Ok(()) };
                self.take(db, event.id()?)?;
                self.decided(db, event, (e.owner, device), e.settlement, e.amount)
            }
            _ => Ok(()),
        }
    }

    /// A payout was decided.
    fn decided(
        &mut self,
        db: &Db,
        event: &Envelope<'_>,
        (owner, device): (AccountId, DeviceId),
        payout: SettlementId,
        amount: Money,
    ) -> Result<(), ViewError> {
        let (asset, minor) = (amount.asset(), amount.minor());
        // Nothing is never sent.
        if minor > 0 {
            self.keep(db, payout.0, OpenEarnings::Payout(owner, asset, vec![Part { device, minor }]));
        }
        let more = More { earned: minor, payouts: 1, ..More::default() };
        self.add(db, event, (owner, device, asset), more)
    }

    /// Money arrived; if it is an owner's, its parts are paid, and what did not arrive waits for the rest.
    fn arrived(&mut self, db: &Db, event: &Envelope<'_>, moved: Money) -> Result<(), ViewError> {
        let settlement: SettlementId = event.id()?;
        let Some(OpenEarnings::Payout(owner, asset, parts)) = self.take(db, settlement.0)? else {
            return Ok(());
        };
        let (mut left, mut rest) = (moved.minor(), Vec::new());
        for Part { device, minor } in parts {
            let paid = minor.min(left);
            left -= paid;
            if paid > 0 {
                self.add(db, event, (owner, device, asset), More { paid, ..More::default() })?;
            }
            if paid < minor {
                rest.push(Part { device, minor: minor - paid });
            }
        }
        if !rest.is_empty() {
            let payout = OpenEarnings::Payout(owner, asset, rest);
            self.keep(db, SettlementId::rest_of(settlement).0, payout);
        }
        Ok(())
    }

    /// Adds to the four rows that an event changes.
    fn add(
        &mut self,
        db: &Db,
        event: &Envelope<'_>,
        (owner, device, asset): (AccountId, DeviceId, Asset),
        more: More,
    ) -> Result<(), ViewError> {
        let updated = event.recorded.position;
        let now = Month::of(event.recorded.event.effective_at);
        let mut rows = Rows::new(&mut self.sums, db);
        for device in [ALL_DEVICES, device] {
            for month in [Month::ALL, now] {
                let zero = Sum::default();
                let new = || EarningsRow {
                    owner,
                    device,
                    asset,
                    month,
                    earned: zero,
                    paid: zero,
                    payouts: 0,
                    rentals: 0,
                    updated,
                };
                rows.edit_or(&(owner, device, asset, month), new, |row| {
                    row.earned.0 += more.earned;
                    row.paid.0 += more.paid;
                    row.payouts += more.payouts;
                    row.rentals += more.rentals;
                    row.updated = updated;
                })?;
            }
        }
        Ok(())
    }

    fn keep(&mut self, db: &Db, subject: Uuid, open: OpenEarnings) {
        Rows::new(&mut self.open, db).put(EarningsOpen { subject, open });
    }

    fn take(&mut self, db: &Db, subject: Uuid) -> Result<Option<OpenEarnings>, ViewError> {
        let mut rows = Rows::new(&mut self.open, db);
        let found = rows.get(&(subject,))?.map(|row| row.open.clone());
        if found.is_some() {
            rows.remove(&(subject,));
        }
        Ok(found)
    }

    fn device_of(&mut self, db: &Db, contract: Uuid) -> Result<Option<DeviceId>, ViewError> {
        let found = Rows::new(&mut self.open, db).get(&(contract,))?.map(|row| row.open.clone());
        Ok(found.and_then(|open| match open {
            OpenEarnings::Contract(device) => Some(device),
            OpenEarnings::Payout(..) => None,
        }))
    }
}

impl Folder for Earnings {
    fn name(&self) -> &'static str {
        TABLES[0]
    }

    fn tables(&self) -> &'static [&'static str] {
        &TABLES
    }

    fn columns(&self) -> Vec<super::folder::Columns> {
        vec![(EarningsRow::KEYS, EarningsRow::COLUMNS), (EarningsOpen::KEYS, EarningsOpen::COLUMNS)]
    }

    fn version(&self) -> u32 {
        VERSION
    }

    fn weight(&self) -> u32 {
        20
    }

    fn ddl(&self) -> &'static str {
        DDL
    }

    fn digest(&self) -> Digest {
        tables::digest(DDL)
    }

    fn next(&self) -> Position {
        self.next
    }

    fn reset(&mut self, next: Position) {
        self.sums.clear();
        self.open.clear();
        self.next = next;
    }

    fn fold(&mut self, db: &Db, event: &Envelope<'_>) -> Result<(), ViewError> {
        if event.recorded.position < self.next {
            return Ok(());
        }
        self.apply(db, event)?;
        self.next = event.recorded.position + 1;
        Ok(())
    }

    fn write(&mut self, db: &Db, which: Which) -> Result<(), ViewError> {
        self.sums.write(db, which)?;
        self.open.write(db, which)
    }
}
