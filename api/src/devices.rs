//! Devices: enrolment, the registration handshake, the receipt.
//!
//! # Shape
//! Registration leases a port from the gateway, makes the server's half of the volume key, then grants the lease; all
//! name (device, epoch), so a repeated or interrupted registration continues where it stopped and gets the same answer.
//!
//! # Correctness
//! A receipt must name the digest of the very tombstone that this server would sign.

use axum::http::StatusCode;
use domain::{
    account::{Account, Role},
    contract::Contract,
    device::{Device, DeviceCommand, DeviceRefusal, LeaseGranted},
    event::{Actor, Position, Revision},
    gateway::{Gateway, GatewayCommand, PortLeased},
    id::{AccountId, CommandId, ContractId, CorrelationId, DeviceId, Epoch, GatewayName, Subdomain},
    key::{Digest, PublicKey},
    wire::{Grant, Registration, SignedReceipt, Verified},
};
use projections::private::Attention;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    accounts::check_text,
    app::App,
    clock::{fresh_secret, random_bytes},
    error::Problem,
    execute::{By, Done, ExecuteError},
    gateways, halves,
    polls::tombstone,
    roles::{Part, Roles},
};

/// A newly enrolled device.
#[derive(Clone)]
pub struct Enrolled {
    /// The device.
    pub device: DeviceId,
    /// Its enrolment key, shown once.
    pub key: String,
    /// Its stream's last event.
    pub revision: Option<Revision>,
    /// What was written.
    pub position: Option<Position>,
}

impl std::fmt::Debug for Enrolled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Enrolled").field("device", &self.device).finish_non_exhaustive()
    }
}

/// What a renter logs in with; sealed in the private store, never in the log.
#[derive(Clone, Serialize, Deserialize)]
pub struct Login {
    /// The user on the device.
    pub user: String,
    /// The password.
    pub password: String,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login").finish_non_exhaustive()
    }
}

/// The device that a command of an owner enrols.
#[must_use]
pub fn enrolled_by(owner: AccountId, command: CommandId) -> DeviceId {
    DeviceId(Uuid::new_v5(&owner.0, command.0.as_bytes()))
}

/// What to do about a command that has enrolled its device already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// Make another key: nobody has seen the first one, because the command was cut off before its answer was kept.
    Resume,
    /// Refuse: its key was shown.
    Refuse,
}

/// Enrols a device; the same command enrols the same device.
///
/// # Errors
/// When the name is invalid, or the command has enrolled its device already and that is not resumed; nor can it be, once
/// anything else has happened to the device.
pub async fn enrol(
    app: &App,
    owner: AccountId,
    name: &str,
    again: Again,
    by: &By,
) -> Result<Enrolled, Problem> {
    check_text("name", name)?;
    let device = enrolled_by(owner, by.command);
    let key = fresh_secret("berth-key-");
    let enrolment_key = Digest::of(key.as_bytes());
    let enrol = DeviceCommand::Enrol { owner, enrolment_key };
    let done: Done<Device> = match app.executor.execute::<Device>(&device, enrol, by).await {
        Err(ExecuteError::Refused(DeviceRefusal::AlreadyEnrolled)) if again == Again::Resume => {
            let resume = DeviceCommand::ReplaceEnrolmentKey { enrolment_key };
            app.executor.execute_at(&device, resume, by, Some(0)).await?
        }
        other => other?,
    };
    app.private.name_device(device, name).await?;
    Ok(Enrolled { device, key, revision: done.revision, position: done.position })
}

/// Replaces the enrolment key, if the device is still at `only_at`.
///
/// # Errors
/// When the device is unknown, retired or has changed.
pub async fn replace_key(
    app: &App,
    device: DeviceId,
    only_at: Option<Option<Revision>>,
    by: &By,
) -> Result<Enrolled, Problem> {
    let key = fresh_secret("berth-key-");
    let command = DeviceCommand::ReplaceEnrolmentKey { enrolment_key: Digest::of(key.as_bytes()) };
    let done: Done<Device> = match only_at {
        Some(revision) => app.executor.execute_at(&device, command, by, revision).await?,
        None => app.executor.execute(&device, command, by).await?,
    };
    Ok(Enrolled { device, key, revision: done.revision, position: done.position })
}

/// Takes a device out of service unless it is let; its lease then ends by itself.
///
/// # Errors
/// When it is unknown, let, or has changed since `only_at`.
pub async fn retire(
    app: &App,
    device: DeviceId,
    only_at: Option<Option<Revision>>,
    by: &By,
) -> Result<Done<Device>, Problem> {
    let state = app.executor.load::<Device>(&device).await?.state;
    let is_let = match state.live_lease() {
        None => false,
        Some(lease) => {
            let contract = app.executor.load::<Contract>(&ContractId::of(device, lease.epoch)).await?.state;
            contract.rental().is_some_and(|rental| rental.ended.is_none())
        }
    };
    let command = DeviceCommand::Retire { is_let };
    Ok(match only_at {
        Some(revision) => app.executor.execute_at(&device, command, by, revision).await?,
        None => app.executor.execute(&device, command, by).await?,
    })
}

