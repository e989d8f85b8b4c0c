//! The market: which devices can be rented now, and what for.

mod search;
mod words;

use domain::{
    any::AnyEvent,
    contract::ContractEvent,
    device::DeviceEvent,
    event::Position,
    id::{AccountId, DeviceId, Epoch},
    money::{Asset, MAX_MINOR, Money},
    offer::{Hardware, MAX_TERM_S, Offer, Unit},
    time::{Seconds, Time},
};

pub use self::search::{Cursor, InvalidCursor, MarketFilter, MarketSort};
use super::{Envelope, View, ViewError, devices::uptime_ppm};
use crate::rows::{Rows, row};

/// The hours that [`MarketRow::price_key`] is for: 210 days are whole hours, days, weeks and months.
pub const PRICE_HOURS: i128 = 5_040;

row! {
    /// A device in service.
    MarketRow in "market" by (
        /// Which.
        device: DeviceId,
    ) {
        /// The event that last put it on the market.
        position: Position,
        /// The last event that changed the row.
        updated: Position,
        /// Whose it is.
        owner: AccountId,
        /// Its lease.
        epoch: Epoch,
        /// Whether it can be rented now.
        open: bool,
        /// Whether it holds a lease.
        leased: bool,
        /// Whether this lease was let, or closed unrented.
        taken: bool,
        /// When it was last heard of, while it is lost.
        lost_since: Option<Time>,
        /// When it was first leased.
        first_leased_at: Option<Time>,
        /// Seconds it was lost while leased.
        lost_total_s: Seconds,
        /// Share of the time since the first lease in which it was not lost, in millionths, as of the last change.
        uptime_ppm: u32,
        /// What is asked.
        offer: Option<Offer>,
        /// What it says it is.
        hardware: Option<Hardware>,
        /// The offer's asset.
        asset: Option<Asset>,
        /// The cheapest rate in minor units for [`PRICE_HOURS`], exact, 32 digits with leading zeros.
        price_key: String,
        /// What an hour costs by the offer's own rules, its limits aside: minor units in the form of the key above.
        hour_key: String,
        /// What a day costs.
        day_key: String,
        /// What a week costs.
        week_key: String,
        /// What a month costs.
        month_key: String,
        /// Memory in MiB.
        memory_mib: u64,
        /// Storage in MiB.
        disk_mib: u64,
        /// Processor cores.
        cores: u32,
        /// Measured bandwidth in kbit/s; 0 while nobody has measured it.
        bandwidth_kbit_s: u64,
        /// Where it stands, as the owner says.
        place: Option<String>,
        /// Its title.
        title: String,
        /// The processor's name in small letters.
        processor: String,
        /// Title, place and processor in small letters.
        words: String,
        /// Which pieces the words have.
        pieces_a: u64,
        /// Which others.
        pieces_b: u64,
    }
}

/// The sortable price of an offer: its cheapest rate for [`PRICE_HOURS`] hours.
#[must_use]
pub fn price_key(offer: &Offer) -> String {
    let hours = |rate: &domain::offer::Rate| PRICE_HOURS * 3_600 / i128::from(rate.per.seconds());
    let cheapest = offer.rates.iter().map(|rate| rate.price.minor() * hours(rate)).min();
    written(cheapest.unwrap_or(0))
}

/// The sortable form of a price per hour.
#[must_use]
pub fn hourly_key(price: Money) -> String {
    written(price.minor() * PRICE_HOURS)
}

/// The highest sortable price of an offer that costs at most `price` for a unit of time.
fn unit_rate_key(unit: Unit, price: Money) -> String {
    written(price.minor().saturating_mul(PRICE_HOURS * 3_600 / i128::from(unit.seconds())))
}

/// The sortable form of what a unit of time costs by an offer's own rules. Its term limits do not count: they say how
/// long one may rent, not what it costs.
#[must_use]
pub fn unit_key(offer: &Offer, unit: Unit) -> String {
    let unlimited = Offer { min_term_s: 1, max_term_s: MAX_TERM_S, ..offer.clone() };
    written(unlimited.price(unit.seconds()).map_or(MAX_MINOR, Money::minor))
}

fn written(minor: i128) -> String {
    format!("{minor:032}")
}

impl MarketRow {
    /// The cheapest rate for an hour, rounded up to a minor unit.
    #[must_use]
    pub fn price_per_hour(&self) -> Option<Money> {
        let minor: i128 = self.price_key.parse().ok()?;
        Money::from_minor((minor + PRICE_HOURS - 1) / PRICE_HOURS, self.asset?).ok()
    }

    /// What a unit of time costs by the offer's own rules, rounded up to a minor unit.
    #[must_use]
    pub fn price_for(&self, unit: Unit) -> Option<Money> {
        Money::from_minor(self.unit_key(unit).parse().ok()?, self.asset?).ok()
    }

    const fn unit_key(&self, unit: Unit) -> &String {
        match unit {
            Unit::Hour => &self.hour_key,
            Unit::Day => &self.day_key,
            Unit::Week => &self.week_key,
            Unit::Month => &self.month_key,
        }
    }

