//! Devices that are lost or have not erased, and orders that were refused.

use askama::Template;
use axum::{extract::State, response::Response};
use domain::{
    id::{ContractId, DeviceId},
    money::Money,
    order::OrderItem,
    policy::EndedBy,
    time::Time,
};
use projections::views::{
    devices::DeviceRow,
    orders::{OrderRow, OrderScope},
    settlements::SettlementStatus,
};
use serde::Deserialize;
use uuid::Uuid;

use super::{
    super::{
        audit::told::{self, Named},
        failure::Failure,
        form::Form,
        page::{Shell, done, page},
        show::filters,
        visit::Member,
    },
    Part, authorise, cut, require_sure,
};
use crate::{
    app::App,
    contracts, devices,
    error::Problem,
    http::extract::{Path, Query},
};

/// A device that an operator looks after.
#[derive(Debug, Clone)]
pub struct DeviceLine {
    /// The device.
    pub device: Uuid,
    /// What its owner calls it.
    pub name: String,
    /// Whose it is.
    pub owner: Named,
    /// The latest lease.
    pub epoch: u32,
    /// Its rental, running or over.
    pub contract: Option<Uuid>,
    /// Whether that rental runs.
    pub is_let: bool,
    /// When it was last heard of, while it is lost.
    pub lost_since: Option<Time>,
    /// When its rental or lease ends unless it comes back.
    pub give_up_at: Option<Time>,
    /// When the lease ended.
    pub ended_at: Option<Time>,
    /// When it was taken out of service.
    pub retired_at: Option<Time>,
}

/// Which devices a page shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Devices {
    /// Those that are lost.
    Lost,
    /// Those that have not proved that they erased.
    Unerased,
}

/// Devices that an operator looks after.
#[derive(Template)]
#[template(path = "operator/devices.html")]
pub struct DevicesPage {
    /// What is around it.
    pub shell: Shell,
    /// Which.
    pub which: Devices,
    /// The latest that were enrolled first.
    pub devices: Vec<DeviceLine>,
    /// Where the next ones begin.
    pub next: Option<u64>,
}

/// An order that was refused.
#[derive(Debug, Clone)]
pub struct OrderLine {
    /// The marketplace.
    pub marketplace: String,
    /// Its id there.
    pub id: String,
    /// Who bought.
    pub renter: Named,
    /// What was bought.
    pub item: Named,
    /// What was received.
    pub paid: Money,
    /// Why it was refused.
    pub reason: String,
    /// When it was received.
    pub received_at: Time,
    /// Its refund, and how far that is.
    pub refund: Option<(Uuid, Option<SettlementStatus>)>,
}

/// Orders that were refused.
#[derive(Template)]
#[template(path = "operator/orders.html")]
pub struct OrdersPage {
    /// What is around it.
    pub shell: Shell,
    /// The newest first.
    pub orders: Vec<OrderLine>,
    /// Where the next ones begin.
    pub next: Option<u64>,
}

/// Devices with their names and their owners'.
///
/// # Errors
/// When the private store fails.
pub async fn devices(app: &App, rows: Vec<DeviceRow>) -> Result<Vec<DeviceLine>, Problem> {
    let ids: Vec<_> = rows.iter().map(|row| row.device).collect();
    let owners: Vec<_> = rows.iter().map(|row| row.owner).collect();
    let names = app.private.device_names(&ids).await?;
    let owners = app.private.account_names(&owners).await?;
    let line = |row: DeviceRow| DeviceLine {
        device: row.device.0,
        name: names.get(&row.device).cloned().unwrap_or_else(|| row.device.to_string()),
        owner: told::account(row.owner, &owners),
        epoch: row.epoch,
        contract: row.contract.map(|contract| contract.0),
        is_let: row.is_let,
        lost_since: row.lost_since,
        give_up_at: row.give_up_at,
        ended_at: row.lease_ended_at,
        retired_at: row.retired_at,
    };
    Ok(rows.into_iter().map(line).collect())
}

