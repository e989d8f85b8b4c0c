//! What devices ask: to register, what to do, and that a receipt be taken.

use axum::{extract::State, http::StatusCode};
use domain::{
    device::{Device, DeviceRefusal},
    key::PublicKey,
    time::Time,
    wire::{
        PollRequest, ProvenGrant, ServerSigned, SignedCheckIn, SignedPoll, SignedReceipt, SignedRegistration,
        WireError,
    },
};
use projections::views::device_feed::DeviceFeedRow;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{
    answer::Answer,
    auth::DeviceCaller,
    extract::{Json, Query},
    list::MAX_ITEMS,
    schema,
};
use crate::{
    app::App,
    devices,
    error::Problem,
    polls::{self, MAX_WAIT_S},
};

/// A device's lease, told once it is registered; the same question gets the same answer.
#[derive(ToSchema)]
#[schema(as = Grant)]
pub struct GrantForm {
    /// The device's id.
    pub device: Uuid,
    /// The server's root key.
    pub server_key: String,
    /// The lease.
    pub epoch: u32,
    /// The gateway.
    pub gateway: String,
    /// The gateway's host name.
    pub host: String,
    /// The leased port.
    pub port: u16,
    /// The leased subdomain.
    pub subdomain: String,
    /// The renter's user name on the device.
    pub user: String,
    /// The renter's password on the device.
    pub password: String,
    /// `{v, registration, grant}`: the SHA-256 of the registration's payload and of the canonical JSON of the other fields
    /// here, signed in the context `berth grant v1`.
    pub proof: schema::ServerSigned,
}

fn not_believed(error: &WireError) -> Problem {
    let action = "sign the message with the key that it names, as version 1 of the protocol says";
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "bad-message", error.to_string(), action)
}

/// Registers the device and gives it a lease: the live one again, or the next. The body is a registration
/// `{v, device_key, config_hash, hardware}` signed by the device's key in the context `berth registration v1`.
#[utoipa::path(post, path = "/v1/device/register", tag = "device", security(("device_key" = [])),
    request_body = schema::Signed,
    responses((status = 200, description = "The lease", body = GrantForm)))]
pub async fn register(
    State(app): State<App>,
    caller: DeviceCaller,
    Json(registration): Json<SignedRegistration>,
) -> Result<Answer<ProvenGrant>, Problem> {
    let verified = registration.verify().map_err(|e| not_believed(&e))?;
    let grant = devices::register(&app, caller.device, verified, &caller.by()).await?;
    let proof = app.keys.sign(&registration.proof(&grant));
    Ok(Answer::ok(ProvenGrant { grant, proof }))
}

/// A poll as it came: signed, or bare.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "not a signed poll `{payload, signature}`, nor a poll")]
pub enum AnyPoll {
    /// Signed by the key that it names.
    Signed(SignedPoll),
    /// Anybody's.
    Bare(Box<PollRequest>),
}

/// Asks what to do: nonce in, signed answer out. With `wait_s`, waits for news. The body is a poll signed by the device's
/// key in the context `berth poll v1`. A bare poll is answered too, but is no sign of life, is not listened to and gets no
/// key half.
#[utoipa::path(post, path = "/v1/device/poll", tag = "device", security(("device_key" = [])),
    request_body = schema::AnyPoll,
    responses((status = 200, description = "The signed answer", body = schema::ServerSigned)))]
pub async fn poll(
    State(app): State<App>,
    caller: DeviceCaller,
    Json(poll): Json<AnyPoll>,
) -> Result<Answer<ServerSigned>, Problem> {
    let (request, signed) = match poll {
        AnyPoll::Signed(poll) => (poll.verify().map_err(|e| not_believed(&e))?.into_inner(), true),
        AnyPoll::Bare(request) => (*request, false),
    };
    if request.wait_s > MAX_WAIT_S {
        return Err(Problem::invalid(format!("wait_s must be at most {MAX_WAIT_S}")));
    }
    if request.v != domain::wire::VERSION {
        return Err(not_believed(&WireError::Version(request.v)));
    }
    polls::answer(&app, caller.device, request, signed).await.map(Answer::ok)
}

/// A check-in as it came: signed, or bare.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "not a signed check-in `{payload, signature}`")]
pub enum AnyCheckIn {
    /// Signed by the key that it names.
    Signed(SignedCheckIn),
    /// Anybody's.
    Bare(BareCheckIn),
}

/// What says only who is there.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BareCheckIn {
    /// The device's own key.
    #[serde(rename = "device_key")]
    _device_key: PublicKey,
}

