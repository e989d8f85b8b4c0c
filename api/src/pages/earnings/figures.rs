//! What an owner has earned and got, as the views have it.

use std::collections::{BTreeMap, HashMap};

use domain::{
    id::{AccountId, ContractId, DeviceId},
    journal::{Account, Stage},
    money::Asset,
    time::Time,
};
use projections::views::{
    Page,
    contracts::{ContractRow, ContractScope, ContractStatus},
    earnings::Month,
};

use crate::{
    accruals::{Accrual, accruals},
    app::App,
    error::Problem,
};

/// Running rentals that are summed up.
pub const MAX_RUNNING: usize = 200;
/// Months that are shown.
pub const MONTHS: i32 = 12;
/// Devices that are shown, in each asset.
pub const DEVICES: usize = 8;

/// What somebody has earned of one asset, in minor units.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Figures {
    /// Of what.
    pub asset: Asset,
    /// By rentals that run; not decided.
    pub accrued: Accrual,
    /// By rentals that are over, and whose payout waits for its delay or a dispute.
    pub waits: i128,
    /// Decided and not paid.
    pub payable: Payable,
    /// Arrived.
    pub paid: i128,
    /// By month, the oldest first.
    pub months: Vec<MonthFigures>,
    /// By device, those that earned most first.
    pub devices: Vec<DeviceFigures>,
}

/// What is decided and not paid, by how far it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Payable {
    /// It waits to be sent.
    pub due: i128,
    /// It is being sent.
    pub in_flight: i128,
    /// Nobody knows whether it arrived.
    pub quarantined: i128,
    /// What of it waits in a purse until it is worth sending.
    pub held: i128,
}

impl Payable {
    /// All of it.
    #[must_use]
    pub const fn all(&self) -> i128 {
        self.due + self.in_flight + self.quarantined
    }
}

/// One month.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MonthFigures {
    /// Which, such as `2026-11`.
    pub month: String,
    /// What was decided to be paid.
    pub decided: i128,
    /// What arrived.
    pub paid: i128,
}

/// One device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceFigures {
    /// Which.
    pub device: DeviceId,
    /// By the rental that runs; not decided.
    pub accrued: i128,
    /// Decided and not paid.
    pub payable: i128,
    /// Arrived.
    pub paid: i128,
}

/// What an owner's running rentals have earned.
#[derive(Debug, Default)]
struct Running {
    sums: BTreeMap<Asset, Accrual>,
    devices: HashMap<(Asset, DeviceId), i128>,
    /// What of it the journal has posted already.
    posted: BTreeMap<Asset, i128>,
    cut: bool,
}

async fn running(app: &App, owner: AccountId) -> Result<Running, Problem> {
    let (scope, status) = (ContractScope::Owner(owner), Some(ContractStatus::Running));
    let mut rows = app.views.contracts(scope, status, Page::newest(MAX_RUNNING + 1)).await?;
    let mut running = Running { cut: rows.len() > MAX_RUNNING, ..Running::default() };
    rows.truncate(MAX_RUNNING);
    let ids: Vec<ContractId> = rows.iter().map(|row| row.contract).collect();
    for (row, accrual) in rows.iter().zip(accruals(app, ids).await?) {
        let Some(accrual) = accrual else { continue };
        let sum = running.sums.entry(accrual.asset).or_insert_with(|| Accrual::zero(accrual.asset));
        *sum = sum.plus(accrual);
        running.devices.insert((accrual.asset, row.device), accrual.minor);
        *running.posted.entry(accrual.asset).or_default() += posted(app, owner, row).await?;
    }
    Ok(running)
}

/// What of a running rental's earnings the journal has posted: at its extensions.
async fn posted(app: &App, owner: AccountId, row: &ContractRow) -> Result<i128, Problem> {
    if row.segments.len() < 2 {
        return Ok(0);
    }
    let account = Account::Accrued(owner, row.contract);
    // A credit is negative.
    Ok(-app.views.balance(&account, row.paid.asset()).await?)
}

/// What an owner has earned and got, by asset; and whether more rentals run than were summed up.
///
/// # Errors
/// When the views or the log cannot be read.
pub async fn figures(app: &App, owner: AccountId, now: Time) -> Result<(Vec<Figures>, bool), Problem> {
    let running = running(app, owner).await?;
    let mut assets: BTreeMap<Asset, Figures> = BTreeMap::new();
    let new = |asset: Asset| Figures {
        asset,
        accrued: running.sums.get(&asset).copied().unwrap_or(Accrual::zero(asset)),
        waits: 0,
        payable: Payable::default(),
        paid: 0,
        months: Vec::new(),
        devices: Vec::new(),
    };
    for asset in running.sums.keys() {
        assets.insert(*asset, new(*asset));
    }
    for row in app.views.earnings_in_all(owner).await? {
        assets.entry(row.asset).or_insert_with(|| new(row.asset)).paid = row.paid.0;
    }
    for row in app.views.accrued_to(owner).await?.into_iter().filter(|_| !running.cut) {
        let posted = running.posted.get(&row.asset).copied().unwrap_or(0);
        assets.entry(row.asset).or_insert_with(|| new(row.asset)).waits = (row.minor - posted).max(0);
    }
    for owed in app.views.payable_to(owner).await? {
        let payable = &mut assets.entry(owed.asset).or_insert_with(|| new(owed.asset)).payable;
        match owed.account {
            Account::Claim(_, _, Stage::Due) => payable.due += owed.minor,
            Account::Claim(_, _, Stage::InFlight) => payable.in_flight += owed.minor,
            Account::Claim(_, _, Stage::Quarantined) => payable.quarantined += owed.minor,
            _ => {}
        }
    }
    let since = Month::of(now).plus(1 - MONTHS);
    let wanted = Asset::ALL.len() * usize::try_from(MONTHS).unwrap_or(0);
    let months = app.views.earnings(owner, since, wanted).await?;
    for figures in assets.values_mut() {
        let asset = figures.asset;
        figures.months = (0..MONTHS)
            .map(|i| {
                let month = since.plus(i);
                let row = months.iter().find(|row| row.asset == asset && row.month == month);
                let (decided, paid) = row.map_or((0, 0), |row| (row.earned.0, row.paid.0));
                MonthFigures { month: month.to_string(), decided, paid }
            })
            .collect();
        figures.devices = devices(app, owner, asset, &running).await?;
    }
    Ok((assets.into_values().collect(), running.cut))
}

/// The devices that earned most, and those that earn now, as far as there is room.
async fn devices(
    app: &App,
    owner: AccountId,
    asset: Asset,
    running: &Running,
) -> Result<Vec<DeviceFigures>, Problem> {
    let accrued = |device| running.devices.get(&(asset, device)).copied().unwrap_or(0);
    let best = app.views.best_devices(owner, (asset, Month::ALL), None, DEVICES).await?;
    let mut devices: Vec<_> = best
        .into_iter()
        .map(|row| DeviceFigures {
            device: row.device,
            accrued: accrued(row.device),
            payable: row.unpaid(),
            paid: row.paid.0,
        })
        .collect();
    let mut others: Vec<_> = running
        .devices
        .iter()
        .filter(|((of, device), _)| *of == asset && devices.iter().all(|known| known.device != *device))
        .map(|((_, device), accrued)| DeviceFigures {
            device: *device,
            accrued: *accrued,
            payable: 0,
            paid: 0,
        })
        .collect();
    others.sort_unstable_by_key(|other| std::cmp::Reverse((other.accrued, other.device)));
    devices.extend(others);
    devices.truncate(DEVICES);
    Ok(devices)
}