fn item(item: &OrderItem) -> Named {
    match item {
        OrderItem::Rental { device, term_s } => Named {
            text: format!("{} on a device", super::super::show::span(*term_s)),
            href: Some(format!("/audit/devices/{device}")),
        },
        OrderItem::Extension { contract, .. } => {
            Named { text: "an extension".to_owned(), href: Some(format!("/audit/contracts/{contract}")) }
        }
        OrderItem::Unsellable { listing, .. } => Named { text: format!("listing {listing}"), href: None },
    }
}

/// Orders with their renters' names and their refunds' states.
///
/// # Errors
/// When a store or the views cannot be read.
pub async fn orders(app: &App, rows: Vec<OrderRow>) -> Result<Vec<OrderLine>, Problem> {
    let renters: Vec<_> = rows.iter().map(|row| row.renter).collect();
    let names = app.private.account_names(&renters).await?;
    let mut lines = Vec::with_capacity(rows.len());
    for row in rows {
        let refund = match row.settlement {
            Some(id) => Some((id.0, app.views.settlement(id).await?.map(|refund| refund.status))),
            None => None,
        };
        lines.push(OrderLine {
            marketplace: row.marketplace.to_string(),
            id: row.order_key.id.to_string(),
            renter: told::account(row.renter, &names),
            item: item(&row.item),
            paid: row.paid,
            reason: row.reason.map(|reason| reason.to_string()).unwrap_or_default(),
            received_at: row.received_at,
            refund,
        });
    }
    Ok(lines)
}

async fn show_devices(app: &App, member: &Member, which: Devices, part: &Part) -> Result<Response, Failure> {
    authorise(member)?;
    let (title, mut rows) = match which {
        Devices::Lost => ("Lost devices", app.views.lost_devices(part.page()).await?),
        Devices::Unerased => ("Unproved erasures", app.views.unerased_devices(part.page()).await?),
    };
    let next = cut(&mut rows, |row| row.position);
    let devices = devices(app, rows).await?;
    Ok(page(&DevicesPage { shell: member.shell(title).live_all(), which, devices, next }))
}

/// Devices that are lost.
pub async fn lost(
    State(app): State<App>,
    member: Member,
    Query(part): Query<Part>,
) -> Result<Response, Failure> {
    show_devices(&app, &member, Devices::Lost, &part).await
}

/// Devices that have not proved that they erased.
pub async fn unerased(
    State(app): State<App>,
    member: Member,
    Query(part): Query<Part>,
) -> Result<Response, Failure> {
    show_devices(&app, &member, Devices::Unerased, &part).await
}

/// Orders that were refused.
pub async fn refused(
    State(app): State<App>,
    member: Member,
    Query(part): Query<Part>,
) -> Result<Response, Failure> {
    authorise(&member)?;
    let mut rows = app.views.orders(OrderScope::Rejected, part.page()).await?;
    let next = cut(&mut rows, |row| row.position);
    let orders = orders(&app, rows).await?;
    Ok(page(&OrdersPage { shell: member.shell("Refused orders").live_all(), orders, next }))
}

/// Whether whoever pressed the button is sure.
#[derive(Debug, Deserialize)]
pub struct Sure {
    #[serde(default)]
    sure: String,
}

/// Takes a device out of service.
pub async fn retire(
    State(app): State<App>,
    member: Member,
    Path(device): Path<DeviceId>,
    Form { fields: Sure { sure }, id }: Form<Sure>,
) -> Result<Response, Failure> {
    authorise(&member)?;
    require_sure(&sure)?;
    let done_at = devices::retire(&app, device, None, &member.by_form(id)).await?.position;
    app.follow_up(done_at).await;
    Ok(done("/operator", "retired"))
}

/// Ends a rental as the operator.
pub async fn terminate(
    State(app): State<App>,
    member: Member,
    Path(contract): Path<ContractId>,
    Form { fields: Sure { sure }, id }: Form<Sure>,
) -> Result<Response, Failure> {
    authorise(&member)?;
    require_sure(&sure)?;
    let ended = contracts::terminate(&app, contract, EndedBy::Operator, None, &member.by_form(id)).await?;
    app.follow_up(ended.position).await;
    Ok(done("/operator", "ended"))
}