/// Renames a device. Names are not part of the ledger.
///
/// # Errors
/// When the name is invalid.
pub async fn rename(app: &App, device: DeviceId, name: &str) -> Result<(), Problem> {
    check_text("name", name)?;
    Ok(app.private.name_device(device, name).await?)
}

/// Gives a device that holds no lease to another owner, if it is still at `only_at`.
///
/// # Errors
/// When the account does not let devices, or the device is leased, not erased, retired, or has changed.
pub async fn transfer(
    app: &App,
    device: DeviceId,
    to: AccountId,
    only_at: Option<Option<Revision>>,
    by: &By,
) -> Result<Done<Device>, Problem> {
    if !app.executor.load::<Account>(&to).await?.state.may(Role::Owner) {
        return Err(Problem::invalid("`to` must be an account with the role owner"));
    }
    let command = DeviceCommand::Transfer { to };
    Ok(match only_at {
        Some(revision) => app.executor.execute_at(&device, command, by, revision).await?,
        None => app.executor.execute(&device, command, by).await?,
    })
}

/// Gives a device its lease: the live one again, or the next epoch.
///
/// # Errors
/// When the epoch before is not erased, another key holds the lease, the device is retired, or no port is free.
pub async fn register(
    app: &App,
    device: DeviceId,
    registration: Verified<Registration>,
    by: &By,
) -> Result<Grant, Problem> {
    let Registration { device_key, config_hash, hardware, .. } = registration.into_inner();
    let state = app.executor.load::<Device>(&device).await?.state;
    let epoch = match state.next_epoch(device_key, config_hash) {
        Err(refusal @ DeviceRefusal::NotErased { .. }) if another_key(&state, device_key) => {
            let action = "the key that could sign the receipt is not this one: start the agent with its old data folder, \
                          or retire the device and enrol the machine anew";
            call_attention(app, device, "erasure receipt cannot come", action).await?;
            return Err(Problem::new(StatusCode::CONFLICT, "epoch-not-erased", refusal.to_string(), action));
        }
        other => other?,
    };
    let lease = match state.live_lease() {
        Some(live) => live.clone(),
        None => {
            let (gateway, held) = lease_port(app, device, epoch, by).await?;
            let (port, subdomain) = (held.port, held.subdomain);
            halves::make(app, device, epoch).await?;
            LeaseGranted { epoch, gateway, port, subdomain, device_key, config_hash, hardware }
        }
    };
    let done = app.executor.execute::<Device>(&device, DeviceCommand::GrantLease(lease), by).await?;
    let Some(lease) = done.state.live_lease().filter(|lease| lease.epoch == epoch).cloned() else {
        return Err(Problem::from(DeviceRefusal::NotErased { epoch }));
    };
    app.private.watch_device(device, true, app.clock.time()).await?;
    heard_of(app, device).await?;
    let login = keep_login(app, device, epoch).await?;
    app.catch_up(done.position).await;
    let gateway = lease.gateway;
    Ok(Grant {
        device,
        server_key: app.keys.root(),
        epoch,
        gateway: gateway.clone(),
        host: app.gateways.host(Some(&gateway), &app.config.gateway),
        port: lease.port,
        subdomain: lease.subdomain,
        user: login.user,
        password: login.password,
    })
}

/// A port of the emptiest gateway that has one.
async fn lease_port(
    app: &App,
    device: DeviceId,
    epoch: Epoch,
    by: &By,
) -> Result<(GatewayName, PortLeased), Problem> {
    let mut refusal = None;
    let roles = app.config.roles.parse::<Roles>().map_err(|e| Problem::internal(&e))?;
    let own = roles.has(Part::Gateway).then_some(&app.config.gateway);
    if app.gateways.ranges(&app.leases.counts(), None).is_empty() {
        // One may have reported to another server a moment ago.
        gateways::refresh(app).await?;
    }
    for range in app.gateways.ranges(&app.leases.counts(), own) {
        let (subdomain, first, last) = (Subdomain::of(device, epoch), range.first, range.last);
        let command = GatewayCommand::LeasePort { device, epoch, subdomain, first, last };
        match app.executor.execute::<Gateway>(&range.name, command, by).await {
            Err(ExecuteError::Refused(refused)) => {
                tracing::warn!(%device, gateway = %range.name, reason = %refused, "a device cannot get a port");
                refusal = Some(refused);
            }
            leased => {
                let held = leased?.state.port_of(device, epoch).cloned();
                return held.map(|held| (range.name, held)).ok_or_else(Problem::overloaded);
            }
        }
    }
    let no_gateway = || {
        let detail = "no gateway is there that could give the device a port";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "no-gateway", detail, "wait, and ask again")
            .retry_after(5)
    };
    let refusal = refusal.ok_or_else(no_gateway)?;
    call_attention(app, device, "no port", &refusal.to_string()).await?;
    Err(refusal.into())
}