    fn new(device: DeviceId, owner: AccountId, position: Position) -> Self {
        Self {
            device,
            position,
            updated: position,
            owner,
            epoch: 0,
            open: false,
            leased: false,
            taken: false,
            lost_since: None,
            first_leased_at: None,
            lost_total_s: 0,
            uptime_ppm: 0,
            offer: None,
            hardware: None,
            asset: None,
            price_key: written(0),
            hour_key: written(0),
            day_key: written(0),
            week_key: written(0),
            month_key: written(0),
            memory_mib: 0,
            disk_mib: 0,
            cores: 0,
            bandwidth_kbit_s: 0,
            place: None,
            title: String::new(),
            processor: String::new(),
            words: String::new(),
            pieces_a: 0,
            pieces_b: 0,
        }
    }

    fn ask(&mut self, offer: Option<&Offer>) {
        self.offer = offer.cloned();
        self.asset = offer.and_then(Offer::asset);
        self.price_key = offer.map_or_else(|| written(0), price_key);
        let key = |unit| offer.map_or_else(|| written(0), |offer| unit_key(offer, unit));
        (self.hour_key, self.day_key) = (key(Unit::Hour), key(Unit::Day));
        (self.week_key, self.month_key) = (key(Unit::Week), key(Unit::Month));
        self.place = offer.and_then(|offer| offer.place.clone());
        self.title = offer.map(|offer| offer.title.clone()).unwrap_or_default();
        self.spell();
    }

    fn measure(&mut self, hardware: &Hardware) {
        self.hardware = Some(hardware.clone());
        (self.memory_mib, self.disk_mib, self.cores) =
            (hardware.memory_mib, hardware.disk_mib, hardware.cores);
        self.bandwidth_kbit_s = hardware.bandwidth_kbit_s.unwrap_or(0);
        self.spell();
    }

    /// Writes down what texts are looked for in.
    fn spell(&mut self) {
        let processor = self.hardware.as_ref().map(|hardware| words::small(&hardware.processor));
        self.processor = processor.unwrap_or_default();
        let place = self.place.as_deref().unwrap_or_default();
        self.words = words::small(&format!("{}\n{place}\n{}", self.title, self.processor));
        (self.pieces_a, self.pieces_b) = words::pieces(&self.words);
    }

    fn found(&mut self, at: Time) {
        if let Some(since) = self.lost_since.take() {
            self.lost_total_s += at.since(since).max(0);
        }
    }

    fn device_event(&mut self, event: &DeviceEvent, at: Time) {
        match event {
            DeviceEvent::OfferPublished(e) => self.ask(Some(&e.offer)),
            DeviceEvent::OfferWithdrawn(_) => self.ask(None),
            DeviceEvent::LeaseGranted(e) => {
                (self.epoch, self.leased, self.taken, self.lost_since) = (e.epoch, true, false, None);
                self.first_leased_at = self.first_leased_at.or(Some(at));
                self.measure(&e.hardware);
            }
            DeviceEvent::DeviceLost(e) => self.lost_since = Some(e.last_seen),
            DeviceEvent::DeviceRecovered(e) => self.found(e.seen_at),
            DeviceEvent::LeaseEnded(_) => {
                self.found(at);
                self.leased = false;
            }
            DeviceEvent::DeviceTransferred(e) => {
                self.owner = e.to;
                self.ask(None);
            }
            _ => {}
        }
    }

    /// Decides whether it can be rented after an event.
    fn settle(&mut self, position: Position, at: Time) {
        let open = self.offer.is_some() && self.leased && !self.taken && self.lost_since.is_none();
        if open && !self.open {
            self.position = position;
        }
        self.open = open;
        self.updated = position;
        let lost = self.lost_total_s + self.lost_since.map_or(0, |since| at.since(since).max(0));
        self.uptime_ppm = self.first_leased_at.map_or(0, |first| uptime_ppm(first, lost, at));
    }
}

/// The view.
#[derive(Debug)]
pub struct Market;

impl View for Market {
    const VERSION: u32 = 3;
    const DDL: &'static str = include_str!("../../../migrations/sqlite/views/market.sql");
    type Row = MarketRow;

    fn fold(rows: &mut Rows<'_, MarketRow>, event: &Envelope<'_>) -> Result<(), ViewError> {
        let (position, at) = (event.recorded.position, event.recorded_at());
        match event.event {
            AnyEvent::Device(DeviceEvent::DeviceEnrolled(e)) => {
                rows.insert(MarketRow::new(event.id()?, e.owner, position));
                Ok(())
            }
            AnyEvent::Device(DeviceEvent::DeviceRetired(_)) => {
                rows.remove(&(event.id()?,));
                Ok(())
            }
            AnyEvent::Device(
                DeviceEvent::EnrolmentKeyReplaced(_)
                | DeviceEvent::EpochErased(_)
                | DeviceEvent::LeaseKeyDestroyed(_),
            ) => Ok(()),
            AnyEvent::Device(e) => rows.edit(&(event.id()?,), |row| {
                row.device_event(e, at);
                row.settle(position, at);
            }),
            AnyEvent::Contract(e) => {
                let (device, epoch) = match e {
                    ContractEvent::RentalStarted(e) => (e.device, e.epoch),
                    ContractEvent::OfferClosed(e) => (e.device, e.epoch),
                    _ => return Ok(()),
                };
                rows.edit(&(device,), |row| {
                    if row.epoch == epoch {
                        row.taken = true;
                        row.settle(position, at);
                    }
                })
            }
            _ => Ok(()),
        }
    }
}
