//! What an owner's devices earn: so far, decided, and paid.

pub mod figures;

use std::{borrow::Borrow, collections::HashMap};

use askama::Template;
use axum::{
    Router,
    extract::State,
    response::Response,
    routing::{get, post},
};
use domain::{
    account::Role,
    id::{DeviceId, MarketplaceName},
    money::{Asset, Signed},
    purse::PurseId,
    settlement::SettlementKind,
};
use projections::views::{
    MAX_LIMIT, Page,
    purses::PurseRow,
    settlements::{SettlementFilter, SettlementRow, SettlementStatus},
};
use serde::Deserialize;

use self::figures::{DeviceFigures, Figures, MAX_RUNNING, MonthFigures};
use super::{
    chart::{Chart, Group},
    devices::{
        list::{After, unnamed},
        require_reader,
        state::State as Word,
    },
    failure::Failure,
    form::Form,
    page::{Shell, done, page},
    show::filters,
    visit::Member,
};
use crate::{app::App, error::Problem, http::extract::Query, payouts};

/// Payouts on one page.
const ON_A_PAGE: usize = 25;
/// Devices in a chart.
const IN_A_CHART: usize = 6;

/// The routes.
pub fn routes() -> Router<App> {
    Router::new().route("/earnings", get(show)).route("/earnings/release", post(release))
}

/// What somebody earned.
#[derive(Template)]
#[template(path = "earnings/earnings.html")]
pub struct EarningsPage {
    /// What is around it.
    pub shell: Shell,
    /// By asset.
    pub assets: Vec<Earned>,
    /// How many running rentals are summed up, when there are more.
    pub cut: Option<usize>,
    /// Payouts that wait to be worth sending.
    pub purses: Vec<PurseRow>,
    /// Payouts, the newest first.
    pub payouts: Vec<Payout>,
    /// Whether these are not the newest.
    pub later: bool,
    /// Where the payouts go on.
    pub next: Option<u64>,
    /// Whether the visitor may release what waits.
    pub releases: bool,
}

/// What somebody earned of one asset.
#[derive(Debug, Clone)]
pub struct Earned {
    /// The numbers.
    pub figures: Figures,
    /// Whose numbers those of each device are.
    pub names: HashMap<DeviceId, String>,
    /// By month.
    pub by_month: Chart,
    /// By device.
    pub by_device: Chart,
}

impl Earned {
    /// The numbers with what is drawn of them.
    #[must_use]
    pub fn new(figures: Figures, names: HashMap<DeviceId, String>) -> Self {
        let asset = figures.asset;
        let amount = |minor| beside(&Signed { minor, asset }.to_string());
        let last = figures.months.len().saturating_sub(1);
        let month = |(i, month): (usize, &MonthFigures)| {
            let accrued = if i == last { figures.accrued.minor } else { 0 };
            Group { name: month.month.clone(), parts: vec![accrued, month.decided, month.paid] }
        };
        let device = |(i, device): (usize, &DeviceFigures)| {
            let parts = vec![device.accrued, device.payable, device.paid];
            Group { name: (i + 1).to_string(), parts }
        };
        let months: Vec<_> = figures.months.iter().enumerate().map(month).collect();
        let devices: Vec<_> = figures.devices.iter().take(IN_A_CHART).enumerate().map(device).collect();
        let (by_month, by_device) = (Chart::of(&months, amount), Chart::of(&devices, amount));
        Self { figures, names, by_month, by_device }
    }

    /// An amount without its asset.
    #[must_use]
    pub fn amount(&self, minor: impl Borrow<i128>) -> Signed {
        Signed { minor: *minor.borrow(), asset: self.figures.asset }
    }

    /// What a device is called.
    #[must_use]
    pub fn name(&self, device: &DeviceId) -> String {
        self.names.get(device).cloned().unwrap_or_else(|| unnamed(*device))
    }
}