fn another_key(state: &Device, device_key: PublicKey) -> bool {
    state.lease().is_some_and(|lease| lease.granted.device_key != device_key)
}

/// Puts a device on the operators' list.
///
/// # Errors
/// When the private store fails.
pub async fn call_attention(app: &App, device: DeviceId, what: &str, detail: &str) -> Result<(), Problem> {
    let (subject, since) = (format!("device-{device}"), app.clock.time());
    let item = Attention { subject, what: what.into(), detail: detail.into(), since };
    Ok(app.private.call_attention(&item).await?)
}

fn login_context(device: DeviceId, epoch: Epoch) -> String {
    format!("login {device} {epoch}")
}

async fn keep_login(app: &App, device: DeviceId, epoch: Epoch) -> Result<Login, Problem> {
    if let Some(login) = login(app, device, epoch).await? {
        return Ok(login);
    }
    let password: String =
        random_bytes::<24>().iter().map(|b| ALPHABET[usize::from(*b) % ALPHABET.len()]).collect();
    let fresh = Login { user: "berth".into(), password };
    let plain = serde_json::to_vec(&fresh).map_err(|e| Problem::internal(&e))?;
    let sealed = app.keys.seal(&login_context(device, epoch), &plain);
    app.private.keep_secret(device, epoch, sealed).await?;
    login(app, device, epoch).await?.ok_or_else(|| Problem::internal(&"a kept secret is missing"))
}

/// 32 letters and digits that no marketplace mangles and nobody confuses; 256 divides by 32, so all are equally likely.
const ALPHABET: [char; 32] = [
    'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'j', 'k', 'm', 'n', 'p', 'q', 'r', 's', 't', 'u', 'v', 'w', 'x',
    'y', 'z', '2', '3', '4', '5', '6', '7', '8', '9', 'A',
];

/// The login of a lease, until its data is erased.
///
/// # Errors
/// When the private store fails or the vault key is not the one that sealed it.
pub async fn login(app: &App, device: DeviceId, epoch: Epoch) -> Result<Option<Login>, Problem> {
    let Some(sealed) = app.private.secret(device, epoch).await? else { return Ok(None) };
    let plain = app.keys.unseal(&login_context(device, epoch), &sealed).map_err(|e| Problem::internal(&e))?;
    serde_json::from_slice(&plain).map(Some).map_err(|e| Problem::internal(&e))
}

/// Notes a sign of life; a lost device is found again.
///
/// # Errors
/// When the log cannot be written.
pub async fn heard_of(app: &App, device: DeviceId) -> Result<(), Problem> {
    let state = app.executor.load::<Device>(&device).await?.state;
    heard_of_as(app, device, &state).await.map(|_| ())
}

/// As [`heard_of`], of a device whose state is at hand; whether that has changed.
///
/// # Errors
/// When the log cannot be written.
pub async fn heard_of_as(app: &App, device: DeviceId, state: &Device) -> Result<bool, Problem> {
    app.heard_of(device);
    if state.lost().is_none() {
        return Ok(false);
    }
    let by = by_device(app, device);
    let seen_at = app.clock.time();
    app.executor.execute::<Device>(&device, DeviceCommand::ReportSeen { seen_at }, &by).await?;
    app.private.watch_device(device, true, seen_at).await?;
    tracing::info!(%device, "a lost device is back");
    Ok(true)
}

fn by_device(app: &App, device: DeviceId) -> By {
    let command = domain::id::CommandId(app.fresh_id());
    let (actor, correlation) = (Actor::Device(device), CorrelationId(command.0));
    By { actor, on_behalf_of: None, command, causation: None, correlation }
}

/// Takes a device's erasure receipt; then the lease's login is destroyed.
///
/// # Errors
/// When the receipt is not believed, or the lease has not ended.
pub async fn record_erasure(
    app: &App,
    device: DeviceId,
    receipt: SignedReceipt,
    by: &By,
) -> Result<(), Problem> {
    let state = app.executor.load::<Device>(&device).await?.state;
    let lease = state.lease().ok_or(DeviceRefusal::NotLeased)?;
    let believed = receipt.verify(&lease.granted.device_key, device);
    let believed = believed.map_err(|e| DeviceRefusal::BadReceipt(e.to_string()))?.into_inner();
    let tombstone = tombstone(app, device, believed.epoch).await?.ok_or(DeviceRefusal::LeaseRunning)?;
    if tombstone.digest() != believed.tombstone {
        return Err(DeviceRefusal::BadReceipt("it names another tombstone".into()).into());
    }
    let done =
        app.executor.execute::<Device>(&device, DeviceCommand::RecordErasure { device, receipt }, by).await?;
    app.private.destroy_secrets(device, believed.epoch).await?;
    app.catch_up(done.position).await;
    Ok(())
}
