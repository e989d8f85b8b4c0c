//! One device.

use askama::Template;
use axum::{extract::State as Shared, http::StatusCode, response::Response};
use domain::{
    account::Role,
    event::Revision,
    id::{AccountId, ContractId, DeviceId},
    money::Money,
    offer::Hardware,
    time::Time,
};
use projections::views::{
    Page,
    contracts::{ContractRow, ContractScope, ContractStatus},
    devices::DeviceRow,
};

use super::{
    super::{
        failure::Failure,
        page::{Shell, page},
        show::{filters, percent},
        visit::Member,
    },
    list::{After, Running, running, unnamed},
    seen,
    state::{State, rates, states},
};
use crate::{
    accruals::{Uptime, uptimes},
    app::App,
    error::Problem,
    gateways::TunnelReport,
    http::extract::{Path, Query},
};

/// Rentals on one page.
const ON_A_PAGE: usize = 10;

/// One device.
#[derive(Template)]
#[template(path = "devices/device.html")]
pub struct DevicePage {
    /// What is around it.
    pub shell: Shell,
    /// The device.
    pub device: DeviceId,
    /// Its stream's last event.
    pub revision: Revision,
    /// What its owner calls it.
    pub name: String,
    /// How it is.
    pub states: Vec<State>,
    /// Whose it is, for those who see other people's devices.
    pub owner: Option<(AccountId, String)>,
    /// Since when it is known.
    pub enrolled_at: Time,
    /// When it was taken out of service.
    pub retired_at: Option<Time>,
    /// When it was last heard of.
    pub last_seen: Option<Time>,
    /// Since when it is lost, and when its rental ends unless it comes back.
    pub lost: Option<(Time, Option<Time>)>,
    /// Share of the time since its first lease in which it was not lost.
    pub uptime: Option<String>,
    /// The latest lease.
    pub lease: Option<Lease>,
    /// What is asked.
    pub price: Option<String>,
    /// The title it is offered under.
    pub title: Option<String>,
    /// The rental that runs.
    pub rental: Option<Running>,
    /// Its rentals, the newest first.
    pub rentals: Vec<Past>,
    /// Whether these are not the newest.
    pub later: bool,
    /// Where the rentals go on.
    pub next: Option<u64>,
    /// Whether it has an enrolment key: after a transfer it has none.
    pub has_key: bool,
    /// Whether the visitor may change it.
    pub keeps: bool,
    /// Whether the visitor sees the history of everything.
    pub audits: bool,
    /// What was typed and did not work.
    pub again: Again,
}

/// What was typed into a device's forms, and why it did not work.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Again {
    /// The name.
    pub name: Option<(String, String)>,
    /// The account that should get the device.
    pub to: Option<(String, String)>,
    /// Taking it out of service.
    pub retire: Option<String>,
}

/// A device's hold on a port and a subdomain.
#[derive(Debug, Clone)]
pub struct Lease {
    /// Numbers the device's leases.
    pub epoch: u32,
    /// The gateway.
    pub gateway: String,
    /// Its host.
    pub host: String,
    /// The port there.
    pub port: u16,
    /// The name visitors use.
    pub subdomain: String,
    /// What the device says it is.
    pub hardware: Option<Hardware>,
    /// When it was granted.
    pub granted_at: Time,
    /// When it ended.
    pub ended_at: Option<Time>,
    /// When its data was proved to be erased.
    pub erased_at: Option<Time>,
    /// Its tunnel, as the gateway reports it.
    pub tunnel: Option<TunnelReport>,
}

/// A rental of the device.
#[derive(Debug, Clone)]
pub struct Past {
    /// Which.
    pub contract: ContractId,
    /// When it began.
    pub starts_at: Time,
    /// When it ended, or will.
    pub ends_at: Time,
    /// How far it is.
    pub how: &'static str,
    /// The share of the time in which the device was there.
    pub uptime: String,
    /// Seconds in which it was not: they are credited to the renter.
    pub offline_s: i64,
    /// How often it was not.
    pub outages: usize,
    /// What was received.
    pub paid: Money,
    /// What the owner gets, once that is decided.
    pub payout: Option<Money>,
}

impl Past {
    fn new(row: ContractRow, uptime: Uptime) -> Self {
        let how = match row.status {
            ContractStatus::Running => "running",
            ContractStatus::Expired => "served its term",
            ContractStatus::Terminated => "ended early",
        };
        Self {
            contract: row.contract,
            starts_at: row.starts_at,
            ends_at: row.ended_at.unwrap_or(row.ends_at),
            how,
            uptime: percent(uptime.ppm()),
            offline_s: uptime.offline_s,
            outages: uptime.outages,
            paid: row.paid,
            payout: row.payout,
        }
    }
}