/// An amount as it fits beside a line of a chart: many decimals are cut. The table has all of them.
fn beside(amount: &str) -> String {
    const FITS: usize = 12;
    match amount.split_once('.') {
        Some((whole, part)) if part.len() > 2 => {
            let part: String = part.chars().take(FITS.saturating_sub(whole.len())).collect();
            format!("{whole}.{part}").trim_end_matches('0').trim_end_matches('.').to_owned()
        }
        _ => amount.to_owned(),
    }
}

/// A payout in the list.
#[derive(Debug, Clone)]
pub struct Payout {
    /// The payout.
    pub row: SettlementRow,
    /// How far it is.
    pub state: Word,
}

impl From<SettlementRow> for Payout {
    fn from(row: SettlementRow) -> Self {
        let (word, class) = match row.status {
            SettlementStatus::Due => ("due", ""),
            SettlementStatus::Started => ("on its way", ""),
            SettlementStatus::Settled => ("paid", "good"),
            SettlementStatus::Failed => ("failed", "bad"),
            SettlementStatus::Quarantined => ("in doubt", "warn"),
            SettlementStatus::Withdrawn => ("withdrawn", ""),
        };
        Self { row, state: Word { word, class } }
    }
}

async fn show(
    State(app): State<App>,
    member: Member,
    Query(After { after }): Query<After>,
) -> Result<Response, Failure> {
    require_reader(&member)?;
    let owner = member.account();
    let (mut figures, cut) = figures::figures(&app, owner, member.visit.now).await?;
    let mut purses = app.views.purses(Some(owner), Page::newest(MAX_LIMIT)).await?;
    for purse in &purses {
        if let Some(figures) = figures.iter_mut().find(|figures| figures.asset == purse.amount.asset()) {
            figures.payable.held += purse.amount.minor();
        }
    }
    purses.truncate(ON_A_PAGE);
    let wanted = SettlementFilter {
        kind: Some(SettlementKind::Payout),
        recipient: Some(owner),
        ..SettlementFilter::default()
    };
    let list = Page { after, newest_first: true, limit: ON_A_PAGE + 1 };
    let mut rows = app.views.settlements(wanted, list).await?;
    let more = rows.len() > ON_A_PAGE;
    rows.truncate(ON_A_PAGE);
    let next = rows.last().filter(|_| more).map(|row| row.position);
    let mut assets = Vec::with_capacity(figures.len());
    for figures in figures {
        let ids: Vec<_> = figures.devices.iter().map(|device| device.device).collect();
        let names = app.private.device_names(&ids).await?;
        assets.push(Earned::new(figures, names));
    }
    let devices = assets.iter().flat_map(|asset| &asset.figures.devices);
    let moving =
        |row: &&SettlementRow| !matches!(row.status, SettlementStatus::Settled | SettlementStatus::Withdrawn);
    let moving = rows.iter().filter(moving).map(|row| row.settlement.to_string());
    let subjects: Vec<_> = moving.chain(devices.map(|device| device.device.to_string())).collect();
    Ok(page(&EarningsPage {
        shell: member.shell("Your earnings").live(subjects),
        assets,
        cut: cut.then_some(MAX_RUNNING),
        purses,
        payouts: rows.into_iter().map(Payout::from).collect(),
        later: after.is_some(),
        next,
        releases: member.is(Role::Owner),
    }))
}

/// Which purse.
#[derive(Deserialize)]
struct Released {
    #[serde(default)]
    marketplace: String,
    #[serde(default)]
    asset: String,
}

async fn release(
    State(app): State<App>,
    member: Member,
    Form { fields: Released { marketplace, asset }, id }: Form<Released>,
) -> Result<Response, Failure> {
    member.require(&[Role::Owner])?;
    let (marketplace, asset) = (marketplace.parse::<MarketplaceName>(), asset.parse::<Asset>());
    let (Ok(marketplace), Ok(asset)) = (marketplace, asset) else {
        return Err(Problem::invalid("there is no such purse").into());
    };
    let purse = PurseId { owner: member.account(), marketplace, asset };
    let released = payouts::release(&app, &purse, &member.by_form(id)).await?;
    app.follow_up(released.position).await;
    Ok(done("/earnings", "released"))
}