/// A sign of life of the key that holds the device's lease; nobody else's counts, and each counts once. The body is a
/// check-in `{v, device_key, boot_id, count}` signed by the device's key in the context `berth check-in v1`; `count` rises
/// with every check-in of one boot.
#[utoipa::path(post, path = "/v1/device/check-ins", tag = "device", security(("device_key" = [])),
    request_body = schema::Signed, responses((status = 204, description = "Noted")))]
pub async fn check_in(
    State(app): State<App>,
    caller: DeviceCaller,
    Json(check_in): Json<AnyCheckIn>,
) -> Result<Answer<()>, Problem> {
    let AnyCheckIn::Signed(check_in) = check_in else {
        let action = "sign the check-in with the device's key, as `{payload, signature}`";
        let detail = "the check-in is not signed: anybody could have sent it";
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "bad-message", detail, action));
    };
    let check_in = check_in.verify().map_err(|e| not_believed(&e))?.into_inner();
    let state = app.executor.load::<Device>(&caller.device).await?.state;
    if state.live_lease().ok_or(DeviceRefusal::NotLeased)?.device_key != check_in.device_key {
        return Err(DeviceRefusal::LeaseHeld.into());
    }
    if !app.check_ins.count(&app.private, caller.device, &check_in).await? {
        let action = "send a check-in with a higher count, or of the boot that runs now";
        let detail = "the check-in was counted before, or is of an earlier boot";
        return Err(Problem::new(StatusCode::CONFLICT, "message-replayed", detail, action));
    }
    devices::heard_of_as(&app, caller.device, &state).await?;
    Ok(Answer::done(None))
}

/// How a lease's data was erased.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Erasure {
    /// The receipt.
    #[schema(value_type = schema::Signed)]
    receipt: SignedReceipt,
}

/// Sends an erasure receipt, signed by the device's key in the context `berth erasure receipt v1`.
#[utoipa::path(post, path = "/v1/device/erasures", tag = "device", security(("device_key" = [])),
    request_body = Erasure,
    responses((status = 204, description = "Taken; the device may register again")))]
pub async fn send_receipt(
    State(app): State<App>,
    caller: DeviceCaller,
    Json(Erasure { receipt }): Json<Erasure>,
) -> Result<Answer<()>, Problem> {
    devices::record_erasure(&app, caller.device, receipt, &caller.by()).await?;
    Ok(Answer::done(None))
}

/// An event that concerns the device.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeviceEvent {
    /// Its place in the log.
    position: u64,
    /// Its name, such as `LeaseGranted`.
    r#type: String,
    /// The lease it is about.
    #[schema(required)]
    epoch: Option<u32>,
    /// When it was written down.
    #[schema(value_type = String, format = DateTime)]
    recorded_at: Time,
}

impl From<DeviceFeedRow> for DeviceEvent {
    fn from(row: DeviceFeedRow) -> Self {
        Self {
            position: row.position,
            r#type: row.kind.into(),
            epoch: row.epoch,
            recorded_at: row.recorded_at,
        }
    }
}

/// A part of something that grows.
#[derive(Debug, Serialize, ToSchema)]
pub struct Feed<T> {
    /// The items, the oldest first.
    pub items: Vec<T>,
    /// What to send as `after` to go on; null while there is nothing at all.
    #[schema(required)]
    pub after: Option<u64>,
}

/// Where to go on.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AfterQuery {
    /// Only what came after this position.
    pub after: Option<u64>,
}

/// A position that can be counted on from: whatever is beyond any log stays beyond it.
#[must_use]
pub fn in_range(after: Option<u64>) -> Option<u64> {
    after.map(|after| after.min(1 << 62))
}

/// What happened to the device, at most 200 events at once.
#[utoipa::path(get, path = "/v1/device/events", tag = "device", params(AfterQuery), security(("device_key" = [])),
    responses((status = 200, description = "Events", body = Feed<DeviceEvent>)))]
pub async fn device_events(
    State(app): State<App>,
    caller: DeviceCaller,
    Query(AfterQuery { after }): Query<AfterQuery>,
) -> Result<Answer<Feed<DeviceEvent>>, Problem> {
    let after = in_range(after);
    let rows = app.views.device_feed(caller.device, after, MAX_ITEMS).await?;
    let after = rows.last().map_or(after, |row| Some(row.position));
    Ok(Answer::ok(Feed { items: rows.into_iter().map(Into::into).collect(), after }))
}