fn lease(app: &App, row: &DeviceRow) -> Option<Lease> {
    let gateway = row.gateway.as_ref()?;
    let domain = app.gateways.domain(Some(gateway), &app.config.gateway);
    let subdomain = row.subdomain.as_ref()?;
    Some(Lease {
        epoch: row.epoch,
        gateway: gateway.to_string(),
        host: app.gateways.host(Some(gateway), &app.config.gateway),
        port: row.port?,
        subdomain: format!("{subdomain}.{domain}"),
        hardware: row.hardware.clone(),
        granted_at: row.granted_at?,
        ended_at: row.lease_ended_at,
        erased_at: row.erased_at,
        tunnel: app.gateways.tunnel(row.device, row.epoch).filter(|_| row.is_leased()),
    })
}

/// Shows a device.
pub(super) async fn show(
    Shared(app): Shared<App>,
    member: Member,
    Path(device): Path<DeviceId>,
    Query(After { after }): Query<After>,
) -> Result<Response, Failure> {
    render(&app, &member, device, after, Again::default()).await
}

/// Shows a device again, with what was typed and did not work, when whoever sent it can mend that.
///
/// # Errors
/// The problem when not, or when the device cannot be shown.
pub(super) async fn again(
    app: &App,
    member: &Member,
    device: DeviceId,
    problem: Problem,
    again: impl FnOnce(String) -> Again,
) -> Result<Response, Failure> {
    let mendable = [StatusCode::UNPROCESSABLE_ENTITY, StatusCode::CONFLICT];
    if !mendable.contains(&problem.status()) {
        return Err(problem.into());
    }
    let mut response = render(app, member, device, None, again(problem.detail().to_owned())).await?;
    *response.status_mut() = problem.status();
    Ok(response)
}

async fn render(
    app: &App,
    member: &Member,
    device: DeviceId,
    after: Option<u64>,
    again: Again,
) -> Result<Response, Failure> {
    let (loaded, keeps) = seen(app, member, device).await?;
    let row = app.views.device(device).await?.ok_or_else(|| Problem::not_found("device"))?;
    let sees_all = member.is_any(&[Role::Operator, Role::Auditor]);
    let wanted = Page { after, newest_first: true, limit: ON_A_PAGE + 1 };
    let mut rows = app.views.contracts(ContractScope::Device(device), None, wanted).await?;
    let more = rows.len() > ON_A_PAGE;
    rows.truncate(ON_A_PAGE);
    let next = rows.last().filter(|_| more).map(|row| row.position);
    // What an owner before had of the device is not this one's to see.
    rows.retain(|row| sees_all || row.owner == member.account());
    let ids = rows.iter().map(|row| row.contract).collect();
    let uptimes = uptimes(app, &loaded.state, ids).await?;
    let rentals = rows.into_iter().zip(uptimes).map(|(row, uptime)| Past::new(row, uptime)).collect();
    let rental = running(app, std::slice::from_ref(&row)).await?.into_iter().next().flatten();
    let last_seen = app.last_seen(&[device]).await?.get(&device).copied();
    let owner = if sees_all && row.owner != member.account() {
        let person = app.private.person(row.owner).await?;
        Some((row.owner, person.map(|person| person.name).unwrap_or_default()))
    } else {
        None
    };
    let name = app.private.device_name(device).await?.unwrap_or_else(|| unnamed(device));
    let mut shell = member.shell(&name);
    // What a form has led to cannot be loaded again.
    if again == Again::default() {
        shell = shell.live([device.to_string()]);
    }
    Ok(page(&DevicePage {
        shell,
        device,
        revision: row.revision,
        name,
        states: states(app, &row, last_seen),
        owner,
        enrolled_at: row.enrolled_at,
        retired_at: row.retired_at,
        last_seen,
        lost: row.lost_since.map(|since| (since, row.give_up_at)),
        uptime: row.uptime_ppm(member.visit.now).map(percent),
        lease: lease(app, &row),
        price: row.offer.as_ref().map(rates),
        title: row.offer.as_ref().map(|offer| offer.title.clone()),
        rental,
        rentals,
        later: after.is_some(),
        next,
        has_key: row.enrolment_key.is_some(),
        keeps,
        audits: sees_all,
        again,
    }))
}
