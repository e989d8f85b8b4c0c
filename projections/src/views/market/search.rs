//! Searching the market.

use std::{fmt, str::FromStr};

use domain::{id::DeviceId, money::Money, offer::Unit};

use super::{
    MarketRow, hourly_key, unit_rate_key,
    words::{pieces, small},
    written,
};
use crate::{
    db::{Db, Param},
    rows::{BadColumn, Row},
    views::{
        ViewError, Views,
        read::{Filter, limit},
    },
};

/// What a renter is looking for; every condition that is given must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MarketFilter {
    /// At most this much for an hour, in this asset.
    pub max_price_per_hour: Option<Money>,
    /// Asked in this asset.
    pub asset: Option<domain::money::Asset>,
    /// At least this much memory, in MiB.
    pub min_memory_mib: Option<u64>,
    /// At least this much storage, in MiB.
    pub min_disk_mib: Option<u64>,
    /// At least this many cores.
    pub min_cores: Option<u32>,
    /// At least this uptime, in millionths.
    pub min_uptime_ppm: Option<u32>,
    /// Standing exactly here.
    pub place: Option<String>,
    /// At most this much for a unit of time, by the offers' own rules.
    pub max_price: Option<(Unit, Money)>,
    /// At least this measured bandwidth, in kbit/s.
    pub min_bandwidth_kbit_s: Option<u64>,
    /// A processor whose name contains this, in letters of any size.
    pub processor: Option<String>,
    /// A title, place or processor that contains this, in letters of any size.
    pub text: Option<String>,
}

impl MarketFilter {
    /// What the words of a row must contain, in small letters.
    fn texts(&self) -> impl Iterator<Item = String> {
        [&self.text, &self.processor, &self.place].into_iter().flatten().map(|text| small(text))
    }
}

/// The order of the market.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MarketSort {
    /// The cheapest first. Amounts of two assets do not compare: ask for one asset.
    #[default]
    Price,
    /// The cheapest for this unit of time first: what exactly that costs by the offer's own rules, whatever its term
    /// limits are. [`MarketSort::Price`] compares rates instead: a day's rate may be cheaper than an hour's.
    PriceFor(Unit),
    /// The largest memory first.
    Memory,
    /// The largest storage first.
    Disk,
    /// The most cores first.
    Cores,
    /// The largest measured bandwidth first.
    Bandwidth,
    /// The best uptime first.
    Uptime,
    /// The latest first.
    Newest,
}

impl MarketSort {
    /// Every order there is.
    pub const ALL: [Self; 11] = [
        Self::Price,
        Self::PriceFor(Unit::Hour),
        Self::PriceFor(Unit::Day),
        Self::PriceFor(Unit::Week),
        Self::PriceFor(Unit::Month),
        Self::Memory,
        Self::Disk,
        Self::Cores,
        Self::Bandwidth,
        Self::Uptime,
        Self::Newest,
    ];

    const fn column(self) -> &'static str {
        match self {
            Self::Price => "price_key",
            Self::PriceFor(unit) => unit_column(unit),
            Self::Memory => "memory_mib",
            Self::Disk => "disk_mib",
            Self::Cores => "cores",
            Self::Bandwidth => "bandwidth_kbit_s",
            Self::Uptime => "uptime_ppm",
            Self::Newest => "position",
        }
    }

    /// Comparison with the row before, and direction.
    const fn order(self) -> (&'static str, &'static str) {
        if self.is_price() { (">", "asc") } else { ("<", "desc") }
    }

    const fn is_price(self) -> bool {
        matches!(self, Self::Price | Self::PriceFor(_))
    }
}

/// Where a list of the market goes on: the last row's value in the list's order, and its device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    value: String,
    device: DeviceId,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.value, self.device)
    }
}

/// A text was not a cursor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor of the market; take it from the answer before")]
pub struct InvalidCursor;

impl FromStr for Cursor {
    type Err = InvalidCursor;
    fn from_str(text: &str) -> Result<Self, InvalidCursor> {
        let (value, device) = text.split_once('.').ok_or(InvalidCursor)?;
        let digits = !value.is_empty() && value.len() <= 32 && value.bytes().all(|b| b.is_ascii_digit());
        let device = device.parse().map_err(|_| InvalidCursor)?;
        if digits { Ok(Self { value: value.into(), device }) } else { Err(InvalidCursor) }
    }
}

impl MarketRow {
    /// Where a list in this order goes on after this row.
    #[must_use]
    pub fn cursor(&self, sort: MarketSort) -> Cursor {
        let value = match sort {
            MarketSort::Price => self.price_key.clone(),
            MarketSort::PriceFor(unit) => self.unit_key(unit).clone(),
            MarketSort::Memory => self.memory_mib.to_string(),
            MarketSort::Disk => self.disk_mib.to_string(),
            MarketSort::Cores => self.cores.to_string(),
            MarketSort::Bandwidth => self.bandwidth_kbit_s.to_string(),
            MarketSort::Uptime => self.uptime_ppm.to_string(),
            MarketSort::Newest => self.position.to_string(),
        };
        Cursor { value, device: self.device }
    }
}

