//! What anyone may ask: the market, a price, the server's key.

use axum::{extract::State, http::Uri};
use domain::{
    id::DeviceId,
    money::{Asset, Money},
    time::Time,
};
use projections::views::market::{Cursor, MarketFilter, MarketRow, MarketSort};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{
    answer::Answer,
    extract::{Path, Query},
    list::{List, list_query},
    schema,
};
use crate::{app::App, contracts, error::Problem};

/// The order of the market.
#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Sort {
    /// The cheapest first. Amounts of two assets do not compare: ask for one asset.
    #[default]
    Price,
    /// The largest memory first.
    Memory,
    /// The largest storage first.
    Disk,
    /// The best uptime first.
    Uptime,
}

impl Sort {
    const fn of_view(self) -> (MarketSort, &'static str) {
        match self {
            Self::Price => (MarketSort::Price, "price"),
            Self::Memory => (MarketSort::Memory, "memory"),
            Self::Disk => (MarketSort::Disk, "disk"),
            Self::Uptime => (MarketSort::Uptime, "uptime"),
        }
    }
}

list_query! {
    /// What a renter is looking for; every condition that is given must hold.
    MarketQuery {
        /// At most this much for an hour, as a decimal number; needs `asset`.
        #[param(example = "0.50")]
        max_price_per_hour: String,
        /// Asked in this asset, such as `USD`.
        asset: String,
        /// At least this much memory, in MiB.
        min_memory_mib: u64,
        /// At least this much storage, in MiB.
        min_disk_mib: u64,
        /// At least this many cores.
        min_cores: u32,
        /// At least this uptime, in percent.
        #[param(minimum = 0, maximum = 100)]
        min_uptime_percent: u32,
        /// Standing exactly here.
        place: String,
        /// Which comes first.
        #[param(inline)]
        sort: Sort,
    }
}

/// A device that can be rented now.
#[derive(Debug, Serialize, ToSchema)]
pub struct MarketItem {
    /// The device.
    device: Uuid,
    /// What is asked.
    #[schema(value_type = Option<schema::Offer>, required)]
    offer: Option<domain::offer::Offer>,
    /// The cheapest rate for an hour, rounded up.
    #[schema(value_type = Option<schema::Money>, required)]
    price_per_hour: Option<Money>,
    /// What it says it is.
    #[schema(value_type = Option<schema::Hardware>, required)]
    hardware: Option<domain::offer::Hardware>,
    /// Share of the time since its first lease in which it was not lost, in millionths.
    uptime_ppm: u32,
    /// When it was first leased.
    #[schema(value_type = Option<String>, format = DateTime, required)]
    first_leased_at: Option<Time>,
}

impl From<MarketRow> for MarketItem {
    fn from(row: MarketRow) -> Self {
        Self {
            device: row.device.0,
            price_per_hour: row.price_per_hour(),
            offer: row.offer,
            hardware: row.hardware,
            uptime_ppm: row.uptime_ppm,
            first_leased_at: row.first_leased_at,
        }
    }
}

impl MarketQuery {
    fn filter(&self) -> Result<MarketFilter, Problem> {
        let unreadable = |e: domain::money::InvalidMoney| Problem::malformed(e.to_string());
        let asset: Option<Asset> = self.asset.as_deref().map(str::parse).transpose().map_err(unreadable)?;
        let price = match (&self.max_price_per_hour, asset) {
            (None, _) => None,
            (Some(_), None) => return Err(Problem::malformed("max_price_per_hour needs asset")),
            (Some(price), Some(asset)) => Some(Money::parse(price, asset).map_err(unreadable)?),
        };
        if self.min_uptime_percent.is_some_and(|percent| percent > 100) {
            return Err(Problem::invalid("min_uptime_percent must be at most 100"));
        }
        Ok(MarketFilter {
            max_price_per_hour: price,
            asset,
            min_memory_mib: self.min_memory_mib,
            min_disk_mib: self.min_disk_mib,
            min_cores: self.min_cores,
            min_uptime_ppm: self.min_uptime_percent.map(|percent| percent * 10_000),
            place: self.place.clone(),
            ..MarketFilter::default()
        })
    }
}

/// The market: devices that can be rented now.
#[utoipa::path(get, path = "/v1/market", tag = "market", params(MarketQuery),
    responses((status = 200, description = "Devices", body = List<MarketItem>)))]
pub async fn search_market(
    State(app): State<App>,
    uri: Uri,
    Query(query): Query<MarketQuery>,
) -> Result<Answer<List<MarketItem>>, Problem> {
    let (sort, kind) = query.sort.unwrap_or_default().of_view();
    let part = query.part();
    let after: Option<Cursor> = part.after(kind)?;
    let rows = app.views.market(query.filter()?, sort, after, part.limit()? + 1).await?;
    part.answer(&uri, kind, rows, |row| row.cursor(sort), MarketItem::from)
}

/// A term to be priced.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct TermQuery {
    /// Seconds wanted.
    #[param(minimum = 1)]
    term_s: i64,
}

/// What a term costs.
#[derive(Debug, Serialize, ToSchema)]
pub struct Price {
    /// The device.
    device: Uuid,
    /// Seconds wanted.
    term_s: i64,
    /// What they cost: exactly this must be paid.
    #[schema(value_type = schema::Money)]
    price: Money,
}

/// What a term on a device costs now.
#[utoipa::path(get, path = "/v1/market/{device}/price", tag = "market", params(("device" = Uuid, Path), TermQuery),
    responses((status = 200, description = "The price", body = Price)))]
pub async fn price_term(
    State(app): State<App>,
    Path(device): Path<DeviceId>,
    Query(TermQuery { term_s }): Query<TermQuery>,
) -> Result<Answer<Price>, Problem> {
    let row = app.views.device(device).await?.filter(|row| row.offer.is_some() && row.retired_at.is_none());
    let offer = row.and_then(|row| row.offer).ok_or_else(|| Problem::not_found("offer"))?;
    let price = contracts::price(&offer, term_s)?;
    Ok(Answer::ok(Price { device: device.0, term_s, price }))
}

/// The server's root key.
#[derive(Debug, Serialize, ToSchema)]
pub struct ServerKey {
    /// Ed25519, base64url: what `server_key` in a device's `agent.json` pins.
    server_key: String,
}

/// The root key that devices pin.
#[utoipa::path(get, path = "/v1/server-key", tag = "market",
    responses((status = 200, description = "The key", body = ServerKey)))]
pub async fn server_key(State(app): State<App>) -> Answer<ServerKey> {
    Answer::ok(ServerKey { server_key: app.keys.root().to_string() })
}
