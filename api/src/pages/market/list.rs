//! The list of what can be rented: the site's first page.

use askama::Template;
use axum::{extract::State, response::Response};
use domain::{
    id::DeviceId,
    money::Asset,
    offer::{Hardware, Rate},
    time::Time,
};
use projections::views::market::MarketRow;

use super::ask::{Asked, SORTS, UNITS};
use crate::{
    app::App,
    pages::{
        failure::Failure,
        page::{Shell, page},
        show::filters,
        visit::Visit,
    },
};

/// Devices on one page.
const SHOWN: usize = 24;
/// Places that are suggested.
const MAX_PLACES: usize = 50;

/// The market.
#[derive(Template)]
#[template(path = "market/list.html")]
pub struct MarketPage {
    /// What is around it.
    pub shell: Shell,
    /// What is looked for.
    pub asked: Asked,
    /// What was found.
    pub items: Vec<Item>,
    /// Where the list goes on.
    pub next: Option<String>,
    /// Places at which something can be rented.
    pub places: Vec<String>,
}

/// A device that can be rented.
#[derive(Debug, Clone)]
pub struct Item {
    /// The device.
    pub device: DeviceId,
    /// Its title.
    pub title: String,
    /// Where it stands, as the owner says.
    pub place: Option<String>,
    /// What is asked.
    pub rates: Vec<Rate>,
    /// What it says it is.
    pub hardware: Hardware,
    /// Share of the time since its first lease in which it was not lost, in millionths.
    pub uptime_ppm: u32,
    /// When it was first leased.
    pub since: Option<Time>,
}

impl From<MarketRow> for Item {
    fn from(row: MarketRow) -> Self {
        Self {
            device: row.device,
            title: row.title,
            place: row.place,
            rates: row.offer.map(|offer| offer.rates).unwrap_or_default(),
            hardware: row.hardware.unwrap_or_default(),
            uptime_ppm: row.uptime_ppm,
            since: row.first_leased_at,
        }
    }
}

impl MarketPage {
    /// Assets that may be asked for.
    #[must_use]
    pub fn assets(&self) -> &'static [Asset] {
        Asset::ALL
    }
}

/// Shows the market.
///
/// # Errors
/// When the views cannot be read.
pub async fn show(State(app): State<App>, visit: Visit) -> Result<Response, Failure> {
    let mut asked = Asked::of(visit.uri.query());
    let (filter, sort, after) = (asked.filter(), asked.order(), asked.cursor());
    let mut rows = app.views.market(filter, sort, after, SHOWN + 1).await?;
    let more = rows.len() > SHOWN;
    rows.truncate(SHOWN);
    let next = rows.last().filter(|_| more).map(|last| asked.next(&last.cursor(sort)));
    let items = rows.into_iter().map(Into::into).collect();
    let places = app.views.places(MAX_PLACES).await?;
    Ok(page(&MarketPage { shell: visit.shell("Market"), asked, items, next, places }))
}