impl Views {
    /// The devices that can be rented now, those after a cursor of the same order.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn market(
        &self,
        wanted: MarketFilter,
        sort: MarketSort,
        after: Option<Cursor>,
        rows: usize,
    ) -> Result<Vec<MarketRow>, ViewError> {
        self.ask(move |db| {
            // The devices and their rows must be of one state.
            let state = db.snapshot()?;
            let found = find(db, &wanted, sort, after, limit(rows))?;
            let rows = found.iter().map(|device| Ok(Filter::by("device = ?", device).select(db, "")?.pop()));
            let rows = rows.filter_map(Result::transpose).collect();
            state.commit()?;
            rows
        })
        .await
    }

    /// The places at which devices can be rented now, in the order of their names.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn places(&self, wanted: usize) -> Result<Vec<String>, ViewError> {
        self.ask(move |db| {
            // From one place the index leads to the next, however many devices stand there.
            let next = "select place from market where open = 1 and place > ?1 order by place limit 1";
            #[cfg(test)]
            crate::views::read::tests::assert_indexed(db, next);
            let mut places = Vec::<String>::new();
            while places.len() < limit(wanted) {
                let last = places.last().cloned().unwrap_or_default();
                let Some(place) = db.value(next, vec![Param::of(&last)])? else { break };
                places.push(place);
            }
            Ok(places)
        })
        .await
    }
}

/// The devices that a filter lets through, in order.
///
/// What an index holds is asked of the index, entry by entry. What it does not hold (what a unit of time costs) is asked
/// of the row, and only if the index does not rule it out.
fn find(
    db: &Db,
    wanted: &MarketFilter,
    sort: MarketSort,
    after: Option<Cursor>,
    rows: usize,
) -> Result<Vec<DeviceId>, ViewError> {
    let row = of_row(wanted);
    let mut entries = of_entry(wanted, sort);
    let (column, (beyond, order)) = (sort.column(), sort.order());
    if let Some(Cursor { value, device }) = after {
        let value_of = if sort.is_price() { "?" } else { "cast(? as integer)" };
        entries = entries.pair(&format!("({column}, device) {beyond} ({value_of}, ?)"), &value, &device);
    }
    let order = format!("order by {column} {order}, device {order}");
    let mut found = Vec::new();
    if let Db::Postgres(_) = db {
        let order = format!("{order} limit {rows}");
        entries.also(row).each(db, "device from market", &order, |entry| {
            found.push(entry.take().map_err(|e| bad(&e))?);
            Ok(true)
        })?;
        return Ok(found);
    }
    entries.each(db, "device from market", &order, |entry| {
        let device: DeviceId = entry.take().map_err(|e| bad(&e))?;
        if row.is_empty() || row.clone().and("device = ?", &device).exists(db, "market")? {
            found.push(device);
        }
        Ok(found.len() < rows)
    })?;
    Ok(found)
}

fn bad(error: &BadColumn) -> ViewError {
    ViewError::BadRow { table: MarketRow::TABLE, why: error.to_string() }
}

/// What every index of the market answers. The plus keeps a condition from choosing the index: that of the order is read
/// from its end.
fn of_entry(wanted: &MarketFilter, sort: MarketSort) -> Filter {
    let price = wanted.max_price_per_hour;
    let of_price = [price, wanted.max_price.map(|(_, price)| price)].map(|price| price.map(Money::asset));
    let mut filter = Filter::default().plain("open = 1");
    let mut by_asset = if sort == MarketSort::Price { "asset = ?" } else { "+asset = ?" };
    for asset in of_price.into_iter().chain([wanted.asset]).flatten() {
        filter = filter.and(by_asset, &asset);
        by_asset = "+asset = ?";
    }
    let (mut a, mut b) = (0, 0);
    for text in wanted.texts() {
        let (more_a, more_b) = pieces(&text);
        (a, b) = (a | more_a, b | more_b);
    }
    for (column, bits) in [("pieces_a", a), ("pieces_b", b)] {
        if bits > 0 {
            filter = filter.pair(&format!("{column} & ? = ?"), &bits, &bits);
        }
    }
    // Whoever pays at most this for a unit of time finds a rate that is not higher.
    let rate = wanted.max_price.map(|(unit, price)| unit_rate_key(unit, price));
    let small = |text: &Option<String>| text.as_ref().map(|text| small(text));
    filter
        .and_some("+memory_mib >= ?", wanted.min_memory_mib.as_ref())
        .and_some("+disk_mib >= ?", wanted.min_disk_mib.as_ref())
        .and_some("+cores >= ?", wanted.min_cores.as_ref())
        .and_some("+bandwidth_kbit_s >= ?", wanted.min_bandwidth_kbit_s.as_ref())
        .and_some("+uptime_ppm >= ?", wanted.min_uptime_ppm.as_ref())
        .and_some("+price_key <= ?", price.map(hourly_key).as_ref())
        .and_some("+price_key <= ?", rate.as_ref())
        .and_some("+place = ?", wanted.place.as_ref())
        .and_some("instr(processor, ?) > 0", small(&wanted.processor).as_ref())
        .and_some("instr(words, ?) > 0", small(&wanted.text).as_ref())
}

/// What only the row answers.
fn of_row(wanted: &MarketFilter) -> Filter {
    wanted.max_price.map_or_else(Filter::default, |(unit, price)| {
        Filter::by(&format!("{} <= ?", unit_column(unit)), &written(price.minor()))
    })
}

const fn unit_column(unit: Unit) -> &'static str {
    match unit {
        Unit::Hour => "hour_key",
        Unit::Day => "day_key",
        Unit::Week => "week_key",
        Unit::Month => "month_key",
    }
}
