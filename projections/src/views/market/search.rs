//! Searching the market.

use std::{fmt, str::FromStr};

use domain::{id::DeviceId, money::Money};

use super::{MarketRow, hourly_key};
use crate::views::{
    ViewError, Views,
    read::{Filter, limit},
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
}

/// The order of the market.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MarketSort {
    /// The cheapest first. Amounts of two assets do not compare: ask for one asset.
    #[default]
    Price,
    /// The largest memory first.
    Memory,
    /// The largest storage first.
    Disk,
    /// The best uptime first.
    Uptime,
    /// The latest first.
    Newest,
}

impl MarketSort {
    const fn column(self) -> &'static str {
        match self {
            Self::Price => "price_key",
            Self::Memory => "memory_mib",
            Self::Disk => "disk_mib",
            Self::Uptime => "uptime_ppm",
            Self::Newest => "position",
        }
    }

    /// Comparison with the row before, and direction.
    const fn order(self) -> (&'static str, &'static str) {
        match self {
            Self::Price => (">", "asc"),
            _ => ("<", "desc"),
        }
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
            MarketSort::Memory => self.memory_mib.to_string(),
            MarketSort::Disk => self.disk_mib.to_string(),
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
        let price = wanted.max_price_per_hour;
        let asset = price.map(Money::asset).or(wanted.asset);
        // The plus keeps a condition from choosing the index: that of the order is read from its end, row by row.
        let by_asset = if sort == MarketSort::Price { "asset = ?" } else { "+asset = ?" };
        let mut filter = Filter::default()
            .plain("open = 1")
            .and_some(by_asset, asset.as_ref())
            .and_some("+price_key <= ?", price.map(hourly_key).as_ref())
            .and_some("+memory_mib >= ?", wanted.min_memory_mib.as_ref())
            .and_some("+disk_mib >= ?", wanted.min_disk_mib.as_ref())
            .and_some("+cores >= ?", wanted.min_cores.as_ref())
            .and_some("+uptime_ppm >= ?", wanted.min_uptime_ppm.as_ref())
            .and_some("+place = ?", wanted.place.as_ref());
        let (column, (beyond, order)) = (sort.column(), sort.order());
        if let Some(Cursor { value, device }) = after {
            let place = format!(
                "({column}, device) {beyond} ({}",
                if sort == MarketSort::Price { "?" } else { "cast(? as integer)" }
            );
            filter = filter.pair(&format!("{place}, ?)"), &value, &device);
        }
        let tail = format!("order by {column} {order}, device {order} limit {}", limit(rows));
        self.ask(move |db| filter.select(db, &tail)).await
    }
}
