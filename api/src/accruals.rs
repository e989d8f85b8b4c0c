//! What running rentals have earned so far.
//!
//! # Correctness
//! An amount is what the owner would get if the paid time were over now: the same code, over the same segments, outages
//! and terms, as the rental's end. Nothing of it is decided before that.

use domain::{
    contract::{Contract, Ended, Rental},
    device::Device,
    id::ContractId,
    money::{Asset, Money},
    policy::EndedBy,
    time::{Interval, Time},
};
use futures_util::{StreamExt, TryStreamExt, stream};

use crate::{app::App, error::Problem};

/// Rentals that are looked at together.
const AT_ONCE: usize = 16;

/// What an owner has earned so far of something that runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accrual {
    /// Of what.
    pub asset: Asset,
    /// So far, in minor units.
    pub minor: i128,
    /// At the end of the segment that runs, in minor units.
    pub most: i128,
    /// Millionths of a minor unit more each second until then.
    pub rate: i128,
}

impl Accrual {
    /// Nothing.
    #[must_use]
    pub const fn zero(asset: Asset) -> Self {
        Self { asset, minor: 0, most: 0, rate: 0 }
    }

    /// Of a rental at `now`, while it runs; `lost` is whether its device is offline.
    #[must_use]
    pub fn of(contract: ContractId, rental: &Rental, offline: &[Interval], lost: bool, now: Time) -> Self {
        let owner = |at: Time| {
            let ended = Ended { by: EndedBy::Term, at, offline: offline.to_vec() };
            rental.payout(contract, &ended).amount
        };
        let so_far = owner(now.min(rental.until()));
        let (asset, minor) = (so_far.asset(), so_far.minor());
        let runs = rental.segments.iter().map(|segment| segment.term).find(|term| now < term.end);
        let (most, left) = match runs.filter(|_| !lost) {
            Some(term) => (owner(term.end).minor(), term.end.since(now)),
            None => (minor, 0),
        };
        Self { asset, minor, most, rate: (most - minor) * 1_000_000 / i128::from(left.max(1)) }
    }

    /// Both together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        let (minor, most) = (self.minor + other.minor, self.most + other.most);
        Self { asset: self.asset, minor, most, rate: self.rate + other.rate }
    }

    /// Minor units more each second, as a decimal number.
    #[must_use]
    pub fn per_second(&self) -> String {
        format!("{}.{:06}", self.rate / 1_000_000, self.rate % 1_000_000)
    }

    /// Whether a browser can count it up: its numbers are exact up to 2⁵³.
    #[must_use]
    pub const fn ticks(&self) -> bool {
        self.rate > 0 && self.most < 1 << 53
    }

    /// The amount so far.
    #[must_use]
    pub fn amount(&self) -> Money {
        Money::from_minor(self.minor, self.asset).unwrap_or(Money::zero(self.asset))
    }
}

/// What a rental has earned its owner so far; `None` when it does not run.
///
/// # Errors
/// When the log cannot be read.
pub async fn accrual(app: &App, contract: ContractId) -> Result<Option<Accrual>, Problem> {
    let state = app.executor.load::<Contract>(&contract).await?.state;
    let now = app.clock.time();
    let Some(rental) = state.rental().filter(|rental| rental.ended.is_none()) else { return Ok(None) };
    let device = app.executor.load::<Device>(&rental.started.device).await?.state;
    let offline = device.outages(rental.started.epoch, now);
    Ok(Some(Accrual::of(contract, rental, &offline, device.lost().is_some(), now)))
}

/// As [`accrual`], of several, in their order.
///
/// # Errors
/// When the log cannot be read.
pub async fn accruals(app: &App, contracts: Vec<ContractId>) -> Result<Vec<Option<Accrual>>, Problem> {
    stream::iter(contracts).map(|contract| accrual(app, contract)).buffered(AT_ONCE).try_collect().await
}

/// How long a rental's device was there for its renter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Uptime {
    /// Seconds that have run.
    pub ran_s: i64,
    /// Seconds of them in which the device was offline: they are not paid.
    pub offline_s: i64,
    /// Outages.
    pub outages: usize,
}

impl Uptime {
    /// Of a rental until `now`, by the outages that its end has recorded, or else by its device's.
    #[must_use]
    pub fn of(rental: &Rental, device: &Device, now: Time) -> Self {
        let started = &rental.started;
        let (end, offline) = match &rental.ended {
            Some(ended) => (ended.at, ended.offline.clone()),
            None => (now.min(rental.until()), device.outages(started.epoch, now)),
        };
        let window = Interval::new(started.segment.start, end);
        let outages = domain::prorate::union(&offline, window);
        let offline_s = outages.iter().map(|outage| outage.len()).sum();
        Self { ran_s: window.len(), offline_s, outages: outages.len() }
    }

    /// The share of the time in which it was there, in millionths.
    #[must_use]
    pub fn ppm(&self) -> u32 {
        let (up, ran) = (i128::from(self.ran_s - self.offline_s), i128::from(self.ran_s.max(1)));
        if self.ran_s == 0 { 1_000_000 } else { u32::try_from(up * 1_000_000 / ran).unwrap_or(0) }
    }
}

/// The uptime of each of some rentals of one device, in their order.
///
/// # Errors
/// When the log cannot be read.
pub async fn uptimes(app: &App, device: &Device, contracts: Vec<ContractId>) -> Result<Vec<Uptime>, Problem> {
    let now = app.clock.time();
    let uptime = async |contract: ContractId| {
        let state = app.executor.load::<Contract>(&contract).await?.state;
        let none = Uptime { ran_s: 0, offline_s: 0, outages: 0 };
        Ok::<_, Problem>(state.rental().map_or(none, |rental| Uptime::of(rental, device, now)))
    };
    stream::iter(contracts).map(uptime).buffered(AT_ONCE).try_collect().await
}
