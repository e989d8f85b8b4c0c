//! An owner's devices.

use axum::{extract::State, http::Uri};
use domain::{
    account::Role,
    device::{Device as Ledger, LeaseEnd},
    event::{Position, Revision},
    id::DeviceId,
    time::Time,
    wire::GatewayAddress,
};
use projections::views::{Page, devices::DeviceRow};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    answer::{Answer, IfMatch, Values, changing},
    auth::{Caller, DeviceKeeper, DeviceReader},
    extract::{Json, Path, Query},
    list::{List, Part},
    schema,
};
use crate::{
    app::App,
    devices,
    error::Problem,
    gateways::{self, TunnelReport},
};

/// A gateway's SSH server.
#[derive(Debug, Serialize, ToSchema)]
pub struct TunnelTo {
    /// The host.
    host: String,
    /// The port.
    port: u16,
    /// Its SSH host key, in the form of OpenSSH.
    host_key: String,
}

impl From<GatewayAddress> for TunnelTo {
    fn from(gateway: GatewayAddress) -> Self {
        Self { host: gateway.host, port: gateway.port, host_key: gateways::openssh(gateway.host_key) }
    }
}

/// A device's hold on a port and a subdomain.
#[derive(Debug, Serialize, ToSchema)]
pub struct Lease {
    /// Numbers the device's leases.
    epoch: u32,
    /// The gateway's host.
    host: String,
    /// The port there.
    #[schema(required)]
    port: Option<u16>,
    /// The subdomain.
    #[schema(required)]
    subdomain: Option<String>,
    /// Where the device brings its tunnel up to, while its gateway is there.
    #[schema(required)]
    tunnel_to: Option<TunnelTo>,
    /// The device's own Ed25519 key.
    #[schema(required)]
    device_key: Option<String>,
    /// What the device says it is.
    #[schema(value_type = Option<schema::Hardware>, required)]
    hardware: Option<domain::offer::Hardware>,
    /// When it was granted.
    #[schema(value_type = String, format = DateTime)]
    granted_at: Time,
    /// When it ended.
    #[schema(value_type = Option<String>, format = DateTime, required)]
    ended_at: Option<Time>,
    /// Why it ended.
    #[schema(value_type = Option<schema::LeaseEnd>, required)]
    why_ended: Option<LeaseEnd>,
    /// When its data was proved to be erased.
    #[schema(value_type = Option<String>, format = DateTime, required)]
    erased_at: Option<Time>,
}

/// A live lease's tunnel; what passed is counted since its gateway was started.
#[derive(Debug, Serialize, ToSchema)]
pub struct TunnelState {
    /// Whether it is up.
    connected: bool,
    /// Whether the leased port is listened on.
    port_open: bool,
    /// Visitors that are connected.
    visitors: u64,
    /// Bytes from visitors to the device.
    to_device: u64,
    /// Bytes from the device to visitors.
    from_device: u64,
    /// Visitors' connections, ended ones included.
    connections: u64,
}

impl From<TunnelReport> for TunnelState {
    fn from(report: TunnelReport) -> Self {
        let TunnelReport { heard_s_ago, port_open, visitors, to_device, from_device, connections, .. } =
            report;
        Self { connected: heard_s_ago.is_some(), port_open, visitors, to_device, from_device, connections }
    }
}

/// A device.
#[derive(Debug, Serialize, ToSchema)]
pub struct Device {
    /// The device.
    device: Uuid,
    /// What its owner calls it.
    #[schema(required)]
    name: Option<String>,
    /// Whose it is.
    owner: Uuid,
    /// Since when it is known.
    #[schema(value_type = String, format = DateTime)]
    enrolled_at: Time,
    /// When it was taken out of service.
    #[schema(value_type = Option<String>, format = DateTime, required)]
    retired_at: Option<Time>,
    /// What is asked, while it is on the market.
    #[schema(value_type = Option<schema::Offer>, required)]
    offer: Option<domain::offer::Offer>,
    /// The latest lease, ended or not.
    #[schema(required)]
    lease: Option<Lease>,
    /// The live lease's tunnel, as its gateway reports it.
    #[schema(required)]
    tunnel: Option<TunnelState>,
    /// The rental of the latest lease, running or over.
    #[schema(required)]
    contract: Option<Uuid>,
    /// Whether that rental runs.
    is_let: bool,
    /// When it was last heard of.
    #[schema(value_type = Option<String>, format = DateTime, required)]
    last_seen: Option<Time>,
    /// Since when it is lost.
    #[schema(value_type = Option<String>, format = DateTime, required)]
    lost_since: Option<Time>,
    /// When its rental or lease ends unless it comes back.
    #[schema(value_type = Option<String>, format = DateTime, required)]
    give_up_at: Option<Time>,
    /// When it was first leased.
    #[schema(value_type = Option<String>, format = DateTime, required)]
    first_leased_at: Option<Time>,
    /// Seconds it was lost while leased.
    lost_total_s: i64,
}

