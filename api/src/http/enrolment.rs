//! How devices come into the books, and from one owner to another.

use axum::extract::State;
use domain::{
    account::Role,
    id::{AccountId, DeviceId},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    answer::{Answer, IfMatch, Values},
    auth::{DeviceKeeper, Owner},
    devices::{DeviceName, authorise},
    extract::{Json, Path},
};
use crate::{
    app::App,
    devices::{self, Again, Enrolled},
    error::Problem,
};

/// A device's enrolment key.
#[derive(Serialize, ToSchema)]
pub struct EnrolmentKey {
    /// The device.
    device: Uuid,
    /// Shown once: copy it into the device's `agent.json` as `key`.
    key: String,
    /// The server's root key: copy it into `agent.json` as `server_key`.
    server_key: String,
}

impl EnrolmentKey {
    fn new(app: &App, enrolled: &Enrolled) -> Self {
        let server_key = app.keys.root().to_string();
        Self { device: enrolled.device.0, key: enrolled.key.clone(), server_key }
    }
}

/// Enrols a device of yours.
#[utoipa::path(post, path = "/v1/devices", tag = "devices", security(("token" = ["owner"])),
    request_body = DeviceName,
    responses((status = 201, description = "The device and its enrolment key", body = EnrolmentKey)))]
pub async fn enrol_device(
    State(app): State<App>,
    caller: Owner,
    Json(DeviceName { name }): Json<DeviceName>,
) -> Result<Answer<EnrolmentKey>, Problem> {
    let enrolled = devices::enrol(&app, caller.account, &name, Again::Resume, &caller.by()).await?;
    app.catch_up(enrolled.position).await;
    let location = format!("/v1/devices/{}", enrolled.device);
    let answer = Answer::created(EnrolmentKey::new(&app, &enrolled), &location);
    Ok(answer.at(enrolled.revision).of(Values::of(&name)).wrote(enrolled.position))
}

/// Replaces a device's enrolment key; the old one is refused from now on.
#[utoipa::path(post, path = "/v1/devices/{device}/enrolment-key", tag = "devices", params(("device" = Uuid, Path)),
    security(("token" = ["owner", "operator"])),
    responses((status = 201, description = "The new key", body = EnrolmentKey)))]
pub async fn replace_enrolment_key(
    State(app): State<App>,
    caller: DeviceKeeper,
    Path(device): Path<DeviceId>,
    condition: IfMatch,
) -> Result<Answer<EnrolmentKey>, Problem> {
    authorise(&app, &caller, device, &[Role::Operator]).await?;
    let enrolled = devices::replace_key(&app, device, condition.only_at(), &caller.by()).await?;
    app.catch_up(enrolled.position).await;
    let location = format!("/v1/devices/{device}");
    let answer = Answer::created(EnrolmentKey::new(&app, &enrolled), &location);
    let name = app.private.device_name(device).await?;
    Ok(answer.at(enrolled.revision).of(Values::of(&name)).wrote(enrolled.position))
}

/// A new owner.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Transfer {
    /// The new owner's account; it needs the role owner.
    to: Uuid,
}

/// Gives a device that holds no lease to another owner. It leaves the market, and its enrolment key is worth nothing
/// until the new owner replaces it.
#[utoipa::path(post, path = "/v1/devices/{device}/transfer", tag = "devices", params(("device" = Uuid, Path)),
    security(("token" = ["owner", "operator"])), request_body = Transfer,
    responses((status = 204, description = "The device has a new owner")))]
pub async fn transfer_device(
    State(app): State<App>,
    caller: DeviceKeeper,
    Path(device): Path<DeviceId>,
    condition: IfMatch,
    Json(Transfer { to }): Json<Transfer>,
) -> Result<Answer<()>, Problem> {
    authorise(&app, &caller, device, &[Role::Operator]).await?;
    let done = devices::transfer(&app, device, AccountId(to), condition.only_at(), &caller.by()).await?;
    app.catch_up(done.position).await;
    Ok(Answer::done(done.position))
}
