//! The list of one's devices.

use askama::Template;
use axum::{extract::State as Shared, response::Response};
use domain::{
    account::Role,
    id::{ContractId, DeviceId},
    time::Time,
};
use projections::views::{Page, devices::DeviceRow};

use super::{
    super::{
        failure::Failure,
        page::{Shell, page},
        show::filters,
        visit::Member,
    },
    require_reader,
    state::{State, rates, states},
};
use crate::{
    accruals::{Accrual, accruals},
    app::App,
    error::Problem,
    http::extract::Query,
};

/// Devices on one page.
const ON_A_PAGE: usize = 25;

/// One's devices.
#[derive(Template)]
#[template(path = "devices/list.html")]
pub struct DevicesPage {
    /// What is around it.
    pub shell: Shell,
    /// The devices, the newest first.
    pub devices: Vec<Line>,
    /// Whether these are not the newest.
    pub later: bool,
    /// Where the list goes on.
    pub next: Option<u64>,
    /// Whether the visitor may enrol devices.
    pub enrols: bool,
}

/// A device in the list.
#[derive(Debug, Clone)]
pub struct Line {
    /// The device.
    pub device: DeviceId,
    /// What its owner calls it.
    pub name: String,
    /// How it is.
    pub states: Vec<State>,
    /// What is asked.
    pub price: Option<String>,
    /// The rental that runs.
    pub rental: Option<Running>,
}

/// A rental that runs.
#[derive(Debug, Clone)]
pub struct Running {
    /// Which.
    pub contract: ContractId,
    /// Until when it is paid.
    pub until: Time,
    /// Seconds until then.
    pub left_s: i64,
    /// What it has earned so far.
    pub accrual: Option<Accrual>,
}

/// Where a list goes on.
#[derive(Debug, Default, serde::Deserialize)]
pub struct After {
    /// After the row of this position.
    #[serde(default)]
    pub after: Option<u64>,
}

/// The rental that runs on a device.
///
/// # Errors
/// When the views or the log cannot be read.
pub async fn running(app: &App, rows: &[DeviceRow]) -> Result<Vec<Option<Running>>, Problem> {
    let mut found = Vec::with_capacity(rows.len());
    for row in rows {
        let contract = match row.contract.filter(|_| row.is_let) {
            Some(contract) => app.views.contract(contract).await?,
            None => None,
        };
        found.push(contract.map(|contract| (contract.contract, contract.ends_at)));
    }
    let contracts = found.iter().flatten().map(|(contract, _)| *contract).collect();
    let mut earned = accruals(app, contracts).await?.into_iter();
    let now = app.clock.time();
    let running = |found: Option<(ContractId, Time)>| {
        let (contract, until) = found?;
        let accrual = earned.next().flatten();
        Some(Running { contract, until, left_s: until.since(now).max(0), accrual })
    };
    Ok(found.into_iter().map(running).collect())
}

/// Shows the list.
pub(super) async fn show(
    Shared(app): Shared<App>,
    member: Member,
    Query(After { after }): Query<After>,
) -> Result<Response, Failure> {
    require_reader(&member)?;
    let wanted = Page { after, newest_first: true, limit: ON_A_PAGE + 1 };
    let mut rows = app.views.devices_of(member.account(), wanted).await?;
    let more = rows.len() > ON_A_PAGE;
    rows.truncate(ON_A_PAGE);
    let next = rows.last().filter(|_| more).map(|row| row.position);
    let ids: Vec<_> = rows.iter().map(|row| row.device).collect();
    let mut names = app.private.device_names(&ids).await?;
    let heard = app.last_seen(&ids).await?;
    let rentals = running(&app, &rows).await?;
    let line = |(row, rental): (DeviceRow, Option<Running>)| Line {
        device: row.device,
        name: names.remove(&row.device).unwrap_or_else(|| unnamed(row.device)),
        states: states(&app, &row, heard.get(&row.device).copied()),
        price: row.offer.as_ref().map(rates),
        rental,
    };
    let devices = rows.into_iter().zip(rentals).map(line).collect();
    let shell = member.shell("Your devices").live(ids.iter().map(ToString::to_string));
    let enrols = member.is(Role::Owner);
    Ok(page(&DevicesPage { shell, devices, later: after.is_some(), next, enrols }))
}

/// What a device without a name is called.
#[must_use]
pub fn unnamed(device: DeviceId) -> String {
    format!("Device {}", super::super::show::short(&device.to_string()))
}