impl Device {
    async fn new(app: &App, row: DeviceRow) -> Result<Self, Problem> {
        let (name, last_seen) =
            (app.private.device_name(row.device).await?, app.private.last_seen(row.device).await?);
        let lives = row.is_leased();
        let tunnel = app.gateways.tunnel(row.device, row.epoch).filter(|_| lives).map(Into::into);
        let gateway = row.gateway.as_ref().filter(|_| lives);
        let tunnel_to = gateway.and_then(|gateway| app.gateways.address(gateway)).map(Into::into);
        let lease = row.granted_at.map(|granted_at| Lease {
            epoch: row.epoch,
            host: app.gateways.host(row.gateway.as_ref(), &app.config.gateway),
            port: row.port,
            subdomain: row.subdomain.map(Into::into),
            tunnel_to,
            device_key: row.device_key.map(|key| key.to_string()),
            hardware: row.hardware,
            granted_at,
            ended_at: row.lease_ended_at,
            why_ended: row.lease_end,
            erased_at: row.erased_at,
        });
        Ok(Self {
            device: row.device.0,
            name,
            owner: row.owner.0,
            enrolled_at: row.enrolled_at,
            retired_at: row.retired_at,
            offer: row.offer,
            lease,
            tunnel,
            contract: row.contract.map(|contract| contract.0),
            is_let: row.is_let,
            last_seen,
            lost_since: row.lost_since,
            give_up_at: row.give_up_at,
            first_leased_at: row.first_leased_at,
            lost_total_s: row.lost_total_s,
        })
    }
}

/// Lets the device's owner and these roles through, by the ledger.
///
/// # Errors
/// 404 for all others.
pub async fn authorise(
    app: &App,
    caller: &Caller,
    device: DeviceId,
    roles: &[Role],
) -> Result<Option<Revision>, Problem> {
    let loaded = app.executor.load::<Ledger>(&device).await?;
    let owner = loaded.state.owner().ok_or_else(|| Problem::not_found("device"))?;
    let owner_asks = caller.is(Role::Owner) && caller.account == owner;
    if owner_asks || caller.is_any(roles) { Ok(loaded.revision) } else { Err(Problem::not_found("device")) }
}

/// The device as it is after `position`.
///
/// # Errors
/// When there is none.
pub async fn show(
    app: &App,
    device: DeviceId,
    position: Option<Position>,
) -> Result<Answer<Device>, Problem> {
    app.catch_up(position).await;
    let row = app.views.device(device).await?.ok_or_else(|| Problem::not_found("device"))?;
    let revision = row.revision;
    let shown = Device::new(app, row).await?;
    let values = Values::of(&shown.name);
    Ok(Answer::ok(shown).at(revision).of(values).wrote(position))
}

/// Your devices, the newest first; all devices for operators and auditors.
#[utoipa::path(get, path = "/v1/devices", tag = "devices", params(Part),
    security(("token" = ["owner", "operator", "auditor"])),
    responses((status = 200, description = "Devices", body = List<Device>)))]
pub async fn list_devices(
    State(app): State<App>,
    caller: DeviceReader,
    uri: Uri,
    Query(part): Query<Part>,
) -> Result<Answer<List<Device>>, Problem> {
    let page: Page = part.newest("devices")?;
    let rows = if caller.is_any(&[Role::Operator, Role::Auditor]) {
        app.views.devices(page).await?
    } else {
        app.views.devices_of(caller.account, page).await?
    };
    let mut devices = Vec::with_capacity(rows.len());
    for row in rows {
        devices.push((row.position, Device::new(&app, row).await?));
    }
    part.answer(&uri, "devices", devices, |(position, _)| *position, |(_, device)| device)
}

/// A device.
#[utoipa::path(get, path = "/v1/devices/{device}", tag = "devices", params(("device" = Uuid, Path)),
    security(("token" = ["owner", "operator", "auditor"])),
    responses((status = 200, description = "The device", body = Device)))]
pub async fn get_device(
    State(app): State<App>,
    caller: DeviceReader,
    Path(device): Path<DeviceId>,
) -> Result<Answer<Device>, Problem> {
    authorise(&app, &caller, device, &[Role::Operator, Role::Auditor]).await?;
    show(&app, device, None).await
}

/// A device's name.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DeviceName {
    /// What you call it; 1 to 200 bytes.
    #[schema(min_length = 1, max_length = 200)]
    pub name: String,
}

/// Renames a device. Names are not part of the ledger.
#[utoipa::path(patch, path = "/v1/devices/{device}", tag = "devices", params(("device" = Uuid, Path)),
    security(("token" = ["owner", "operator"])), request_body = DeviceName,
    responses((status = 200, description = "The device", body = Device)))]
pub async fn rename_device(
    State(app): State<App>,
    caller: DeviceKeeper,
    Path(device): Path<DeviceId>,
    condition: IfMatch,
    Json(DeviceName { name }): Json<DeviceName>,
) -> Result<Answer<Device>, Problem> {
    let _alone = changing(&app).await?;
    let revision = authorise(&app, &caller, device, &[Role::Operator]).await?;
    condition.check_values(revision, Values::of(&app.private.device_name(device).await?))?;
    devices::rename(&app, device, &name).await?;
    show(&app, device, None).await
}

/// Takes a device out of service for good. It must not be let; its lease ends and its data is erased.
#[utoipa::path(delete, path = "/v1/devices/{device}", tag = "devices", params(("device" = Uuid, Path)),
    security(("token" = ["owner", "operator"])),
    responses((status = 200, description = "The device", body = Device)))]
pub async fn retire_device(
    State(app): State<App>,
    caller: DeviceKeeper,
    Path(device): Path<DeviceId>,
    condition: IfMatch,
) -> Result<Answer<Device>, Problem> {
    authorise(&app, &caller, device, &[Role::Operator]).await?;
    let done = devices::retire(&app, device, condition.only_at(), &caller.by()).await?;
    show(&app, device, done.position).await
}
