//! A device on the market: what it is, what it costs, how to rent it.

use askama::Template;
use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use domain::{
    account::Role,
    id::DeviceId,
    money::Money,
    offer::{Hardware, Offer},
    time::Time,
};
use projections::views::devices::DeviceRow;

use crate::{
    app::App,
    error::Problem,
    http::extract::{Path, Query},
    openbazaar::{Slug, asset_of, terms, words},
    pages::{
        failure::Failure,
        form::Form,
        page::{Shell, done, page},
        show::filters,
        term::{self, Priced, Typed},
        visit::{Member, Visit},
    },
    showcase::Purchase,
};

/// Marketplaces that are named.
const MAX_MARKETPLACES: u32 = 10;

/// A device on the market.
#[derive(Template)]
#[template(path = "market/device.html")]
pub struct DevicePage {
    /// What is around it.
    pub shell: Shell,
    /// The device.
    pub device: DeviceId,
    /// What is asked.
    pub offer: Offer,
    /// What it says it is.
    pub hardware: Hardware,
    /// Share of the time since its first lease in which it was not lost, in millionths.
    pub uptime_ppm: u32,
    /// When it was first leased.
    pub since: Option<Time>,
    /// The length that was asked about.
    pub asked: Typed,
    /// What it costs.
    pub answer: Option<Priced>,
    /// Why it has no price.
    pub wrong: Option<String>,
    /// Where it can be bought.
    pub ways: Ways,
    /// Whether it can be bought here, with a demo's coins.
    pub till: bool,
}

/// Where a device can be bought.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ways {
    /// Its listings on OpenBazaar.
    pub listings: Vec<Listing>,
    /// Marketplaces that bring orders.
    pub marketplaces: Vec<String>,
}

/// A listing on OpenBazaar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// Its title.
    pub title: String,
    /// Its name in the store.
    pub slug: String,
    /// Its address, when the store's peer is known.
    pub link: Option<String>,
    /// What one costs.
    pub price: Money,
}

impl Ways {
    /// Where a device can be bought for an offer.
    async fn of(app: &App, device: DeviceId, offer: &Offer) -> Result<Self, Problem> {
        let mut marketplaces = app.private.marketplaces(MAX_MARKETPLACES).await?;
        let own = &app.config.openbazaar;
        marketplaces.retain(|name| name.as_str() != own.marketplace.as_str());
        if !own.is_set() {
            return Ok(Self { listings: Vec::new(), marketplaces });
        }
        // Before the node's first answer nobody knows which wallets it has.
        let coins = app.openbazaar.borrow().as_ref().map(|status| status.coins.clone()).unwrap_or_default();
        let sold = coins.is_empty() || coins.iter().any(|coin| asset_of(coin) == offer.asset());
        let listing = |term_s| {
            let slug = Slug::Rental { device, term_s }.to_string();
            let link = (!own.peer.is_empty()).then(|| format!("ob://{}/store/{slug}", own.peer));
            let title = format!("{}, {}", offer.title, words(term_s));
            Some(Listing { title, slug, link, price: offer.price(term_s)? })
        };
        let listings = terms(offer).into_iter().filter(|_| sold).filter_map(listing).collect();
        Ok(Self { listings, marketplaces })
    }
}

fn gone() -> Problem {
    let (detail, action) =
        ("This device is let at the moment, or off the market.", "The market shows what can be rented now.");
    Problem::new(StatusCode::NOT_FOUND, "not-found", detail, action)
}

/// A device that can be rented now, and what is asked for it.
async fn find(app: &App, device: DeviceId) -> Result<(DeviceRow, Offer), Problem> {
    let row = app.views.device(device).await?.ok_or_else(gone)?;
    let free = row.retired_at.is_none() && row.contract.is_none() && row.lost_since.is_none();
    let offer = row.offer.clone().filter(|_| free && row.is_leased()).ok_or_else(gone)?;
    Ok((row, offer))
}

async fn device_page(
    app: &App,
    visit: &Visit,
    device: DeviceId,
    asked: Typed,
    wrong: Option<String>,
) -> Result<DevicePage, Problem> {
    let (row, offer) = find(app, device).await?;
    let priced = if asked.is_empty() { None } else { Some(asked.priced(&offer)) };
    let (answer, unpriced) = match priced {
        None => (None, None),
        Some(Ok(answer)) => (Some(answer), None),
        Some(Err(why)) => (None, Some(why)),
    };
    let rents = visit.visitor.as_ref().is_some_and(|visitor| visitor.caller.is(Role::Renter));
    Ok(DevicePage {
        shell: visit.shell(offer.title.clone()),
        device,
        uptime_ppm: row.uptime_ppm(visit.now).unwrap_or_default(),
        since: row.first_leased_at,
        hardware: row.hardware.unwrap_or_default(),
        asked: if asked.is_empty() { term::suggested(&offer) } else { asked },
        answer,
        wrong: wrong.or(unpriced),
        ways: Ways::of(app, device, &offer).await?,
        till: visit.showcase && rents,
        offer,
    })
}

impl DevicePage {
    /// What some lengths cost.
    #[must_use]
    pub fn examples(&self) -> Vec<Priced> {
        term::examples(&self.offer)
    }
}

/// Shows a device on the market.
///
/// # Errors
/// 404 when it cannot be rented now.
pub async fn show(
    State(app): State<App>,
    visit: Visit,
    Path(device): Path<DeviceId>,
    Query(asked): Query<Typed>,
) -> Result<Response, Failure> {
    Ok(page(&device_page(&app, &visit, device, asked, None).await?))
}

/// Rents a device with a demo's coins.
///
/// # Errors
/// 404 outside of a demo, or when it cannot be rented now.
pub async fn rent(
    State(app): State<App>,
    member: Member,
    Path(device): Path<DeviceId>,
    Form { fields: asked, .. }: Form<Typed>,
) -> Result<Response, Failure> {
    member.require(&[Role::Renter])?;
    let till = app.showcase.get().ok_or_else(|| Problem::not_found("page"))?;
    let (_, offer) = find(&app, device).await?;
    let bought = match asked.priced(&offer) {
        Ok(Priced { term_s, .. }) => {
            let bought = till.buy(member.account(), Purchase::Rental { device, term_s }).await;
            bought.map_err(|problem| (problem.status(), problem.detail().to_owned()))
        }
        Err(wrong) => Err((StatusCode::UNPROCESSABLE_ENTITY, wrong)),
    };
    match bought {
        Ok(()) => Ok(done("/rentals", "renting")),
        Err((status, wrong)) => {
            let again = device_page(&app, &member.visit, device, asked, Some(wrong)).await?;
            Ok((status, page(&again)).into_response())
        }
    }
}
